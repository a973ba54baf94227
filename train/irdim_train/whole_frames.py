"""Whole frames as training batches: what a network learnt on patches goes on with (`fit --from RUN --size full`)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from irdim.boxes import LABELS
from irdim.dataset import Dataset, Sequence
from irdim.differencing import NO_SHIFT, STACK, InputSpec, move_whole, noise_scale, planes, whole_pixels
from irdim.errors import InputError
from irdim.history import with_full_history
from irdim.patches import BOXES
from irdim.registration import estimate_shift, texture
from irdim_train.augmentation import turn_boxes, turn_image
from irdim_train.batches import WHOLE, Batch, Share, in_order, maps_to
from irdim_train.inputs import network_input
from irdim_train.targets import target_maps

TURNS = (0, 1, 2, 3)  # mirrorings; rows and columns are not swapped, frames are seldom square


class WholeFrameReader:
    """Reads whole frames of the training sequences; a batch holds frames of one shape. The same interface as BatchReader."""

    def __init__(self, data: Path, spec: InputSpec, stride: int, device: torch.device, pixels: int) -> None:
        """pixels: about as many a batch holds. Raises InputError where no training frame has full history."""
        self.spec, self.stride, self.device = spec, stride, device
        self._moments: dict[tuple[int, int], list[tuple[int, int]]] = {}  # (H, W): (sequence, frame) with full history
        self._frames: list[np.ndarray] = []
        self._boxes: list[np.ndarray] = []
        self._scales: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}  # shifts and sigmas, found once a frame
        with Dataset.open(data) as dataset:
            for number, sequence in enumerate(dataset.sequences("train")):
                self._frames.append(dataset.frames(sequence))
                self._boxes.append(_box_rows(dataset, sequence))
                judged = with_full_history(dataset.times(sequence), spec, sequence.interval)
                full = [(number, int(f)) for f in np.flatnonzero(judged)]
                self._moments.setdefault((sequence.height, sequence.width), []).extend(full)
        self._moments = {shape: moments for shape, moments in self._moments.items() if moments}
        if not self._moments:
            raise InputError(f"{data}: no training frame has {spec.history} frames of history")
        self._a_batch = {shape: max(1, round(pixels / (shape[0] * shape[1]))) for shape in self._moments}

    @property
    def an_epoch(self) -> int:
        """Batches an epoch."""
        return sum(-(-len(moments) // self._a_batch[shape]) for shape, moments in self._moments.items())

    def steps(self, seed: int, start: int, stop: int, augment: bool, share: Share = WHOLE) -> Iterator[Batch]:
        """As BatchReader.steps; a share that a small batch leaves empty takes the whole of it."""

        def prepare(step: int) -> Batch:
            moments = self._order(seed, step // self.an_epoch)[step % self.an_epoch]
            moments = moments[share.rank :: share.ranks] or moments
            return self.read(
                moments, int(np.random.default_rng([seed, step, 1]).integers(len(TURNS))) if augment else 0
            )

        return in_order(prepare, start, stop, self.device)

    def read(self, moments: list[tuple[int, int]], turn: int = 0) -> Batch:
        """The frames `moments`, (sequence, frame) of one shape; turn: one of TURNS."""
        stacks, shifts, sigmas, boxes = [], [], [], []
        for i, moment in enumerate(moments):
            stack, part, sigma = self._stack(moment)
            stacks.append(stack)
            shifts.append(part)
            sigmas.append(sigma)
            of_sequence = self._boxes[moment[0]]
            here = of_sequence[of_sequence["patch"] == moment[1]].copy()
            here["patch"] = i
            boxes.append(here)
        image = network_input(
            torch.from_numpy(np.stack(stacks)).to(self.device),
            self.spec,
            torch.from_numpy(np.stack(shifts)).to(self.device),
            torch.from_numpy(np.stack(sigmas)).to(self.device),
        )
        width = image.shape[-1]
        image = turn_image(image, turn)
        rows = turn_boxes(np.concatenate(boxes), turn & 1, width)
        rows = turn_boxes(rows, turn & 2, image.shape[-2])
        image = _pad(image, self.stride)
        targets = target_maps(rows, len(moments), (image.shape[-2], image.shape[-1]), self.stride)
        image = image.contiguous(memory_format=torch.channels_last)
        return Batch(image, maps_to(targets, self.device), np.array([frame for _, frame in moments]))

    def _order(self, seed: int, epoch: int) -> list[list[tuple[int, int]]]:
        rng = np.random.default_rng([seed, epoch])
        batches = []
        for shape, moments in self._moments.items():
            mixed = [moments[i] for i in rng.permutation(len(moments))]
            n = self._a_batch[shape]
            batches += [mixed[i : i + n] for i in range(0, len(mixed), n)]
        return [batches[i] for i in rng.permutation(len(batches))]

    def _stack(self, moment: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(4, H, W) float32 counts, moved by whole pixels; (3, 2) what is left of the shifts; (C,) sigmas in counts."""
        frames = self._frames[moment[0]]
        stack = np.stack([frames[moment[1] - k * self.spec.frame_step] for k in range(STACK)])
        if moment not in self._scales:
            shifts = _shifts(stack) if self.spec.register else NO_SHIFT
            self._scales[moment] = shifts, noise_scale(planes(stack, self.spec, shifts), self.spec)
        shifts, sigma = self._scales[moment]
        newest = stack[0].astype(np.float32)
        moved = [newest] + [
            move_whole(older.astype(np.float32), whole_pixels(dy), whole_pixels(dx), newest)
            for older, (dy, dx) in zip(stack[1:], shifts, strict=True)
        ]
        return np.stack(moved), shifts - np.rint(shifts), sigma


def _shifts(stack: np.ndarray) -> np.ndarray:
    newest = texture(stack[0])
    return np.array([estimate_shift(texture(older), newest) for older in stack[1:]], np.float32)


def _box_rows(data: Dataset, sequence: Sequence) -> np.ndarray:
    """A sequence's boxes as rows of BOXES, `patch` being the frame."""
    found = [(frame, box) for frame, boxes in data.boxes(sequence).items() for box in boxes]
    rows = np.zeros(len(found), BOXES)
    for row, (frame, b) in zip(rows, found, strict=True):
        row["patch"], row["x"], row["y"], row["w"], row["h"] = frame, b.x, b.y, b.w, b.h
        row["label"], row["box"] = LABELS.index(b.label), b.id
    return rows


def _pad(image: Tensor, stride: int) -> Tensor:
    """Zeros to the right and below, to a multiple of the stride, after differencing (as irdim.grid.pad_to_stride)."""
    height, width = image.shape[-2:]
    return F.pad(image, (0, -width % stride, 0, -height % stride))
