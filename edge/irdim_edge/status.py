"""What a run has done so far, in status.json and for people."""

import contextlib
import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from irdim.errors import InputError
from irdim.files import read_json, write_json
from irdim.wording import number_of
from irdim_edge.locks import take_lock
from irdim_edge.output.parts import DETECTIONS, VERDICTS, parts_in

FILE, LOCK = "status.json", "run.lock"
WARMING = {"history": "while the history filled", "gap": "after a gap in time", "size": "after frames of another size"}


@dataclass
class Summary:
    """Counts of one run. state: 'running', 'finished', 'stopped' (by a signal), 'reloading' (its process begins anew) or 'failed'."""

    device: str = ""
    camera: str = ""
    bundle: str = ""
    state: str = "running"
    pid: int = field(default_factory=os.getpid)
    started: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))
    seconds: float = 0.0
    source: str = ""
    sources: int = 0
    frames: int = 0
    warming: Counter = field(default_factory=Counter)  # frames without a verdict of the detector, by reason
    detections: int = 0  # reported
    interference: int = 0  # of these, those that are no targets
    tracks: int = 0
    verdicts: Counter = field(default_factory=Counter)
    suspects: Counter = field(default_factory=Counter)  # in the spool, by kind
    merged: Counter = field(default_factory=Counter)
    over_budget: Counter = field(default_factory=Counter)
    dropped: Counter = field(default_factory=Counter)
    uploaded: int = 0
    upload_error: str = ""
    waiting: int = 0
    evicted: int = 0
    recovered: dict[str, int] = field(default_factory=dict)
    detections_file: str = ""
    first_part: int = 0  # number of the run's first files of detections and verdicts
    milliseconds: dict[str, dict[str, float]] = field(default_factory=dict)  # stage -> p50, p99 of the last frames
    skipped: int = 0  # frames that the engine had no time for
    camera_counts: Counter = field(default_factory=Counter)  # docs/cameras.md
    camera_trouble: str = ""
    unwritten: int = 0  # lines that the disk had no time for
    messages: Counter = field(default_factory=Counter)  # sent and unsent over the network
    messages_trouble: str = ""
    takeovers: int = 0
    errors: int = 0
    last_error: str = ""

    @property
    def frames_per_second(self) -> float:
        return self.frames / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """As of now: another thread may write it while the run counts on."""
        now = {name: value.copy() if isinstance(value, Counter) else value for name, value in vars(self).items()}
        return {"v": 1, **now, "frames_per_second": round(self.frames_per_second, 2)}

    @property
    def line(self) -> str:
        """In one line, for a terminal or systemctl."""
        return (
            f"{self.source}  {self.frames} frames ({self.frames_per_second:.0f}/s)  {self.detections} detections  {self.tracks} tracks  "
            f"{sum(self.suspects.values())} suspects  {self.waiting} waiting  {self.uploaded} uploaded"
        )

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of each line that a person reads; what did not happen is left out."""
        rows = [
            ("state", self.state),
            (
                "frames",
                f"{self.frames} from {number_of(self.sources, 'sequence')}, {self.frames_per_second:.1f} a second",
            ),
            ("frames not judged", ", ".join(f"{n} {WARMING.get(why, why)}" for why, n in sorted(self.warming.items()))),
            ("skipped", f"{self.skipped}, the engine was busy" if self.skipped else ""),
            ("camera", "; ".join(filter(None, [_counts(self.camera_counts), self.camera_trouble]))),
            ("ms a frame, median (99 %)", times_text(self.milliseconds)),
            ("detections", f"{self.detections - self.interference} of targets, {self.interference} of interference"),
            ("confirmed tracks", str(self.tracks)),
            ("verdicts", _counts(self.verdicts)),
            ("suspects logged", _counts(self.suspects)),
            ("merged with these", _counts(self.merged)),
            ("over the budget", _counts(self.over_budget)),
            ("dropped", _counts(self.dropped)),
            ("uploaded", f"{self.uploaded} ({self.upload_error})" if self.upload_error else _number(self.uploaded)),
            ("messages", "; ".join(filter(None, [_counts(self.messages), self.messages_trouble]))),
            ("waiting in the spool", f"{self.waiting}, tallies included" if self.waiting else ""),
            ("evicted", _number(self.evicted)),
            ("errors", f"{self.errors} ({self.last_error})" if self.last_error else _number(self.errors)),
        ]
        return [(name, value) for name, value in rows if value]

    def note(self, error: BaseException) -> None:
        """Count an error and keep its text."""
        self.errors += 1
        self.last_error = " ".join(str(error).split()) or type(error).__name__

    def save(self, folder: Path, frames: int | None = None) -> None:
        """frames: to be named instead of those counted so far."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        counted = self.frames if frames is None else frames
        write_json(folder / FILE, {**self.to_json(), "frames": counted, "updated": now})


def read_status(folder: Path) -> dict[str, Any]:
    """status.json of an output folder; state is 'killed' where a run ended without saying so."""
    status = read_json(folder / FILE, "status (has irdim-edge run with this configuration?)")
    if not isinstance(status, dict) or status.get("v") != 1:
        raise InputError(f"{folder / FILE}: not a status of this irdim")
    if status.get("state") in ("running", "reloading") and not is_running(folder):
        status["state"] = "killed"
    return status


def status_rows(status: dict[str, Any]) -> list[tuple[str, str]]:
    """What `read_status` gives, for a person: who, with what and since when, then the rows of its Summary."""
    summary = Summary(**{f.name: status[f.name] for f in fields(Summary) if f.name in status})
    about = [
        ("device, camera", f"{summary.device}, {summary.camera}"),
        ("bundle", summary.bundle[:12]),
        ("began", f"{summary.started}, process {summary.pid}"),
        ("updated", str(status.get("updated", "-"))),
        ("source", summary.source or "-"),
    ]
    return [*about, *summary.rows()]


@contextlib.contextmanager
def starting(folder: Path, device: str, camera: str) -> Iterator[None]:
    """While a run opens what it needs, in a folder that it holds: what is raised goes on, and becomes a status of its own, with the state 'failed'. Else
    that of an earlier run would stand there, or none."""
    try:
        yield
    except BaseException as error:
        failed = Summary(device, camera, state="failed")
        failed.first_part = max(parts_in(folder, DETECTIONS, VERDICTS), default=0) + 1  # it has written none
        failed.note(error)
        with contextlib.suppress(OSError):  # a full disk
            failed.save(folder)
        raise


@contextlib.contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Hold an output folder for this process. Raises InputError where another run holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = take_lock(folder / LOCK)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); choose another folder for out") from None
    if file is None:
        raise InputError(f"{folder}: another irdim-edge run writes here; stop it, or set another out")
    with file:
        yield


def is_running(folder: Path) -> bool:
    """Whether a process holds the folder."""
    try:
        with (folder / LOCK).open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def times_text(milliseconds: dict[str, dict[str, float]]) -> str:
    """Of each stage, p50 and p99."""
    stages = (f"{stage} {q['p50']:.1f} ({q['p99']:.1f})" for stage, q in milliseconds.items())
    return ", ".join(stages)


def _number(count: int) -> str:
    return str(count) if count else ""


def _counts(counts: Counter) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()) if n)
