"""The daemon flat out for an hour with faults of every kind: does its memory stay, and is an event lost or doubled?

    python bench/soak.py [--minutes 60] [--json soak.json] [--plot soak.png]       # needs root: a small tmpfs for the spool, an OpenSSH server
    python bench/soak.py --calm --frames 100000                                    # no faults and no restart: is memory flat?

`irdim-edge run` replays generated recordings of several sizes and depths, many times over, with the starter bundle, and uploads by SFTP through a
proxy. Meanwhile, at random moments: it is killed (-9); a new bundle comes by link and SIGHUP; a broken one comes (cut graph, no JSON, a file missing,
a graph that is none under a right digest, nothing at all); the disk of the spool is filled to the last byte; the server refuses, or takes and never
answers; a recording breaks off on a broken frame, and a broken one lies first in the list at a start. Where the daemon ends, it is started again, as
systemd would.

In the end every line of output is held against the list of recordings (each frame of each run once, in order), and every field log at the
destination, in the spool and on record as evicted against the verdict lines. Exit 1 where anything was lost, doubled, or did not go as it should.
"""

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "edge"))

from servers import Proxy, Sshd, free_port  # noqa: E402
from soak_count import count, memory, picture, table  # noqa: E402

from irdim.files import sha256  # noqa: E402

EDGE = [sys.executable, "-c", "from irdim_edge.cli import main; main()"]
SYNTH = [sys.executable, "-c", "from irdim_train.cli import main; main()", "synth"]
STARTER = ROOT / "edge" / "irdim_edge" / "starter"
LONG, SHORT = 3000, 200  # frames of a recording
CYCLES = 80  # times that the recordings are in the list: longer than a run lives
FAULTS = {
    "kill": 2,
    "bundle": 4,
    "broken bundle": 3,
    "full disk": 3,
    "server away": 4,
    "broken recording": 1,
}  # how often, of each other
PAUSE = (5.0, 15.0)  # seconds between two faults


@dataclass
class Sample:
    """One look at the process. own: resident memory that no file backs; all: with mapped recordings and libraries; MiB."""

    seconds: float
    run: int
    frames: int
    own: float
    all: float
    handles: int
    threads: int


@dataclass
class Soak:
    """What happened. runs: numbers of the output's parts of each run of the daemon; playlist: name and frames of each recording."""

    playlist: list[tuple[str, int]]
    samples: list[Sample] = field(default_factory=list)
    runs: list[list[int]] = field(default_factory=list)
    said: list[int] = field(default_factory=list)  # frames that status.json named last, of each run
    faults: Counter[str] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)  # what did not go as it should
    back: list[float] = field(default_factory=list)  # seconds from a start to the first line
    takeovers: list[float] = field(default_factory=list)  # seconds from SIGHUP to the new bundle


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=60.0)
    options.add_argument("--frames", type=int, default=0, help="end once a run has so many frames, if that is earlier")
    options.add_argument("--calm", action="store_true", help="no faults, recordings of one size")
    options.add_argument("--precision", choices=["int8", "fp32"], default="fp32")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--json", type=Path)
    options.add_argument("--plot", type=Path, default=Path("soak.png"))
    given = options.parse_args()
    if why := Sshd.missing() or ("" if os.getuid() == 0 else "root mounts the small disk of the spool"):
        raise SystemExit(f"error: {why}")
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, small_disk(Path(folder) / "spool"):
        daemon = Daemon(Path(folder), given)
        began = time.monotonic()
        try:
            daemon.go()
        finally:
            daemon.stop()
        counted = count(daemon.work, daemon.soak.runs, daemon.soak.playlist, daemon.soak.said)
        minutes = (time.monotonic() - began) / 60
    print(table(daemon.soak, counted, minutes))
    picture(daemon.soak, given.plot)
    if given.json:
        samples = [vars(sample) for sample in daemon.soak.samples]
        whole = {
            "minutes": minutes,
            "memory": memory(daemon.soak.samples),
            **vars(counted),
            **vars(daemon.soak),
            "samples": samples,
        }
        given.json.write_text(json.dumps(whole))
    raise SystemExit(bool(daemon.soak.odd or counted.wrong))


