"""Batches of patches in a seeded order that any step can be re-entered at."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from irdim.differencing import InputSpec, difference_planes
from irdim.patches import Patches
from irdim_train.augmentation import Camera, lay_over, turn_boxes
from irdim_train.inputs import compress
from irdim_train.patch_images import native_patches, native_step, torch_patches
from irdim_train.targets import TargetMaps, target_maps


@dataclass(frozen=True)
class Batch:
    """image: (N, C, S, S) float32, channels last; targets: its maps; rows: indices in the patch file, or frames; names: of whole frames, for messages."""

    image: Tensor
    targets: TargetMaps
    rows: np.ndarray
    names: Sequence[str] = ()

    def name(self, i: int) -> str:
        """The i-th, for people."""
        return self.names[i] if self.names else f"patch {self.rows[i]}"


@dataclass(frozen=True)
class Share:
    """Which part of every batch a process takes: each `ranks`-th patch, from the `rank`-th on."""

    rank: int = 0
    ranks: int = 1


WHOLE = Share()


class BatchReader:
    """Reads patches of one split as network input and target maps. One thread at a time: the stacks of a batch are read into one buffer."""

    frames_digest: str | None = None  # it reads no whole frames

    def __init__(
        self,
        patches: Patches,
        spec: InputSpec,
        split: str,
        stride: int,
        device: torch.device,
        batch: int = 64,
        laid_over: float = 0.0,
    ) -> None:
        """laid_over: share of augmented patches that another one is laid over."""
        self.laid_over = laid_over
        self.patches, self.spec, self.stride, self.device, self.batch = patches, spec, stride, device, batch
        self.rows = patches.rows(split)
        self._first = np.searchsorted(patches.boxes["patch"], np.arange(len(patches.table) + 1))
        self._raw = np.empty((0, *patches.stacks.shape[1:]), patches.stacks.dtype)
        self._order = lru_cache(1)(self._drawn)  # of 100,000 patches it takes as long as a step

    def read(self, rows: np.ndarray, augment: np.random.Generator | None = None) -> Batch:
        """The patches `rows`; with a generator, turned and mirrored (all alike), each with noise of its own, a share of them laid over others."""
        rows = np.sort(rows)  # the file is read forwards
        sigma, camera, turn = self.patches.sigma(self.spec, rows), None, 0
        if augment is not None:
            turn = int(augment.integers(8))
            frame_noise = self.patches.table["sigma_difference"][rows].min(1) / np.float32(2**0.5)
            camera = Camera.draw(frame_noise, self.patches.size**2, augment)
            sigma = camera.sigma(sigma, difference_planes(self.spec))
        boxes, laid_over = self._boxes_of(rows), self.laid_over if augment is not None else 0.0
        image = self._image(rows, sigma, camera, turn, compressed=not laid_over)
        if augment is not None and laid_over:
            image, boxes = lay_over(image, boxes, laid_over, augment)
            image = compress(image)
        boxes = turn_boxes(boxes, turn, self.patches.size)
        targets = target_maps(boxes, len(rows), (self.patches.size,) * 2, self.stride)
        return Batch(image.contiguous(memory_format=torch.channels_last), maps_to(targets, self.device), rows)

    def _image(self, rows: np.ndarray, sigma: np.ndarray, camera: Camera | None, turn: int, compressed: bool) -> Tensor:
        """(N, C, S, S) of what the camera sees, turned; in noise sigmas where it is not compressed."""
        stacks, shifts = self.stacks_of(rows), self.patches.table["shift"][rows]
        library = native_step() if self.device.type == "cpu" else None
        if library is not None:
            return native_patches(library, stacks, self.spec, shifts, sigma, camera, turn, compressed)
        on_device = torch.from_numpy(stacks).to(self.device)
        return torch_patches(on_device, self.spec, shifts, sigma, camera, turn, compressed)

    def boxes_of(self, row: int) -> np.ndarray:
        """Rows of BOXES in patch `row`."""
        return self.patches.boxes[self._first[row] : self._first[row + 1]]

    def stacks_of(self, rows: np.ndarray) -> np.ndarray:
        """(n, 4, S, S) counts, good until the next call: fresh memory for each batch takes longer than the reading."""
        if len(rows) > len(self._raw):
            self._raw = np.empty((len(rows), *self._raw.shape[1:]), self._raw.dtype)
        raw = self._raw[: len(rows)]
        self.patches.stacks.read(rows, raw)
        return raw

    def _boxes_of(self, rows: np.ndarray) -> np.ndarray:
        first = self._first[rows]
        counts = self._first[rows + 1] - first
        patch = np.repeat(np.arange(len(rows)), counts)
        begin = np.cumsum(counts) - counts
        boxes = self.patches.boxes[first[patch] + np.arange(len(patch)) - begin[patch]]
        boxes["patch"] = patch
        return boxes

    @property
    def an_epoch(self) -> int:
        """Batches an epoch; what does not fill one waits for the next order."""
        return max(len(self.rows) // self.batch, 1)

    def steps(self, seed: int, start: int, stop: int, augment: bool, share: Share = WHOLE) -> Iterator[Batch]:
        """Batches of steps start..stop - 1. Which patches a step reads, and how they are
        varied, follows from seed, step and this process's share of each batch alone."""

        def prepare(step: int) -> Batch:
            order = self._order(seed, step // self.an_epoch)
            at = (step % self.an_epoch) * self.batch
            mine = order[at : at + self.batch][share.rank :: share.ranks]
            return self.read(mine, np.random.default_rng([seed, step, 1 + share.rank]) if augment else None)

        return in_order(prepare, start, stop, self.device)

    def _drawn(self, seed: int, epoch: int) -> np.ndarray:
        return np.random.default_rng([seed, epoch]).permutation(self.rows)


def in_order(prepare: Callable[[int], Batch], start: int, stop: int, device: torch.device) -> Iterator[Batch]:
    """prepare(start) .. prepare(stop - 1). For a GPU each is prepared while the one before it is used; on a CPU that would only take cores from
    the training, whose threads then wait for one another (a tenth of the steps/s)."""
    if device.type == "cpu":
        yield from map(prepare, range(start, stop))
        return
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(prepare, start) if start < stop else None
        for step in range(start, stop):
            assert coming is not None
            here = coming
            coming = reader.submit(prepare, step + 1) if step + 1 < stop else None
            yield here.result()


def maps_to(targets: TargetMaps, device: torch.device) -> TargetMaps:
    """The same maps on a device."""
    place, classes, found, judged = (
        m.to(device) for m in (targets.place, targets.classes, targets.object, targets.judged)
    )
    return TargetMaps(place, classes, found, judged, targets.spilled, targets.lost)
