"""irdim-edge logs: list, verify and extract field logs and tallies. One is in memory at a time."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from rich.table import Column, Table

from irdim.console import stdout_console
from irdim.errors import InputError
from irdim.fieldlog import SUFFIX, FieldLog, TallyLog, read_any
from irdim.files import atomic_file, write_json
from irdim.signing import read_public_key
from irdim_edge.spool import EVICTED, WRITING

app = typer.Typer(no_args_is_help=True, help="List, verify and extract field logs.")
Logs = Annotated[Path, typer.Argument(help="A field log, or a folder of them (a spool, a destination).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command("list")
def list_(path: Logs, as_json: AsJson = False) -> None:
    """List field logs, each verified; exit code 2 where one is damaged.

    Example: irdim-edge logs list edge-out/spool
    """
    listed, wrong = [], _Wrong(path, "damaged")
    for log in _each(path, wrong):
        listed.append(
            {"path": str(log.path), "digest": log.digest, "bytes": log.path.stat().st_size, **_described(log)}
        )
    if as_json:
        print(json.dumps({"logs": listed, "damaged": wrong.reasons}))
    else:
        table = Table(
            Column("log", overflow="fold"),
            "kind",
            "score",
            "place",
            "frames",
            "device",
            Column("key", no_wrap=True),
            "kB",
        )
        for row in listed:
            table.add_row(*_row(row))
        stdout_console().print(table)
    wrong.refuse()


@app.command()
def verify(
    path: Logs,
    key: Annotated[
        list[str] | None, typer.Option(help="Public key, or its file: logs must be signed by one of these; several.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check digests, signatures and content; exit code 2 where one is wrong, or signed by none of the keys that are given.

    Example: irdim-edge logs verify depot --key device.key.pub
    """
    keys = {read_public_key(text) for text in key or []}
    good, signed, wrong = 0, 0, _Wrong(path, "wrong")
    for log in _each(path, wrong):
        if keys and log.device_key not in keys:
            by = "not signed" if log.device_key is None else f"signed by {log.device_key}"
            wrong.reasons.append(f"{log.path}: {by}, by none of the keys that were given")
        else:
            good, signed = good + 1, signed + (log.device_key is not None)
    if as_json:
        print(json.dumps({"good": good, "signed": signed, "wrong": wrong.reasons}))
    else:
        print(f"{good} good, {signed} of them signed")
    wrong.refuse()


@app.command()
def extract(
    path: Logs,
    out: Annotated[Path, typer.Argument(help="Folder; each log gets one of its own in it.")],
    png: Annotated[bool, typer.Option(help="Frames as PNG files too, 8 or 16 bits as they are.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write log.json and frames.npy (n, H, W) of each log into a folder of its own, once it is checked; tally.json of a tally.

    Example: irdim-edge logs extract edge-out/spool looked-at --png
    """
    folders, wrong = [], _Wrong(path, "damaged")
    for log in _each(path, wrong):
        folders.append(str(_extract(log, out / log.path.stem, png)))
    if as_json:
        print(json.dumps({"extracted": folders, "damaged": wrong.reasons}))
    else:
        print(f"{len(folders)} extracted to {out}")
    wrong.refuse()


class _Wrong:
    """Why logs did not pass, and how that ends."""

    def __init__(self, path: Path, word: str) -> None:
        self.path, self.word = path, word
        self.reasons: list[str] = []
        self.files = 0

    def refuse(self) -> None:
        """Raises InputError where there is any."""
        for reason in self.reasons:
            print(f"{self.word}: {reason}", file=sys.stderr)
        if self.reasons:
            raise InputError(f"{self.path}: {len(self.reasons)} of {self.files} field logs are {self.word}")


def _each(path: Path, wrong: _Wrong) -> Iterator[FieldLog | TallyLog]:
    """The logs that read, one after the other; none of an empty spool. Raises InputError where there is no such folder, or one that holds other things."""
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder")
    files = sorted(p for p in path.rglob(f"*{SUFFIX}") if not p.name.startswith(".")) if path.is_dir() else [path]
    if not files and not _is_spool(path):
        raise InputError(f"{path}: no field log (*{SUFFIX}) in this folder")
    for file in files:
        wrong.files += 1
        try:
            yield read_any(file)
        except InputError as error:
            wrong.reasons.append(str(error))


def _is_spool(path: Path) -> bool:
    """Whether a folder is a spool, which may well be empty."""
    return any((path / name).exists() for name in (EVICTED, WRITING))


def _described(log: FieldLog | TallyLog) -> dict[str, Any]:
    if isinstance(log, FieldLog):
        return {"kind": log.kind, **log.description}
    tally = {**asdict(log.tally), "begin": log.tally.begin.isoformat(), "end": log.tally.end.isoformat()}
    return {"kind": log.kind, **tally, "device_key": log.device_key}


def _row(d: dict[str, Any]) -> list[str]:
    verdict = d.get("verdict")
    about = (
        (
            f"{verdict['score']:.3f}",
            f"{verdict['x']:.1f}, {verdict['y']:.1f} @ {verdict['frame']}",
            "x".join(map(str, d["frames"]["shape"])),
        )
        if verdict
        else ("", f"{d['begin'][:16]} to {d['end'][:16]}", str(d["frames"]))
    )
    key = d["device_key"][:8] if d.get("device_key") else "unsigned"
    return [Path(d["path"]).name, d["kind"], *about, d["device"], key, f"{d['bytes'] / 1000:.0f}"]


def _extract(log: FieldLog | TallyLog, folder: Path, png: bool) -> Path:
    if isinstance(log, TallyLog):
        write_json(folder / "tally.json", _described(log))
        return folder
    _save(folder / "frames.npy", log.frames)
    if log.whole_frame is not None:
        _save(folder / "whole.npy", log.whole_frame)
    if png:
        for index, frame in zip(log.description["frames"]["indices"], log.frames, strict=True):
            with atomic_file(folder / "png" / f"{index:08d}.png") as file:
                file.write(cv2.imencode(".png", frame)[1].tobytes())
    write_json(folder / "log.json", log.description)  # last: with it, the folder is complete
    return folder


def _save(path: Path, array: np.ndarray) -> None:
    with atomic_file(path) as file:
        np.save(file, array, allow_pickle=False)
