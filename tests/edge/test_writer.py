import threading
import time
from pathlib import Path

from logs import suspect

from irdim.fieldlog import Tally, read_log, read_tally
from irdim.signing import Signer, generate_key
from irdim_edge import writer as module
from irdim_edge.policy import Allowance, Budget
from irdim_edge.spool import Bounds, Spool
from irdim_edge.writer import Writer


def make(folder: Path, files: int = 100, **more) -> tuple[Writer, list[dict], list[Exception]]:
    lines, errors = [], []
    budget = Budget({"missed": Allowance(1000, 1e9)})
    return Writer(Spool(folder, Bounds(1 << 30, files)), budget, lines.append, errors.append, **more), lines, errors


def line(n: int) -> dict:
    return {"v": 1, "kind": "missed", "frame": n}


def test_lines_come_in_order_with_the_names_of_logs_that_are_there(tmp_path):
    writer, lines, _ = make(tmp_path)
    for n in range(6):
        writer.submit(line(n), suspect(n) if n % 2 else None)
    writer.close()
    assert [found["frame"] for found in lines] == list(range(6))
    assert [found["log"] is not None for found in lines] == [False, True] * 3
    for found in lines[1::2]:
        read_log(tmp_path / found["log"])
    assert writer.logged == {"missed": 3}


def test_a_full_hand_over_drops_and_counts_and_does_not_wait(tmp_path):
    writer, lines, _ = make(tmp_path)
    held = threading.Event()
    writer.then(held.wait)
    began = time.monotonic()
    taken = [writer.submit(line(n), suspect(n)) for n in range(module.MOST_WAITING + 5)]
    assert time.monotonic() - began < 1
    assert taken == [True] * module.MOST_WAITING + [False] * 5
    held.set()
    writer.close()
    assert (writer.logged, writer.dropped) == ({"missed": module.MOST_WAITING}, {"missed": 5})
    assert [found.get("why") for found in lines] == [None] * module.MOST_WAITING + ["dropped"] * 5


def test_lines_that_a_hung_disk_does_not_take_are_bounded_and_counted(tmp_path, monkeypatch):
    """Verdicts without a suspect too, and those whose suspect is dropped: a hung disk must not cost the memory."""
    monkeypatch.setattr(module, "MOST_LINES", 10)
    writer, lines, _ = make(tmp_path)
    held = threading.Event()
    writer.then(held.wait)
    for n in range(6):
        writer.line(lambda n=n: lines.append({"frame": n}))
        writer.submit(line(n), None)
    for n in range(6, module.MOST_WAITING + 8):
        writer.submit(line(n), suspect(n))
    assert writer.unwritten == 2 + 2
    assert writer.dropped == {"missed": 2}
    held.set()
    writer.close()
    assert [found["frame"] for found in lines] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, *range(6, module.MOST_WAITING + 6)]
    assert writer.unwritten == 4


def test_a_recording_waits_for_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_LINES", 3)
    writer, lines, _ = make(tmp_path, waits=True)
    writer.then(lambda: time.sleep(0.3))
    for n in range(8):
        writer.submit(line(n), None)
        writer.line(lambda: lines.append({"frame": -1}))
    writer.close()
    assert (len(lines), writer.unwritten) == (16, 0)


def test_what_the_spool_cannot_take_costs_the_suspect_alone(tmp_path):
    writer, lines, errors = make(tmp_path / "spool", files=1)
    writer.submit(line(0), suspect(0, 0.9))
    writer.submit(line(1), suspect(1, 0.1))
    writer.then(lambda: (tmp_path / "spool").rename(tmp_path / "gone"))
    writer.then(lambda: (tmp_path / "spool").write_text("a file where the folder was"))
    writer.submit(line(2), suspect(2, 0.95))
    writer.close()
    assert [found.get("why") for found in lines] == [None, "no_room", "failed"]
    assert len(errors) == 1
    assert writer.dropped == {"missed": 2}


def test_logs_and_tallies_are_signed(tmp_path):
    key = generate_key(tmp_path / "key")
    writer, lines, _ = make(tmp_path / "spool", signer=Signer.load(tmp_path / "key"))
    writer.submit(line(0), suspect(0))
    at = suspect(0).at
    writer.then(lambda: writer.accept_tally(Tally("mast-3", "west", "ab" * 32, at, at, 5, {}, 0, 0, {}, {})))
    writer.close()
    assert read_log(tmp_path / "spool" / lines[0]["log"]).device_key == key
    (tally,) = (tmp_path / "spool").glob("*-tally-*")
    assert read_tally(tally).device_key == key
    assert [e.kind for e in Spool(tmp_path / "spool", Bounds(1, 1), adds=False).entries()] == ["tally", "missed"]
