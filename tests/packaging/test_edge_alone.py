"""tools/edge_alone.py and tools/test_arm64.py judge by these rules."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from edge_alone import compare

from irdim.errors import InputError


def lines(*frames: list[tuple[float, float, float]]) -> dict:
    return {("a", i): [{"x": x, "y": y, "score": s} for x, y, s in found] for i, found in enumerate(frames)}


HERE = lines([(10.0, 10.0, 0.9), (40.0, 20.0, 0.5)], [], [(11.0, 10.0, 0.31)])


@pytest.mark.parametrize(
    ("there", "fp32", "int8"),
    [
        (HERE, True, True),
        (lines([(10.4, 10.0, 0.9), (40.0, 20.0, 0.5009)], [], [(11.0, 10.0, 0.31)]), True, True),
        (lines([(10.6, 10.0, 0.9), (40.0, 20.0, 0.5)], [], [(11.0, 10.0, 0.31)]), False, False),
        (lines([(10.0, 10.0, 0.9), (40.0, 20.0, 0.502)], [], [(11.0, 10.0, 0.31)]), False, True),
        (lines([(10.0, 10.0, 0.9), (40.0, 20.0, 0.5)], [(50.0, 50.0, 0.4)], [(11.0, 10.0, 0.31)]), False, False),
        (lines([(40.0, 20.0, 0.5), (10.0, 10.0, 0.9)], [], []), True, False),  # FP32: one that hangs on the threshold
    ],
)
def test_what_counts_as_the_same_detections(there, fp32, int8):
    compared = compare(HERE, there)
    assert (compared.sound("fp32"), compared.sound("int8")) == (fp32, int8)


def test_other_frames_are_no_comparison():
    with pytest.raises(InputError, match="2 frames there, 3 here"):
        compare(HERE, lines([], []))
