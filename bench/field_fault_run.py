"""Field logs through spool, upload and ingest while everything fails: is any lost, doubled, or wrongly let in?

    python bench/field_fault_run.py [--events 1000] [--seed 0] [--work DIR]

A process makes suspects and puts them into a spool, another uploads them by SFTP to a real OpenSSH server, a third ingests them into a data set.
Meanwhile: each of them is killed (-9) at random moments; every connection of the uploader is cut after a random number of bytes, so that about a third
of the transfers fail, and so is a third of those of the ingest; the disks of spool, server and data set (tmpfs; needs root) are filled to the last
byte in turns; and somebody puts logs at the destination that must not get in: unsigned, signed by a stranger, truncated, with a changed digit or pixel,
replayed under other names, a zip bomb. In the end all stands still, the spool is emptied, the rest ingested, and all is counted.

A log counts as accepted from when `Spool.accept` has returned; as evicted where evicted.jsonl says so.
"""

import argparse
import hashlib
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stdout, suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "edge"))

from logs import suspect  # noqa: E402
from servers import Proxy, Sshd  # noqa: E402

from irdim.dataset import Dataset  # noqa: E402
from irdim.errors import InputError  # noqa: E402
from irdim.fieldlog import Suspect, digest_in, pack_log  # noqa: E402
from irdim.signing import Signer, generate_key  # noqa: E402
from irdim_edge.spool import EVICTED, Bounds, Spool  # noqa: E402
from irdim_edge.upload import Destination, Uploader  # noqa: E402
from irdim_train.cli import app  # noqa: E402

