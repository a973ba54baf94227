"""Small real data that more than one test file uses: rendered sequences, a data set of them, a run and a bundle trained on it."""

from pathlib import Path

import pytest
from rendered import make_data

from irdim.dataset import Dataset


@pytest.fixture(scope="module")
def browser():
    """Chromium; for test files that are marked browsing.needs_chromium."""
    from browsing import CHROMIUM, sync_api

    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


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
    from irdim_export.export import ExportOptions, export

    out = small_run.parent / "bundle"
    export(small_run, out, ExportOptions(calibration=64))
    return out
