"""What is left after a soak, counted: lines against recordings, field logs against lines; memory as figures and as a picture."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
import numpy as np

from irdim.errors import InputError
from irdim.fieldlog import read_any
from irdim_edge.spool import OLDER
from soaking.course import Course, Sample

matplotlib.use("Agg")
from matplotlib import pyplot as plt

SETTLED = 60.0  # seconds of a run after which its memory should stay


@dataclass
class Counted:
    """frames: lines of detections; the rest is what its name says."""

    frames: int = 0
    lost: int = 0  # frames that a run went past without a line
    passed: int = 0  # those behind a broken frame of their recording
    doubled: int = 0
    foreign: int = 0  # lines of no frame of the list, or out of order
    torn: int = 0  # lines that are no JSON
    unwritten: int = 0  # frames that status.json had counted before the end, without a line
    verdicts: int = 0
    without_log: Counter[str] = field(default_factory=Counter)  # verdict lines, by why
    named: int = 0  # logs that a verdict line names
    uploaded: int = 0
    evicted: int = 0
    waiting: int = 0
    lost_logs: int = 0  # named, and neither uploaded, evicted nor waiting, nor among the forgotten
    forgotten: int = 0  # evictions that the record only counts any more
    doubled_logs: int = 0  # named twice
    unnamed_logs: int = 0  # there, without a verdict line
    broken_logs: int = 0  # at the destination, and do not read
    tallies: int = 0

    @property
    def wrong(self) -> int:
        return (
            self.lost
            + self.doubled
            + self.foreign
            + self.unwritten
            + self.lost_logs
            + self.doubled_logs
            + self.broken_logs
        )


def count(work: Path, course: Course) -> Counted:
    """Hold what lies in `work` (out, spool, depot) against the recordings and against itself."""
    counted = Counted()
    for run, (parts, frames) in enumerate(zip(course.runs, course.said, strict=True)):
        lines = [line for part in parts for line in read(work / f"out/detections-{part:04d}.jsonl", counted)]
        _hold([(line["source"], line["frame"]) for line in lines], course.playlist, counted, course.broken.get(run))
        counted.unwritten += max(0, frames - len(lines))
    _hold_logs(work, counted)
    return counted


def read(path: Path, counted: Counted) -> Iterator[dict]:
    for line in path.read_bytes().split(b"\n"):
        try:
            if line:
                yield json.loads(line)
        except ValueError:
            counted.torn += 1


def _hold(
    seen: list[tuple[str, int]],
    playlist: list[tuple[str, int]],
    counted: Counted,
    broken: tuple[str, int] | None,
) -> None:
    """One run: every frame of the list up to the last one seen, once, in order; but for those behind a broken frame, where the replay goes on with the
    next recording."""
    counted.frames += len(seen)
    whole = [(name, frame) for name, frames in playlist for frame in range(frames)]
    place = {key: i for i, key in enumerate(whole)}
    at = [place[key] for key in seen if key in place]
    counted.foreign += len(seen) - len(at) + sum(b < a for a, b in itertools.pairwise(at))
    counted.doubled += len(at) - len(set(at))
    missing = [whole[i] for i in set(range(max(at, default=-1) + 1)) - set(at)]
    passed = [key for key in missing if broken and key[0].endswith(broken[0]) and key[1] >= broken[1]]
    counted.passed += len(passed)
    counted.lost += len(missing) - len(passed)


def _hold_logs(work: Path, counted: Counted) -> None:
    named: Counter[str] = Counter()
    for path in sorted((work / "out").glob("verdicts-*.jsonl")):
        for line in read(path, counted):
            counted.verdicts += 1
            if line["log"] is None:
                counted.without_log[line.get("why", "?")] += 1
            else:
                named[line["log"]] += 1
    spool = work / "spool" / "logs"
    record = [line for path in spool.glob("evicted*.jsonl") for line in read(path, counted)]
    gone = {line["name"] for line in record if "name" in line}
    older = spool / OLDER
    counted.forgotten = next(read(older, counted), {}).get("before", 0) if older.exists() else 0
    depot = {p.name: p for p in (work / "depot").glob("*.irlog") if not p.name.startswith(".")}
    waiting = {p.name for p in spool.rglob("*.irlog")}
    counted.tallies = sum("-tally-" in name for name in depot)
    suspects = {name for name in depot if "-tally-" not in name}
    counted.named, counted.uploaded, counted.waiting = len(named), len(suspects), len(waiting)
    counted.evicted = len(gone & set(named))
    counted.lost_logs = max(0, len(set(named) - suspects - gone - waiting) - counted.forgotten)
    counted.doubled_logs = sum(named.values()) - len(named)
    counted.unnamed_logs = len(suspects - set(named))
    for path in depot.values():
        try:
            read_any(path)
        except InputError:
            counted.broken_logs += 1


def memory(samples: list[Sample]) -> dict[str, float]:
    """Of all runs, and of the longest one from its second minute on; MiB. growth: of its own memory over 100,000 frames, by a straight line."""
    longest = max((s.run for s in samples), key=lambda run: max(s.frames for s in samples if s.run == run))
    run = [s for s in samples if s.run == longest]
    settled = [s for s in run if s.seconds >= run[0].seconds + SETTLED] or run
    frames = np.array([s.frames for s in settled], float)
    own = np.array([s.own for s in settled])
    sloped = len(set(frames)) > 2
    slope = float(np.polyfit(frames, own, 1)[0]) if sloped else float("nan")
    tenth = max(1, len(own) // 10)
    return {
        "most_own": max(s.own for s in samples),
        "most_all": max(s.all for s in samples),
        "longest_frames": float(frames[-1]),
        "first_tenth": float(np.median(own[:tenth])),
        "last_tenth": float(np.median(own[-tenth:])),
        "growth": slope * 1e5,
        "handles_first": float(np.median([s.handles for s in settled[:tenth]])),
        "handles_last": float(np.median([s.handles for s in settled[-tenth:]])),
        "handles_most": max(s.handles for s in settled),
        "threads_first": float(np.median([s.threads for s in settled[:tenth]])),
        "threads_last": float(np.median([s.threads for s in settled[-tenth:]])),
        "threads_most": max(s.threads for s in samples),
    }


def table(course: Course, counted: Counted, minutes: float) -> str:
    m = memory(course.samples)
    fps = counted.frames / (60 * minutes)
    rows = [
        ("frames, runs of the daemon", f"{counted.frames:,} ({fps:.0f}/s), {len(course.runs)}"),
        ("faults", ", ".join(f"{n} {kind}" for kind, n in sorted(course.faults.items())) or "none"),
        (
            "**frames without a line / lines doubled / out of order**",
            f"{counted.lost} / {counted.doubled} / {counted.foreign}",
        ),
        ("frames that the status had counted, without a line", str(counted.unwritten)),
        ("torn lines left", str(counted.torn)),
        ("verdict lines; without a log", f"{counted.verdicts:,}; {_listed(counted.without_log)}"),
        (
            "field logs named / uploaded / evicted and on record / waiting; evictions that the record only counts",
            f"{counted.named:,} / {counted.uploaded:,} / {counted.evicted:,} / {counted.waiting:,}; {counted.forgotten:,}",
        ),
        (
            "**logs lost / doubled / unreadable at the destination**",
            f"{counted.lost_logs} / {counted.doubled_logs} / {counted.broken_logs}",
        ),
        ("logs that a kill cut off from their verdict line", str(counted.unnamed_logs)),
        ("own memory at most (with mapped files), MiB", f"{m['most_own']:.0f} ({m['most_all']:.0f})"),
        (
            f"the longest run, {m['longest_frames']:,.0f} frames, after a minute: first and last tenth, MiB",
            f"{m['first_tenth']:.1f}, {m['last_tenth']:.1f}; a line through it: {m['growth']:+.1f} MiB per 100,000 frames",
        ),
        (
            "its file handles, its threads: first tenth, last tenth, most",
            f"{m['handles_first']:.0f}, {m['handles_last']:.0f}, {m['handles_most']}; {m['threads_first']:.0f}, {m['threads_last']:.0f}, {m['threads_most']}",
        ),
        ("from a start to the first line, median and longest", _spread(course.back)),
        ("from SIGHUP to the new bundle, median and longest", _spread(course.takeovers)),
        ("what did not go as it should", str(len(course.odd))),
    ]
    lines = ["", f"| {minutes:.0f} min | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    return "\n".join([*lines, *(f"- {' '.join(odd.split())}" for odd in course.odd)])


def picture(course: Course, path: Path) -> None:
    """Memory, file handles and threads over time; a line where a run began."""
    seconds = np.array([s.seconds for s in course.samples]) / 60
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 5.5), sharex=True, height_ratios=(2, 1))
    for run in sorted({s.run for s in course.samples}):
        mine = [s for s in course.samples if s.run == run]
        at = [s.seconds / 60 for s in mine]
        above.plot(at, [s.own for s in mine], color="C0", label="own memory" if run == 1 else None)
        above.plot(at, [s.all for s in mine], color="C7", lw=0.8, label="with mapped files" if run == 1 else None)
        below.plot(at, [s.handles for s in mine], color="C1", label="file handles" if run == 1 else None)
        below.plot(at, [s.threads for s in mine], color="C2", label="threads" if run == 1 else None)
        for axes in (above, below):
            axes.axvline(at[0], color="0.85", lw=0.6, zorder=0)
    above.set(
        ylabel="MiB",
        ylim=(0, None),
        title=f"{len(course.runs)} runs of the daemon, {max(s.frames for s in course.samples):,} frames in the longest",
    )
    below.set(xlabel="minutes", ylabel="number", ylim=(0, None), xlim=(0, seconds[-1]))
    for axes in (above, below):
        axes.legend(loc="upper left", frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def _listed(counts: Counter) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items())) or "none"


def _spread(values: list[float]) -> str:
    return f"{np.median(values):.1f} s, {max(values):.1f} s of {len(values)}" if values else "-"
