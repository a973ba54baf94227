"""How the data set, its patches, its queue and training over ranks scale: one command, one table.

    python bench/scale.py OUT [--stacks 1000 10000 100000] [--ranks 1 2] [--items 200000] [--seed 0]

Data: sequences of 200 frames of 64 x 80 px, 14 bits, one moving target each on every second frame, written as NPY with boxes.csv. For each size: `import`, the
time to open the data set and list it, `check`, and `crop` (48 px, frame step 4), each in a process of its own, with its peak of memory.
Queue: so many items, then the time of a page of 50 by score, from the beginning and from the middle, and of the progress bar's counts.
Ranks: `fit` (nano) on the patches of the smallest size under torchrun, the same global batch, one thread a rank; what a longer training takes more than a
short one. Beside them as many trainings that know nothing of each other, all at once: what the machine gives.
Writes OUT/scale.md and OUT/scale.json; what is in OUT already is measured again, not made again.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from commands import BIN

from irdim.boxes import Box
from irdim.dataset import Dataset
from irdim.sources import Frame

LENGTH, HEIGHT, WIDTH = 200, 64, 80
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
EPOCHS = (2, 40)  # of a shorter and a longer training


def main() -> None:
    """Measure what is asked for, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--stacks", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--ranks", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"command": " ".join(sys.argv), "date": str(date.today()), "machine": platform.machine()}
    found["cores"] = len(os.sched_getaffinity(0))
    found["data"] = [measure_data(asked.out / str(n), n, asked.seed) for n in asked.stacks]
    if asked.items:
        found["queue"] = measure_queue(asked.out / "queue", asked.items)
    if asked.ranks:
        found["ranks"] = measure_ranks(asked.out / str(min(asked.stacks)) / "patches", asked.ranks, asked.out)
    (asked.out / "scale.json").write_text(json.dumps(found, indent=1))
    (asked.out / "scale.md").write_text(tables(found))
    print(tables(found))


# data sets


def measure_data(out: Path, stacks: int, seed: int) -> dict[str, Any]:
    """Seconds and megabytes of each step on so many frames."""
    recordings, data, patches = out / "recordings", out / "data", out / "patches"
    if not recordings.exists():
        write_recordings(recordings, stacks // LENGTH, seed)
    for old in (data, patches):
        shutil.rmtree(old, ignore_errors=True)
    row: dict[str, Any] = {"stacks": stacks, "mb": stacks * HEIGHT * WIDTH * 2 / 1e6}
    row["import"] = timed([BIN / "irdim-train", "import", recordings, "--out", data, "--json"])
    look = "import sys; from pathlib import Path; from irdim.dataset import Dataset; d = Dataset.open(Path(sys.argv[1])); print(len(d.sequences()))"
    row["open"] = timed([sys.executable, "-c", look, data])
    row["check"] = timed([BIN / "irdim-train", "check", data, "--json"], good=(0, 1))
    row["crop"] = timed(
        [BIN / "irdim-train", "crop", data, "--size", 48, "--frame-step", 4, "--out", patches, "--json"]
    )
    print(json.dumps(row), flush=True)
    return row


def write_recordings(folder: Path, sequences: int, seed: int) -> None:
    """NAME/frames.npy and NAME/boxes.csv."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    staged = folder.with_name(folder.name + ".partial")
    for number in range(sequences):
        place = staged / f"clip-{number:04d}"
        place.mkdir(parents=True)
        frames = np.rint(rng.normal(4000 + 300 * np.sin(x / 9 + number), 12, (LENGTH, HEIGHT, WIDTH)))
        start, speed = rng.uniform((20, 20), (40, 50)), rng.uniform(-0.09, 0.09, 2)
        rows = ["frame,label,x,y,width,height"]
        for t in range(0, LENGTH, 2):
            cy, cx = start + speed * t
            frames[t] += np.rint(80 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 3))
            rows.append(f"{t},target,{cx - 2.5:.2f},{cy - 2.5:.2f},5,5")
        np.save(place / "frames.npy", frames.astype(np.uint16))
        (place / "boxes.csv").write_text("\n".join(rows) + "\n")
    staged.rename(folder)


# started by a process that is itself small, since what a process holds when it starts another counts as the other's
LAUNCH = """import json, resource, subprocess, sys, time
begun = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
seconds, usage = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([done.returncode, seconds, usage.ru_maxrss, done.stderr.decode()[-500:]]))"""


def timed(command: list[Any], *, good: tuple[int, ...] = (0,), env: dict[str, str] | None = None) -> dict[str, float]:
    """Seconds of a process, and its largest resident memory in MB."""
    launched = [sys.executable, "-S", "-c", LAUNCH, *map(str, command)]
    answer = subprocess.run(launched, capture_output=True, check=True, env={**os.environ, **(env or {})})
    code, seconds, kilobytes, error = json.loads(answer.stdout)
    if code not in good:
        raise SystemExit(f"{' '.join(map(str, command))}: {error}")
    return {"s": round(seconds, 2), "mb": round(kilobytes / 1e3, 0)}


# queue


def measure_queue(out: Path, items: int) -> dict[str, float]:
    """Milliseconds of what the review page asks for, medians of nine."""
    if not out.exists():
        write_queue(out, items)
    with Dataset.open(out) as data:
        first = data.queue_page(most=50)
        middle = data.queue_page(most=items // 2)[-1].id
        calls = {
            "first page": lambda: data.queue_page(most=50),
            "page from the middle": lambda: data.queue_page(after=middle, most=50),
            "page by sequence": lambda: data.queue_page(order="sequence", most=50),
            "progress": data.queue_progress,
        }
        assert len(first) == 50
        found = {"items": float(items)}
        for name, call in calls.items():
            found[name] = round(1e3 * statistics.median(seconds_of(call) for _ in range(9)), 2)
    print(json.dumps(found), flush=True)
    return found


def write_queue(out: Path, items: int) -> None:
    """Items of two kinds on 100 sequences."""
    staged = out.with_name(out.name + ".partial")
    shutil.rmtree(staged, ignore_errors=True)
    rng = np.random.default_rng(0)
    with Dataset.create(staged) as data:
        numbers = []
        for i in range(100):
            noise = rng.integers(900, 1100, (2, 32, 32)).astype(np.uint16)
            frames = [Frame(t, t / 25, f) for t, f in enumerate(noise)]
            about = {"split": "train", "group": f"scene{i}", "source": "generated", "who": "bench", "interval": 0.04}
            numbers.append(data.add_sequence(f"clip-{i:03d}", frames, {}, **about).id)
        with data.transaction():
            for i, score in enumerate(rng.random(items)):
                kind, at = ("missed", "false_alarm")[i % 2], numbers[i % 100]
                box = Box(16.0, 16.0, 3.0, 3.0)
                data.enqueue(
                    key=f"k{i}", kind=kind, sequence_id=at, frame=i % 2, box=box, score=score, reason="generated"
                )
    staged.rename(out)


def seconds_of(call: Callable[[], object]) -> float:
    """Of one call."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


