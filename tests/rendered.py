"""Rendered sequences with one moving target, and data sets of them."""

from pathlib import Path

import cv2
import numpy as np

from irdim.boxes import Box
from irdim.dataset import Dataset
from irdim.sources import Frame

HEIGHT, WIDTH, LENGTH, NOISE = 96, 120, 40, 12.0


def render_sequence(seed: int, peak: float = 120.0) -> tuple[np.ndarray, dict[int, list[Box]]]:
    """(40, 96, 120) uint16 frames of noise with one moving Gaussian target, `peak` counts high, and its boxes."""
    rng = np.random.default_rng(seed)
    start, speed = rng.uniform((30, 30), (66, 90)), rng.uniform(-0.8, 0.8, 2)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    frames = np.empty((LENGTH, HEIGHT, WIDTH), np.uint16)
    boxes = {}
    for t in range(LENGTH):
        cy, cx = start + speed * t
        target = peak * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 1.3**2))
        frames[t] = np.rint(1000 + target + rng.normal(0, NOISE, (HEIGHT, WIDTH)))
        if 0 < cy < HEIGHT and 0 < cx < WIDTH:
            boxes[t] = [Box(float(cx), float(cy), 5.0, 5.0)]
    return frames, boxes


def make_data(path: Path, sequences: int = 6) -> Path:
    """A data set of rendered sequences: the last is test, the one before it val, the rest train."""
    with Dataset.create(path) as data:
        for i in range(sequences):
            frames, boxes = render_sequence(i)
            split = {sequences - 1: "test", sequences - 2: "val"}.get(i, "train")
            data.add_sequence(
                f"seq{i}",
                [Frame(t, t / 25, f) for t, f in enumerate(frames)],
                boxes,
                split=split,
                group=f"scene{i}",
                source="rendered",
                who="tests",
                interval=1 / 25,
            )
    return path


def drifting_scene(length: int, drift: tuple[float, float] = (0.4, -0.9), texture: float = 4000.0) -> np.ndarray:
    """(length, 100, 120) uint16 frames of a textured scene that drifts by (dy, dx) px a frame, with noise of 8 counts."""
    rng = np.random.default_rng(3)
    scene = cv2.GaussianBlur(rng.normal(0, 1, (180, 200)), (0, 0), 3) * texture + 8000
    moves = [np.float64([[1, 0, -40 + drift[1] * t], [0, 1, -40 + drift[0] * t]]) for t in range(length)]
    views = [cv2.warpAffine(scene, move, (120, 100), flags=cv2.INTER_CUBIC) for move in moves]
    return np.rint(np.array(views) + rng.normal(0, 8, (length, 100, 120))).astype(np.uint16)