class Daemon:
    """The process, what it is given, and what is done to it."""

    def __init__(self, work: Path, given: argparse.Namespace) -> None:
        self.work, self.given, self.draw = work, given, random.Random(given.seed)
        self.out, self.link = work / "out", work / "bundle"
        self.bundles = [variant(work / f"bundle-{i}", i) for i in range(2)]
        self.link.symlink_to(self.bundles[0])
        self.soak = Soak(record(work, given.calm, given.frames))
        keys = work / "keys"
        keys.mkdir()
        self.server = Sshd(keys)
        self.proxy = Proxy(self.server.port)
        (work / "depot").mkdir()
        self.write_config(keys)
        self.process: subprocess.Popen | None = None
        self.stopping = threading.Event()

    def write_config(self, keys: Path) -> None:
        upload = {"url": self.server.url(self.work / "depot", self.proxy.port), "interval": 1.0, "timeout": 3.0}
        upload |= {"known_hosts": str(self.server.known(port=self.proxy.port)), "identity": str(keys / "user")}
        kinds = ("missed", "false_alarm", "low_confidence", "still", "sample")
        often = {f"{kind}_{what}_per_day".replace("__", "_"): 10**6 for kind in kinds for what in ("", "mb")}
        sections = {
            "camera": {"paths": [str(self.work / "playlist")], "rate": "flat-out"},
            "suspects": {
                "crop": 32,
                "merge_seconds": 60 if self.given.calm else 0,
                "sample_probability": 1e-3,
                **often,
            },
            "spool": {"path": str(self.work / "spool" / "logs"), "max_mb": 2.0},
            "upload": upload,
        }
        top = {
            "bundle": str(self.link),
            "precision": self.given.precision,
            "threads": 1,
            "out": str(self.out),
            "max_mb": 1e5,
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
        for name, values in sections.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        (self.work / "edge.toml").write_text("\n".join(lines) + "\n")

    def go(self) -> None:
        self.start()
        watching = threading.Thread(target=self.watch)
        watching.start()
        until = time.monotonic() + 60 * self.given.minutes
        try:
            while time.monotonic() < until:
                if self.given.calm:
                    time.sleep(0.5)
                else:
                    time.sleep(self.draw.uniform(*PAUSE))
                    fault = self.draw.choices(list(FAULTS), list(FAULTS.values()))[0]
                    getattr(self, fault.replace(" ", "_"))()
                    self.soak.faults[fault] += 1
                if self.given.frames and self.status().get("frames", 0) >= self.given.frames:
                    break
                if self.process.poll() is not None:
                    self.ended("by itself")
                    if self.given.calm:
                        break
                    self.start()
            if self.process.poll() is None:
                began = time.monotonic()
                self.process.terminate()
                self.process.wait(60)
                if (took := time.monotonic() - began) > 5:
                    self.soak.odd.append(f"SIGTERM took {took:.1f} s")
                self.ended("SIGTERM", 0)
        finally:
            self.stopping.set()
            watching.join()
        done = subprocess.run([*EDGE, "upload", str(self.work / "edge.toml")], capture_output=True, text=True)
        if done.returncode:
            self.soak.odd.append(f"the last upload: {done.stderr.strip()}")

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.proxy.stop()
        self.server.stop()

    # the process

    def start(self) -> None:
        before, began = self.parts(), time.monotonic()
        self.soak.runs.append([])
        self.log = (self.work / "log").open("w+")
        self.process = subprocess.Popen(
            [*EDGE, "run", str(self.work / "edge.toml"), "--json"], stdout=subprocess.DEVNULL, stderr=self.log
        )
        self.before = before
        while self.process.poll() is None and not self.first_line():
            time.sleep(0.02)
        if self.first_line():
            self.soak.back.append(time.monotonic() - began)

    def ended(self, why: str, *expected: int) -> str:
        """Note a run's end; returns what it said last."""
        code = self.process.wait()
        self.soak.runs[-1] = sorted(self.parts() - self.before)
        status = self.status()
        self.soak.said.append(status.get("frames", 0) if status.get("pid") == self.process.pid else 0)
        self.log.seek(0)
        said = self.log.read()
        self.log.close()
        last = said.strip().splitlines()[-1] if said.strip() else ""
        self.soak.faults[f"exit {code} ({why})"] += 1
        if code not in (expected or (0,)) or "Traceback" in said:
            self.soak.odd.append(f"{why}: exit {code}: {said[-600:] if 'Traceback' in said else last}")
        return last

    def first_line(self) -> bool:
        new = self.parts() - self.before
        return any((self.out / f"detections-{n:04d}.jsonl").stat().st_size for n in new)

    def parts(self) -> set[int]:
        return {int(p.stem.split("-")[1]) for p in self.out.glob("detections-*.jsonl")}

    def status(self) -> dict:
        try:
            return json.loads((self.out / "status.json").read_text())
        except (OSError, ValueError):
            return {}

    def watch(self) -> None:
        """Once a second, a look at the process."""
        began = time.monotonic()
        for second in itertools.count(1):
            process, status = self.process, self.status()
            with suppress(OSError, KeyError, ValueError):
                said = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
                handles = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
                frames = status.get("frames", 0) if status.get("pid") == process.pid else 0
                mib = {key: int(said[key].split()[0]) / 1024 for key in ("RssAnon", "VmRSS")}
                run, threads = len(self.soak.runs), int(said["Threads"])
                at = round(time.monotonic() - began, 2)
                self.soak.samples.append(Sample(at, run, frames, mib["RssAnon"], mib["VmRSS"], handles, threads))
            if second % 10 == 0 and sys.stderr.isatty() and self.soak.samples:
                print(f"\r{self.soak.samples[-1]} {dict(self.soak.faults)} ", end="", file=sys.stderr)
            if self.stopping.wait(max(0.0, began + second - time.monotonic())):
                return

    # the faults

    def kill(self) -> None:
        self.process.kill()
        self.ended("kill -9", -signal.SIGKILL)
        self.start()

    def bundle(self) -> None:
        other = self.bundles[self.link.resolve() == self.bundles[0]]
        old, began = self.status().get("bundle"), time.monotonic()
        self.point(other)
        while self.status().get("bundle") == old and time.monotonic() < began + 60 and self.process.poll() is None:
            time.sleep(0.05)
        if self.status().get("bundle") == old:
            self.soak.odd.append(f"a bundle was not taken over in a minute: {self.tail()}")
        self.soak.takeovers.append(time.monotonic() - began)

    def broken_bundle(self) -> None:
        right, old = self.link.resolve(), self.status().get("bundle")
        broken = self.work / "broken"
        shutil.rmtree(broken, ignore_errors=True)
        shutil.copytree(right, broken)
        kind = self.draw.choice(["cut", "no JSON", "missing", "no graph", "nothing"])
        graph = broken / "model.onnx"
        if kind == "cut":
            os.truncate(graph, graph.stat().st_size // 2)
        elif kind == "no JSON":
            (broken / "bundle.json").write_text("{")
        elif kind == "missing":
            graph.unlink()
        elif kind == "no graph":
            description = json.loads((broken / "bundle.json").read_text())
            for name in ("model.onnx", "model.int8.onnx"):
                (broken / name).write_bytes(b"\x08\x09" * 500)
                description["files"][name] = sha256(broken / name)
            (broken / "bundle.json").write_text(json.dumps(description))
        else:
            shutil.rmtree(broken)
        self.soak.faults[f"broken bundle: {kind}"] += 1
        frames = self.status().get("frames", 0)
        self.point(broken)
        time.sleep(4)
        status = self.status()
        if self.process.poll() is None and (status["bundle"] != old or status["frames"] <= frames):
            self.soak.odd.append(
                f"a broken bundle ({kind}): {status['frames'] - frames} frames in 4 s, bundle {status['bundle'][:8]}"
            )
        self.point(right)

    def full_disk(self) -> None:
        ballast = self.work / "spool" / "ballast"
        try:
            with ballast.open("wb", buffering=0) as file, suppress(OSError):
                for size in (1 << 16, 512):
                    with suppress(OSError):
                        while file.write(b"x" * size) == size:
                            pass
            time.sleep(self.draw.uniform(2, 8))
        finally:
            ballast.unlink()

    def server_away(self) -> None:
        if self.draw.random() < 0.5:
            self.proxy.to, port = free_port(), self.proxy.to
            time.sleep(self.draw.uniform(5, 15))
            self.proxy.to = port
        else:
            self.proxy.hang = True
            time.sleep(self.draw.uniform(5, 15))
            self.proxy.hang = False

    def broken_recording(self) -> None:
        """A frame that breaks while it is replayed, then a recording that is broken at the start."""
        image = sorted((self.work / "recordings" / "images").iterdir())[SHORT // 2]
        whole = image.read_bytes()
        image.write_bytes(whole[: len(whole) // 2])
        frames = self.status().get("frames", 0)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(150)
        if self.process.poll() is None:
            going = self.status().get("frames", 0) > frames
            self.soak.faults["broken recording: not reached, or passed over"] += 1
            if not going:
                self.soak.odd.append(f"a broken frame: it stands, {self.tail()}")
            self.process.kill()
            self.ended("kill -9", -signal.SIGKILL)
        elif image.name not in (last := self.ended("broken frame", 2)):
            self.soak.odd.append(f"a broken frame, and it said: {last}")
        image.write_bytes(whole)
        first = self.work / "playlist" / "0000-broken.npy"
        first.write_bytes((self.work / "recordings" / "bytes.npy").read_bytes()[:5000])
        self.start()
        time.sleep(1)
        if self.process.poll() is None:
            self.soak.faults["broken recording: passed over at the start"] += 1
            self.process.kill()
            self.ended("kill -9", -signal.SIGKILL)
        elif first.name not in (last := self.ended("broken recording at the start", 2)):
            self.soak.odd.append(f"a broken recording, and it said: {last}")
        first.unlink()
        self.start()

    def point(self, bundle: Path) -> None:
        """Let the link name another bundle, and say so."""
        new = self.link.with_name("new")
        new.symlink_to(bundle)
        new.replace(self.link)
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGHUP)

    def tail(self) -> str:
        return (self.work / "log").read_text()[-400:]


def record(work: Path, calm: bool, frames: int) -> list[tuple[str, int]]:
    """Recordings, and a folder in which each is many times; returns name and frames of all of its entries, in order."""
    kinds = {
        "long": ["--size", "160x128", "--frames", str(LONG), "--bits", "14"],
        "large": ["--size", "320x256", "--frames", str(SHORT), "--bits", "14"],
        "bytes": ["--size", "96x80", "--frames", str(SHORT), "--bits", "8"],
        "images": ["--size", "160x128", "--frames", str(SHORT), "--bits", "16"],
    }
    kinds = {"long": kinds["long"]} if calm else kinds
    recordings, playlist = work / "recordings", work / "playlist"
    playlist.mkdir()
    for seed, (name, words) in enumerate(kinds.items()):
        made = work / f"made-{name}"
        shown = [*SYNTH, str(made), "--sequences", "1", "--seed", str(seed), "--snr", "5", "--speed", "1", *words]
        subprocess.run(shown, check=True, stdout=subprocess.DEVNULL)
        stack = next(made.glob("*/frames.npy"))
        recordings.mkdir(exist_ok=True)
        if name == "images":
            (recordings / name).mkdir()
            for i, pixels in enumerate(np.load(stack)):
                cv2.imwrite(str(recordings / name / f"{i:04d}.png"), pixels)
        else:
            stack.rename(recordings / f"{name}.npy")
        shutil.rmtree(made)
    found = []
    for cycle in range(1, (frames or 100_000) // LONG + 2 if calm else CYCLES + 1):
        for name in kinds:
            source = recordings / (name if name == "images" else f"{name}.npy")
            entry = playlist / f"{cycle:04d}-{source.name}"
            entry.symlink_to(source)
            found.append((entry.name.removesuffix(".npy"), LONG if name == "long" else SHORT))
    return sorted(found)


def variant(path: Path, number: int) -> Path:
    """The starter bundle under another digest: its report threshold a little higher."""
    shutil.copytree(STARTER, path)
    description = json.loads((path / "bundle.json").read_text())
    description["model"]["thresholds"]["report"] += 0.01 * number
    (path / "bundle.json").write_text(json.dumps(description))
    return path


@contextmanager
def small_disk(path: Path) -> Iterator[None]:
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "irdim", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", path], check=True)


if __name__ == "__main__":
    main()
