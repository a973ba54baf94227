import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from logs import add, suspect

from irdim.errors import InputError
from irdim.fieldlog import pack_log, read_log
from irdim_edge.json_lines import JsonLines
from irdim_edge.spool import DAMAGED, DAY, EVICTED, OLDER, Bounds, Spool, recorded
from irdim_edge.spool_index import INDEX, Entry

SIZE = len(pack_log(suspect(0))[1])


def spool(folder: Path, files: int = 100, size: int = 1 << 30, **more) -> Spool:
    return Spool(folder, Bounds(size, files), **more)


def evictions(folder: Path) -> list[dict]:
    path = folder / EVICTED
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def evictions_in(path: Path) -> int:
    return sum('"name"' in line for line in path.read_text().splitlines())


def test_logs_wait_most_valuable_first_and_are_whole(tmp_path):
    box = spool(tmp_path)
    for seed, score in enumerate([0.2, 0.9, 0.5]):
        add(box, suspect(seed, score))
    assert [e.score for e in box.entries()] == [0.9, 0.5, 0.2]
    assert all(read_log(box.path(e)).score == e.score for e in box.entries())


def test_the_same_suspect_is_taken_once(tmp_path):
    box = spool(tmp_path)
    assert add(box, suspect(1)) == add(box, suspect(1))
    assert len(box.entries()) == 1


