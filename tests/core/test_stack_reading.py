"""A recording in one file: read frame by frame, nothing of it kept, held open or mapped."""

import os
from pathlib import Path

import numpy as np
import pytest

from irdim.errors import InputError
from irdim.sources import open_source


def resident() -> int:
    """Bytes of files that count as this process's memory."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssFile"))
    return 1024 * int(line.split()[1])


def test_reading_a_long_recording_leaves_no_pages_behind(tmp_path):
    frames = np.lib.format.open_memmap(tmp_path / "long.npy", "w+", np.uint16, (1500, 200, 200))
    frames[:] = np.arange(1500, dtype=np.uint16)[:, None, None]
    del frames
    before, most = resident(), 0
    for frame in open_source(tmp_path / "long.npy"):
        assert frame.pixels[7, 7] == frame.index
        if frame.index % 100 == 0:
            most = max(most, resident() - before)
    assert most < 40 << 20  # of 120 MB


def held_open(path: Path) -> int:
    """How many handles this process has on a file; others' come and go with the garbage of earlier tests."""
    links = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    return links.count(os.path.realpath(path))


def test_a_thousand_recordings_hold_no_file_open(tmp_path):
    clip = tmp_path / "clip.npy"
    np.save(clip, np.zeros((3, 8, 8), np.uint16))
    with clip.open("rb"):
        assert held_open(clip) == 1
    sources = [open_source(clip) for _ in range(1000)]
    assert held_open(clip) == 0
    assert sum(len(list(source)) for source in sources) == 3000
    assert held_open(clip) == 0


def test_a_file_that_is_cut_while_it_is_read_is_an_error(tmp_path):
    np.save(tmp_path / "clip.npy", np.zeros((500, 64, 64), np.uint16))
    frames = iter(open_source(tmp_path / "clip.npy"))
    next(frames)
    os.truncate(tmp_path / "clip.npy", 128 + 300 * 64 * 64 * 2 + 5)
    with pytest.raises(InputError, match=r"clip.npy: ends in frame 300"):
        list(frames)


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "u1"])
def test_byte_order_and_axes_do_not_matter(tmp_path, dtype):
    array = np.arange(5 * 6 * 7).reshape(5, 6, 7).astype(dtype)
    np.save(tmp_path / "c.npy", array)
    np.save(tmp_path / "f.npy", np.asfortranarray(array))
    for name in ("c", "f"):
        frames = list(open_source(tmp_path / f"{name}.npy"))
        assert np.array_equal(np.stack([f.pixels for f in frames]), array)
        assert {f.pixels.dtype for f in frames} == {np.dtype(dtype).newbyteorder("=")}
        assert all(f.pixels.flags.c_contiguous for f in frames)
