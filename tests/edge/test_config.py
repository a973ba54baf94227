from pathlib import Path

import pytest

from irdim.errors import InputError
from irdim_edge.config import Config, commented_config, load_config


def written(folder: Path, text: str) -> Path:
    path = folder / "edge.toml"
    path.write_text(text)
    return path


def test_the_printed_default_is_the_default(tmp_path):
    config = load_config(written(tmp_path, commented_config()))
    assert config.tracker == Config().tracker
    assert config.suspects == Config().suspects


def test_every_key_is_explained():
    lines = commented_config().splitlines()
    keys = [i for i, line in enumerate(lines) if " = " in line and not line.startswith("#")]
    assert len(keys) > 25
    assert all(lines[i - 1].startswith("# ") for i in keys)


def test_options_fill_in_their_keys(tmp_path):
    text = commented_config({"bundle": "b", "camera.paths": ["x y", 'q"u'], "upload.url": "sftp://me@host/logs"})
    config = load_config(written(tmp_path, text))
    assert config.bundle_path == tmp_path / "b"
    assert config.camera.paths == [str(tmp_path / "x y"), str(tmp_path / 'q"u')]
    assert config.upload.url == "sftp://me@host/logs"


def test_paths_count_from_the_file(tmp_path):
    config = load_config(written(tmp_path, 'out = "o"\n[upload]\nurl = "depot"\n'))
    assert config.out_path == tmp_path / "o"
    assert config.spool_path == tmp_path / "o" / "spool"
    assert config.upload.url == str(tmp_path / "depot")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[camera]\npath = 'x'", "unknown key 'camera.path'"),
        ("bundel = 'x'", "unknown key 'bundel'"),
        ("precision = 'int4'", "precision: "),
        ("[spool]\nmax_mb = -1", "spool.max_mb: "),
        ("[suspects]\nafter = 9", "more than tracker.lag 5"),
        ("[tracker]\nconfirm_hits = 9", "more than tracker.confirm_window"),
        ("[camera]\nname = 'a/b'", "camera.name: "),
        ("[camera]\npaths = []", "camera.paths: "),
        ("x = [", "not readable TOML"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(tmp_path, text, message):
    with pytest.raises(InputError, match=r"edge\.toml: ") as caught:
        load_config(written(tmp_path, text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match="irdim-edge config prints one"):
        load_config(tmp_path / "none.toml")
