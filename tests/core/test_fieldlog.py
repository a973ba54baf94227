import hashlib
import io
import json
import zipfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irdim import fieldlog
from irdim.errors import InputError
from irdim.fieldlog import Suspect, read_description, read_log, write_log


def suspect(seed: int = 0, **change) -> Suspect:
    frames = np.random.default_rng(seed).integers(0, 1 << 14, (6, 40, 50)).astype(np.uint16)
    verdict = {"kind": "missed", "frame": 103, "x": 70.5, "y": 45.0, "w": 3.0, "h": 3.0, "score": 0.6, "track": 7}
    fields = {
        "verdict": {**verdict, "reason": "reported 1 before and 1 after, nothing here"},
        "frames": frames,
        "indices": list(range(100, 106)),
        "times": [i / 25 for i in range(100, 106)],
        "origin": (20, 50),
        "sensor": (128, 160),
        "detections": [{"frame": 102, "x": 69.0, "y": 45.0, "w": 3.0, "h": 3.0, "score": 0.8, "label": "target"}],
        "track": {"id": 7, "status": "confirmed", "points": [[102, 69.0, 45.0, 0.8]]},
        "context": {"device": "mast-3", "camera": "west", "source": "x", "bundle": "ab" * 32, "interval": 0.04},
        "at": datetime(2026, 3, 4, 5, 6, 7, 89000, tzinfo=timezone.utc),
    }
    return Suspect(**{**fields, **change})


