"""Who is written down where the system knows no login name, as in a container without a passwd entry."""

import os
from pathlib import Path

import pytest
from field import make_signer
from rendered import make_data
from samples import import_, mot
from typer.testing import CliRunner

from irdim.dataset import Dataset
from irdim.errors import InputError
from irdim_train.cli import app


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # tmp_path: pytest asks for the user itself
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)


def test_commands_that_record_a_person_ask_for_a_name_and_take_it(tmp_path: Path) -> None:
    data, key = str(make_data(tmp_path / "data", 1)), make_signer(tmp_path).device_key
    for words in (
        ["devices", "add", "mast-3", key, "--data", data],
        ["devices", "remove", "mast-3", "--data", data],
        ["label", data, "--sequence", "seq0", "--mark", "0,60,60", "--mark", "1,60,60"],
        ["review", data, "--list"],
    ):
        refused = CliRunner().invoke(app, words)
        assert isinstance(refused.exception, InputError), words
        assert str(refused.exception) == "your login name is not known here; say who you are with --by NAME"
        assert CliRunner().invoke(app, [*words, "--by", "anna"]).exit_code == 0, words
        if words[1] == "add":
            with Dataset.open(Path(data)) as opened:
                assert [device.who for device in opened.devices()] == ["anna"]


def test_an_import_goes_on_without_a_name(tmp_path: Path) -> None:
    root = mot(tmp_path / "MOT", "1,1,5,7,2,3,1,-1\n")
    import_(root)
    with Dataset.open(tmp_path / "MOT.data") as data:
        assert data._store.rows("SELECT DISTINCT who FROM boxes") == [("unknown",)]
