"""Cut stacks around targets, and of background, out of a data set's sequences (the paper's small-sized images), again as it grows.

The labels and the seed say which patches there should be. What the patch file has of them is kept, what it lacks is cut, what should no longer be there is
retired, and where only labels changed the stack gets new ones.
"""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as ListOf
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from irdim.boxes import LABELS, TARGET
from irdim.dataset import Dataset, LabelledBox, Sequence
from irdim.differencing import InputSpec, move_whole, noise_scale, planes, whole_pixels
from irdim.errors import InputError
from irdim.grid import STRIDE
from irdim.history import History, Stack, with_full_history
from irdim.patches import BOXES, DESCRIPTION, SPLITS, TABLE, read_description
from irdim.sources import Frame
from irdim.wording import quoted
from irdim_train.patch_index import PatchIndex
from irdim_train.patch_writer import PatchWriter, patch_appender, patch_writer
from irdim_train.places import Mix, Place, around_targets, belongs, of_background
from irdim_train.staging import tidy

Covers = Mapping[int, Mapping[int, ListOf[LabelledBox]]]  # boxes to ignore, by a sequence's id and frame
MOST_BACKGROUND = 100.0  # patches per target patch


@dataclass
class Change:
    """What a crop did to a patch file, in patches: cut anew, given other labels, retired, left as they were."""

    added: int = 0
    relabelled: int = 0
    retired: int = 0
    kept: int = 0


@dataclass(frozen=True)
class Wanted:
    """A frame and the patches that it should give, each with its boxes as rows of BOXES, by (top, left)."""

    frame: int
    patches: dict[tuple[int, int], tuple[Place, np.ndarray]]


def crop(
    data: Dataset,
    out: Path,
    *,
    size: int,
    frame_step: int,
    register: bool,
    background: float = 1.0,
    hard_background: float = 0.0,
    seed: int = 0,
    fresh: bool = False,
    covers: Covers | None = None,
    progress: Callable[[Sequence], None] = lambda sequence: None,
) -> dict[str, Any]:
    """Bring the patch file `out` up to the train and val sequences and their labels; write it, whole or not at all, where there is none.

    size: side of a patch, px, a multiple of 8; background: background patches per target patch (on average, and at least one a
    sequence unless it is 0); a sequence without targets gives one a frame, or `background` where that is less. Each target gives one patch a
    frame, at a random place in it. hard_background: the share of background patches drawn with a probability that rises with the structure
    in them; fresh: replace what is there; covers: places that count for nothing besides those that the labels ignore.
    Returns the description that is also in patches.json, and what changed (the fields of Change).
    Raises InputError on an empty data set, frames smaller than a patch, and an `out` of other options.
    """
    spec, mix = InputSpec("difference", frame_step, register), Mix(background, hard_background)
    _check_options(size, mix)
    data.check_splits()
    sequences = [s for split in SPLITS for s in data.sequences(split)]
    if not sequences:
        raise InputError(f"{data.path}: no train or val sequences; import some with irdim-train import")
    facts = {
        "frame_step": frame_step,
        "register": register,
        "data": str(data.path.resolve()),
        "iteration": data.current_iteration(),
        "seed": seed,
        "background_per_target": background,
        "hard_share": hard_background,
    }
    dtype = np.result_type(*(np.dtype(s.dtype) for s in sequences))
    change = Change()
    digests = {str(s.id): s.digest[:16] for s in sequences}
    with _open(out, size, dtype, facts, fresh) as writer:
        _check_frames(out, writer.description.get("digests", {}), digests)
        writer.description["digests"] = {**writer.description.get("digests", {}), **digests}
        there = PatchIndex.of(*writer.before)
        for sequence in sequences:
            _check_sequence(sequence, size, writer)
            progress(sequence)
            wanted = _wanted(data, sequence, (covers or {}).get(sequence.id, {}), spec, size, mix, seed)
            missing = _reuse(writer, there, sequence, wanted, change)
            for rows, stacks, boxes in _cuts(data, sequence, spec, size, missing):
                writer.add(rows, stacks.astype(writer.dtype), boxes)
                change.added += len(rows)
        gone = ~np.isin(there.table["sequence"], [s.id for s in sequences])
        _retire(writer, there, np.flatnonzero(gone), change)
        if not change.added + change.relabelled + change.kept:
            raise InputError(_why_nothing(data, sequences, spec))
        if writer.changed:
            writer.description["changes"] = [
                *writer.description.get("changes", []),
                {"iteration": facts["iteration"], **asdict(change)},
            ]
    return {**writer.description, **asdict(change)}


