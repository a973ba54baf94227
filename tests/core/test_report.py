import base64

import cv2
import numpy as np

from irdim.boxes import Box, Detection
from irdim.report import Figure, Section, Table, picture, plot, show_frame, side_by_side, write_report


def test_a_report_is_one_file_that_needs_nothing_else(tmp_path):
    section = Section(
        "Frames",
        ["so <b>many</b>"],
        [Table(["name", "F1"], [["first", 0.5]])],
        [picture(np.zeros((4, 4), np.uint8), "black")],
    )
    write_report(tmp_path / "report.html", "A & B", "made by hand", [section])
    page = (tmp_path / "report.html").read_text()
    assert "A &amp; B" in page
    assert "so &lt;b&gt;many" in page  # text never becomes markup
    assert '<td class="number">0.5000</td>' in page
    assert "http" not in page
    assert list(tmp_path.iterdir()) == [tmp_path / "report.html"]


def test_a_picture_keeps_its_pixels():
    image = np.random.default_rng(0).integers(0, 256, (9, 7), dtype=np.uint8)
    figure = picture(image, "noise")
    assert isinstance(figure, Figure)
    assert np.array_equal(cv2.imdecode(np.frombuffer(base64.b64decode(figure.png), np.uint8), 0), image)


def test_targets_are_orange_and_detections_green():
    frame = np.random.default_rng(1).integers(1000, 1100, (40, 60)).astype(np.uint16)
    plain = show_frame(frame)
    assert plain.shape == (120, 180, 3)
    assert (plain[..., 0] == plain[..., 2]).all()
    marked = show_frame(frame, [Box(10, 10, 4, 4)], [Detection(40, 20, 4, 4, 0.5)])
    assert (marked[:, :60, 2].astype(int) - marked[:, :60, 0] > 60).any()  # orange
    assert (marked[:, 90:, 1].astype(int) - marked[:, 90:, 2] > 60).any()  # green


def test_pictures_stand_side_by_side():
    assert side_by_side([np.zeros((5, 6, 3), np.uint8)] * 3, gap=2).shape == (5, 22, 3)


def test_interference_is_violet_and_a_score_at_the_border_stays_in_the_picture():
    frame = np.full((40, 60), 7, np.uint16)
    shown = show_frame(frame, [Box(10, 10, 4, 4, "interference")], limits=(0, 14))
    blue, green, red = shown[:, :60].reshape(-1, 3).max(axis=0).astype(int)
    assert blue > red > green
    at_border = show_frame(frame, [], [Detection(57, 2, 4, 4, 0.87)], limits=(0, 14))
    left_of_it = at_border[:, : (57 - 6) * 3 - 3]
    assert (left_of_it > 200).sum() > 20


def test_a_region_to_ignore_is_no_interference():
    shown = show_frame(np.zeros((40, 60), np.uint16), [Box(30, 20, 10, 10, "ignore")], limits=(0, 14))
    blue, green, red = shown.reshape(-1, 3).max(axis=0).astype(int)
    assert 100 < red < green < blue < red + 30  # grey


def test_a_plot_is_drawn_for_light_and_for_dark_pages(tmp_path):
    figure = plot(lambda axes: axes.plot([1, 2, 3]), "rising")
    light, dark = (cv2.imdecode(np.frombuffer(base64.b64decode(p), np.uint8), -1) for p in (figure.png, figure.dark))
    assert light.shape == dark.shape
    assert light[0, 0, 3] == dark[0, 0, 3] == 0  # see-through
    assert light[..., :3][light[..., 3] == 255].min() == 0
    assert dark[..., :3][dark[..., 3] == 255].max() == 255
    write_report(tmp_path / "report.html", "plots", "", [Section("One", figures=[figure])])
    assert "(prefers-color-scheme: dark)" in (tmp_path / "report.html").read_text()
