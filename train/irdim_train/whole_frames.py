"""Whole frames as training batches: what a network that learnt on patches goes on with.

A patch of 80 px is hardly larger than what one cell sees, so most cells of a patch see its border too, which few cells of a frame do.
"""

import hashlib
from collections.abc import Container, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from irdim.boxes import LABELS
from irdim.dataset import Dataset, Sequence
from irdim.differencing import (
    NO_SHIFT,
    STACK,
    InputSpec,
    move_whole,
    noise_scale,
    planes,
    whole_pixels,
)
from irdim.errors import InputError
from irdim.history import with_full_history
from irdim.native.input import native, padded_input
from irdim.patches import BOXES
from irdim.registration import estimate_shift, stack_shifts, texture
from irdim.registration.kernels import the_kernels
from irdim.sources.stack import map_stack
from irdim_train.augmentation import turn_boxes, turn_image
from irdim_train.batches import WHOLE, Batch, BatchReader, Share, in_order, maps_to
from irdim_train.devices import worker_threads
from irdim_train.inputs import network_input
from irdim_train.targets import target_maps

MAPPED = 64  # sequences whose frames are mapped at a time: each holds a file handle
TURNS = 4  # mirrorings alone. Quarter turns and added noise, as patches have them, cost a quarter-width network three points of F1


