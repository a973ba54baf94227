import math

import numpy as np
import pytest

from irdim.boxes import Box
from irdim.scr import local_scr


def checkerboard(shape=(40, 50), mean=100, amplitude=2):
    """Standard deviation = amplitude, mean = mean, wherever the window has as many of both."""
    return (mean + amplitude * (-1) ** np.add.outer(*map(np.arange, shape))).astype(np.uint16)


@pytest.mark.parametrize("peak", [130, 70])
def test_scr_is_the_peaks_distance_from_the_local_mean_in_local_sigmas(peak):
    frame = checkerboard()
    frame[20, 25] = peak
    assert local_scr(frame, Box(25.5, 20.5, 4.0, 4.0)) == pytest.approx(30 / 2, rel=0.01)


def test_the_guard_and_what_lies_beyond_the_ring_are_not_background():
    frame = checkerboard()
    clean = local_scr(frame, Box(25.5, 20.5, 3.0, 3.0))
    frame[18:23, 23:28] = 5000  # the box reaches 1.5 px from its centre, the guard 3.5
    frame[20, 25] = frame[:, :15] = frame[:10] = 101
    frame[19:22, 24:27] = checkerboard()[19:22, 24:27]
    assert local_scr(frame, Box(25.5, 20.5, 3.0, 3.0)) == pytest.approx(clean)


def test_at_the_border_the_ring_is_what_the_frame_has_of_it():
    frame = checkerboard()
    frame[0, 0] = 140
    assert local_scr(frame, Box(0.5, 0.5, 3.0, 3.0)) == pytest.approx(20, rel=0.05)


def test_what_cannot_be_measured_is_nan_and_a_flat_frame_has_no_less_than_the_sigma_of_rounding():
    assert math.isnan(local_scr(checkerboard(), Box(60.0, 10.0, 3.0, 3.0)))
    assert math.isnan(local_scr(checkerboard((4, 4)), Box(2.0, 2.0, 4.0, 4.0)))
    flat = np.full((40, 40), 7, np.uint8)
    flat[20, 20] = 8
    assert local_scr(flat, Box(20.5, 20.5, 3.0, 3.0)) == pytest.approx(12**0.5)


def test_a_box_smaller_than_a_pixel_is_the_pixel_under_its_centre():
    frame = checkerboard()
    frame[20, 25] = 130
    assert local_scr(frame, Box(25.1, 20.9, 0.1, 0.1)) == pytest.approx(15, rel=0.01)
