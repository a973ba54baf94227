"""What the labels before and after say of a doubt where something is to be ignored."""

import pytest

from irdim.boxes import Box
from irdim.dataset.records import LABELLED_BACKGROUND, UNLABELLED, WRONG_CATEGORY
from irdim_train.refining import Doubt
from irdim_train.refining.context import with_context

IGNORED = Box(290, 200, 3, 3, "ignore")
TRACK = {f: [Box(20 + f, 20, 5, 5), IGNORED] for f in range(10)}


@pytest.mark.parametrize(
    ("kind", "label"), [(LABELLED_BACKGROUND, "target"), (WRONG_CATEGORY, "interference"), (UNLABELLED, "target")]
)
def test_what_is_to_be_ignored_elsewhere_silences_no_label_around(kind, label):
    about = Doubt(kind, 5, Box(25, 20, 5, 5, label), 1, 4.0, 4.0, 0.01)
    plain = {f: boxes[:1] for f, boxes in TRACK.items()}
    assert with_context(about, plain, 10).around != 0
    assert with_context(about, TRACK, 10) == with_context(about, plain, 10)


@pytest.mark.parametrize(
    ("frames", "cover"),
    [
        (range(10), Box(160, 128, 320, 256, "ignore")),  # the whole frame: nobody has looked
        ((7,), Box(160, 128, 320, 256, "ignore")),
        (range(10), Box(25, 20, 8, 8, "ignore")),
        ((7,), Box(35, 20, 8, 8, "ignore")),  # where it may be two frames later
    ],
)
def test_where_a_label_may_be_ignored_before_or_after_nothing_is_said(frames, cover):
    about = Doubt(LABELLED_BACKGROUND, 5, Box(25, 20, 5, 5), 1, 4.0, 4.0, 0.01)
    covered = {f: [*boxes, cover] if f in frames else boxes for f, boxes in TRACK.items()}
    assert with_context(about, covered, 10) == about
