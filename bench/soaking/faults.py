"""What is done to the daemon of a soak. Each fault ends with its cause gone and the daemon running, or says in `odd` what is not as it should be."""

import json
import os
import random
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from servers import Proxy, free_port

from irdim.files import sha256
from soaking.daemon import Daemon
from soaking.setup import SHORT

OFTEN = {
    "kill": 2,
    "bundle": 4,
    "broken bundle": 3,
    "full disk": 3,
    "server away": 4,
    "broken recording": 1,
}  # of each other


class Faults:
    """bundles: two that are sound, between which the link goes; proxy: between the daemon and its server."""

    def __init__(self, daemon: Daemon, bundles: list[Path], proxy: Proxy, draw: random.Random) -> None:
        self.daemon, self.bundles, self.proxy, self.draw = daemon, bundles, proxy, draw
        self.work, self.course, self.link = daemon.work, daemon.course, daemon.work / "bundle"

    def one(self) -> None:
        """One of them, drawn."""
        fault = self.draw.choices(list(OFTEN), list(OFTEN.values()))[0]
        getattr(self, fault.replace(" ", "_"))()
        self.course.faults[fault] += 1

    def kill(self) -> None:
        self.daemon.kill()
        self.daemon.start()

    def bundle(self) -> None:
        other = self.bundles[self.link.resolve() == self.bundles[0]]
        old, began = self.daemon.status().get("bundle"), time.monotonic()
        self.daemon.point(other)
        while (
            self.daemon.status().get("bundle") == old
            and time.monotonic() < began + 60
            and self.daemon.process.poll() is None
        ):
            time.sleep(0.05)
        if self.daemon.status().get("bundle") == old:
            self.course.odd.append(f"a bundle was not taken over in a minute: {self.daemon.tail()}")
        self.course.takeovers.append(time.monotonic() - began)

    def broken_bundle(self) -> None:
        right, old = self.link.resolve(), self.daemon.status().get("bundle")
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
        self.course.faults[f"broken bundle: {kind}"] += 1
        frames = self.daemon.status().get("frames", 0)
        self.daemon.point(broken)
        time.sleep(4)
        status = self.daemon.status()
        if self.daemon.process.poll() is None and (status["bundle"] != old or status["frames"] <= frames):
            self.course.odd.append(
                f"a broken bundle ({kind}): {status['frames'] - frames} frames in 4 s, bundle {status['bundle'][:8]}"
            )
        self.daemon.point(right)

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
        self.course.broken[len(self.course.runs) - 1] = ("images", SHORT // 2)
        frames = self.daemon.status().get("frames", 0)
        with suppress(subprocess.TimeoutExpired):
            self.daemon.process.wait(150)
        if self.daemon.process.poll() is None:
            going = self.daemon.status().get("frames", 0) > frames
            self.course.faults["broken recording: not reached, or passed over"] += 1
            if not going:
                self.course.odd.append(f"a broken frame: it stands, {self.daemon.tail()}")
            self.daemon.kill()
        elif image.name not in (last := self.daemon.ended("broken frame", 2)):
            self.course.odd.append(f"a broken frame, and it said: {last}")
        image.write_bytes(whole)
        first = self.work / "playlist" / "0000-broken.npy"
        first.write_bytes((self.work / "recordings" / "bytes.npy").read_bytes()[:5000])
        self.daemon.start()
        time.sleep(1)
        if self.daemon.process.poll() is None:
            self.course.faults["broken recording: passed over at the start"] += 1
            self.daemon.kill()
        elif first.name not in (last := self.daemon.ended("broken recording at the start", 2)):
            self.course.odd.append(f"a broken recording, and it said: {last}")
        first.unlink()
        self.daemon.start()
