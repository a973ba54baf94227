"""Patches straight away: parts of generated scenes, in the format that `irdim-train crop` writes, without rendering whole frames.

A scene is a sky, a moving camera and a sensor, as of a sequence. Parts of its frames are rendered, each patch with targets or look-alikes of its
own, and the noise scale is estimated over several of them together, as `crop` does over the whole frame.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from irdim.boxes import LABELS, Box
from irdim.dataset import Dataset
from irdim.differencing import STACK, InputSpec, noise_scale, planes, whole_pixels
from irdim.errors import InputError
from irdim.patches import BOXES, SPLITS, TABLE
from irdim.sources import Frame
from irdim_train.patch_writer import patch_writer
from irdim_train.synth.label_errors import plant_errors
from irdim_train.synth.ledger import write_ledger
from irdim_train.synth.options import SynthOptions
from irdim_train.synth.placing import knot, target
from irdim_train.synth.presets import Counts, interleaved
from irdim_train.synth.sequence import Scene, generate
from irdim_train.synth.spots import Spot, draw, peak_for_scr, scr_of
from irdim_train.synth.textures import Window, shared_clouds
from irdim_train.synth.workers import cores, in_order
from irdim_train.synth.write import SIDE, TEXTURES, check_space

SCENE = 32  # patches of a scene, at least
BLOCK = 320  # px; the side of what is rendered at once, where the frame has it
SHARED = 256  # scenes that share a set of cloud textures
BATCH = 8  # scenes that a process makes at a time
MARGIN = 2.0  # px; a target's centre lies at least this far inside its patch
POOLED = 40_000  # pixels over which a noise scale is estimated, at least
WORTH_A_PROCESS = 4 * SCENE * BATCH  # stacks
SECOND = 0.15  # share of patches with a target that get another one, where several are asked for
LOOK_ALIKE = 0.25  # share of patches that get a knot, where there are knots
WHOLE_TRAIN, WHOLE_VAL, WHOLE_FRAMES = 3, 3, 24  # sequences of whole frames, and frames of each beyond its history
DATA = "data"
NO_BOX = -1  # in the place of an id in a data set


@dataclass(frozen=True)
class Plan:
    """What every patch has in common. split and counts are asked of `write_patches`."""

    options: SynthOptions
    size: int
    spec: InputSpec

    @classmethod
    def of(cls, options: SynthOptions, size: int, frame_step: int, register: bool) -> "Plan":
        """Raises InputError where the patch is no multiple of the grid's stride, or larger than the frame."""
        if size < 16 or size % 8:
            raise InputError(f"--patch-size {size}: must be a multiple of 8 (the grid's stride), 16 or more")
        if size > min(options.shape):
            raise InputError(f"--patch-size {size}: larger than the frame of {options.size}; choose a larger --size")
        spec = InputSpec("difference", frame_step, register)
        if spec.history > 10_000:
            raise InputError(f"--frame-step {frame_step}: at most 3333")
        # a shutter event voids a stack, so none is ever trained on
        return cls(dataclasses.replace(options, frames=spec.history, shutter=0.0), size, spec)


@dataclass(frozen=True)
class Task:
    """Stacks first.. of a split: one a kind (whether it holds a target); scene: number of the first scene."""

    plan: Plan
    split: int
    scene: int
    kinds: tuple[bool, ...]


@dataclass(frozen=True)
class Part:
    """stacks: (n, 4, S, S); table: (n,) TABLE; boxes: by stack."""

    stacks: np.ndarray
    table: np.ndarray
    boxes: list[list[Box]]


