import json
import threading

import pytest
from test_daemon import config, lines, record

from irdim.errors import InputError
from irdim_edge.config import load_config
from irdim_edge.daemon import run
from irdim_edge.masks import Masks

L_SHAPE = [(0, 0), (10, 0), (10, 4), (4, 4), (4, 10), (0, 10)]


@pytest.mark.parametrize(
    ("place", "hidden"),
    [((2, 2), True), ((9, 2), True), ((2, 9), True), ((9, 9), False), ((11, 2), False), ((-1, 2), False)],
)
def test_a_place_is_hidden_inside_the_outline_only(place, hidden):
    assert Masks([L_SHAPE]).hide(*place) is hidden
    assert Masks([L_SHAPE[::-1]]).hide(*place) is hidden
    assert not Masks([]).hide(*place)


def places(folder) -> list[tuple]:
    return [(line["frame"], d["x"], d["y"]) for line in lines(folder) for d in line["detections"]]


def test_nothing_is_reported_nor_judged_inside_and_all_is_outside(small_bundle, tmp_path):
    mask = [[0, 0], [45, 0], [45, 96], [0, 96]]  # the target begins inside and leaves, x = 45 on frame 30
    found = {}
    for name, masks in (("open", []), ("masked", [mask])):
        folder = tmp_path / name
        record(folder / "clip.npy")
        run(load_config(config(folder, small_bundle, **{"camera.masks": masks})), threading.Event())
        found[name] = places(folder)
        judged = [json.loads(line) for line in (folder / "edge-out/verdicts-0001.jsonl").read_text().splitlines()]
        assert not masks or all(verdict["x"] >= 45 for verdict in judged)
    assert any(x < 45 for _, x, _ in found["open"])
    assert found["masked"]
    assert found["masked"] == [place for place in found["open"] if place[1] >= 45]


@pytest.mark.parametrize(
    "masks", [[[[0, 0], [1, 1]]], [[[0, 0, 0], [1, 1, 1], [2, 2, 2]]], [[["a", 0], [1, 1], [2, 2]]]]
)
def test_what_is_no_polygon_is_refused_by_its_key(small_bundle, tmp_path, masks):
    with pytest.raises(InputError, match=r"camera\.masks\.0"):
        load_config(config(tmp_path, small_bundle, **{"camera.masks": masks}))
