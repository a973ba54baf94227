"""How strongly a network disagrees with the labels of one frame: by how much the loss would fall if a label were corrected.

The loss is the paper's (Eq. 2-4) read as a likelihood: confidence and class by cross-entropy, place by the distance over its usual size (see
`usual_error`), so that all four kinds have one scale, nats:

    unlabelled           the network answers where no label's box is: -log(1 - p) falls to -log(p)
    misplaced            nothing at the label, an answer beside it that no label claims: the label moves there
    wrong-category       an answer at the label, of the other class (the mean over c1 and c2: they say one thing twice)
    labelled-background  nothing at the label nor beside it: -log(p) falls to -log(1 - p)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_expit

from irdim.boxes import CLASSES, IGNORE, Box, holds
from irdim.dataset import LabelledBox
from irdim.dataset.records import LABELLED_BACKGROUND, MISPLACED, UNLABELLED, WRONG_CATEGORY
from irdim.grid import CONFIDENCE, FIRST_CLASS, OFFSET, X, Y, decode

AT = 3.0  # px; an answer this near to a label is about it
BESIDE = 10.0  # px; how far from its target a label is looked for
SURE = 8.0  # logits; a network is never surer than this, or one cell would outweigh the rest
FAINT = 0.05  # confidence from which there is an answer at all
SEEN = 0.3  # confidence at a label from which the network answers there, if only weakly


@dataclass(frozen=True)
class Doubt:
    """A label, or its absence, that the network disagrees with. frame: its index; box: what it proposes instead (of a labelled background, the
    label itself, to be taken away); box_id: the label in question, None of an unlabelled target; loss: nats, as labelled; excess: by how much it would
    fall (in the end with what the labels around say, see irdim_train.refining.context); found: the network's confidence where it proposes something, at
    the label where it proposes nothing; away: px from label to proposal; around: -1..1, whether the labels before and after speak for the proposal."""

    kind: str
    frame: int
    box: Box
    box_id: int | None
    loss: float
    excess: float
    found: float
    away: float = 0.0
    around: float = 0.0


@dataclass(frozen=True)
class Judged:
    """One frame. doubts: at most one a label, and the unlabelled; losses: the loss of each label as it is; errors: px between each label and the
    nearest answer at it, where there is one."""

    doubts: list[Doubt]
    losses: dict[int, float]
    errors: list[float]


@dataclass(frozen=True)
class _Answers:
    """What every cell says. x, y: (n,) px; z: (n,) logits of the confidence, bounded; kinds: (n, 2) logits of the classes, bounded."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    kinds: np.ndarray

    def near(self, x: float, y: float, reach: float) -> np.ndarray:
        """Indices of those within `reach` px, the surest first."""
        found = np.flatnonzero((self.x - x) ** 2 + (self.y - y) ** 2 <= reach**2)
        return found[np.argsort(-self.z[found], kind="stable")]


