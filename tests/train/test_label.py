"""First labels: what moves is proposed, what is marked is followed, and nothing is a label before a person has said so."""

import json
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from field import field_log
from hypothesis import given, settings
from hypothesis import strategies as st
from rendered import render_sequence

from irdim.boxes import IGNORE, INTERFERENCE, TARGET
from irdim.dataset import Dataset
from irdim.errors import InputError
from irdim.sources import Frame
from irdim_train.iterating.pool import cover_pool
from irdim_train.labelling import ProposalOptions, enqueue_proposals, find_spot, follow, propose, propose_tracks
from irdim_train.labelling.classical import candidates, reference_frames, temporal_median, temporal_noise
from irdim_train.labelling.follow import boxes_at, interpolate
from irdim_train.labelling.snapping import HALF, window


def spot(shape, x, y, peak, width=1.3):
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    return peak * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * width**2))


def looked(noise, x=None, y=None, peak=0.0, seed=0, shape=(128, 160), edge=0.0, threshold=3.5):
    """Candidates of a frame among its neighbours."""
    rng = np.random.default_rng(seed)
    scene = 3000 + edge * (np.arange(shape[1]) > shape[1] / 2)
    frame, *references = np.rint(scene + rng.normal(0, noise, (6, *shape)))
    if x is not None:
        frame = np.rint(frame + spot(shape, x, y, peak))
    median = temporal_median(frame, np.stack(references), np.zeros((5, 2)))
    return candidates(frame, median, temporal_noise(frame, references[0], np.zeros(2)), threshold)


@pytest.mark.parametrize("noise", [2.0, 40.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_planted_target_of_five_sigma_is_the_strongest_candidate(noise, sign):
    for seed in range(20):
        best = looked(noise, 70.3, 61.8, sign * 5 * noise, seed)[0]
        assert np.hypot(best.x - 70.3, best.y - 61.8) < 1.0
        assert best.sign == sign
        assert best.sigmas > 5


def test_noise_alone_gives_candidates_at_the_stated_rate():
    """docs/label.md: 9 in a million pixels at 4 sigma and 1.2 at 4.5; these 40 frames have 0.8 million."""
    for threshold, allowed in ((4.0, 20), (4.5, 5)):
        assert sum(len(looked(10.0, seed=seed, threshold=threshold)) for seed in range(40)) <= allowed


def test_what_is_cut_by_the_border_is_no_candidate():
    assert not [c for c in looked(5.0, 1.0, 60.0, 300.0) if c.x < 3]


def test_a_cloud_edge_is_no_candidate():
    assert not [c for c in looked(5.0, edge=400.0, threshold=4.5) if abs(c.x - 80) < 4]


def test_a_bright_target_is_one_candidate():
    assert len([c for c in looked(5.0, 70.3, 61.8, 2000.0) if np.hypot(c.x - 70, c.y - 62) < 15]) == 1


@pytest.mark.parametrize(("first", "last", "index"), [(0, 99, 50), (0, 99, 0), (0, 99, 99), (3, 9, 5)])
def test_the_temporal_median_is_of_five_other_frames(first, last, index):
    found = reference_frames(index, first, last)
    assert len(set(found) - {index}) == 5
    assert all(first <= f <= last for f in found)


def test_too_few_frames_have_no_temporal_median():
    assert reference_frames(0, 0, 4) == []


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


def test_a_target_that_turns_far_off_the_straight_way_is_followed():
    """10 px at most between the marks, more than the search reaches at once."""
    t = np.arange(61)
    places = np.stack([20 + 1.2 * t, 45 + 10 * np.sin(np.pi * t / 60)], axis=1)
    rng = np.random.default_rng(3)
    frames = np.rint([rng.normal(1000, 8, (90, 120)) + spot((90, 120), x, y, 90) for x, y in places]).astype(np.uint16)
    followed = follow(frames, {0: tuple(places[0]), 60: tuple(places[60])})
    off = [np.hypot(b.x - places[f][0], b.y - places[f][1]) for f, b in followed.boxes.items()]
    assert max(off) < 1.0


def test_a_target_out_of_the_frame_has_no_box():
    moved = np.zeros((9, 2))
    moved[4] = (-50, 0)  # the camera looked away
    places = interpolate({0: (20, 20), 8: (40, 20)}, moved, 0)
    assert places[4][0] < 0
    assert 4 not in boxes_at(places, {}, (9, 50, 50), TARGET)


@settings(max_examples=8, deadline=None)
@given(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4), st.integers(0, 1000))
def test_what_is_followed_is_where_it_was_put_to_a_fifth_of_a_pixel(dx, dy, seed):
    rng, t = np.random.default_rng(seed), np.arange(12)
    places = np.stack([30.5 + dx + 1.3 * t, 25.5 + dy + 0.4 * t], axis=1)
    frames = [rng.normal(1000, 6, (60, 80)) + spot((60, 80), x, y, 120) for x, y in places]
    followed = follow(np.rint(frames).astype(np.uint16), {0: (31.0, 26.0), 11: (45.0, 30.0)})
    off = [np.hypot(b.x - places[f][0], b.y - places[f][1]) for f, b in followed.boxes.items()]
    assert np.mean(off) < 0.2
    assert followed.snapped == set(range(12))


def test_a_gap_in_time_ends_every_track():
    frames, _ = curved(peak=110.0)
    times = np.arange(41) / 25 + 5.0 * (np.arange(41) >= 20)
    for p in propose_tracks(frames, times, 1 / 25):
        assert max(p.boxes) < 20 or min(p.boxes) >= 20


def test_memory_does_not_grow_with_the_sequence(monkeypatch):
    """Frames are made as they are asked for; a still spot would be one long track of all of them."""
    monkeypatch.setattr(propose, "LONGEST", 40)
    rng = np.random.default_rng(0)
    sky = rng.normal(1000, 10, (7, 48, 48)) + spot((48, 48), 20.5, 25.5, 120)

    class Endless:
        shape = (100_000, 48, 48)

        def __getitem__(self, index):
            return np.stack([self[i] for i in index]) if isinstance(index, list) else np.rint(sky[index % 7])

    def peak(length):
        tracemalloc.start()
        found = propose_tracks(Endless(), np.arange(length) / 25, 1 / 25)
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found, high

    (found, short), (_, long) = peak(90), peak(300)
    assert max(len(p.boxes) for p in found) <= 40
    assert long < 1.3 * short + 200_000


@pytest.mark.parametrize("wrong", [{"threshold": 0.5}, {"polarity": "warm"}, {"most": 0}, {"max_speed": float("nan")}])
def test_options_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError):
        ProposalOptions(**wrong)