def forge(path: Path, change=None, frames: bytes | None = None, extra: dict | None = None, drop: str = "") -> Path:
    """A log like `path` with something changed, under the name that its digest asks for."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    description = json.loads(members["log.json"])
    if change:
        change(description)
    members["log.json"] = json.dumps(description).encode()
    if frames is not None:
        members["frames.npy"] = frames
    members.update(extra or {})
    members.pop(drop, None)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return named(path, packed.getvalue())


def named(path: Path, data: bytes) -> Path:
    out = path.parent / f"{path.name[:-22]}{hashlib.sha256(data).hexdigest()[:16]}.irlog"
    out.write_bytes(data)
    return out


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_log(tmp_path, suspect())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_frames_come_back_bit_for_bit(tmp_path, dtype):
    given = suspect()
    given = suspect(frames=given.frames.astype(dtype))
    read = read_log(write_log(tmp_path, given))
    assert read.frames.dtype == dtype
    assert np.array_equal(read.frames, given.frames)
    assert (read.kind, read.index, read.place) == ("missed", 3, (20.5, 25.0, 3.0, 3.0))
    assert read.description["device"] == "mast-3"
    assert read.digest.startswith(read.path.name[-22:-6])


def test_the_name_holds_utc_time_kind_and_digest_and_equal_suspects_are_one_file(log):
    assert log.name.startswith("20260304T050607089Z-missed-")
    east = datetime(2026, 3, 4, 7, 6, 7, 89000, tzinfo=timezone(timedelta(hours=2)))
    assert write_log(log.parent, suspect(at=east)) == log
    assert [p.name for p in log.parent.iterdir()] == [log.name]


def test_a_log_can_be_read_without_irdim(log):
    with zipfile.ZipFile(log) as file:
        assert json.loads(file.read("log.json"))["format"] == "irdim-field-log"
        assert np.load(file.open("frames.npy"), allow_pickle=False).shape == (6, 40, 50)


def test_the_description_is_read_alone(log):
    assert read_description(log)["verdict"]["frame"] == 103


@pytest.mark.parametrize("keep", [0, 1, 30, 0.5, -1])
def test_a_truncated_log_is_refused(log, keep):
    data = log.read_bytes()
    log.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(InputError, match="truncated or changed"):
        read_log(log)
    for cut in (data[: len(data) // 2], data[:-1], b""):
        with pytest.raises(InputError):
            read_log(named(log, cut))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(version=2), "field log version 2"),
        (lambda d: d.update(format="x"), "not an irdim field log"),
        (lambda d: d.pop("bundle"), "'bundle' is missing"),
        (lambda d: d.update(device="a\nb"), "device must be a text"),
        (lambda d: d.update(time="yesterday"), "incomplete or wrong"),
        (lambda d: d["verdict"].update(x=1e300), "outside the crop"),
        (lambda d: d["verdict"].update(score="high"), "finite numbers"),
        (lambda d: d["verdict"].update(frame=99), "not among the frames"),
        (lambda d: d["verdict"].update(kind="../x"), "verdict kind"),
        (lambda d: d["frames"].update(shape=[6, 40, 51]), r"frames\.npy is uint16"),
        (lambda d: d["frames"].update(shape=[6, 1 << 40, 1 << 40]), "absurd shape"),
        (lambda d: d["frames"].update(shape=[4096, 16384, 16384]), "absurd frames"),
        (lambda d: d["frames"].update(shape=[]), "incomplete or wrong"),
        (lambda d: d["frames"].update(dtype="object"), "absurd frames"),
        (lambda d: d["frames"].update(sha256="0" * 64), "digest of its frames"),
        (lambda d: d["frames"].update(origin=[100, 50]), "outside the sensor"),
        (lambda d: d["frames"].update(indices=[1, 1, 2, 3, 4, 103]), "rising index"),
        (lambda d: d["frames"].update(times=[0] * 5 + [float("nan")]), "NaN is not allowed"),
        (lambda d: d.update(verdict=[]), "incomplete or wrong"),
    ],
)
def test_a_description_that_is_wrong_is_refused_with_the_reason(log, change, message):
    with pytest.raises(InputError, match=message) as caught:
        read_log(forge(log, change))
    assert "\n" not in str(caught.value)


def array(value: np.ndarray, allow_pickle: bool = False) -> bytes:
    stream = io.BytesIO()
    np.save(stream, value, allow_pickle=allow_pickle)
    return stream.getvalue()


def absurd_header() -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "<u2", "fortran_order": False, "shape": (1 << 20, 1 << 20, 1 << 20)}
    )
    return stream.getvalue() + b"\0" * 100


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (array(np.array([{"a": 1}], object), True), r"frames\.npy"),
        (absurd_header(), r"frames\.npy is"),
        (array(np.zeros((6, 40, 50), np.float64)), "float64"),
        (array(np.zeros((6, 40, 50), np.uint16))[:-2], "truncated"),
        (array(np.zeros((6, 40, 50), np.uint16)), "digest of its frames"),
        (b"", "not a readable array"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 70000, "not a readable array"),
    ],
)
def test_frames_that_are_not_what_was_stated_are_refused(log, frames, message):
    with pytest.raises(InputError, match=message):
        read_log(forge(log, frames=frames))


def test_other_members_and_traversal_are_refused(log):
    for extra in ({"../../etc/cron.d/x": b"x"}, {"/tmp/x": b"x"}, {"code.py": b"x"}):
        with pytest.raises(InputError, match="holds other files"):
            read_log(forge(log, extra=extra))
    with pytest.raises(InputError, match="holds other files"):
        read_log(forge(log, drop="frames.npy"))


def test_a_zip_bomb_is_not_inflated(log, monkeypatch):
    monkeypatch.setattr(fieldlog, "MOST_PIXELS", 1 << 16)
    with pytest.raises(InputError, match=r"would inflate|absurd"):
        read_log(forge(log, frames=b"\0" * (1 << 20)))
    with pytest.raises(InputError, match="would inflate"):
        read_log(forge(log, extra={"log.json": b" " * (fieldlog.MOST_JSON + 1)}))


def test_a_bomb_that_lies_about_its_size_is_stopped(log):
    data = forge(log, extra={"log.json": b" " * (fieldlog.MOST_JSON + 100)}).read_bytes()
    real, said = (fieldlog.MOST_JSON + 100).to_bytes(4, "little"), (1000).to_bytes(4, "little")
    with pytest.raises(InputError):
        read_log(named(log, data.replace(real, said)))


def test_a_file_that_is_too_large_is_not_read(log, monkeypatch):
    monkeypatch.setattr(fieldlog, "MOST_FILE", 1000)
    with pytest.raises(InputError, match="at most 1000"):
        read_log(log)


@pytest.mark.parametrize("name", ["x.irlog", "20260304T050607089Z-missed-xyz.irlog", "a.zip"])
def test_a_name_that_is_no_log_name_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="not the name of a field log"):
        read_log(tmp_path / name)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_is_changed_the_reader_answers_or_refuses_in_one_line(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz")
    path = write_log(folder, suspect(frames=np.zeros((6, 40, 50), np.uint16)))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    forged = named(path, bytes(content))
    refused = ""
    try:
        assert read_log(forged).frames.shape == (6, 40, 50)
    except InputError as error:
        refused = str(error)
    assert "\n" not in refused


def test_a_suspect_that_no_reader_would_take_is_not_written(tmp_path):
    with pytest.raises(InputError, match="rising index"):
        write_log(tmp_path, suspect(indices=[100, 101]))
    assert list(tmp_path.iterdir()) == []


def test_a_zip_of_a_version_that_nobody_reads_is_refused_in_one_line(tmp_path):
    """Found by the fuzzer: the version that the directory asks for made zipfile raise NotImplementedError."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("frames.npy", b"0")
        file.writestr("log.json", b"{}")
    data = bytearray(buffer.getvalue())
    at = data.index(b"PK\x01\x02")
    data[at + 6] = 64  # version needed to extract: 6.4
    path = tmp_path / f"20260101T000000000Z-missed-{hashlib.sha256(data).hexdigest()[:16]}.irlog"
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="not a readable zip"):
        read_log(path)