class WholeFrameReader:
    """Reads whole frames of training sequences; a batch holds frames of one shape. The same interface as BatchReader.

    frames_digest: hex SHA-256 of what is read, frames and labels.
    """

    def __init__(
        self,
        data: Path,
        spec: InputSpec,
        stride: int,
        device: torch.device,
        pixels: int,
        sequences: Container[int] | None = None,
    ) -> None:
        """pixels: about as many a batch holds; sequences: ids of those that may be read, None for all. Raises InputError where no training frame has full
        history."""
        self.spec, self.stride, self.device = spec, stride, device
        self._moments: dict[tuple[int, int], list[tuple[int, int]]] = {}  # (H, W): (sequence, frame) with full history
        self._files: list[Path] = []
        self._names: list[str] = []
        self._frames = lru_cache(MAPPED)(map_stack)
        self._order = lru_cache(1)(self._drawn)  # of 100,000 frames it takes longer than a step
        self._boxes: list[np.ndarray] = []
        self._scales: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}  # shifts and sigmas, found once a frame
        with Dataset.open(data) as dataset:
            read = hashlib.sha256()
            train = [s for s in dataset.sequences("train") if sequences is None or s.id in sequences]
            for number, sequence in enumerate(train):
                dataset.frames(sequence)  # is it there, and what was imported?
                self._files.append(dataset.frames_file(sequence))
                self._names.append(sequence.name)
                rows = _box_rows(dataset, sequence)
                self._boxes.append(rows)
                judged = with_full_history(dataset.times(sequence), spec, sequence.interval)
                read.update(sequence.digest.encode())
                for part in (judged, *(rows[field] for field in ("patch", "x", "y", "w", "h", "label"))):
                    read.update(np.ascontiguousarray(part).tobytes())
                full = [(number, int(f)) for f in np.flatnonzero(judged)]
                self._moments.setdefault((sequence.height, sequence.width), []).extend(full)
        self.frames_digest = read.hexdigest()
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
            turn = int(np.random.default_rng([seed, step, 1]).integers(TURNS)) if augment else 0
            return self.read(moments, turn)

        return in_order(prepare, start, stop, self.device)

    def read(self, moments: list[tuple[int, int]], turn: int = 0) -> Batch:
        """The frames `moments`, (sequence, frame) of one shape; turn: below TURNS, as of turn_image."""
        boxes = []
        for i, moment in enumerate(moments):
            of_sequence = self._boxes[moment[0]]
            here = of_sequence[of_sequence["patch"] == moment[1]].copy()
            here["patch"] = i
            boxes.append(here)
        image = self._images(moments)
        height, width = image.shape[-2:]
        rows = np.concatenate(boxes)
        for bit, size in ((1, width), (2, height)):
            rows = turn_boxes(rows, turn & bit, size)
        image = _pad(turn_image(image, turn), self.stride)
        targets = target_maps(rows, len(moments), (image.shape[-2], image.shape[-1]), self.stride)
        image = image.contiguous(memory_format=torch.channels_last)
        names = [f"frame {frame} of {self._names[number]}" for number, frame in moments]
        return Batch(image, maps_to(targets, self.device), np.array([frame for _, frame in moments]), names)

    def _drawn(self, seed: int, epoch: int) -> list[list[tuple[int, int]]]:
        rng = np.random.default_rng([seed, epoch])
        batches = []
        for shape, moments in self._moments.items():
            mixed = [moments[i] for i in rng.permutation(len(moments))]
            n = self._a_batch[shape]
            batches += [mixed[i : i + n] for i in range(0, len(mixed), n)]
        return [batches[i] for i in rng.permutation(len(batches))]

    def _images(self, moments: list[tuple[int, int]]) -> Tensor:
        """(N, C, H, W), what the network reads, on the device."""
        if self.device.type == "cpu":
            native()  # compiled before several threads ask for it
            the_kernels()

            def image(moment: tuple[int, int]) -> Tensor:
                stack = self._stack(moment)
                shifts, sigma = self._scale(moment, stack)
                return torch.from_numpy(padded_input(stack, self.spec, shifts, stride=1, sigma=sigma))

            return torch.stack(list(worker_threads(torch.get_num_threads()).map(image, moments)))
        placed = zip(*map(self._placed, moments), strict=True)
        counts, part, sigma = (torch.from_numpy(np.stack(a)).to(self.device) for a in placed)
        return network_input(counts, self.spec, part, sigma)

    def _stack(self, moment: tuple[int, int]) -> np.ndarray:
        """(4, H, W) as recorded, newest first."""
        frames = self._frames(self._files[moment[0]])
        return np.stack([frames[moment[1] - k * self.spec.frame_step] for k in range(STACK)])

    def _scale(self, moment: tuple[int, int], stack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(3, 2) shifts and (C,) sigmas of its stack, found once."""
        if moment not in self._scales:
            register = self.spec.register
            shifts = (
                stack_shifts([texture(frame) for frame in stack], estimate_shift, estimate_shift)
                if register
                else NO_SHIFT
            )
            self._scales[moment] = shifts, noise_scale(planes(stack, self.spec, shifts), self.spec)
        return self._scales[moment]

    def _placed(self, moment: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(4, H, W) float32 counts, moved by whole pixels; (3, 2) what is left of the shifts; (C,) sigmas in counts."""
        stack = self._stack(moment)
        shifts, sigma = self._scale(moment, stack)
        newest = stack[0].astype(np.float32)
        moved = [newest] + [
            move_whole(older.astype(np.float32), whole_pixels(dy), whole_pixels(dx), newest)
            for older, (dy, dx) in zip(stack[1:], shifts, strict=True)
        ]
        return np.stack(moved), shifts - np.rint(shifts), sigma


class PatchesThenFrames:
    """Patches first, then whole frames. The same interface as BatchReader."""

    def __init__(self, patches: BatchReader, frames: WholeFrameReader, share: float) -> None:
        """share: of the steps, the last ones, that read whole frames."""
        self._patches, self._frames, self._share = patches, frames, share
        self.frames_digest = frames.frames_digest

    @property
    def an_epoch(self) -> int:
        """Batches an epoch over the patches."""
        return self._patches.an_epoch

    def steps(self, seed: int, start: int, stop: int, augment: bool, share: Share = WHOLE) -> Iterator[Batch]:
        """As BatchReader.steps; stop: the end of the training, or of the steps that are timed for a budget, from which the share is counted."""
        switch = max(start, stop - round(self._share * stop))
        yield from self._patches.steps(seed, start, switch, augment, share)
        yield from self._frames.steps(seed, switch, stop, augment, share)


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