def test_what_is_labelled_or_was_proposed_otherwise_is_not_proposed_again(tmp_path):
    with Dataset.open(unlabelled(tmp_path / "data")) as data:
        sequence = data.sequence("bare")
        given = data.frames(sequence), data.times(sequence), sequence.interval
        assert enqueue_proposals(data, sequence, propose_tracks(*given)) >= 1
        otherwise = propose_tracks(*given, ProposalOptions(threshold=6.0))
        assert otherwise
        assert enqueue_proposals(data, sequence, otherwise) == 0


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
    assert done.returncode == 0  # nothing to do is no error
    assert "every sequence has labels" in done.stdout


def test_recordings_that_only_hold_covers_are_looked_through_and_decisions_uncover_their_frames(tmp_path):
    folder = unlabelled(tmp_path / "data")
    with Dataset.open(folder) as data:
        assert cover_pool(data, []) == ["bare"]
    assert [row["sequence"] for row in json.loads(run("label", folder, "--json").stdout)["sequences"]] == ["bare"]
    with Dataset.open(folder) as data:
        item = data.queue_items("open")[0]
        data.decide(item.id, "accept", who="anna", why="seen")
        frames = {f for f, *_ in item.provenance["points"]}
        for frame, boxes in data.boxes(data.sequence("bare")).items():
            assert [b.label for b in boxes] == [TARGET if frame in frames else IGNORE]
    assert "every sequence has labels" in run("label", folder).stdout


def test_a_proposal_leaves_the_frame_of_a_field_log_to_the_log_s_own_question(tmp_path):
    folder = tmp_path / "data"
    Dataset.create(folder).close()
    field_log(tmp_path / "depot", 1)
    assert run("ingest", tmp_path / "depot", "--data", folder).returncode == 0
    (row,) = json.loads(run("label", folder, "--json").stdout)["sequences"]
    assert row["new"] == 1
    with Dataset.open(folder) as data:
        items = {i.kind: i for i in data.queue_items("open")}
        asked = items["missed"].frame
        points = [f for f, *_ in items["track"].provenance["points"]]
        assert len(points) > 8
        assert asked not in points
        assert items["track"].frame in points
        for kind in ("track", "missed"):
            data.decide(items[kind].id, "accept", who="anna", why="seen")
        boxes = data.boxes(data.sequences()[0])
        assert {f: [b.label for b in boxes[f]] for f in (*points, asked)} == {f: [TARGET] for f in (*points, asked)}


def test_the_command_follows_marks(tmp_path):
    folder = unlabelled(tmp_path / "data")
    _, boxes = render_sequence(3)
    marks = [f"--mark={t},{boxes[t][0].x:.1f},{boxes[t][0].y:.1f}" for t in (5, 20)]
    answer = json.loads(run("label", folder, "--sequence", "bare", *marks, "--by", "anna", "--json").stdout)
    assert answer["boxes"] == 16
    again = json.loads(run("label", folder, "--sequence", "bare", *marks, "--by", "anna", "--json").stdout)
    assert (again["boxes"], again["there"]) == (0, 16)
    with Dataset.open(folder) as data:
        (added,) = data.boxes(data.sequence("bare"))[12]
        whys = data._store.rows("SELECT DISTINCT who, why FROM boxes")
    assert np.hypot(added.x - boxes[12][0].x, added.y - boxes[12][0].y) < 1
    assert ("anna", "marked on 2 frames, snapped to its centroid") in whys
    for wrong, message in (
        (["--mark=5,1"], "FRAME,X,Y"),
        (marks[:1], "one mark"),
        ([*marks, "--label", "bird"], "--label bird"),
        (["--mark=5,1,1", "--mark=99,1,1"], "frames 0 to 39"),
        (["--mark=5,1,1", "--mark=6,500,1"], "outside the frame of 120x96"),
    ):
        done = run("label", folder, "--sequence", "bare", *wrong)
        assert done.returncode == 2
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
