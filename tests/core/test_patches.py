import json
import subprocess
import sys

import numpy as np
import pytest

from irdim.errors import InputError
from irdim.npy import GrowingArray, read_layout, read_rows
from irdim.patches import BOXES, FORMAT, TABLE, VERSION, Patches

COUNT, SIZE = 2500, 80  # 128 MB

READ_ALL = """
import resource, sys
import numpy as np
from pathlib import Path
from irdim.patches import Patches
patches = Patches.open(Path(sys.argv[1]))
out = np.empty((50, 4, 80, 80), np.uint16)
patches.stacks.read(np.arange(50), out)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for start in range(0, len(patches.stacks), 50):
    patches.stacks.read(np.arange(start, start + 50), out)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A patch file of zeros."""
    folder = tmp_path_factory.mktemp("large")
    with GrowingArray(folder / "stacks.npy", np.dtype(np.uint16), (4, SIZE, SIZE)) as stacks:
        for _ in range(COUNT // 50):
            stacks.append(np.zeros((50, 4, SIZE, SIZE), np.uint16))
        stacks.settle(COUNT)
    table = np.zeros(COUNT, TABLE)
    table["stack"], table["live"] = np.arange(COUNT), 1
    for name, rows in (("table", table), ("boxes", np.zeros(0, BOXES))):
        np.save(folder / f"{name}.npy", rows)
    counts = {"stacks": COUNT, "table": COUNT, "boxes": 0}
    description = {"format": FORMAT, "version": VERSION, "size": SIZE, "rows": counts}
    (folder / "patches.json").write_text(json.dumps(description))
    return folder


def test_reading_all_stacks_does_not_take_them_into_memory(large):
    grown = subprocess.run([sys.executable, "-c", READ_ALL, str(large)], capture_output=True, text=True, check=True)
    assert int(grown.stdout) < 20


def header(path, description: str) -> None:
    text = description.encode() + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("{'descr': '<u2', 'fortran_order': False, 'shape': (100000000000, 4, 80, 80), }", "cut off"),
        ("{'descr': '<u2', 'fortran_order': False, 'shape': (1, 4, 4294967296, 4294967296), }", "cut off"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "not a .npy file"),
        ("{'descr': '<u2', 'fortran_order': True, 'shape': (1, 4, 80, 80), }", "not a .npy file"),
        ("{'descr': '<u2', 'fortran_order': False, 'shape': (-1, 4), }", "not a .npy file"),
        ("{'descr': '<u2', 'fortran_order': False, 'shape': ((((((", "not a .npy file"),
        ("__import__('os').abort()", "not a .npy file"),
    ],
)
def test_a_hostile_header_is_refused_and_nothing_is_allocated_on_its_word(tmp_path, description, message):
    header(tmp_path / "stacks.npy", description)
    with pytest.raises(InputError, match=message):
        read_layout(tmp_path / "stacks.npy")


@pytest.mark.parametrize(
    "rows",
    [None, [], {"stacks": -1, "table": 1, "boxes": 0}, {"stacks": 1, "table": 10**12, "boxes": 0}, {"stacks": 1}],
)
def test_counts_that_make_no_sense_are_refused(large, tmp_path, rows):
    for name in ("stacks.npy", "table.npy", "boxes.npy"):
        (tmp_path / name).symlink_to(large / name)
    description = json.loads((large / "patches.json").read_text())
    (tmp_path / "patches.json").write_text(json.dumps({**description, "rows": rows}))
    with pytest.raises(InputError, match=str(tmp_path)):
        Patches.open(tmp_path)


def test_rows_that_are_too_few_and_rows_of_another_kind_are_told_apart(tmp_path):
    np.save(tmp_path / "table.npy", np.zeros(3, TABLE))
    assert len(read_rows(tmp_path / "table.npy", 2, TABLE)) == 2
    with pytest.raises(InputError, match=r"table\.npy: 3 rows, 5 are wanted"):
        read_rows(tmp_path / "table.npy", 5, TABLE)
    with pytest.raises(InputError, match=r"table\.npy: holds other rows"):
        read_rows(tmp_path / "table.npy", 2, BOXES)


def test_a_growing_array_is_a_npy_file_at_every_settled_moment_and_forgets_what_was_not_settled(tmp_path):
    path = tmp_path / "rows.npy"
    with GrowingArray(path, np.dtype("<i4"), (2,)) as rows:
        assert np.load(path).shape == (0, 2)
        rows.append(np.array([[1, 2], [3, 4]], "<i4"))
        rows.settle(rows.count)
        assert np.load(path).tolist() == [[1, 2], [3, 4]]
        rows.append(np.array([[5, 6]], "<i4"))
    assert np.load(path).tolist() == [[1, 2], [3, 4]]
    with GrowingArray(path, np.dtype("<i4"), (2,), 1) as rows:
        rows.append(np.array([[7, 8]], "<i4"))
        rows.settle(rows.count)
    assert np.load(path).tolist() == [[1, 2], [7, 8]]
    with pytest.raises(InputError, match="other rows"):
        GrowingArray(path, np.dtype("<i8"), (2,), 1)
