"""A network goes on at another size: on other patches, or on whole frames that are read as the edge would read them."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from rendered import drifting_scene
from typer.testing import CliRunner

from irdim.boxes import Box
from irdim.dataset import Dataset
from irdim.differencing import InputSpec, network_input
from irdim.errors import InputError
from irdim.files import sha256
from irdim.grid import pad_to_stride
from irdim.history import History
from irdim.patches import Patches
from irdim.sources import Frame
from irdim_train import starters
from irdim_train.batches import BatchReader
from irdim_train.cli import app
from irdim_train.evaluate import evaluate
from irdim_train.fit import fit
from irdim_train.runs import DESCRIPTION, MODEL, PRESETS, FitConfig, load_model, read_run
from irdim_train.starters import begin_with
from irdim_train.torch_engine import TorchEngine
from irdim_train.whole_frames import PatchesThenFrames, WholeFrameReader

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def drifting_data(tmp_path_factory):
    path = tmp_path_factory.mktemp("drifting") / "data"
    frames = [Frame(t, t / 25, f) for t, f in enumerate(drifting_scene(24))]
    boxes = {t: [Box(60, 50, 5, 5)] for t in range(24)}
    with Dataset.create(path) as data:
        data.add_sequence(
            "drifts", frames, boxes, split="train", group="a", source="rendered", who="tests", interval=1 / 25
        )
    return path


@pytest.mark.parametrize("register", [False, True])
@pytest.mark.parametrize("kind", ["difference+frame", "sequence"])
def test_a_whole_frame_is_read_as_the_edge_reads_it(drifting_data, kind, register):
    spec = InputSpec(kind, 2, register)
    reader = WholeFrameReader(drifting_data, spec, 8, CPU, 1)
    with Dataset.open(drifting_data) as data:
        (sequence,) = data.sequences("train")
        frames = data.frames(sequence)
        history = History(spec)
        for index in range(21):
            stack = history.push(Frame(index, float(index), frames[index]))
    assert stack.shifts.all() == register
    expected = pad_to_stride(network_input(stack.frames, spec, stack.shifts), 8)
    batch = reader.read([(0, 20)])
    assert batch.image.shape[1:] == expected.shape
    assert np.abs(batch.image[0].numpy() - expected).max() < 1e-4


@pytest.mark.parametrize("turn", range(4))
def test_targets_turn_with_their_frame(small_data, turn):
    reader = WholeFrameReader(small_data, InputSpec("single", 1, False), 8, CPU, 1)
    batch = reader.read([(0, 20)], turn=turn)
    row, column = (int(i) for i in torch.nonzero(batch.targets.object[0])[0])
    inside = batch.image[0, 0, row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]
    assert inside.max() > 0.95 * batch.image[0, 0].max()


def test_a_step_can_be_entered_anew_and_shares_make_the_whole(small_data):
    from irdim_train.batches import Share

    reader = WholeFrameReader(small_data, InputSpec("single", 1, False), 8, CPU, 4 * 96 * 120)
    rows = [list(reader.steps(3, 0, 6, False))[5].rows, next(iter(reader.steps(3, 5, 6, False))).rows]
    assert rows[0].tolist() == rows[1].tolist()
    shares = [next(iter(reader.steps(3, 5, 6, False, Share(i, 2)))).rows for i in range(2)]
    assert sorted(np.concatenate(shares)) == sorted(rows[0])


def test_whole_frames_are_named_by_their_sequence(small_data):
    reader = WholeFrameReader(small_data, InputSpec("single", 1, False), 8, CPU, 1)
    batch = reader.read([(0, 20), (1, 7)])
    assert [batch.name(i) for i in range(2)] == ["frame 20 of seq0", "frame 7 of seq1"]


def test_every_frame_is_read_once_an_epoch(small_data):
    reader = WholeFrameReader(small_data, InputSpec("single", 2, False), 8, CPU, 3 * 96 * 120)
    seen = np.concatenate([b.rows for b in reader.steps(0, 0, reader.an_epoch, False)])
    assert len(seen) == 4 * 34  # four sequences, 40 frames, 6 without history
    assert set(np.bincount(seen)[6:]) == {4}


def test_patches_come_first_and_then_whole_frames(small_patches, small_data):
    patches, spec = Patches.open(small_patches), InputSpec("difference+frame", 2, False)
    frames = WholeFrameReader(small_data, spec, 8, CPU, 1)
    both = PatchesThenFrames(BatchReader(patches, spec, "train", 8, CPU, 4), frames, 0.3)
    sizes = [max(batch.image.shape[-2:]) for batch in both.steps(0, 0, 10, True)]
    assert sizes == [patches.size] * 7 + [120] * 3
    entered = list(both.steps(0, 8, 10, True))
    assert len(entered) == 2
    assert torch.equal(entered[1].image, list(both.steps(0, 0, 10, True))[9].image)


@pytest.mark.parametrize("whole", [0.0, 0.5, 1.0])
def test_a_run_goes_on_from_another(small_run, small_patches, tmp_path, whole):
    config = FitConfig(width=0.25, epochs=1, batch=16, start=str(small_run), whole=whole, learning_rate=1e-4)
    result = fit(Patches.open(small_patches), tmp_path / "on", config)
    fresh = fit(Patches.open(small_patches), tmp_path / "fresh", dataclasses.replace(config, start=None))
    assert result["scores"]["val"]["f1"] > fresh["scores"]["val"]["f1"] + 0.2
    assert result["loss"] < fresh["loss"] / 2


def test_frozen_statistics_stay_as_they_were(small_run, small_patches, tmp_path):
    config = FitConfig(width=0.25, epochs=0.2, batch=16, start=str(small_run), freeze_norm=True)
    fit(Patches.open(small_patches), tmp_path / "on", config)
    before, after = (load_model(run)[0].state_dict() for run in (small_run, tmp_path / "on"))
    for name in before:
        if "running" in name:
            assert torch.equal(before[name], after[name]), name
    assert not torch.equal(before["regression.weight"], after["regression.weight"])


@pytest.mark.parametrize(
    ("other", "what"),
    [({"width": 0.125}, "width"), ({"input": "single"}, "input"), ({"backbone": "resnet18"}, "backbone")],
)
def test_another_network_cannot_go_on(small_run, small_patches, tmp_path, other, what):
    config = dataclasses.replace(FitConfig(width=0.25, epochs=1, batch=16, start=str(small_run)), **other)
    with pytest.raises(InputError, match=f"its {what} is"):
        fit(Patches.open(small_patches), tmp_path / "on", config)
    assert not (tmp_path / "on").exists()


def test_nothing_to_freeze_without_a_start():
    with pytest.raises(InputError, match="--from"):
        FitConfig(freeze_norm=True)


@pytest.fixture
def shipped(small_run, tmp_path, monkeypatch):
    """A starter for the network of small_run alone."""
    folder = tmp_path / "starters" / "darknet19"
    folder.mkdir(parents=True)
    for name in (DESCRIPTION, MODEL):
        shutil.copy(small_run / name, folder)
    monkeypatch.setattr(starters, "starters_folder", lambda: folder.parent)
    return folder


def test_training_begins_with_the_starter_of_its_network(shipped, small_run):
    network = {"backbone": "darknet19", "width": 0.25, "input": load_model(small_run)[1].input.kind}
    assert begin_with(None, network, set()) == begin_with("starter", network, set()) == {**network, "start": "starter"}
    assert begin_with("random", network, set()) == {**network, "start": None}
    for other in ({"width": 0.5}, {"input": "single"}, {"backbone": "nano"}):
        assert begin_with(None, {**network, **other}, set())["start"] is None
        with pytest.raises(InputError, match="none ships for"):
            begin_with("starter", {**network, **other}, set())


def test_a_run_brings_its_network_unless_another_is_asked_for(small_run, tmp_path, monkeypatch):
    here = {"backbone": "nano", "width": 0.5, "input": load_model(small_run)[1].input.kind}
    monkeypatch.chdir(small_run.parent)
    begun = begin_with(small_run.name, here, set())
    assert begun == {**here, "backbone": "darknet19", "width": 0.25, "start": str(small_run.resolve())}
    with pytest.raises(InputError, match=r"its width is 0\.25, not 0\.5"):
        begin_with(str(small_run), here, {"width"})
    with pytest.raises(InputError, match="nothere"):
        begin_with("nothere", here, set())


def test_a_preset_brings_its_network_unless_another_is_asked_for():
    here = {"backbone": "darknet19", "width": 0.25, "input": "difference+frame"}
    assert begin_with("random", here, set(), "nano") == {**here, "backbone": "nano", "width": 0.5, "start": None}
    assert begin_with("random", here, {"width"}, "nano") == {**here, "backbone": "nano", "start": None}
    with pytest.raises(InputError, match="--preset tiny: one of nano"):
        begin_with(None, here, set(), "tiny")


def test_the_starter_gives_its_weights(shipped, small_run, small_patches, tmp_path):
    config = FitConfig(width=0.25, epochs=0.01, batch=16, start="starter", learning_rate=1e-9)
    patches = Patches.open(small_patches)
    fit(patches, tmp_path / "on", config)
    before, after = (load_model(run)[0].state_dict() for run in (small_run, tmp_path / "on"))
    torch.testing.assert_close(after["regression.weight"], before["regression.weight"])
    digest = read_run(tmp_path / "on")["start_digest"]
    assert digest == sha256(shipped / MODEL)
    shutil.rmtree(shipped)  # as of another release
    assert fit(patches, tmp_path / "on", config)["start_digest"] == digest
    with pytest.raises(InputError, match="none ships for darknet19 of width 0"):
        fit(patches, tmp_path / "other", dataclasses.replace(config, width=0.125))


def test_what_ships_can_be_trained_on():
    shipped = {folder.name: load_model(folder)[1] for folder in starters.starters_folder().iterdir()}
    assert {name: (card.backbone, card.width) for name, card in shipped.items()} == {
        "darknet19": ("darknet19", FitConfig().width),
        "nano": ("nano", PRESETS["nano"]["width"]),
    }
    for card in shipped.values():
        assert starters.find_starter(card.backbone, card.width, FitConfig().input)
        assert read_run(starters.starter(card.backbone, card.width, card.input.kind))["scores"]["val"]["f1"] > 0.7


@pytest.mark.parametrize("name", ["darknet19", "nano"])
def test_what_ships_finds_targets(name, tmp_path):
    scene = ["--sequences", "2", "--frames", "28", "--size", "160x128", "--snr", "8", "--seed", "77"]
    for words in (
        ["synth", str(tmp_path / "recordings"), *scene],
        ["import", str(tmp_path / "recordings"), "--out", str(tmp_path / "data"), "--val", "*"],
    ):
        CliRunner().invoke(app, words, catch_exceptions=False)
    model, card = load_model(starters.starters_folder() / name)
    with Dataset.open(tmp_path / "data") as data:
        result = evaluate(card, TorchEngine(model), data, split="val")
    assert result.metric.at(card.thresholds.report).f1 > 0.7