FILES = 150  # that the spool holds; what comes beyond is evicted


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--events", type=int, default=1000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--work", type=Path)
    options.add_argument("--side", choices=["make", "upload", "ingest"], help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.side:
        stand_by({"make": make, "upload": upload, "ingest": ingest}[given.side], given.work)
    else:
        with tempfile.TemporaryDirectory() as folder, disks(given.work or Path(folder)) as work:
            print(Run(work, given.events, given.seed).go())


def stand_by(side: Callable[[Path, str], None], work: Path) -> None:
    """For each line of stdin, do what it says in a child that may be killed; all is imported already, so that a kill meets work, not a start."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            say(child=os.getpid())
            with suppress(InputError):
                side(work, line.strip())
            os._exit(0)
        os.waitpid(child, 0)
        say(gone=child)


def say(**words: object) -> None:
    """One line, in one write: a kill leaves none of it or all."""
    os.write(1, json.dumps(words).encode() + b"\n")


def event(number: int) -> Suspect:
    """One of many, all different: time, place, pixels, value."""
    kind = ("missed", "false_alarm", "low_confidence")[number % 3]
    at = datetime(2026, 3, 4, tzinfo=timezone.utc) + timedelta(seconds=number)
    return replace(suspect(number, number * 37 % 100 / 100, kind), at=at)


def make(work: Path, first: str) -> None:
    """Accept one event after the other, and say so; until killed."""
    spool, signer, number = Spool(work / "edge/spool", Bounds(1 << 30, FILES)), Signer.load(work / "key"), int(first)
    while True:
        found = event(number)
        name, data = pack_log(found, signer)
        try:
            path = spool.accept(name, data, found.verdict["kind"], found.verdict["score"])
            say(number=number, accepted=path.name if path else None)
        except OSError as error:
            say(number=number, refused=error.strerror)
            time.sleep(0.05)
        number += 1
        while len(spool.entries()) > FILES * 0.8 and number % 200 >= 60:
            time.sleep(0.05)  # mostly what the way can take, now and then too much


def upload(work: Path, url: str) -> None:
    """Empty the spool for ever; until killed."""
    spool = Spool(work / "edge/spool", Bounds(1 << 30, FILES), adds=False)
    uploader = Uploader(spool, destination(work, url))
    while True:
        uploader.run_once(lambda entry: say(uploaded=uploader.state.uploaded, failures=uploader.state.failures))
        say(uploaded=uploader.state.uploaded, failures=uploader.state.failures)
        time.sleep(0.05)


def ingest(work: Path, url: str) -> None:
    """One run of irdim-train ingest."""
    keys = ["--known-hosts", str(work / "known_hosts"), "--identity", str(work / "user"), "--json"]
    app(["ingest", url, "--data", str(work / "data/set"), *keys], standalone_mode=False)


def destination(work: Path, url: str) -> Destination:
    return Destination(url, known_hosts=work / "known_hosts", identity=work / "user", timeout=5.0)


class Run:
    """The three sides, their servers, their faults, and the count."""

    def __init__(self, work: Path, events: int, seed: int) -> None:
        self.work, self.events, self.draw = work, events, random.Random(seed)
        self.accepted: dict[str, int] = {}
        self.tried = self.refused = self.not_taken = self.transfers = self.failed = 0
        self.kills = {"make": 0, "upload": 0, "ingest": 0}
        self.filled = {"edge": 0, "depot": 0, "data": 0}
        self.attacks: dict[str, str] = {}
        self.stopping, self.gone = threading.Event(), set()

    def go(self) -> str:
        """The table."""
        began = time.monotonic()
        keys = self.work / "keys"
        keys.mkdir()
        server = Sshd(keys)
        ways = {
            "upload": Proxy(server.port, fail=1.0, reach=100_000),
            "ingest": Proxy(server.port, fail=1 / 3, reach=300_000),
        }
        known = "".join(server.known(port=p.port).read_text() for p in ways.values()) + server.known().read_text()
        (self.work / "known_hosts").write_text(known)
        shutil.copy(keys / "user", self.work / "user")
        (self.work / "user").chmod(0o600)
        self.urls = {side: server.url(self.work / "depot/logs", p.port) for side, p in ways.items()}
        self.public = generate_key(self.work / "key")
        (self.work / "depot/logs").mkdir(parents=True, exist_ok=True)
        Dataset.create(self.work / "data/set").close()
        self.train("devices", "add", "mast-3", self.public, "--data", str(self.work / "data/set"))
        sides = [
            threading.Thread(target=t)
            for t in (self.making, self.uploading, self.ingesting, self.filling, self.attacking)
        ]
        for side in sides:
            side.start()
        while len(self.accepted) - len(self.evicted()) < self.events and all(s.is_alive() for s in sides):
            time.sleep(1)
            print(
                f"\r{len(self.accepted)} accepted, {self.transfers} transfers, kills {self.kills} ",
                end="",
                file=sys.stderr,
            )
        self.stopping.set()
        for side in sides:
            side.join()
        spool = Spool(self.work / "edge/spool", Bounds(1 << 30, FILES))
        assert Uploader(spool, destination(self.work, server.url(self.work / "depot/logs"))).run_until_empty()
        assert not spool.entries()
        for _ in range(2):  # the second finds nothing new
            with redirect_stdout(io.StringIO()):
                ingest(self.work, server.url(self.work / "depot/logs"))
        server.stop()
        return self.table(time.monotonic() - began, ways)

    def making(self) -> None:
        number = 0
        side = self.start("make")
        while not self.stopping.is_set():
            for said in self.watch(side, str(number), self.draw.uniform(0.2, 3)):
                number, self.tried = said["number"] + 1, self.tried + 1
                self.refused += "refused" in said
                self.not_taken += "accepted" in said and said["accepted"] is None
                if said.get("accepted"):
                    self.accepted[said["accepted"]] = said["number"]
            number += 1  # the one that was being written may be there or not; it is not made again
        side.kill()

    def uploading(self) -> None:
        side = self.start("upload")
        while not self.stopping.is_set():
            state = {"uploaded": 0, "failures": 0}
            for said in self.watch(side, self.urls["upload"], self.draw.uniform(0.5, 6)):
                state = said
            self.transfers += state["uploaded"] + state["failures"]
            self.failed += state["failures"]
        side.kill()

    def ingesting(self) -> None:
        side = self.start("ingest")
        while not self.stopping.is_set():
            for _ in self.watch(side, self.urls["ingest"], self.draw.uniform(0.3, 8)):
                pass
        side.kill()

    def watch(self, side: subprocess.Popen, words: str, seconds: float) -> Iterator[dict]:
        """Let a side work, and kill it after so many seconds, or once all is to stop; what it says until then."""
        assert side.stdin
        assert side.stdout
        side.stdin.write(f"{words}\n")
        side.stdin.flush()
        killer = None
        for line in side.stdout:
            said = json.loads(line) if line.startswith("{") else {}
            if "child" in said:
                killer = threading.Thread(target=self.kill, args=(side.args[-1], said["child"], seconds), daemon=True)
                killer.start()
            elif "gone" in said:
                self.gone.add(said["gone"])
                return
            elif said:
                yield said

    def kill(self, side: str, child: int, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.stopping.is_set() and child not in self.gone:
            time.sleep(0.01)
        if child not in self.gone:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
                self.kills[side] += 1

    def filling(self) -> None:
        """Fill one disk after the other to the last byte for a moment."""
        while not self.stopping.wait(self.draw.uniform(2, 6)):
            side = self.draw.choice(list(self.filled))
            ballast = self.work / side / "ballast"
            try:
                with ballast.open("wb", buffering=0) as file:
                    for size in (1 << 16, 512):
                        try:
                            while file.write(b"x" * size) == size:
                                pass
                        except OSError:
                            self.filled[side] += size == 512
                self.stopping.wait(self.draw.uniform(0.5, 2))
            finally:
                ballast.unlink(missing_ok=True)

    def attacking(self) -> None:
        """What must not get in, put where the logs arrive; each under the digest that belongs to its bytes, as an attacker would."""
        stranger_key = self.work / "stranger"
        generate_key(stranger_key)
        stranger, device, number = Signer.load(stranger_key), Signer.load(self.work / "key"), 10_000_000
        kinds = ["unsigned", "stranger", "truncated", "changed", "bomb", "replayed"]
        while not self.stopping.wait(0.3):
            number += 1
            kind = kinds[number % len(kinds)]
            found = event(number)
            if kind in ("unsigned", "stranger"):
                name, data = pack_log(found, stranger if kind == "stranger" else None)
            elif kind == "truncated":
                name, data = pack_log(found, device)
                data = data[: len(data) // 2]
            elif kind == "changed":
                name, data = pack_log(found, device)
                data = changed(self.work / "changed", data, ("log.json", "frames.npy")[number // 6 % 2])
            elif kind == "bomb":
                name, data = bomb(self.work / "bomb", *pack_log(found, device))
            else:
                there = [p for p in (self.work / "depot/logs").glob("*.irlog") if p.name in self.accepted]
                if not there:
                    continue
                replayed = self.draw.choice(there)
                name, data = f"20200101T000000000Z-{replayed.name.split('-', 1)[1]}", replayed.read_bytes()
            if kind in ("changed", "truncated", "bomb"):
                name = f"{name[:-22]}{hashlib.sha256(data).hexdigest()[:16]}.irlog"
            path = self.work / "depot/logs" / name
            try:
                path.with_name("." + name).write_bytes(data)
                path.with_name("." + name).replace(path)
                self.attacks[name] = kind
            except OSError:  # its disk is full, too
                path.with_name("." + name).unlink(missing_ok=True)

    def start(self, side: str) -> subprocess.Popen:
        words = [sys.executable, __file__, "--work", str(self.work), "--side", side]
        return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def train(self, *words: str) -> None:
        with redirect_stdout(io.StringIO()):
            app(list(words), standalone_mode=False)

    def evicted(self) -> set[str]:
        found = set()
        for path in (self.work / "edge/spool").glob(f"{EVICTED.split('.')[0]}*.jsonl"):
            lines = map(json.loads, path.read_bytes().split(b"\n")[:-1])
            found |= {line["name"] for line in lines if "name" in line}
        return found

    def table(self, seconds: float, ways: dict[str, Proxy]) -> str:
        evicted = self.evicted()
        with closing(sqlite3.connect(next((self.work / "data/set").glob("*.sqlite*")))) as data:
            logs = [name for (name,) in data.execute("SELECT name FROM logs")]
            sequences = data.execute("SELECT count(*) FROM sequences").fetchone()[0]
            items = data.execute("SELECT count(*) FROM queue").fetchone()[0]
        ingested = {digest_in(name) for name in logs}
        due = {digest_in(name) for name in self.accepted if name not in evicted}
        wrong = [n for n, kind in self.attacks.items() if kind != "replayed" and n in set(logs)]
        rows = [
            ("events made / refused by a full disk / not taken", f"{self.tried} / {self.refused} / {self.not_taken}"),
            (
                "accepted into the spool / evicted by policy",
                f"{len(self.accepted)} / {len(evicted & set(self.accepted))}",
            ),
            ("ingested", f"{len(ingested)} (sequences {sequences}, questions {items})"),
            ("kills -9 of maker / uploader / ingest", " / ".join(str(n) for n in self.kills.values())),
            (
                "transfers / of these failed",
                f"{self.transfers} / {self.failed} ({self.failed / max(self.transfers, 1):.0%})",
            ),
            ("connections cut: upload, ingest", ", ".join(f"{p.cut} of {p.connections}" for p in ways.values())),
            (
                "times that the disk of spool / server / data set was full",
                " / ".join(str(n) for n in self.filled.values()),
            ),
            ("logs put there that must not get in", str(len(self.attacks))),
            ("**lost** (accepted, not evicted, never ingested)", str(len(due - ingested))),
            (
                "**doubled** (logs, sequences or questions beyond one each)",
                str(len(logs) - len(ingested) + max(sequences, items) - len(ingested)),
            ),
            ("**accepted that should not be**", ", ".join([str(len(wrong)), *(self.attacks[n] for n in wrong)])),
        ]
        return "\n".join(
            ["", "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows), f"\n{seconds:.0f} s"]
        )


def changed(path: Path, data: bytes, member: str) -> bytes:
    """The log with one digit or pixel of a member changed, in a zip without a fault."""
    path.write_bytes(data)
    with zipfile.ZipFile(path) as old:
        members = {n: old.read(n) for n in old.namelist()}
    content = bytearray(members[member])
    at = content.index(b'"score": ') + 11 if member == "log.json" else len(content) - 1
    content[at] ^= 1
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, whole in members.items():
            new.writestr(name, bytes(content) if name == member else whole)
    return path.read_bytes()


def bomb(path: Path, name: str, data: bytes) -> tuple[str, bytes]:
    """The log with frames that would inflate to a gigabyte."""
    path.write_bytes(data)
    with zipfile.ZipFile(path) as old:
        members = {n: old.read(n) for n in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for member, content in members.items():
            if member != "frames.npy":
                new.writestr(member, content)
                continue
            with new.open(member, "w") as file:
                for _ in range(1024):
                    file.write(bytes(1 << 20))
    return name, path.read_bytes()


@contextmanager
def disks(work: Path) -> Iterator[Path]:
    """Small disks for the spool, the server and the data set where this may mount them."""
    sizes, mounted = {"edge": "2m", "depot": "32m", "data": "64m"}, []
    try:
        for side, size in sizes.items():
            (work / side).mkdir(parents=True, exist_ok=True)
            if os.getuid() == 0:
                subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "irdim", work / side], check=True)
                mounted.append(work / side)
        yield work
    finally:
        for path in mounted:
            subprocess.run(["umount", "-l", path], check=True)


if __name__ == "__main__":
    main()
