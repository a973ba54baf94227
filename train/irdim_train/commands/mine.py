"""irdim-train mine."""

import json
from pathlib import Path
from typing import Annotated

import typer

from irdim.console import stdout_console
from irdim.errors import InputError
from irdim.wording import number_of, quoted
from irdim_train.commands.progress import progress_bar


def command(
    run: Annotated[Path, typer.Argument(help="A finished run, or a bundle.")],
    sequences: Annotated[
        list[str] | None, typer.Argument(help="Names or patterns ('log-*'); all training sequences if none.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Data set; the run's own if not set.")] = None,
    report: Annotated[
        float | None, typer.Option(help="Score from which a detection counts; the network's threshold if not set.")
    ] = None,
    confirm: Annotated[
        str,
        typer.Option(metavar="M/N", help="A track is confirmed by M detections in N frames. More: less noise, later."),
    ] = "3/5",
    max_gap: Annotated[
        int, typer.Option(help="Frames in a row that a track survives unseen. More: bridges fades, links noise.")
    ] = 3,
    max_speed: Annotated[
        float, typer.Option(help="px a frame against the background; nothing faster is linked.")
    ] = 6.0,
    max_turn: Annotated[
        float,
        typer.Option(
            help="px a frame by which a velocity may change. Less: keeps crossing targets apart, loses manoeuvres."
        ),
    ] = 2.0,
    still_speed: Annotated[
        float | None,
        typer.Option(
            help="px a frame; what moves less than this for 10 frames, on the sensor or against the background, is proposed as interference "
            "and has no misses; 0.15 if not set."
        ),
    ] = None,
    lag: Annotated[int, typer.Option(help="Frames before and after that a verdict looks at.")] = 5,
    least: Annotated[float | None, typer.Option(help="Ask nothing of a lower score; 0.45 if not set.")] = None,
    most: Annotated[int, typer.Option(min=0, help="Ask about at most so many frames of a sequence; 0: all.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Ask about what the network probably missed (a track with a gap) or wrongly reported (once, with nothing before or after).

    Confirmed tracks are proposed as labels of their frames that have none there, whether the sequence has labels or not. Nothing changes
    until somebody decides.

    Example: irdim-train mine runs/first 'log-*' --data data --max-speed 4
    """
    from irdim.dataset import Dataset
    from irdim_train.mining import MineOptions, mine
    from irdim_train.mining.run import CRAWLS, LEAST, choose_sequences, open_tracker
    from irdim_train.models import open_model

    card, engine, trained_on = open_model(run, device=device)
    where = data or trained_on
    if where is None:
        raise InputError(f"{run}: a bundle does not know its data set; name one with --data")
    hits, window = _confirm(confirm)
    tracker = open_tracker(
        report if report is not None else card.thresholds.report,
        confirm_hits=hits,
        confirm_window=window,
        max_gap=max_gap,
        max_speed=max_speed,
        max_turn=max_turn,
        still_speed=CRAWLS if still_speed is None else still_speed,
        lag=lag,
    )
    with Dataset.open(where) as dataset, progress_bar("mine") as bar:
        chosen = choose_sequences(dataset, sequences or [], None if sequences else "train")
        task = bar.add_task("mine", total=len(chosen))
        mined = mine(
            dataset,
            chosen,
            card,
            engine,
            MineOptions(tracker, LEAST if least is None else least, most),
            by={"run": str(run)},
            progress=lambda s: bar.update(task, advance=1, description=f"mine {s.name}"),
        )
    answer = {"data": str(where), "queued": dict(mined.queued), "known": dict(mined.known), "frames": mined.frames}
    if as_json:
        print(json.dumps({**answer, "warming": mined.warming, "sequences": mined.sequences}))
        return
    console = stdout_console(soft_wrap=True)
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(mined.queued.items()))
    known = ", ".join(f"{n} {kind}" for kind, n in sorted(mined.known.items()))
    console.print(
        f"{number_of(len(chosen), 'sequence')}, {number_of(mined.frames, 'frame')} judged, {mined.warming} without full history",
    )
    console.print(f"new in the queue: {kinds or 'nothing'}; the labels answer already: {known or 'nothing'}")
    console.print(f"next: irdim-train review {quoted(where)}")


def _confirm(text: str) -> tuple[int, int]:
    hits, _, window = text.partition("/")
    if not (hits.isdecimal() and window.isdecimal()):
        raise InputError(f"--confirm {text}: write M/N, such as 3/5")
    return int(hits), int(window)
