"""irdim-edge keygen and irdim-edge logs, as somebody beside the camera uses them."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from logs import suspect

from irdim.fieldlog import read_log, write_log
from irdim.signing import Signer

RUN = """
import typer
from irdim.command_line import run_command
from irdim_edge import keys, logs
app = typer.Typer()
app.command()(keys.keygen)
app.add_typer(logs.app, name="logs")
run_command(app)
"""


def edge(*options: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", RUN, *map(str, options)], capture_output=True, text=True, timeout=60)


@pytest.fixture
def made(tmp_path):
    """A key, a signed log and an unsigned one."""
    key = json.loads(edge("keygen", tmp_path / "device.key", "--json").stdout)["key"]
    signer = Signer.load(tmp_path / "device.key")
    assert signer.device_key == key
    return key, write_log(tmp_path / "spool", suspect(1), signer), write_log(tmp_path / "spool", suspect(2))


def test_a_key_is_made_once(tmp_path, made):
    key, _, _ = made
    assert (tmp_path / "device.key.pub").read_text() == f"{key}\n"
    again = edge("keygen", tmp_path / "device.key")
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert Signer.load(tmp_path / "device.key").device_key == key


def test_logs_are_listed_with_who_signed_them(tmp_path, made):
    key, signed, unsigned = made
    listed = json.loads(edge("logs", "list", tmp_path / "spool", "--json").stdout)["logs"]
    assert {one["path"]: one["device_key"] for one in listed} == {str(signed): key, str(unsigned): None}
    shown = edge("logs", "list", tmp_path / "spool").stdout
    assert key[:8] in shown
    assert "unsigned" in shown


def test_verify_refuses_what_is_damaged_or_signed_by_nobody_who_was_named(tmp_path, made):
    key, signed, unsigned = made
    assert edge("logs", "verify", tmp_path / "spool").returncode == 0
    for name in (key, tmp_path / "device.key.pub"):
        assert edge("logs", "verify", signed, "--key", name).returncode == 0
        refused = edge("logs", "verify", tmp_path / "spool", "--key", name)
        assert refused.returncode == 2
        assert f"{unsigned}: not signed" in refused.stderr
    assert "private key, which stays" in edge("logs", "verify", signed, "--key", tmp_path / "device.key").stderr
    signed.write_bytes(signed.read_bytes()[:-1])
    assert "truncated or changed" in edge("logs", "verify", signed).stderr


def test_extract_writes_frames_that_are_bit_for_bit_those_of_the_log(tmp_path, made):
    _, signed, _ = made
    assert edge("logs", "extract", signed, tmp_path / "out", "--png").returncode == 0
    folder, log = tmp_path / "out" / signed.stem, read_log(signed)
    assert np.array_equal(np.load(folder / "frames.npy"), log.frames)
    assert json.loads((folder / "log.json").read_text()) == log.description
    pngs = [cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in sorted((folder / "png").iterdir())]
    assert np.array_equal(np.stack(pngs), log.frames)


def test_a_folder_without_logs_says_so(tmp_path):
    refused = edge("logs", "list", tmp_path)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "no field log" in refused.stderr
