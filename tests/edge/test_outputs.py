import json
import os
import resource
from pathlib import Path

from irdim_edge.output.parts import Parts

NAMES = ("detections", "verdicts")


def fill(folder: Path, count: int, most: int = 80_000) -> Parts:
    parts = Parts(folder, *NAMES, most_bytes=most)
    for n in range(count):
        parts.write("detections", {"frame": n, "pad": "x" * 100})
        if n % 10 == 0:
            parts.write("verdicts", {"frame": n})
    parts.close()
    return parts


def size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.iterdir())


def test_all_parts_together_stay_within_the_bound_and_the_newest_stay(tmp_path):
    for _ in range(3):
        fill(tmp_path, 2000)
        assert size(tmp_path) <= 80_000
    numbers = sorted(int(p.stem[-4:]) for p in tmp_path.glob("detections-*"))
    assert numbers == sorted(int(p.stem[-4:]) for p in tmp_path.glob("verdicts-*"))
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    last = (tmp_path / f"detections-{numbers[-1]:04d}.jsonl").read_text().splitlines()
    assert json.loads(last[-1])["frame"] == 1999


def test_a_new_run_begins_a_new_part_and_cuts_a_torn_line(tmp_path):
    fill(tmp_path, 5)
    with (tmp_path / "verdicts-0001.jsonl").open("ab") as file:
        file.write(b'{"frame":')
    assert fill(tmp_path, 5).path("detections").name == "detections-0002.jsonl"
    assert (tmp_path / "verdicts-0001.jsonl").read_bytes() == b'{"frame":0}\n'


def test_runs_that_wrote_nothing_leave_no_parts_behind(tmp_path):
    """A unit that fails and is restarted every few seconds, for days."""
    fill(tmp_path, 1)
    for number in range(2, 6):
        assert Parts(tmp_path, *NAMES, most_bytes=80_000).first == number
        assert sorted(p.name for p in tmp_path.iterdir()) == [
            *(f"{NAMES[0]}-{n:04d}.jsonl" for n in (1, number)),
            *(f"{NAMES[1]}-{n:04d}.jsonl" for n in (1, number)),
        ]


def test_other_files_stay(tmp_path):
    for name in ("detections-old.jsonl", "notes-0001.jsonl", "detections-0001.json"):
        (tmp_path / name).write_text("x" * 200_000)
    fill(tmp_path, 2000)
    assert len([p for p in tmp_path.iterdir() if p.stat().st_size == 200_000]) == 3


def test_a_part_that_cannot_be_begun_is_begun_later_and_no_line_is_lost(tmp_path):
    """Too many open files, for a while."""
    parts = Parts(tmp_path, *NAMES, most_bytes=8000)
    low, high = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(low, 256), high))
        while True:
            try:
                taken.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                break
        for n in range(30):  # three parts' worth
            parts.write("detections", {"frame": n, "pad": "x" * 100})
        assert parts.path("detections").name == "detections-0001.jsonl"
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (low, high))
    parts.write("detections", {"frame": 30})
    parts.close()
    assert parts.path("detections").name == "detections-0002.jsonl"
    lines = [json.loads(line) for p in sorted(tmp_path.glob("detections-*")) for line in p.read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(31))