def judge_frame(
    output: np.ndarray, labels: Sequence[LabelledBox], frame: int, stride: int, shape: tuple[int, int], usual: float
) -> Judged:
    """output: (7, h, w) raw map of the frame; labels: all of its boxes; shape: (H, W); usual: px, the usual error of a place.

    What lies in a region to ignore is not judged.
    """
    ignored = [b for b in labels if b.label == IGNORE]
    labels = [b for b in labels if b.label != IGNORE and not any(holds(i, b.x, b.y) for i in ignored)]
    answers = _answers(output, stride)
    found = decode(output, stride, FAINT, shape)
    free = [d for d in found if not any(holds(i, d.x, d.y) for i in ignored) and all(_away(d, b) > AT for b in labels)]
    doubts: list[Doubt] = []
    losses: dict[int, float] = {}
    errors: list[float] = []
    alone = []
    for b in labels:
        at = answers.near(b.x, b.y, AT)
        if not len(at) or answers.z[at[0]] < _logit(SEEN):
            alone.append(b)
            continue
        best = int(at[0])
        away = float(np.hypot(answers.x[best] - b.x, answers.y[best] - b.y))
        errors.append(away)
        own = CLASSES.index(b.label)
        kinds = answers.kinds[best]
        category = float(-log_expit(kinds[own]) - log_expit(-kinds[1 - own])) / 2
        losses[b.id] = -log_expit(answers.z[best]) + category + away / usual
        wrong = float(kinds[1 - own] - kinds[own]) / 2  # the mean over both of what swapping them saves
        absent = float(-answers.z[best])
        proposed = (
            (WRONG_CATEGORY, replace(_plain(b), label=CLASSES[1 - own]), wrong),
            (LABELLED_BACKGROUND, _plain(b), absent),
            (MISPLACED, replace(_plain(b), x=float(answers.x[best]), y=float(answers.y[best])), away / usual - 1),
        )
        kind, box, excess = max(proposed, key=lambda p: p[2])
        confidence = float(np.exp(log_expit(answers.z[best])))
        moved = away if kind == MISPLACED else 0.0
        doubts.append(Doubt(kind, frame, box, b.id, float(losses[b.id]), excess, confidence, moved))
    taken = set()
    for b, n in _pairs(alone, free):
        d = free[n]
        taken.add((b.id, n))
        away, z = _away(d, b), _bounded(_logit(d.score))
        here = float(-_z_at(answers, b))
        losses[b.id] = min(here + z, away / usual - float(log_expit(z)))
        box = Box(d.x, d.y, b.w, b.h, b.label)
        doubts.append(
            Doubt(MISPLACED, frame, box, b.id, losses[b.id], losses[b.id] + float(log_expit(z)), d.score, away)
        )
    moved_here = {n for _, n in taken}
    for b in alone:
        if b.id not in losses:
            z = _z_at(answers, b)
            losses[b.id] = float(-log_expit(z))
            confidence = float(np.exp(log_expit(z)))
            doubts.append(Doubt(LABELLED_BACKGROUND, frame, _plain(b), b.id, losses[b.id], float(-z), confidence))
    for n, d in enumerate(free):
        if n not in moved_here and not any(
            holds(b, d.x, d.y) for b in labels
        ):  # else another answer about what is labelled
            z = _bounded(_logit(d.score))
            doubts.append(
                Doubt(UNLABELLED, frame, Box(d.x, d.y, d.w, d.h, d.label), None, float(-log_expit(-z)), z, d.score)
            )
    return Judged(doubts, losses, errors)


def _pairs(alone: Sequence[LabelledBox], free: Sequence) -> list[tuple[LabelledBox, int]]:
    """Labels without an answer, each with the answer beside it that it may have meant: one to one, nearest first."""
    strong = [(n, d) for n, d in enumerate(free) if d.score >= SEEN]
    ways = sorted((_away(d, b), i, n) for i, b in enumerate(alone) for n, d in strong if _away(d, b) <= BESIDE)
    pairs, used_labels, used_answers = [], set(), set()
    for _, i, n in ways:
        if i not in used_labels and n not in used_answers:
            used_labels.add(i)
            used_answers.add(n)
            pairs.append((alone[i], n))
    return pairs


def _answers(output: np.ndarray, stride: int) -> _Answers:
    rows, columns = np.mgrid[: output.shape[1], : output.shape[2]]
    x = (columns + np.clip(output[X], *OFFSET)) * stride
    y = (rows + np.clip(output[Y], *OFFSET)) * stride
    kinds = np.clip(output[FIRST_CLASS:], -SURE, SURE).reshape(len(CLASSES), -1).T
    return _Answers(x.ravel(), y.ravel(), np.clip(output[CONFIDENCE], -SURE, SURE).ravel(), kinds)


def _z_at(answers: _Answers, box: Box) -> float:
    """Logit of the confidence at a label: the surest answer there; where none points there, that nothing is."""
    at = answers.near(box.x, box.y, AT)
    return float(answers.z[at[0]]) if len(at) else -SURE


def _logit(p: float) -> float:
    return float(np.log(p / max(1 - p, 1e-9)))


def _bounded(z: float) -> float:
    return float(np.clip(z, -SURE, SURE))


def _plain(b: Box) -> Box:
    return Box(b.x, b.y, b.w, b.h, b.label)


def _away(a: object, b: object) -> float:
    return float(np.hypot(a.x - b.x, a.y - b.y))  # type: ignore[attr-defined]
