"""A loop that cannot go through is refused before it writes anything: the same command, corrected, begins it."""

from pathlib import Path

import pytest
import torch
from rendered import make_data, render_sequence
from typer.testing import CliRunner

from irdim.dataset import Dataset
from irdim.errors import InputError
from irdim.sources import Frame
from irdim_train.cli import app
from irdim_train.iterating import LoopConfig, iterate, open_loop


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Path:
    return make_data(tmp_path_factory.mktemp("labelled") / "data")


@pytest.fixture
def data(labelled: Path, tmp_path: Path) -> Path:
    """The same, and a training sequence more that nobody has looked at."""
    with Dataset.open(labelled) as there, Dataset.create(tmp_path / "data") as data:
        for s in there.sequences():
            frames = [Frame(t, t / 25, f) for t, f in enumerate(there.frames(s))]
            facts = {"split": s.split, "group": s.group, "source": "rendered", "who": "tests", "interval": 1 / 25}
            data.add_sequence(s.name, frames, there.boxes(s), **facts)
        frames = [Frame(t, t / 25, f) for t, f in enumerate(render_sequence(17)[0])]
        data.add_sequence("new", frames, {}, **{**facts, "split": "train", "group": "new"})
    return tmp_path / "data"


def begin(data: Path, out: Path, *options: str) -> None:
    """`iterate` until its first training, which is not asked for here."""
    words = ["iterate", "--data", str(data), "--out", str(out), "--width", "0.25", "--frame-step", "2", "--no-register"]
    CliRunner().invoke(app, [*words, "--size", "32", *options], catch_exceptions=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "81"], "patch size 81: must be a multiple of 8"),
        (["--size", "104"], "sequence new: frames of 120x96 are smaller than a patch of 104; choose a smaller --size"),
        (["--folds", "1"], "--folds 1: 0 for none, or 2 or more"),
        (["--folds", "6"], "--folds 6: the training sequences are of only 5 scenes"),
        (["--snapshots", "-1"], "--snapshots -1: 0 to 100"),
        (["--more-epochs", "0"], "--more-epochs 0.0: above 0"),
        (["--seed", "-1"], "--seed -1"),
        (["--backbone", "resnet19"], "backbone 'resnet19' is not known"),
        (["--input", "frames"], "input 'frames' is not known"),
        (["--width", "9"], "width 9.0: must lie between"),
        (["--frame-step", "0"], "frame step 0: must be 1 or more"),
        (["--frame-step", "20"], "no training frame has 61 frames of history; choose a smaller --frame-step"),
        (["--pool", "lgo-*"], "--pool lgo-\\*: no training sequence of that name; there are new, seq0, seq1, ..."),
        (["--decide", "oracle", "--truth", "nothere"], "nothere: no data set here"),
    ],
)
def test_a_mistake_is_found_before_anything_is_written(data, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        begin(data, tmp_path / "loop", *options)
    assert not (tmp_path / "loop").exists()
    with Dataset.open(data) as d:
        assert not d.boxes(d.sequence("new"))  # not covered either


def test_a_truth_that_lacks_a_sequence_is_found_before_anything_is_written(data, labelled, tmp_path):
    oracle = ["--decide", "oracle", "--truth", str(labelled)]
    for more in ([], ["--choose", "random"]):
        with pytest.raises(InputError, match="holds no sequence with the frames of 'new'"):
            begin(data, tmp_path / "loop", *oracle, *more)
    assert not (tmp_path / "loop").exists()


def test_too_few_labels_for_a_batch_can_be_added_to_and_the_loop_goes_on(data, tmp_path):
    given = {"size": 32, "frame_step": 2, "register": False, "fit": {"width": 0.25, "batch": 5000}}
    for _ in range(2):
        state = open_loop(tmp_path / "loop", LoopConfig(str(data), **given))
        with pytest.raises(InputError, match="training patches are fewer than a batch of 5000; label more"):
            iterate(state, torch.device("cpu"))
        assert open_loop(tmp_path / "loop", None).step == "crop"  # which takes up what is labelled by then


def test_a_truth_needs_only_what_is_drawn_at_random(data, tmp_path):
    with Dataset.open(data) as d, Dataset.create(tmp_path / "truth") as truth:
        frames = [Frame(t, t / 25, f) for t, f in enumerate(d.frames(d.sequence("new")))]
        facts = {"split": "train", "group": "g", "source": "rendered", "who": "tests", "interval": 1 / 25}
        truth.add_sequence("n", frames, {}, **facts)
    given = {"size": 32, "frame_step": 2, "register": False, "fit": {"width": 0.25}}
    config = LoopConfig(str(data), decide="oracle", truth=str(tmp_path / "truth"), choose="random", **given)

    def stop(text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        iterate(open_loop(tmp_path / "loop", config), torch.device("cpu"), tell=stop)
    assert open_loop(tmp_path / "loop", None).pool == ["new"]
