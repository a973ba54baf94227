"""Known devices, and data sets of before there were any."""

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from field import field_log, make_signer

from irdim.dataset import Dataset, schema
from irdim.errors import InputError

KEY, OTHER = "ab" * 32, "cd" * 32
RUN = (
    "from irdim.command_line import run_command; from irdim_train.commands.devices import command; run_command(command)"
)


@pytest.fixture
def data(tmp_path: Path):
    with Dataset.create(tmp_path / "data") as opened:
        yield opened


def devices(*options: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", RUN, *map(str, options)], capture_output=True, text=True, timeout=60)


def test_a_device_is_known_by_its_key_until_it_is_removed(data):
    assert not data.takes_known_devices_only()
    assert data.add_device("mast-3", KEY, who="anna")
    assert not data.add_device("mast-3", KEY, who="anna")
    assert [(d.name, d.key, d.who) for d in data.devices()] == [("mast-3", KEY, "anna")]
    data.remove_device("mast-3", who="anna")
    assert data.devices() == []
    assert data.takes_known_devices_only()  # removing the last one opens nothing
    assert data.add_device("mast-3", OTHER, who="anna")


@pytest.mark.parametrize(
    ("name", "key", "message"),
    [
        ("mast-3", OTHER, "known with another key"),
        ("mast-4", KEY, "known as mast-3 already"),
        ("mast-4", "ab", "not a public key"),
        ("mast-4", KEY.upper(), "not a public key"),
        ("../x", OTHER, "device name"),
        ("", OTHER, "device name"),
        ("a b", OTHER, "device name"),
    ],
)
def test_what_would_confuse_devices_is_refused(data, name, key, message):
    data.add_device("mast-3", KEY, who="anna")
    with pytest.raises(InputError, match=message):
        data.add_device(name, key, who="anna")
    assert len(data.devices()) == 1


def test_an_unknown_name_cannot_be_removed(data):
    with pytest.raises(InputError, match="no device 'mast-9'"):
        data.remove_device("mast-9", who="anna")


def test_the_command_adds_lists_and_removes(tmp_path):
    Dataset.create(tmp_path / "data").close()
    signer, where = make_signer(tmp_path), ("--data", tmp_path / "data")
    (tmp_path / "device.key.pub").write_text(f"{signer.device_key}\n")
    assert json.loads(devices("list", *where, "--json").stdout) == []
    added = json.loads(devices("add", "mast-3", tmp_path / "device.key.pub", *where, "--json").stdout)
    assert added == {"name": "mast-3", "key": signer.device_key, "new": True}
    assert signer.device_key in devices("list", *where).stdout
    refused = devices("add", "mast-4", tmp_path / "device.key", *where)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "private key, which stays" in refused.stderr
    assert devices("add", "mast-4", "nowhere", *where).returncode == 2
    assert devices("remove", "mast-3", *where).returncode == 0
    assert json.loads(devices("list", *where, "--json").stdout) == []


def old_data_set(folder: Path, log: Path) -> None:
    """A data set of version 1 that has taken in one log, as that version wrote it."""
    (folder / "frames").mkdir(parents=True)
    connection = sqlite3.connect(folder / schema.FILE)
    connection.executescript(schema._FIRST)
    digest = log.name[-22:-6]
    connection.execute("INSERT INTO meta VALUES ('format', 'irdim-dataset'), ('version', '1')")
    connection.executemany("INSERT INTO iterations VALUES (?, 'x', 'x')", [(0,), (1,)])
    row = (f"log-{digest}", "train", "g", 1, 2, 2, "uint8", None, b"", log.name, "d", 1, "w", "w", "a")
    connection.execute(f"INSERT INTO sequences VALUES (1, {', '.join('?' * 15)})", row)
    connection.execute("INSERT INTO logs VALUES (?, ?, '{}', 'then')", (digest, log.name))
    connection.execute(f"PRAGMA application_id = {schema._OURS}")
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()


def test_an_older_data_set_is_brought_up_in_place_and_keeps_what_it_took(tmp_path):
    log = field_log(tmp_path / "depot", 1, kind="false_alarm")
    old_data_set(tmp_path / "data", log)
    for _ in range(2):
        with Dataset.open(tmp_path / "data") as data:
            assert data.ingested(log.name[-22:-6])
            (there,) = data.logs()
            assert (there.name, there.kind, there.iteration, there.manifest) == (log.name, "false_alarm", 1, None)
            data.add_device("mast-3", KEY, who="anna")
    connection = sqlite3.connect(tmp_path / "data" / schema.FILE)
    assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    assert connection.execute("SELECT value FROM meta WHERE key = 'version'").fetchone() == (str(schema.VERSION),)


def test_a_step_up_that_fails_leaves_the_data_set_as_it_was(tmp_path, monkeypatch):
    old_data_set(tmp_path / "data", field_log(tmp_path / "depot", 1))
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    monkeypatch.setattr(schema, "_VERSIONS", (schema._FIRST, schema._SECOND + "CREATE TABLE meta (x);\n"))
    with pytest.raises(InputError, match="cannot be brought up to version"):
        Dataset.open(tmp_path / "data")
    monkeypatch.undo()
    dumps = []
    for name in ("data", "copy"):
        connection = sqlite3.connect(tmp_path / name / schema.FILE)
        dumps.append(list(connection.iterdump()))
        connection.close()
    assert dumps[0] == dumps[1]
    Dataset.open(tmp_path / "data").close()
