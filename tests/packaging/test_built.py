"""What wheel and sdist hold, and the version that they say; tools/fresh_install.py (make test-install) installs and runs them."""

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import fresh_install
from fresh_install import ROOT, build_both

import irdim

SOURCES = "core", "train", "calibration", "export", "edge"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    return build_both(tmp_path_factory.mktemp("built") / "dist")


def tracked(*folders: str) -> set[str]:
    listed = subprocess.run(["git", "ls-files", "-z", *folders], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()}


@pytest.mark.parametrize(("new", "pins"), [(True, "constraints.txt"), (False, "null")])
def test_a_python_is_given_the_pins_that_it_has_builds_for_whichever_python_asks(tmp_path, monkeypatch, new, pins):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho {new}\n")  # what it says of being 3.11 or later
    python.chmod(0o755)
    given = []
    monkeypatch.setattr(fresh_install, "FOLDER", tmp_path)
    monkeypatch.setattr(fresh_install, "find_python", lambda version: python)
    monkeypatch.setattr(fresh_install, "build_both", lambda folder: [tmp_path / "irdim.whl"])
    monkeypatch.setattr(fresh_install, "install", lambda own, built, pins, extras: given.append(pins.name))
    monkeypatch.setattr(fresh_install, "run", lambda *words: None)
    monkeypatch.setattr(fresh_install, "go_once", lambda programs, work: None)
    fresh_install.fresh_install("3.10")
    assert given == [pins]


@pytest.mark.slow
def test_the_wheel_holds_the_packages_with_all_their_files_and_nothing_else(built):
    names = {n for n in zipfile.ZipFile(built[0]).namelist() if ".dist-info/" not in n}
    assert names >= {n.split("/", 1)[1] for n in tracked(*SOURCES)}
    assert {n.split("/")[0] for n in names} == {
        "irdim",
        "irdim_train",
        "irdim_calibration",
        "irdim_export",
        "irdim_edge",
    }
    assert {
        "irdim_edge/starter/model.int8.onnx",
        "irdim_edge/starter/model.int8.cpu.onnx",
        "irdim/templates/report.html.j2",
        "irdim_train/review_page/static/index.html",
        "irdim_edge/live/static/index.html",
        "irdim/cuda/differencing.cu",
        "irdim_export/py.typed",
    } <= names


@pytest.mark.slow
def test_the_sdist_holds_sources_and_docs_and_no_tests(built):
    with tarfile.open(built[1]) as sdist:
        names = {n.split("/", 1)[1] for n in sdist.getnames() if "/" in n}
    assert names >= tracked(*SOURCES, "docs", "README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml")
    assert {n.split("/")[0] for n in names} == {*SOURCES, "docs", *(n for n in names if "/" not in n)}
    assert not any(n.startswith(("tests", "bench", "demo")) for n in names)


def test_the_version_is_one_everywhere_it_is_shown():
    shown = [
        subprocess.run([Path(sys.executable).with_name(p), "--version"], capture_output=True, text=True).stdout
        for p in ("irdim-train", "irdim-export", "irdim-edge")
    ]
    assert shown == [f"irdim {irdim.__version__}\n"] * 3
    newest = re.search(r"^## (\S+), \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest
    assert newest[1] == irdim.__version__
