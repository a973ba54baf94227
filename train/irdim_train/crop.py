"""Cut stacks around targets, and as many of background, out of a data set's sequences (the paper's small-sized images)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from irdim.boxes import IGNORE, LABELS, TARGET
from irdim.dataset import Dataset, LabelledBox, Sequence
from irdim.differencing import InputSpec, move_whole, noise_scale, planes, whole_pixels
from irdim.errors import InputError
from irdim.history import History, Stack
from irdim.patches import BOXES, SPLITS, TABLE
from irdim.sources import Frame
from irdim_train.patch_writer import patch_writer

APART = 8  # px; a background patch keeps this far from targets
MARGIN = 2.0  # px; a target's centre lies at least this far inside its patch


def crop(
    data: Dataset,
    out: Path,
    *,
    size: int,
    frame_step: int,
    register: bool,
    background: float = 1.0,
    seed: int = 0,
    progress: Callable[[Sequence], None] = lambda sequence: None,
) -> dict[str, Any]:
    """Write the patch file `out` from the train and val sequences.

    size: side of a patch, px, a multiple of 8; background: background patches per target patch (on average, and at least one a
    sequence); a sequence without targets gives one a frame. Each target gives one patch a frame, at a random place in it.
    Returns the description that is also in patches.json. Raises InputError on an empty data set or frames smaller than a patch.
    """
    if size < 16 or size % 8:
        raise InputError(f"patch size {size}: must be a multiple of 8 (the grid's stride), 16 or more")
    data.check_splits()
    sequences = [s for split in SPLITS for s in data.sequences(split)]
    if not sequences:
        raise InputError(f"{data.path}: no train or val sequences; import some with irdim-train import")
    spec = InputSpec("difference", frame_step, register)
    dtype = np.result_type(*(np.dtype(s.dtype) for s in sequences))
    facts = {
        "frame_step": frame_step,
        "register": register,
        "data": str(data.path.resolve()),
        "iteration": data.current_iteration(),
        "seed": seed,
    }
    with patch_writer(out, size=size, dtype=dtype, facts=facts) as writer:
        for sequence in sequences:
            if min(sequence.height, sequence.width) < size:
                raise InputError(
                    f"sequence {sequence.name}: frames of {sequence.width}x{sequence.height} are smaller than a patch of {size}; "
                    "choose a smaller --size"
                )
            progress(sequence)
            for row, stack, inside in _cuts(data, sequence, spec, size, background, seed):
                writer.add(row, stack[None].astype(dtype), _box_rows(inside, 0))
        if not writer.count:
            raise InputError(
                f"{data.path}: no frame has {spec.history} frames of history; choose a smaller --frame-step"
            )
    return writer.description


def _cuts(data: Dataset, sequence: Sequence, spec: InputSpec, size: int, background: float, seed: int):  # type: ignore[no-untyped-def]
    """Yield (table row, stack (4, S, S), boxes in patch coordinates) for one sequence."""
    rng = np.random.default_rng([seed, sequence.id])
    frames, times, labels = data.frames(sequence), data.times(sequence), data.boxes(sequence)
    has_targets = any(b.label == TARGET for bs in labels.values() for b in bs)
    history = History(spec, sequence.interval)
    owed = 1.0 if has_targets else 0.0
    for index in range(sequence.length):
        stack = history.push(Frame(index, float(times[index]), frames[index]))
        if isinstance(stack, str):
            continue
        here = labels.get(index, [])
        targets = [b for b in here if b.label == TARGET]
        places = [_around(b, size, sequence, rng) for b in targets]
        owed += background * len(targets) if has_targets else 1.0
        while owed >= 1:
            owed -= 1
            place = _away_from(here, size, sequence, rng)
            if place is not None:
                places.append(place)
        if not places:
            continue
        row = _frame_row(sequence, index, stack, spec)
        whole = [(0, 0)] + [(whole_pixels(dy), whole_pixels(dx)) for dy, dx in stack.shifts]
        aligned = np.stack([move_whole(f, *by, stack.frames[0]) for f, by in zip(stack.frames, whole, strict=True)])
        for top, left in places:
            cut = row.copy()
            cut["top"], cut["left"] = top, left
            inside = [(b, b.x - left, b.y - top) for b in here if _belongs(b, top, left, size)]
            yield cut, aligned[:, top : top + size, left : left + size], inside


def _belongs(box: LabelledBox, top: int, left: int, size: int) -> bool:
    """A target belongs to the patches that hold its centre, a region to ignore to all that it reaches into."""
    reach_x, reach_y = (box.w / 2, box.h / 2) if box.label == IGNORE else (0.0, 0.0)
    return -reach_x <= box.x - left < size + reach_x and -reach_y <= box.y - top < size + reach_y


def _frame_row(sequence: Sequence, index: int, stack: Stack, spec: InputSpec) -> np.ndarray:
    """What all patches of one frame share."""
    row = np.zeros(1, TABLE)
    row["sequence"], row["frame"], row["split"] = sequence.id, index, SPLITS.index(sequence.split)
    row["shift"] = stack.shifts - np.rint(stack.shifts)
    for name, kind in (("sigma_difference", "difference"), ("sigma_frame", "sequence")):
        as_kind = InputSpec(kind, spec.frame_step, spec.register)
        row[name] = noise_scale(planes(stack.frames, as_kind, stack.shifts), as_kind)
    return row


def _around(box: LabelledBox, size: int, sequence: Sequence, rng: np.random.Generator) -> tuple[int, int]:
    """Top and left of a patch that holds the box's centre at a random place."""

    def along(centre: float, length: int) -> int:
        low = max(0, int(np.ceil(centre + MARGIN - size)))
        high = min(length - size, int(np.floor(centre - MARGIN)))
        return int(rng.integers(low, high + 1)) if low <= high else int(np.clip(low, 0, length - size))

    return along(box.y, sequence.height), along(box.x, sequence.width)


def _away_from(
    boxes: list[LabelledBox], size: int, sequence: Sequence, rng: np.random.Generator
) -> tuple[int, int] | None:
    """Top and left of a patch without a target in or near it and clear of what is to be ignored, or None where ten tries find none."""
    for _ in range(10):
        top = int(rng.integers(0, sequence.height - size + 1))
        left = int(rng.integers(0, sequence.width - size + 1))
        near = any(
            _belongs(b, top - APART, left - APART, size + 2 * APART) for b in boxes if b.label in (TARGET, IGNORE)
        )
        if not near:
            return top, left
    return None


def _box_rows(inside: list[tuple[LabelledBox, float, float]], patch: int) -> np.ndarray:
    rows = np.zeros(len(inside), BOXES)
    for row, (b, x, y) in zip(rows, inside, strict=True):
        row["patch"], row["x"], row["y"], row["w"], row["h"] = patch, x, y, b.w, b.h
        row["label"], row["box"] = LABELS.index(b.label), b.id
    return rows
