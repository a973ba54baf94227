"""First labels: what moves is proposed, what is marked is followed, and nothing is a label before a person has said so."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rendered import make_data, render_sequence

from irdim.boxes import INTERFERENCE, TARGET
from irdim.dataset import Dataset
from irdim.differencing import InputSpec
from irdim.errors import InputError
from irdim.history import Stack
from irdim.sources import Frame
from irdim_train.labelling import enqueue_proposals, find_spot, follow, propose_tracks
from irdim_train.labelling.classical import candidates
from irdim_train.labelling.follow import interpolate
from irdim_train.labelling.snapping import HALF, window

NO_SHIFTS = np.zeros((3, 2), np.float32)
SPEC = InputSpec("sequence", 1, False)


def spot(shape, x, y, peak, width=1.3):
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    return peak * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * width**2))


def stack(noise, x=None, y=None, peak=0.0, seed=0, shape=(128, 160)):
    frames = np.random.default_rng(seed).normal(3000, noise, (4, *shape))
    if x is not None:
        frames[0] += spot(shape, x, y, peak)
    return Stack(np.rint(frames).astype(np.uint16), NO_SHIFTS)


@pytest.mark.parametrize("noise", [2.0, 40.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_planted_target_is_the_strongest_candidate(noise, sign):
    hits = 0
    for seed in range(20):
        found = candidates(stack(noise, 70.3, 61.8, sign * 5 * noise, seed), SPEC, 3.5)
        hits += bool(found) and np.hypot(found[0].x - 70.3, found[0].y - 61.8) < 1.5
    assert hits >= 18


def test_noise_alone_gives_few_candidates():
    """At 5 sigma after smoothing over some 3 px: about one in 60 of these small frames; 4.5 times that is allowed."""
    found = sum(len(candidates(stack(10.0, seed=seed), SPEC, 5.0)) for seed in range(40))
    assert found <= 3


def test_a_cloud_edge_is_no_candidate():
    frames = stack(5.0).frames.astype(float)
    frames += 400 * (np.arange(160) > 80)
    moved = [np.roll(f, 0, 1) for f in frames]
    found = candidates(Stack(np.rint(moved).astype(np.uint16), NO_SHIFTS), SPEC, 4.5)
    assert not [d for d in found if abs(d.x - 81) < 3]


@settings(max_examples=60, deadline=None)
@given(
    st.floats(-2.5, 2.5), st.floats(-2.5, 2.5), st.floats(0.9, 2.2), st.sampled_from([-1, 1]), st.integers(0, 10_000)
)
def test_a_spot_is_found_to_a_fraction_of_a_pixel(dx, dy, width, sign, seed):
    rng = np.random.default_rng(seed)
    frame = 500 + spot((64, 64), 32.2 + dx, 31.6 + dy, sign * 300, width) + rng.normal(0, 5, (64, 64))
    found = find_spot(np.stack([window(frame, 32.2, 31.6)]))
    assert found is not None
    assert (found.dx, found.dy) == (pytest.approx(dx, abs=0.25), pytest.approx(dy, abs=0.25))
    assert 3 <= found.side <= 15


def test_several_frames_see_what_one_does_not():
    seen = {1: 0, 5: 0}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        windows = rng.normal(0, 10, (5, 2 * HALF + 1, 2 * HALF + 1)) + spot((25, 25), 13.0, 12.5, 22)
        for n in seen:
            found = find_spot(windows[:n])
            seen[n] += found is not None and np.hypot(found.dx - 0.5, found.dy) < 1
    assert seen[5] > 35 > seen[1] + 5


def test_noise_is_no_spot():
    found = [find_spot(np.random.default_rng(s).normal(0, 10, (1, 25, 25))) for s in range(200)]
    assert sum(f is not None for f in found) <= 6


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.floats(0, 100), st.floats(0, 100)),
        min_size=2,
        max_size=6,
        unique_by=lambda m: m[0],
    )
)
def test_interpolation_goes_through_every_mark(marks):
    places = {frame: (x, y) for frame, x, y in marks}
    first, last = min(places), max(places)
    moved = np.cumsum(np.random.default_rng(0).normal(0, 2, (last - first + 1, 2)), axis=0)
    found = interpolate(places, moved, first)
    assert sorted(found) == list(range(first, last + 1))
    for frame, place in places.items():
        assert found[frame] == pytest.approx(place)


def test_between_two_marks_a_target_is_straight_against_the_background():
    moved = np.array([(0.0, 0.0), (3.0, 0.0), (3.0, 5.0)])
    assert interpolate({4: (10, 10), 6: (17, 15)}, moved, 4)[5] == pytest.approx((15, 10))


def curved(noise=12.0, peak=90.0):
    """Frames of a target on a slight curve, and its places."""
    rng = np.random.default_rng(1)
    t = np.arange(41)
    places = np.stack([20 + 1.5 * t, 50 + 0.6 * t - 2.0 * np.sin(np.pi * t / 40)], axis=1)
    frames = [rng.normal(1000, noise, (100, 120)) + spot((100, 120), x, y, peak) for x, y in places]
    return np.rint(frames).astype(np.uint16), places


def test_a_marked_target_is_followed_and_snapped():
    frames, places = curved()
    marks = {0: (places[0][0] + 0.8, places[0][1] - 0.7), 40: (places[40][0] - 0.6, places[40][1] + 0.9)}
    followed = follow(frames, marks)
    plain = follow(frames, marks, snap=False)
    assert sorted(followed.boxes) == list(range(41))
    off, straight = (
        np.mean([np.hypot(b.x - places[f][0], b.y - places[f][1]) for f, b in found.boxes.items()])
        for found in (followed, plain)
    )
    assert off < 0.35 < 1.0 < straight
    assert len(followed.snapped) > 36
    assert not plain.snapped


def test_where_nothing_is_seen_the_interpolated_place_stays():
    frames = np.random.default_rng(0).normal(1000, 10, (11, 80, 90)).astype(np.uint16)
    followed = follow(frames, {0: (20.0, 20.0), 10: (60.0, 40.0)})
    assert len(followed.snapped) <= 2
    middle = followed.boxes[5]
    if 5 not in followed.snapped:
        assert (middle.x, middle.y) == (pytest.approx(40, abs=0.5), pytest.approx(30, abs=0.5))


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        ({3: (5.0, 5.0)}, "one mark"),
        ({3: (5.0, 5.0), 99: (5.0, 5.0)}, "frames 0 to 10"),
        ({3: (5.0, 5.0), 4: (90.0, 5.0)}, "outside the frame of 90x80"),
    ],
)
def test_a_mark_that_cannot_be_is_refused(marks, message):
    with pytest.raises(InputError, match=message):
        follow(np.zeros((11, 80, 90), np.uint16), marks)


def test_a_moving_target_is_proposed_along_its_path():
    frames, places = curved(peak=110.0)
    best = propose_tracks(frames, np.arange(41) / 25, 1 / 25)[0]
    assert best.label == TARGET
    assert len(best.boxes) > 25
    off = [np.hypot(b.x - places[f][0], b.y - places[f][1]) for f, b in best.boxes.items()]
    assert np.median(off) < 1.0
    assert "sigma" in best.reason


def test_a_spot_that_stands_still_is_proposed_as_interference():
    rng = np.random.default_rng(2)
    frames = rng.normal(1000, 10, (60, 90, 100))
    frames += spot((90, 100), 40.5, 50.5, 150)
    found = propose_tracks(np.rint(frames).astype(np.uint16), np.arange(60) / 25, 1 / 25)
    near = [p for p in found if any(np.hypot(b.x - 40.5, b.y - 50.5) < 2 for b in p.boxes.values())]
    assert near
    assert {p.label for p in near} == {INTERFERENCE}


def test_noise_alone_proposes_next_to_nothing():
    frames = np.random.default_rng(4).normal(1000, 10, (60, 90, 100)).astype(np.uint16)
    assert len(propose_tracks(frames, np.arange(60) / 25, 1 / 25)) <= 1


def test_a_panning_camera_does_not_hide_the_target():
    rng = np.random.default_rng(6)
    import cv2

    sky = cv2.GaussianBlur(rng.normal(0, 1, (200, 400)), (0, 0), 5)
    sky = 1500 + 3000 * sky
    frames, places = [], []
    for t in range(40):
        x, y = 125 - 1.5 * t, 40 + 0.9 * t  # the sky goes left by 3 px a frame
        frame = sky[20 : 20 + 100, 3 * t : 3 * t + 140] + rng.normal(0, 8, (100, 140))
        frames.append(frame + spot((100, 140), x, y, 120))
        places.append((x, y))
    found = propose_tracks(np.rint(frames).astype(np.uint16), np.arange(40) / 25, 1 / 25)
    hits = [
        np.median([np.hypot(b.x - places[f][0], b.y - places[f][1]) for f, b in p.boxes.items()]) < 1.5 for p in found
    ]
    assert any(hits[:2])


def unlabelled(path):
    with Dataset.create(path) as data:
        frames, _ = render_sequence(3, peak=150.0)
        pixels = [Frame(t, t / 25, f) for t, f in enumerate(frames)]
        data.add_sequence("bare", pixels, {}, split="train", group="g", source="s", who="t", interval=1 / 25)
    return path


def test_proposals_wait_for_a_decision_and_come_once(tmp_path):
    with Dataset.open(unlabelled(tmp_path / "data")) as data:
        sequence = data.sequence("bare")
        found = propose_tracks(data.frames(sequence), data.times(sequence), sequence.interval)
        assert enqueue_proposals(data, sequence, found) == len(found) >= 1
        assert enqueue_proposals(data, sequence, found) == 0
        assert data.boxes(sequence) == {}
        item = data.queue_items("open")[0]
        data.decide(item.id, "accept", who="anna", why="seen")
        boxes = data.boxes(sequence)
        assert len(boxes) == len(item.provenance["points"]) > 10
        assert {b.label for bs in boxes.values() for b in bs} == {TARGET}


def test_a_whole_track_can_be_interference_or_nothing(tmp_path):
    with Dataset.open(unlabelled(tmp_path / "data")) as data:
        sequence = data.sequence("bare")
        found = propose_tracks(data.frames(sequence), data.times(sequence), sequence.interval)
        enqueue_proposals(data, sequence, found[:1])
        item = data.queue_items("open")[0]
        with pytest.raises(InputError, match="a whole track"):
            data.decide(item.id, "accept", who="anna", why="", box=item.box)
        data.decide(item.id, "interference", who="anna", why="a bird")
        assert {b.label for bs in data.boxes(sequence).values() for b in bs} == {INTERFERENCE}


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "irdim_train", *map(str, arguments)], capture_output=True, text=True)


def test_the_command_proposes_and_review_accepts(tmp_path):
    folder = unlabelled(tmp_path / "data")
    answer = json.loads(run("label", folder, "--json").stdout)
    assert answer["sequences"][0]["new"] >= 1
    items = json.loads(run("review", folder, "--json").stdout)
    assert items[0]["kind"] == "track"
    assert run("review", folder, "--accept", items[0]["id"], "--by", "anna").returncode == 0
    with Dataset.open(folder) as data:
        assert data.boxes(data.sequence("bare"))
    done = run("label", folder)
    assert done.returncode == 2
    assert "every sequence has labels" in done.stderr


def test_the_command_follows_marks(tmp_path):
    folder = make_data(tmp_path / "data", 2)
    frames, boxes = render_sequence(0)
    marks = [f"--mark={t},{boxes[t][0].x:.1f},{boxes[t][0].y:.1f}" for t in (5, 20)]
    answer = json.loads(run("label", folder, "--sequence", "seq0", *marks, "--by", "anna", "--json").stdout)
    assert answer["boxes"] == 16
    with Dataset.open(folder) as data:
        added = [b for b in data.boxes(data.sequence("seq0"))[12] if b.w != 5.0]
    assert len(added) == 1
    assert np.hypot(added[0].x - boxes[12][0].x, added[0].y - boxes[12][0].y) < 1
    for wrong, message in (
        (["--mark=5,1"], "FRAME,X,Y"),
        (marks[:1], "one mark"),
        ([*marks, "--label", "bird"], "--label bird"),
    ):
        done = run("label", folder, "--sequence", "seq0", *wrong)
        assert done.returncode == 2
        assert message in done.stderr
    assert frames.shape[0] == 40