def _why_nothing(data: Dataset, sequences: ListOf[Sequence], spec: InputSpec) -> str:
    full = [with_full_history(data.times(s), spec, s.interval).any() for s in sequences]
    if not any(full):
        return f"{data.path}: no frame has {spec.history} frames of history; choose a smaller --frame-step"
    if not any(data.boxes(s) for s in sequences):
        return f"{data.path}: no labels to cut around; irdim-train label {quoted(data.path)} proposes some"
    return f"{data.path}: no labelled frame has {spec.history} frames of history; label later frames, or choose a smaller --frame-step"


def check_size(size: int) -> None:
    """Raises InputError for a patch size that the grid does not divide."""
    if size < 16 or size % STRIDE:
        raise InputError(f"patch size {size}: must be a multiple of {STRIDE} (the grid's stride), 16 or more")


def _check_options(size: int, mix: Mix) -> None:
    check_size(size)
    if not 0 <= mix.background <= MOST_BACKGROUND:  # NaN is refused too
        raise InputError(f"--background {mix.background:g}: must be 0 to {MOST_BACKGROUND:g} patches per target patch")
    if not 0 <= mix.hard <= 1:
        raise InputError(f"--hard-background {mix.hard:g}: must be a share, 0 to 1")


def _check_frames(out: Path, there: dict[str, str], now: dict[str, str]) -> None:
    """A data set that was made anew at the same place has other frames under the same numbers."""
    if any(there[number] != digest for number, digest in now.items() if number in there):
        raise InputError(f"{out}: was cropped from other frames than this data set has now; replace it with --fresh")


def check_fits(sequence: Sequence, size: int) -> None:
    """Raises InputError where a patch of `size` px does not fit into a sequence's frames."""
    if min(sequence.height, sequence.width) < size:
        raise InputError(
            f"sequence {sequence.name}: frames of {sequence.width}x{sequence.height} are smaller than a patch of {size}; "
            "choose a smaller --size"
        )


def _check_sequence(sequence: Sequence, size: int, writer: PatchWriter) -> None:
    check_fits(sequence, size)
    if not np.can_cast(sequence.dtype, writer.dtype):
        raise InputError(
            f"sequence {sequence.name}: {sequence.dtype}, but the patch file holds {writer.dtype}; crop with --fresh"
        )


def _open(
    out: Path, size: int, dtype: np.dtype, facts: dict[str, Any], fresh: bool
) -> AbstractContextManager[PatchWriter]:
    """A writer of a new patch file, or one that goes on with the one of the same options that is there."""
    tidy(out)
    if fresh or not (out / DESCRIPTION).is_file():
        return patch_writer(out, size=size, dtype=dtype, facts=facts)
    there = read_description(out)
    for name, asked in {"size": size, **facts}.items():
        if name != "iteration" and there.get(name) != asked:
            what = name.replace("_", " ")
            raise InputError(
                f"{out}: was cropped with {what} {there.get(name)}, not {asked}; choose another --out, or replace it with --fresh"
            )
    return patch_appender(out, iteration=facts["iteration"])


def _wanted(
    data: Dataset,
    sequence: Sequence,
    covers: Mapping[int, ListOf[LabelledBox]],
    spec: InputSpec,
    size: int,
    mix: Mix,
    seed: int,
) -> list[Wanted]:
    """All patches that a sequence should give, as its labels are now."""
    labels, shape = data.boxes(sequence), (sequence.height, sequence.width)
    labels |= {frame: [*labels.get(frame, []), *boxes] for frame, boxes in covers.items()}
    full = np.flatnonzero(with_full_history(data.times(sequence), spec, sequence.interval)).tolist()
    has_targets = any(b.label == TARGET for boxes in labels.values() for b in boxes)
    found = []
    for frame in full:
        boxes, key = labels.get(frame, []), (seed, sequence.id, frame)
        places = around_targets(boxes, shape, size, key)
        expected = mix.background * len(places) if has_targets else min(mix.background, 1.0)
        if has_targets and mix.background and frame == full[0]:
            expected += 1
        places += of_background(boxes, shape, size, key, expected, mix.hard, partial(_frame, data, sequence, frame))
        if places:
            patches = {(p.top, p.left): (p, _box_rows(boxes, p, size)) for p in reversed(places)}  # the first counts
            found.append(Wanted(frame, patches))
    return found


