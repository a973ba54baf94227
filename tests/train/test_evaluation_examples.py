"""Which missed targets and false alarms are shown."""

from types import SimpleNamespace

import numpy as np

from irdim.boxes import IGNORE, INTERFERENCE, TARGET, Box, Detection
from irdim.dataset import Dataset
from irdim.metrics import CentreDistance
from irdim.sources import Frame
from irdim_train.evaluation_examples import APART, OF_ONE, SHOWN, Example, chosen, missed_and_wrong


def test_the_worthiest_of_several_sequences_are_chosen():
    many = [Example(f"s{s}", f, 0, 0, s + f / 1000, ()) for s in range(9) for f in range(0, 60, 5)]
    taken = chosen(many)
    assert len(taken) == SHOWN
    assert [e.sequence for e in taken] == ["s8", "s8", "s7", "s7", "s6", "s6"]
    assert OF_ONE == 2
    assert (taken[0].frame, taken[0].frame - taken[1].frame) == (55, APART)
    assert chosen([]) == []


def test_what_was_missed_and_what_was_wrong(tmp_path):
    """As the scores count them: one target found, two missed; of the detections one right, one on the same target once more, one on interference, one ignored,
    one weak."""
    labels = [
        Box(20, 20, 4, 4),
        Box(60, 20, 4, 4),
        Box(20, 70, 4, 4),
        Box(90, 90, 4, 4, INTERFERENCE),
        Box(20, 70, 20, 20, IGNORE),
    ]
    detections = [
        (21, 20, 0.9, TARGET),
        (19, 20, 0.85, TARGET),
        (90, 91, 0.8, TARGET),
        (25, 72, 0.7, TARGET),
        (61, 20, 0.2, TARGET),
        (50, 50, 0.99, INTERFERENCE),
    ]
    found = [(3, [Detection(x, y, 4, 4, score, label) for x, y, score, label in detections])]
    with Dataset.create(tmp_path / "data") as data:
        frames = [Frame(t, t / 25, np.full((100, 100), t, np.uint16)) for t in range(5)]
        facts = {"split": "test", "group": "a", "source": "s", "who": "t", "interval": 1 / 25}
        data.add_sequence("a", frames, {3: labels}, **facts)

        class Of(list):
            sequence = data.sequence("a")

        result = SimpleNamespace(per_sequence={"a": None}, found={"a": Of(found)}, metric=CentreDistance())
        missed, wrong = missed_and_wrong(data, SimpleNamespace(result=result, threshold=0.5))
    assert [f.caption for f in missed] == ["a, frame 3: missed"]
    assert [f.caption for f in wrong] == ["a, frame 3: reported with 0.85"]