@pytest.mark.parametrize("bound", [{"files": 3}, {"size": 3 * SIZE + SIZE // 2}])
def test_the_least_valuable_are_evicted_and_recorded(tmp_path, bound):
    box = spool(tmp_path, **bound)
    paths = {score: add(box, suspect(int(score * 10), score)) for score in (0.5, 0.3, 0.8, 0.4, 0.9)}
    assert [e.score for e in box.entries()] == [0.9, 0.8, 0.5]
    assert [(line["name"], line["score"]) for line in evictions(tmp_path)] == [
        (paths[0.3].name, 0.3),
        (paths[0.4].name, 0.4),
    ]
    assert box.evicted == {"missed": 2}


def test_a_small_spool_remembers_its_evictions_too(tmp_path):
    box = spool(tmp_path, size=3 * SIZE + SIZE // 2)
    for seed in range(40):
        add(box, suspect(seed, seed / 100))
    assert [e["score"] for e in evictions(tmp_path)] == [seed / 100 for seed in range(37)]


def test_the_record_of_evictions_stays_small_beside_the_spool(tmp_path, monkeypatch):
    monkeypatch.setattr("irdim_edge.spool.LEAST_RECORD", 0)
    box = spool(tmp_path, size=3 * SIZE + SIZE // 2)
    for seed in range(40):
        add(box, suspect(seed, seed / 100))
    records = [p.stat().st_size for p in tmp_path.glob("evicted*.jsonl")]
    assert len(records) == 2
    assert sum(records) < 0.05 * box.bounds.bytes + 500  # a line each
    kept = [json.loads(line) for p in tmp_path.glob("evicted*.jsonl") for line in p.read_text().splitlines()]
    named = [line["name"] for line in kept if "name" in line]
    assert len(named) < sum(box.evicted.values())
    assert recorded(tmp_path / EVICTED) == sum(box.evicted.values())  # those that are forgotten are counted
    assert recorded(tmp_path / EVICTED) == recorded(tmp_path / OLDER) + evictions_in(tmp_path / EVICTED)
    assert evictions(tmp_path)[-1]["score"] == 0.36


def test_of_equals_the_oldest_goes(tmp_path):
    box = spool(tmp_path, files=2)
    first, *_ = (add(box, suspect(seed)) for seed in (1, 2, 3))
    assert [line["name"] for line in evictions(tmp_path)] == [first.name]


def test_a_suspect_that_is_the_least_valuable_itself_is_not_taken(tmp_path):
    box = spool(tmp_path, files=1)
    add(box, suspect(1, 0.9))
    assert add(box, suspect(2, 0.1)) is None
    assert [e.score for e in box.entries()] == [0.9]
    assert [(line["score"], line["why"]) for line in evictions(tmp_path)] == [(0.1, "not taken")]
    assert not box.evicted  # it was never in


def test_a_suspect_larger_than_the_spool_evicts_nothing(tmp_path):
    box = spool(tmp_path, size=SIZE + 100)
    add(box, suspect(1, 0.1))
    assert add(box, suspect(2, 0.9, side=64)) is None
    assert len(box.entries()) == 1


def test_opening_removes_temporary_files_and_sets_damaged_ones_aside(tmp_path):
    box = spool(tmp_path)
    kept, broken = add(box, suspect(1)), add(box, suspect(2))
    broken.write_bytes(broken.read_bytes()[:-50])
    (tmp_path / ".x.irlog.abc.tmp").write_bytes(b"half")
    box.close()
    again = spool(tmp_path)
    assert (again.recovered.waiting, again.recovered.removed, again.recovered.damaged) == (1, 1, 1)
    assert [e.name for e in again.entries()] == [kept.name]
    assert (tmp_path / "damaged" / broken.name).exists()


def test_damaged_files_are_bounded_and_their_end_is_recorded(tmp_path):
    box = spool(tmp_path, size=200_000)
    for seed in range(8):
        path = add(box, suspect(seed))
        path.write_bytes(b"?" * 4000)
        box.set_aside(path.name)
    left = list((tmp_path / DAMAGED).iterdir())
    assert 0 < sum(p.stat().st_size for p in left) <= 10_000
    assert len([line for line in evictions(tmp_path) if line["why"] == "damaged"]) == 8 - len(left)


def test_the_old_go_unless_the_clock_was_not_set(tmp_path):
    now = datetime(2026, 6, 1, tzinfo=timezone.utc).timestamp()
    box = Spool(tmp_path, Bounds(1 << 30, 100, days=30), clock=lambda: now)
    old = add(box, suspect(1))
    unset = add(box, replace(suspect(2), at=datetime(1970, 1, 3, tzinfo=timezone.utc)))
    new = add(box, replace(suspect(3), at=datetime(2026, 5, 20, tzinfo=timezone.utc)))
    assert {e.name for e in box.entries()} == {unset.name, new.name}
    assert [(line["name"], line["why"]) for line in evictions(tmp_path)] == [(old.name, "age")]


def test_age_counts_when_nothing_is_added_too(tmp_path):
    now = datetime(2026, 3, 5, tzinfo=timezone.utc).timestamp()
    box = Spool(tmp_path, Bounds(1 << 30, 100, days=30), clock=lambda: now)
    add(box, suspect(1))
    box.expire()
    assert len(box.entries()) == 1
    now += 31 * DAY
    box.expire()
    assert box.entries() == []
    assert [line["why"] for line in evictions(tmp_path)] == ["age"]


def test_old_logs_are_told_from_the_others_in_one_pass(tmp_path, monkeypatch):
    """Under the spool's lock, for which frames' suspects wait: 5,000 of them took seconds."""
    now = datetime(2026, 6, 1, tzinfo=timezone.utc).timestamp()
    box = Spool(tmp_path, Bounds(1 << 30, 1000), clock=lambda: now)
    for n in range(60):
        box.accept(f"20260{1 if n % 2 else 5}31T0000000{n:02}Z-missed-{n:016x}.irlog", b"x", "missed", 0.5)
    compared = []
    monkeypatch.setattr(Entry, "__eq__", lambda one, other: bool(compared.append(1)))
    box.bounds = Bounds(1 << 30, 1000, days=30)
    box.expire()
    assert (len(box.entries()), box.evicted["missed"]) == (30, 30)
    assert len(compared) <= 60


def test_the_index_forgets_what_left_long_ago(tmp_path):
    """In a run of months, as it does when it is opened."""
    now = datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp() + 60
    box = Spool(tmp_path, Bounds(1 << 30, 1000), clock=lambda: now)
    for day in range(5):
        for n in range(20):
            at = datetime.fromtimestamp(now, timezone.utc)
            (box.folder / add(box, replace(suspect(100 * day + n), at=at)).name).unlink()  # uploaded
        now += DAY + 1
        box.expire()
    assert box.taken_since(0) == []
    assert (tmp_path / "index.jsonl").read_text() == ""
    add(box, replace(suspect(999), at=datetime.fromtimestamp(now, timezone.utc)))
    now += 3601
    box.expire()
    assert len(box.taken_since(0)) == 1


def test_samples_and_tallies_outlive_suspects(tmp_path):
    box = spool(tmp_path, files=2)
    for kind, score in (("sample", 0.0), ("missed", 0.2), ("tally", 0.0), ("missed", 0.9)):
        box.accept(f"20260101T000000000Z-{kind}-{score:.13f}a.irlog", b"x", kind, score)
    assert [e.kind for e in box.entries()] == ["tally", "sample"]
    assert [line["why"] for line in evictions(tmp_path)] == ["room", "not taken"]


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-30], lambda d: b"", lambda d: b"\0" * len(d), lambda d: b"[1]\n{}\n" + d]
)
def test_a_broken_index_is_learnt_again_from_the_files(tmp_path, damage):
    box = spool(tmp_path)
    for seed in range(3):
        add(box, suspect(seed, seed / 10))
    waiting = box.entries()
    box.close()
    (tmp_path / INDEX).write_bytes(damage((tmp_path / INDEX).read_bytes()))
    found = spool(tmp_path).entries()
    assert [(e.name, e.kind, e.score, e.bytes) for e in found] == [(e.name, e.kind, e.score, e.bytes) for e in waiting]


def test_opening_a_large_spool_reads_the_index_not_the_files(tmp_path):
    box = spool(tmp_path)
    path = add(box, suspect(1))
    box.close()
    path.chmod(0)
    path.write_bytes(b"?" * path.stat().st_size)  # would be set aside if it were read
    assert len(spool(tmp_path).entries()) == 1


def test_what_was_taken_lately_is_known_after_it_went(tmp_path):
    box = spool(tmp_path)
    path = add(box, suspect(1))
    box.remove(box.entries()[0])
    box.close()
    again = spool(tmp_path)
    assert [(e.name, e.kind) for e in again.taken_since(time.time() - DAY)] == [(path.name, "missed")]
    assert again.entries() == []


def test_one_process_adds_at_a_time(tmp_path):
    box = spool(tmp_path)
    with pytest.raises(InputError, match="another irdim-edge run adds"):
        spool(tmp_path)
    box.close()
    spool(tmp_path)


def test_a_torn_record_of_evictions_is_cut(tmp_path):
    (tmp_path / EVICTED).write_text('{"v":1,"name":"a"}\n{"v":1,"na')
    box = spool(tmp_path, files=1)
    add(box, suspect(1, 0.9))
    add(box, suspect(2, 0.1))
    assert [line.get("score") for line in evictions(tmp_path)] == [None, 0.1]


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (b"", b""),
        (b'{"a":1}\n', b'{"a":1}\n'),
        (b'{"a":1}\n{"a"', b'{"a":1}\n'),
        (b'{"a":1}\n{"a":2}', b'{"a":1}\n'),
        (b'{"a":1}\n\0\0\0\0\n', b'{"a":1}\n'),
        (b'{"a', b""),
        (b'{"a":1}\n' + b"x" * 200_000, b'{"a":1}\n'),
    ],
)
def test_json_lines_go_on_after_the_last_whole_line(tmp_path, content, kept):
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    lines = JsonLines(path)
    lines.write({"b": 2})
    lines.close()
    assert path.read_bytes() == kept + b'{"b":2}\n'
    assert lines.cut == len(content) - len(kept)


