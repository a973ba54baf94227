"""Power cuts: from every state that a file system may leave, the spool recovers, nothing accepted is lost and nothing broken is sent."""

import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_states import Disk, build

from irdim.errors import InputError
from irdim.fieldlog import SUFFIX, read_log
from irdim_edge.spool import EVICTED, Bounds, Spool
from irdim_edge.upload import Destination, Uploader


@pytest.fixture(scope="module")
def events(tmp_path_factory) -> list[list]:
    """A recorded run."""
    root = tmp_path_factory.mktemp("recorded") / "root"
    root.mkdir()
    script = Path(__file__).with_name("crash_states.py")
    done = subprocess.run([sys.executable, str(script), str(root)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def fast():
    """A folder in memory where there is one: thousands of states are built in it."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        yield Path(folder)


def try_all(events: list[list], folder: Path) -> Iterator[list[str]]:
    """For each state that a power cut may leave, after each event: what went wrong in it."""
    disk, draw, seen = Disk(), random.Random(0), set()
    for number, event in enumerate(events):
        disk.apply(event)
        accepted = disk.marks.get("accepted", set())
        for state in disk.states(draw):
            key = (frozenset(state.items()), len(accepted))
            if key not in seen:
                seen.add(key)
                build(state, folder / "root")
                yield [f"after {number} {event[:2]}: {what}" for what in _recover(folder / "root", accepted)]
                shutil.rmtree(folder / "root")


def _recover(root: Path, accepted: set[str]) -> list[str]:
    """Open the spool, then empty it; what is wrong with it."""
    depot = root / "depot/logs"
    spool = Spool(root / "out/spool", Bounds(1 << 20, 4))
    waiting = {e.name: spool.path(e) for e in spool.entries()}
    evicted = {json.loads(line)["name"] for line in _whole_lines(root / "out/spool" / EVICTED)}
    wrong = [f"temporary {p.name}" for p in (root / "out/spool").glob(".*.tmp")]
    wrong += _broken([*waiting.values(), *_logs(depot)])
    wrong += [f"lost: {name}" for name in accepted - set(waiting) - {p.name for p in _logs(depot)} - evicted]
    uploader = Uploader(spool, Destination(depot.as_uri()))
    uploader.run_once()
    spool.close()
    wrong += [uploader.state.last_error] if uploader.state.last_error else []
    wrong += _broken(_logs(depot))
    return wrong + [f"never arrived: {name}" for name in accepted - {p.name for p in _logs(depot)} - evicted]


def _logs(folder: Path) -> list[Path]:
    return [p for p in folder.glob(f"*{SUFFIX}") if not p.name.startswith(".")]


def _broken(paths: list[Path]) -> list[str]:
    wrong = []
    for path in paths:
        try:
            read_log(path)
        except InputError as error:
            wrong.append(str(error))
    return wrong


def _whole_lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    return [line.decode() for line in lines[:-1] if line.startswith(b"{") and line.endswith(b"}")]


def test_no_power_cut_loses_or_breaks_a_log(events, fast):
    kinds = {event[0] for event in events}
    assert kinds >= {"create", "write", "sync", "rename", "unlink", "mkdir", "accepted"}
    tried, wrong = 0, []
    for found in try_all(events, fast):
        tried += 1
        wrong += found
    assert not wrong, f"{len(wrong)} in {tried} states:\n" + "\n".join(wrong[:10])
    assert tried > 300


@pytest.mark.parametrize("left_out", ["files", "folders"])
def test_without_its_syncs_it_would(events, fast, left_out):
    """The rebuilt states are severe enough to tell."""
    keeps = [e for e in events if e[0] != "sync" or (e[2] is None) == (left_out == "files")]
    assert any(try_all(keeps, fast))
