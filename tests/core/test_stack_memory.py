"""A mapped recording that is read through does not gather in this process's memory."""

from pathlib import Path

import numpy as np

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