_FILL = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from logs import add, suspect
from irdim_edge.spool import Bounds, Spool
box = Spool(Path(sys.argv[1]), Bounds(1 << 30, 12))
print("ready", flush=True)
seed = int(sys.argv[3])
while True:
    seed += 1
    path = add(box, suspect(seed, (seed * 37 % 100) / 100, side=96))
    if path:
        print(path.name, flush=True)
"""


def test_kills_leave_whole_logs_and_a_record_of_all_that_is_gone(tmp_path):
    draw, accepted = random.Random(0), set()
    for round_ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", _FILL, str(tmp_path), str(Path(__file__).parent), str(1000 * round_)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "ready\n"
        accepted |= {process.stdout.readline().strip() for _ in range(draw.randrange(1, 9))}
        time.sleep(draw.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        lines = process.communicate()[0].split("\n")
        accepted |= {line for line in lines[:-1] if line}
    box = spool(tmp_path, files=12)
    waiting = {e.name for e in box.entries()}
    gone = {line["name"] for line in evictions(tmp_path)}
    assert len(waiting) <= 12
    assert box.recovered.damaged == 0
    assert not list(tmp_path.glob(".*.tmp"))
    assert accepted <= waiting | gone
    assert len(accepted) > 20
    for entry in box.entries():
        read_log(box.path(entry))