# ranks


def measure_ranks(patches: Path, ranks: list[int], out: Path) -> list[dict[str, float]]:
    """Patches/s of `fit` over so many processes, together and apart: of the epochs that the longer of two runs has more."""
    count = len(np.load(patches / "table.npy", mmap_mode="r"))
    found = []
    for n in ranks:
        together, apart = ([], [])
        for epochs in EPOCHS:
            torchrun = [BIN / "torchrun", "--nproc-per-node", n, "--no-python"]
            together.append(timed([*torchrun, *fit(patches, epochs, out / f"run-{n}-{epochs}")], env=ONE_THREAD)["s"])
            fits = [fit(patches, epochs, out / f"run-{n}-{epochs}-{i}") for i in range(n)]
            with ThreadPoolExecutor(n) as pool:
                apart.append(max(done["s"] for done in pool.map(partial(timed, env=ONE_THREAD), fits)))
        more = (EPOCHS[1] - EPOCHS[0]) * count
        rate, limit = more / (together[1] - together[0]), n * more / (apart[1] - apart[0])
        found.append({"ranks": n, "patches/s": round(rate, 1), "apart, patches/s": round(limit, 1)})
        print(json.dumps(found[-1]), flush=True)
    return found


def fit(patches: Path, epochs: int, run: Path) -> list[Any]:
    """The command of a training into an empty folder."""
    shutil.rmtree(run, ignore_errors=True)
    return [
        BIN / "irdim-train",
        "fit",
        patches,
        "--preset",
        "nano",
        "--whole-frames",
        0,
        "--epochs",
        epochs,
        "--out",
        run,
        "--json",
    ]


def tables(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    rows = [f"`{found['command']}`, {found['cores']} cores, {found['date']}", ""]
    rows += [
        "| stacks | frames, MB | import, s / MB | open, s / MB | check, s / MB | crop, s / MB |",
        "|---|---|---|---|---|---|",
    ]
    for row in found["data"]:
        steps = (f"{row[step]['s']:g} / {row[step]['mb']:.0f}" for step in ("import", "open", "check", "crop"))
        rows.append(f"| {row['stacks']:,} | {row['mb']:.0f} | {' | '.join(steps)} |")
    if "queue" in found:
        queue = dict(found["queue"])
        rows += [
            "",
            f"Queue of {queue.pop('items'):,.0f} items, ms: " + ", ".join(f"{k} {v:g}" for k, v in queue.items()),
        ]
    for row in found.get("ranks", []):
        share, limit = row["patches/s"] / row["apart, patches/s"], row["apart, patches/s"]
        rows.append(
            f"{row['ranks']} ranks: {row['patches/s']:g} patches/s, {share:.2f} of as many trainings apart ({limit:g})"
        )
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