def write_patches(
    out: Path,
    options: SynthOptions,
    counts: Counts,
    *,
    size: int = 80,
    frame_step: int = 4,
    register: bool = True,
    progress: Callable[[int], None] = lambda stacks: None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Write the patch file `out`, whole or not at all, and in its folder `data` a small data set of whole frames of the same kind, from which
    `fit` takes its statistics and thresholds. The bytes follow from the options alone, whatever the workers. Returns its description."""
    plan = Plan.of(options, size, frame_step, register)
    if counts.train_background + counts.train_target < 1:
        raise InputError("--stacks: leaves none to train on; ask for more")
    dtype = np.dtype(np.uint8 if options.bits == 8 else np.uint16)
    shape = (counts.total, STACK, size, size)
    check_space(out, int(np.prod(shape)) * dtype.itemsize)
    if workers is None:
        workers = cores() if counts.total >= WORTH_A_PROCESS else 1
    facts = {
        "frame_step": frame_step,
        "register": register,
        "data": str(out.resolve() / DATA),
        "iteration": 0,
        "seed": options.seed,
        "generated": dataclasses.asdict(plan.options),
    }
    boxes: dict[int, list[Box]] = {}
    with patch_writer(out, size=size, dtype=dtype, facts=facts) as writer:
        for part in in_order(render_task, tasks(plan, counts), workers):
            boxes.update({writer.count + i: there for i, there in enumerate(part.boxes) if there})
            writer.add(part.table, part.stacks, np.zeros(0, BOXES))
            progress(len(part.stacks))
        if options.label_errors:
            rng = np.random.default_rng([options.seed, 2])
            boxes, errors = plant_errors(boxes, writer.count, (size, size), options.label_errors, rng)
            write_ledger(writer.folder, errors)
        writer.add_boxes(_box_rows(boxes))
        _write_whole_frames(writer.folder / DATA, options, plan.spec)
    return writer.description


def tasks(plan: Plan, counts: Counts) -> list[Task]:
    """All stacks, in the order of the patch file."""
    scene_size = _scene_size(plan)
    found = []
    for split, (background, with_target) in enumerate(counts.splits().values()):
        kinds = interleaved(background, with_target)
        for begin in range(0, len(kinds), BATCH * scene_size):
            found.append(Task(plan, split, begin // scene_size, tuple(kinds[begin : begin + BATCH * scene_size])))
    return found


def render_task(task: Task) -> Part:
    """The stacks of a few scenes."""
    each = _scene_size(task.plan)
    scenes = [task.kinds[i : i + each] for i in range(0, len(task.kinds), each)]
    parts = [_render_scene(task.plan, task.split, task.scene + i, kinds) for i, kinds in enumerate(scenes)]
    return Part(
        np.concatenate([p.stacks for p in parts]),
        np.concatenate([p.table for p in parts]),
        [there for p in parts for there in p.boxes],
    )


def _scene_size(plan: Plan) -> int:
    return max(SCENE, -(-POOLED // plan.size**2))


def _render_scene(plan: Plan, split: int, number: int, kinds: tuple[bool, ...]) -> Part:
    """One scene's stacks. Where too few are asked for to estimate a noise scale over, more are made and left out."""
    options, size = plan.options, plan.size
    pooled = -(-POOLED // size**2)
    key = (options.seed, 1, split, number // SHARED)
    textures = shared_clouds(key, TEXTURES, SIDE, options.edges, (max(BLOCK, size),) * 2)
    scene = Scene.draw(options, (1, split, number), textures)
    moves = scene.shifts[-1] - scene.shifts[-1 - plan.spec.frame_step :: -plan.spec.frame_step][: STACK - 1]
    whole = np.array([[whole_pixels(d) for d in move] for move in moves]) * plan.spec.register
    parts: list[np.ndarray] = []
    boxes: list[list[Box]] = []
    windows: list[Window] = []
    for block in _blocks(plan, whole, max(len(kinds), pooled), scene):
        tiles = _tiles(block, size)
        here = kinds[len(windows) : len(windows) + len(tiles)]
        stacks, inside = _render_block(plan, scene, block, whole, here + (False,) * (len(tiles) - len(here)))
        parts.append(stacks)
        boxes += inside
        windows += tiles
    stacks = np.concatenate(parts)
    row = np.zeros(1, TABLE)
    row["sequence"] = -1 - len(SPLITS) * number - split  # no data set has it
    row["frame"], row["split"] = plan.spec.history - 1, split
    row["shift"] = (moves - whole) * plan.spec.register
    spread = np.linspace(0, len(stacks) - 1, pooled).astype(int)  # over all blocks
    row["sigma_difference"], row["sigma_frame"] = _noise_scales(plan, stacks[spread], row["shift"][0])
    table = np.repeat(row, len(kinds))
    table["top"], table["left"] = np.array([w[:2] for w in windows[: len(kinds)]]).T
    return Part(stacks[: len(kinds)], table, boxes[: len(kinds)])


def _blocks(plan: Plan, whole: np.ndarray, count: int, scene: Scene) -> list[Window]:
    """Blocks of side by side patches, together `count` or more, anywhere in the newest frame from where those of the older frames, which go
    back with the sky, are in the frame too. What is rendered at once is rendered faster."""
    low = np.maximum(whole.max(axis=0, initial=0), 0)
    high = np.array(plan.options.shape) + np.minimum(whole.min(axis=0, initial=0), 0)
    rows, columns = (min(int(fit), max(BLOCK // plan.size, 1)) for fit in (high - low) // plan.size)
    if min(rows, columns) < 1:
        raise InputError(
            f"--size {plan.options.size}: the camera moves so far within a stack that no patch of {plan.size} px stays in the frame; "
            "choose a larger --size, a smaller --frame-step, or less --drift and --pan"
        )
    rows = min(rows, -(-count // columns))
    height, width = rows * plan.size, columns * plan.size
    corners = scene.for_others.integers(low, high - (height, width), (-(-count // (rows * columns)), 2), endpoint=True)
    return [Window(top, left, height, width) for top, left in corners.tolist()]


def _tiles(block: Window, size: int) -> list[Window]:
    return [
        Window(top, left, size, size)
        for top in range(block.top, block.top + block.height, size)
        for left in range(block.left, block.left + block.width, size)
    ]


def _render_block(
    plan: Plan, scene: Scene, block: Window, whole: np.ndarray, kinds: tuple[bool, ...]
) -> tuple[np.ndarray, list[list[Box]]]:
    """Stacks (n, 4, S, S), newest first, of a block's patches, and the boxes in each, in its coordinates."""
    newest, size = plan.spec.history - 1, plan.size
    tiles = _tiles(block, size)
    background = scene.radiance(newest, block)
    spots = [
        _spots(plan, scene, tile, background[_within(tile, block)], kind)
        for tile, kind in zip(tiles, kinds, strict=True)
    ]
    stacks = np.empty((len(tiles), STACK, size, size), np.uint8 if plan.options.bits == 8 else np.uint16)
    for k in range(STACK):
        frame = newest - k * plan.spec.frame_step
        dy, dx = whole[k - 1].tolist() if k else (0, 0)
        moved = block.moved(-dy, -dx)
        radiance = scene.radiance(frame, moved) if k else background
        for tile, of_tile in zip(tiles, spots, strict=True):
            for spot in of_tile:
                draw(radiance[_within(tile, block)], spot, frame, tile.moved(-dy, -dx))
        counts = scene.sensor.expose(radiance, frame, moved)
        for stack, tile in zip(stacks, tiles, strict=True):
            stack[k] = counts[_within(tile, block)]
    sensor_boxes = scene.sensor.boxes(newest)
    return stacks, [
        _inside(tile, [spot.box(newest) for spot in of_tile] + sensor_boxes)
        for tile, of_tile in zip(tiles, spots, strict=True)
    ]


def _within(tile: Window, block: Window) -> tuple[slice, slice]:
    return tile.moved(-block.top, -block.left).slices


def _inside(tile: Window, boxes: list[Box]) -> list[Box]:
    """Those whose centre lies in a patch, in its coordinates."""
    moved = (dataclasses.replace(b, x=b.x - tile.left, y=b.y - tile.top) for b in boxes)
    return [b for b in moved if 0 <= b.x < tile.width and 0 <= b.y < tile.height]


def _spots(plan: Plan, scene: Scene, tile: Window, background: np.ndarray, with_target: bool) -> list[Spot]:
    """What is in a patch on the newest frame: one target or two where there should be any, and now and then a look-alike. background: its
    radiance (S, S)."""
    options, newest = plan.options, plan.spec.history - 1

    def somewhere(rng: np.random.Generator) -> np.ndarray:
        return np.array(tile[:2]) + rng.uniform(MARGIN, plan.size - MARGIN, 2)

    spots, rng = [], scene.for_targets
    if with_target:
        for _ in range(1 + (options.targets > 1 and rng.uniform() < SECOND)):
            spots.append(target(options, scene.sky, scene.shifts, newest, somewhere(rng), rng))
    rng = scene.for_others
    if options.knots and rng.uniform() < LOOK_ALIKE:
        spots.append(knot(options, scene.sky, scene.shifts, newest, somewhere(rng), rng))
    if options.scr is None:
        return spots
    look = scene.look_at(background, newest, tile)
    return [dataclasses.replace(s, peak=peak_for_scr(s, scr_of(s, options), [look], scene.for_contrast)) for s in spots]


def _noise_scales(plan: Plan, stacks: np.ndarray, shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sigma of the differences (3,) and of the high-passed frames (4,), counts, over all these stacks together."""
    difference, sequence = (dataclasses.replace(plan.spec, kind=kind) for kind in ("difference", "sequence"))
    frames = np.concatenate([planes(stack, sequence, shifts) for stack in stacks], axis=1)
    return noise_scale(frames[:1] - frames[1:], difference), noise_scale(frames, sequence)


def _box_rows(boxes: dict[int, list[Box]]) -> np.ndarray:
    rows = np.zeros(sum(map(len, boxes.values())), BOXES)
    flat = ((patch, box) for patch, there in boxes.items() for box in there)
    for row, (patch, box) in zip(rows, flat, strict=True):
        row["patch"], row["x"], row["y"], row["w"], row["h"] = patch, box.x, box.y, box.w, box.h
        row["label"], row["box"] = LABELS.index(box.label), NO_BOX
    return rows


def _write_whole_frames(path: Path, options: SynthOptions, spec: InputSpec) -> None:
    """A data set of a few sequences for training statistics and for validation, of other seeds than the patches."""
    options = dataclasses.replace(options, frames=spec.history - 1 + WHOLE_FRAMES, shutter=0.0, label_errors=0.0)
    with Dataset.create(path) as data:
        for index, split in enumerate(["train"] * WHOLE_TRAIN + ["val"] * WHOLE_VAL):
            made = generate(options, 1_000_000 + index)
            name = f"whole-{options.seed}-{split}-{index}"
            data.add_sequence(
                name,
                (Frame(t, t * options.interval, f) for t, f in enumerate(made.frames)),
                made.boxes,
                split=split,
                group=name,
                source="irdim-train synth",
                who="irdim-train synth",
                why="whole frames beside generated patches",
                interval=options.interval,
            )
