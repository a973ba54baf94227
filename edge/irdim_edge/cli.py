"""irdim-edge: the command line beside the camera."""

import json
import logging
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from irdim.console import stdout_console
from irdim.errors import InputError
from irdim.files import atomic_file
from irdim.remote import hide_password
from irdim.wording import quoted
from irdim_edge import daemon, logs
from irdim_edge.cameras.drivers import ADDRESSES
from irdim_edge.config import STARTER, Config, commented_config, load_config, number_or_text, parse_config
from irdim_edge.config.addresses import is_path
from irdim_edge.engine_commands import bench, build, inspect
from irdim_edge.keys import keygen
from irdim_edge.preflight import check_config, check_run
from irdim_edge.record_command import record
from irdim_edge.spool import Spool
from irdim_edge.status import read_status, status_rows
from irdim_edge.terminal import begin_anew, status_line, stop_on_signals
from irdim_edge.tracks_command import tracks
from irdim_edge.upload import Uploader
from irdim_edge.wording import OPTION_OF, WITHOUT_TENSORRT, reworded

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Find dim, small targets beside the camera, and send back what was probably missed or wrongly reported.",
)
ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="Configuration (TOML); irdim-edge config prints one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
def config(
    bundle: Annotated[str | None, typer.Option(help="Bundle to run.")] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="Recorded sequence, or folder of sequences; several.")
    ] = None,
    stream: Annotated[str | None, typer.Option(help=f"Live camera instead: {ADDRESSES}.")] = None,
    rate: Annotated[str | None, typer.Option(help="own, flat-out, or frames a second.")] = None,
    step: Annotated[int | None, typer.Option(help="Take every n-th frame.")] = None,
    out: Annotated[str | None, typer.Option(help="Folder of the output.")] = None,
    upload: Annotated[str | None, typer.Option(help="fsspec URL that field logs go to (sftp://..., s3://...).")] = None,
    serve: Annotated[int | None, typer.Option(help="Port of the live page and of /metrics, on loopback.")] = None,
    write: Annotated[Path | None, typer.Option(help="File to write it to, instead of printing it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the values as JSON, without the comments.")] = False,
) -> None:
    """Print a configuration with every key explained; options fill in their keys, and what they name is checked.

    Example: irdim-edge config --bundle bundles/first --source recordings/night --upload sftp://me@depot/logs --write edge.toml
    """
    if write is not None:  # its paths will count from its own folder, these from here
        bundle = str(Path(bundle).resolve()) if bundle and bundle != STARTER else bundle
        source = [str(Path(s).resolve()) for s in source or []]
        out = str(Path(out).resolve()) if out else None
        upload = str(Path(upload).resolve()) if upload and is_path(upload) else upload
    numbers = {"camera.rate": number_or_text(rate), "camera.step": step}
    given = {
        "bundle": bundle,
        "camera.stream": stream,
        "camera.paths": source,
        **numbers,
        "out": out,
        "upload.url": upload,
        "serve.port": serve,
    }
    values = {key: value for key, value in given.items() if value not in (None, [])}
    text = commented_config(values)
    path = Path(write or "edge.toml")
    with reworded({f"{path}: ": "", **OPTION_OF}):  # there is no file yet
        settings = parse_config(text, path)
        check_config(settings, bundle=bundle is not None, source=bool(source or stream), upload=upload is not None)
    if write is not None:
        if write.exists():
            raise InputError(f"{write}: is there already; remove it, or choose another --write")
        with atomic_file(write, "w") as file:
            file.write(text)
    if as_json:
        print(json.dumps(settings.model_dump()))
    elif write is None:
        print(text, end="")
    else:
        if upload and is_path(upload):
            print(f"field logs go to a folder of this machine, {upload}")
        print(f"wrote {write}; next: irdim-edge run {quoted(write)}")


@app.command()
def run(config: ConfigFile, as_json: AsJson = False) -> None:
    """Run the camera, live or recorded: detections and verdicts as JSON lines, suspects into the spool, the spool to the upload URL.

    Ctrl-C or SIGTERM stops it cleanly; the next run goes on with the spool, and begins recordings anew. A new bundle at the configuration's path is
    taken over between two frames once it has proved itself (SIGHUP: look now). SIGHUP also reads the configuration again: if it changed and can be
    used, a live camera begins anew with it.

    Example: irdim-edge run edge.toml
    """
    stopping, reloading = stop_on_signals(), threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: reloading.set())
    settings = load_config(config)  # after that, so that no change is overlooked
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("irdim_edge").setLevel(logging.INFO)
    with status_line("starting", quiet=as_json) as change, reworded(WITHOUT_TENSORRT):
        summary = daemon.run(settings, stopping, lambda s: change(lambda: s.line), reloading, lambda: _checked(config))
    if summary.state == daemon.RELOADING:
        begin_anew(stopping)
        summary.state = "stopped"  # it came back: a signal wants an end
        summary.save(settings.out_path)
    if as_json:
        print(json.dumps(summary.to_json()))
        return
    _print_rows(summary.rows())
    print(f"{settings.out_path / summary.detections_file}; its tracks: irdim-edge tracks {quoted(config)}")


def _checked(path: Path) -> Config:
    """The configuration as it is now. Raises InputError where a run could not begin with it."""
    settings = load_config(path)
    check_run(settings)
    return settings


@app.command()
def status(config: ConfigFile, as_json: AsJson = False) -> None:
    """Say what a run is doing, or did last.

    Example: irdim-edge status edge.toml
    """
    found = read_status(load_config(config).out_path)
    if as_json:
        print(json.dumps(found))
        return
    _print_rows(status_rows(found))


@app.command()
def upload(config: ConfigFile, as_json: AsJson = False) -> None:
    """Upload what waits in the spool, most valuable first, beside a running daemon or without one.

    What fails is tried a few times more. Outside the hours of the configuration nothing is sent.

    Example: irdim-edge upload edge.toml
    """
    settings = load_config(config)
    destination = settings.destination
    uploader = Uploader(Spool(settings.spool_path, settings.spool_bounds, adds=False), destination)
    waiting = len(uploader.spool.entries())
    try:
        uploader.check()
    except InputError as error:
        raise InputError(f"{error}; {_kept(waiting)}") from None
    done = uploader.run_until_empty(tries=3)
    state, left = uploader.state, len(uploader.spool.entries())
    if as_json:
        print(json.dumps({**vars(state), "waiting": left}))
    else:
        where = hide_password(destination.url)
        print(
            f"{state.uploaded} of {waiting} uploaded to {where}, {left} wait"
            if waiting
            else f"nothing waits for {where}"
        )
        if state.busy:
            print("another irdim-edge uploads from this spool just now")
        elif done and left:
            print(f"uploading is allowed {destination.hours}")
    if not done:
        raise InputError(f"{state.last_error}; {_kept(left)}")


def _kept(waiting: int) -> str:
    return f"nothing is lost, {waiting} in the spool: see to it (upload.* in the configuration), then irdim-edge upload again"


app.command()(tracks)
app.command()(record)
app.command()(build)
app.command()(inspect)
app.command()(bench)
app.command()(keygen)
app.add_typer(logs.app, name="logs")


def _print_rows(rows: list[tuple[str, str]]) -> None:
    table = Table(show_header=False)
    for _ in range(2):
        table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    stdout_console().print(table)
