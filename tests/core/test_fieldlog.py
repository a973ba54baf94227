import io
import json
import zipfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from forging import forge, sample, suspect, tally

from irdim.errors import InputError
from irdim.fieldlog import (
    kind_in,
    pack_log,
    read_any,
    read_description,
    read_log,
    read_tally,
    write_log,
    write_tally,
)
from irdim.signing import Signer, generate_key

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_log(tmp_path, suspect())


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    generate_key(tmp_path / "device.key")
    return Signer.load(tmp_path / "device.key")


def noise(dtype: type, *, drift: int = 0) -> np.ndarray:
    """Frames of one texture with noise; with `drift` it moves so that differences along rows are the smaller ones."""
    rng = np.random.default_rng(3)
    step = 1 if drift else 12
    texture = np.cumsum(rng.normal(0, step, (40, 200)), axis=1) + 120
    frames = np.stack([texture[:, drift * t : drift * t + 50] for t in range(6)]) + rng.normal(0, 1, (6, 40, 50))
    return np.clip(np.rint(frames), 0, np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", ["still", "moving", "noise", "extremes", "one frame", "one column"])
def test_frames_come_back_bit_for_bit(tmp_path, dtype, kind):
    rng, top = np.random.default_rng(5), np.iinfo(dtype).max
    frames = {
        "still": noise(dtype),
        "moving": noise(dtype, drift=20),
        "noise": rng.integers(0, top, (6, 40, 50), dtype, endpoint=True),
        "extremes": rng.choice(np.array([0, top], dtype), (6, 40, 50)),
        "one frame": noise(dtype)[:1],
        "one column": noise(dtype)[:, :, :1],
    }[kind]
    given = suspect(
        frames=frames,
        indices=list(range(103, 103 + len(frames))),
        times=[i / 25 for i in range(len(frames))],
        origin=(20, 70),
    )
    read = read_log(write_log(tmp_path, given))
    assert read.frames.dtype == dtype
    assert np.array_equal(read.frames, frames)


def test_both_ways_of_coding_are_used(tmp_path):
    for drift, axis in ((0, 0), (20, 2)):
        frames = noise(np.uint16, drift=drift)
        path = write_log(tmp_path, suspect(frames=frames))
        assert read_description(path)["frames"]["delta"] == axis
        plain = io.BytesIO()
        with zipfile.ZipFile(plain, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("frames.npy", frames.tobytes())
        with zipfile.ZipFile(path) as file:
            assert file.getinfo("frames.npy").compress_size < 0.8 * len(plain.getvalue())


def test_what_goes_in_comes_out(tmp_path):
    whole = noise(np.uint16)[0].repeat(4, 0).repeat(4, 1)[:128, :160]
    state = {"gain": "high", "temperature": 31.5, "shutter": False, "window": None}
    given = suspect(whole_frame=whole, camera_state=state)
    read = read_log(write_log(tmp_path, given))
    assert np.array_equal(read.whole_frame, whole)
    assert (read.kind, read.score, read.index, read.place) == ("missed", 0.6, 3, (20.5, 25.0, 3.0, 3.0))
    d = read.description
    assert (d["device"], d["camera_state"], d["sample_probability"]) == ("mast-3", state, None)
    assert (d["detections"], d["track"]) == (given.detections, given.track)
    assert read.digest.startswith(read.path.name[-22:-6])


def test_a_sample_says_with_which_probability_it_was_taken(tmp_path):
    assert read_log(write_log(tmp_path, sample())).description["sample_probability"] == 0.01
    for change in ({"sample_probability": 0.0}, {"sample_probability": 1.5}, {"sample_probability": None}):
        with pytest.raises(InputError, match="sample_probability"):
            write_log(tmp_path, suspect(**{**vars(sample()), **change}))
    with pytest.raises(InputError, match="sample_probability"):
        write_log(tmp_path, suspect(sample_probability=0.5))


def test_the_name_holds_utc_time_kind_and_digest_and_equal_suspects_are_one_file(log):
    assert log.name.startswith("20260304T050607089Z-missed-")
    assert kind_in(log.name) == "missed"
    east = datetime(2026, 3, 4, 7, 6, 7, 89000, tzinfo=timezone(timedelta(hours=2)))
    assert write_log(log.parent, suspect(at=east)) == log
    assert [p.name for p in log.parent.iterdir()] == [log.name]


def test_a_tally_comes_back_as_it_was(tmp_path, signer):
    given = tally()
    path = write_tally(tmp_path, given, signer)
    assert path.name.startswith("20260304T060000000Z-tally-")
    assert (read_tally(path).tally, read_tally(path).device_key) == (given, signer.device_key)
    assert read_any(path).kind == "tally"
    assert read_any(write_log(tmp_path, suspect())).kind == "missed"
    assert read_description(path)["frames"] == 90_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": -1}, "negative"),
        ({"frames": 3.5}, "whole number"),
        ({"warming": {"gap": 90_001}}, "more frames warming"),
        ({"end": datetime(2026, 3, 4, tzinfo=timezone.utc)}, "before it begins"),
        ({"suspects": {"missed": {"logged": "many"}}}, "whole number"),
        ({"suspects": {"../x": {}}}, "by kind"),
        ({"inputs": {"level": {"edges": [1, 1], "counts": [0]}}}, "must rise"),
        ({"inputs": {"level": {"edges": [0, 1], "counts": [0, 1]}}}, "one edge more"),
        ({"inputs": {"level": {"edges": [0, float("inf")], "counts": [0]}}}, "must rise"),
        ({"begin": datetime(2026, 3, 4)}, "time zone"),
    ],
)
def test_a_tally_that_no_reader_would_take_is_not_written(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        write_tally(tmp_path, tally(**change))
    assert list(tmp_path.iterdir()) == []


def test_a_log_can_be_read_without_irdim_as_the_documentation_says(tmp_path, monkeypatch):
    """The lines are those of docs/formats.md: they are run from there."""
    text = (DOCS / "formats.md").read_text()
    code = text.split("<!-- plain python -->\n```python\n")[1].split("```")[0]
    assert "irdim" not in code
    for drift, dtype in ((0, np.uint16), (20, np.uint16), (0, np.uint8)):
        frames = noise(dtype, drift=drift)
        path = write_log(tmp_path, suspect(frames=frames))
        names: dict = {"path": str(path)}
        exec(code, names)
        assert np.array_equal(names["frames"], frames)
        assert names["frames"].dtype == frames.dtype


def test_a_log_of_version_1_is_still_read(tmp_path):
    path = write_log(tmp_path, suspect())
    plain = io.BytesIO()
    np.save(plain, suspect().frames)

    def change(d: dict) -> None:
        d["version"] = 1
        for name in ("device_key", "whole_frame", "sample_probability", "camera_state"):
            del d[name]
        del d["frames"]["delta"]

    old = forge(path, change, members={"frames.npy": plain.getvalue()})
    assert np.array_equal(read_log(old).frames, suspect().frames)


def test_a_suspect_that_no_reader_would_take_is_not_written(tmp_path):
    for change, message in (
        ({"indices": [100, 101]}, "rising index"),
        ({"frames": np.zeros((6, 40, 50), np.float32)}, "uint8 and uint16"),
        ({"camera_state": {"lens": object()}}, "camera_state"),
        ({"whole_frame": np.zeros((5, 5), np.uint16)}, "whole frame is not of the sensor"),
        ({"at": datetime(2026, 3, 4)}, "time zone"),
    ):
        with pytest.raises(InputError, match=message):
            write_log(tmp_path, suspect(**change))
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_follows_the_schema_and_what_does_not_is_seen(tmp_path, signer):
    schema = json.loads((DOCS / "fieldlog.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    whole = noise(np.uint16)[0].repeat(4, 0).repeat(4, 1)[:128, :160]
    written = [
        write_log(tmp_path, suspect()),
        write_log(tmp_path, suspect(track=None, whole_frame=whole, camera_state={"gain": 2}), signer),
        write_log(tmp_path, sample(), signer),
        write_tally(tmp_path, tally(), signer),
    ]
    for path in written:
        validator.validate(read_description(path))
    good = read_description(written[1])
    for wrong in (
        {**good, "version": 3},
        {**good, "device_key": "x"},
        {**good, "frames": {**good["frames"], "shape": [1, 2]}},
        {**good, "verdict": {**good["verdict"], "kind": "seen"}},
        {**good, "sample_probability": 2},
        {**read_description(written[3]), "warming": {"gap": -1}},
    ):
        assert not validator.is_valid(wrong)


def test_equal_logs_are_equal_bytes_signed_or_not(signer):
    assert pack_log(suspect()) == pack_log(suspect())
    assert pack_log(suspect(), signer) == pack_log(suspect(), signer)
    assert pack_log(suspect(), signer) != pack_log(suspect())
