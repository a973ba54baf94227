"""Small real data that more than one test file uses: rendered sequences, a data set of them, a run and a bundle trained on it."""

from pathlib import Path

import numpy as np
import pytest

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


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set to read from; tests that write make their own with make_data."""
    return make_data(tmp_path_factory.mktemp("small") / "data")


@pytest.fixture(scope="session")
def small_patches(small_data: Path) -> Path:
    """Patches of 32 px from small_data."""
    from irdim_train.crop import crop

    out = small_data.parent / "patches"
    with Dataset.open(small_data) as data:
        crop(data, out, size=32, frame_step=2, register=False)
    return out


@pytest.fixture(scope="session")
def small_run(small_patches: Path) -> Path:
    """A narrow network, trained for a few seconds; good enough to find the targets of small_data."""

    from irdim.patches import Patches
    from irdim_train.fit import fit
    from irdim_train.runs import FitConfig

    out = small_patches.parent / "run"
    fit(Patches.open(small_patches), out, FitConfig(width=0.25, epochs=12, batch=16))
    return out


@pytest.fixture(scope="session")
def small_bundle(small_run: Path) -> Path:
    """small_run, exported to INT8."""
    from irdim_export.export import export

    out = small_run.parent / "bundle"
    export(small_run, out, count=64)
    return out
