"""The process of a soak: started, watched, its ends noted."""

import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from soaking.course import Course, Sample

EDGE = [sys.executable, "-m", "irdim_edge"]
LONGEST_STOP = 5.0  # seconds; a second where the machine is free


class Daemon:
    """The process, started again and again over one output folder. work: also holds edge.toml and the link `bundle`."""

    def __init__(self, work: Path, course: Course) -> None:
        self.work, self.out, self.course = work, work / "out", course
        self.process: subprocess.Popen | None = None
        self._log: IO[str]
        self._before: set[int] = set()
        self._stopping = threading.Event()
        self._watching = threading.Thread(target=self._watch)

    def start(self) -> None:
        """Start it, and wait for its first line of output, or its end."""
        before, began = self._parts(), time.monotonic()
        self.course.runs.append([])
        self._log = (self.work / "log").open("w+")
        self.process = subprocess.Popen(
            [*EDGE, "run", str(self.work / "edge.toml"), "--json"], stdout=subprocess.DEVNULL, stderr=self._log
        )
        self._before = before
        if not self._watching.is_alive():
            self._watching.start()
        while self.process.poll() is None and not self._first_line():
            time.sleep(0.02)
        if self._first_line():
            self.course.back.append(time.monotonic() - began)

    def ended(self, why: str, *expected: int) -> str:
        """Note a run's end; returns what it said last."""
        code = self.process.wait()
        self.course.runs[-1] = sorted(self._parts() - self._before)
        status = self.status()
        self.course.said.append(status.get("frames", 0) if status.get("pid") == self.process.pid else 0)
        self._log.seek(0)
        said = self._log.read()
        self._log.close()
        last = said.strip().splitlines()[-1] if said.strip() else ""
        self.course.faults[f"exit {code} ({why})"] += 1
        if code not in (expected or (0,)) or "Traceback" in said:
            what = said[said.index("Traceback") :][:1500] if "Traceback" in said else last
            self.course.odd.append(f"{why}: exit {code}: {what}")
        return last

    def stop(self) -> None:
        """As systemd would: SIGTERM."""
        began = time.monotonic()
        self.process.terminate()
        self.process.wait(60)
        if (took := time.monotonic() - began) > LONGEST_STOP:
            self.course.odd.append(f"SIGTERM took {took:.1f} s")
        self.ended("SIGTERM")

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.ended("kill -9", -signal.SIGKILL)

    def upload_rest(self) -> None:
        """What still waits goes to the server."""
        done = subprocess.run([*EDGE, "upload", str(self.work / "edge.toml")], capture_output=True, text=True)
        if done.returncode:
            self.course.odd.append(f"the last upload: {done.stderr.strip()}")

    def close(self) -> None:
        """Leave no process and no thread."""
        self._stopping.set()
        if self._watching.is_alive():
            self._watching.join()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def status(self) -> dict:
        """What status.json says; empty where there is none yet."""
        try:
            return json.loads((self.out / "status.json").read_text())
        except (OSError, ValueError):
            return {}

    def point(self, bundle: Path) -> None:
        """Let the link name another bundle, and say so."""
        new = self.work / "new"
        new.symlink_to(bundle)
        new.replace(self.work / "bundle")
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGHUP)

    def tail(self) -> str:
        """What it said last."""
        return (self.work / "log").read_text()[-400:]

    def _first_line(self) -> bool:
        new = self._parts() - self._before
        return any((self.out / f"detections-{n:04d}.jsonl").stat().st_size for n in new)

    def _parts(self) -> set[int]:
        return {int(p.stem.split("-")[1]) for p in self.out.glob("detections-*.jsonl")}

    def _watch(self) -> None:
        """Once a second, a look at the process."""
        began = time.monotonic()
        for second in itertools.count(1):
            process, status = self.process, self.status()
            with suppress(OSError, KeyError, ValueError):
                said = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
                handles = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
                frames = status.get("frames", 0) if status.get("pid") == process.pid else 0
                mib = {key: int(said[key].split()[0]) / 1024 for key in ("RssAnon", "VmRSS")}
                run, threads = len(self.course.runs), int(said["Threads"])
                at = round(time.monotonic() - began, 2)
                self.course.samples.append(Sample(at, run, frames, mib["RssAnon"], mib["VmRSS"], handles, threads))
            if second % 10 == 0 and sys.stderr.isatty() and self.course.samples:
                print(f"\r{self.course.samples[-1]} {dict(self.course.faults)} ", end="", file=sys.stderr)
            if self._stopping.wait(max(0.0, began + second - time.monotonic())):
                return