def _frame(data: Dataset, sequence: Sequence, frame: int) -> np.ndarray:
    """(H, W), a copy: a map that is kept would make all frames that were read part of this process's memory."""
    return np.array(data.frames(sequence)[frame])


def _box_rows(boxes: list[LabelledBox], place: Place, size: int) -> np.ndarray:
    inside = [b for b in boxes if belongs(b, place.top, place.left, size)]
    rows = np.zeros(len(inside), BOXES)
    for row, b in zip(rows, inside, strict=True):
        row["x"], row["y"], row["w"], row["h"] = b.x - place.left, b.y - place.top, b.w, b.h
        row["label"], row["box"] = LABELS.index(b.label), b.id
    return rows


def _reuse(
    writer: PatchWriter, there: PatchIndex, sequence: Sequence, wanted: list[Wanted], change: Change
) -> list[Wanted]:
    """Settle what needs no pixels. Returns what does."""
    found = there.rows(sequence.id)
    missing = []
    for at in wanted:
        lacking = {}
        for corner, (place, boxes) in at.patches.items():
            row = found.pop((at.frame, *corner), None)
            if row is None:
                lacking[corner] = (place, boxes)
                continue
            now = there.table[row : row + 1].copy()
            now["split"], now["hard"] = SPLITS.index(sequence.split), place.hard
            if now["live"] and now == there.table[row] and there.boxes_of(row).tobytes() == boxes.tobytes():
                change.kept += 1
            else:
                writer.put(now, boxes)
                change.relabelled += 1
        if lacking:
            missing.append(Wanted(at.frame, lacking))
    _retire(writer, there, np.array(list(found.values()), int), change)
    return missing


def _retire(writer: PatchWriter, there: PatchIndex, rows: np.ndarray, change: Change) -> None:
    rows = rows[there.table["live"][rows] > 0]
    writer.put(there.table[rows], np.zeros(0, BOXES), alive=False)
    change.retired += len(rows)


def _cuts(
    data: Dataset, sequence: Sequence, spec: InputSpec, size: int, wanted: list[Wanted]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The patches of each frame: (n,) TABLE, (n, 4, S, S), and BOXES whose `patch` counts them. Frames that no stack needs are not read."""
    times = data.times(sequence)
    history, reached = History(spec, sequence.interval), 0
    for at in wanted:
        begin = max(reached, at.frame - spec.history + 1)
        if begin > reached:
            history.reset()
        for index in range(begin, at.frame):
            history.add(Frame(index, float(times[index]), _frame(data, sequence, index)))
        stack = history.push(Frame(at.frame, float(times[at.frame]), _frame(data, sequence, at.frame)))
        reached = at.frame + 1
        assert isinstance(stack, Stack), f"{sequence.name}, frame {at.frame}: {stack}"
        whole = [(0, 0)] + [(whole_pixels(dy), whole_pixels(dx)) for dy, dx in stack.shifts]
        aligned = np.stack([move_whole(f, *by, stack.frames[0]) for f, by in zip(stack.frames, whole, strict=True)])
        rows = np.repeat(_frame_row(sequence, at.frame, stack, spec), len(at.patches))
        boxes = []
        for i, (place, inside) in enumerate(at.patches.values()):
            rows["top"][i], rows["left"][i], rows["hard"][i] = place.top, place.left, place.hard
            inside["patch"] = i
            boxes.append(inside)
        cut = [aligned[:, top : top + size, left : left + size] for top, left in at.patches]
        yield rows, np.stack(cut), np.concatenate(boxes)


def _frame_row(sequence: Sequence, index: int, stack: Stack, spec: InputSpec) -> np.ndarray:
    """What all patches of one frame share."""
    row = np.zeros(1, TABLE)
    row["sequence"], row["frame"], row["split"] = sequence.id, index, SPLITS.index(sequence.split)
    row["shift"] = stack.shifts - np.rint(stack.shifts)
    for name, kind in (("sigma_difference", "difference"), ("sigma_frame", "sequence")):
        as_kind = InputSpec(kind, spec.frame_step, spec.register)
        row[name] = noise_scale(planes(stack.frames, as_kind, stack.shifts), as_kind)
    return row
