"""Whatever a log claims, reading answers or refuses in one line, within bounded memory."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from forging import forge, named, suspect, tally
from hypothesis import given, settings
from hypothesis import strategies as st

from irdim.errors import InputError
from irdim.fieldlog import container, read_any, read_log, read_tally, write_log, write_tally
from irdim.signing import Signer, generate_key


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_log(tmp_path, suspect())


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    generate_key(tmp_path / "device.key")
    return Signer.load(tmp_path / "device.key")


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
        (lambda d: d.update(version=3), "version 3; this irdim reads up to 2"),
        (lambda d: d.update(version=True), "version True"),
        (lambda d: d.update(format="x"), "format 'x' instead of"),
        (lambda d: d.pop("bundle"), "'bundle' is missing"),
        (lambda d: d.update(device="a\nb"), "device must be a printable text"),
        (lambda d: d.update(time="yesterday"), "not a UTC time"),
        (lambda d: d.update(time="2026-13-04T05:06:07.089Z"), "incomplete or wrong"),
        (lambda d: d["verdict"].update(x=1e300), "finite numbers"),
        (lambda d: d["verdict"].update(x=1e17), "outside the crop"),
        (lambda d: d["verdict"].update(score="high"), "finite numbers"),
        (lambda d: d["verdict"].update(frame=99), "not among the frames"),
        (lambda d: d["verdict"].update(kind="../x"), "does not know"),
        (lambda d: d["verdict"].update(kind="false_alarm"), "kind in its name"),
        (lambda d: d["frames"].update(shape=[6, 40, 51]), r"frames\.npy is not a readable array"),
        (lambda d: d["frames"].update(shape=[6, 1 << 40, 1 << 40]), "absurd shape"),
        (lambda d: d["frames"].update(shape=[4096, 16384, 16384]), "absurd frames"),
        (lambda d: d["frames"].update(shape=[]), "incomplete or wrong"),
        (lambda d: d["frames"].update(dtype="object"), "absurd frames"),
        (lambda d: d["frames"].update(dtype=["uint8"]), "incomplete or wrong"),
        (lambda d: d["frames"].update(delta=1), "delta must be"),
        (lambda d: d["frames"].update(sha256="0" * 64), "digest of its frames"),
        (lambda d: d["frames"].update(origin=[100, 50]), "outside the sensor"),
        (lambda d: d["frames"].update(indices=[1, 1, 2, 3, 4, 103]), "rising index"),
        (lambda d: d["frames"].update(times=[0] * 5 + [float("nan")]), "NaN is not allowed"),
        (lambda d: d.update(verdict=[]), "incomplete or wrong"),
        (lambda d: d.update(detections=[{}] * 3), "incomplete or wrong"),
        (lambda d: d.update(detections=[0] * 20_001), "at most 20000"),
        (lambda d: d.update(camera_state={"a": {"b": 1}}), "camera_state"),
        (lambda d: d.update(whole_frame={"shape": [1, 1]}), "whole frame"),
        (lambda d: d["verdict"].update(reason="\x1b[2J"), "printable"),
        (lambda d: d["verdict"].update(reason="\ud800"), "printable"),
        (lambda d: d.update(source="a\nb"), "printable"),
        (lambda d: d.update(thresholds={"report": "high"}), "thresholds must be numbers"),
        (lambda d: d.update(interval=1e17), "positive number of seconds"),
        (lambda d: d.update(device_key="ab" * 32), "signature is missing"),
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
    shape = (2, 1 << 20, 1 << 20, 1 << 20)
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return stream.getvalue() + b"\0" * 100


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (array(np.array([{"a": 1}], object), True), "not a readable array"),
        (absurd_header(), "where uint8"),
        (array(np.zeros((2, 6, 40, 50), np.float64)), "inflate to more|float64"),
        (array(np.zeros((2, 6, 40, 50), np.uint8))[:-2], "truncated"),
        (array(np.zeros((2, 6, 40, 50), np.uint8)) + b"x", "bytes too many"),
        (array(np.zeros((2, 6, 40, 50), np.uint8)), "digest of its frames"),
        (b"", "not a readable array"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 20_000, "not a readable array"),
        (b"\x93NUMPY\x03\x00" + b" " * 100, "another version"),
    ],
)
def test_frames_that_are_not_what_was_stated_are_refused(log, frames, message):
    with pytest.raises(InputError, match=message) as caught:
        read_log(forge(log, members={"frames.npy": frames}))
    assert "\n" not in str(caught.value)


def test_other_members_and_traversal_are_refused(log):
    for name in ("../../etc/cron.d/x", "/tmp/x", "code.py", "frames.npy.pkl"):
        with pytest.raises(InputError, match="other files"):
            read_log(forge(log, members={name: b"x"}))
    with pytest.raises(InputError, match="damaged"):
        read_log(forge(log, drop="frames.npy"))
    with pytest.raises(InputError, match="other files"):
        read_log(forge(log, drop="log.json"))
    with pytest.raises(InputError, match=r"another whole\.npy"):
        read_log(forge(log, members={"whole.npy": array(np.zeros(3))}))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_comes_twice_is_refused(log):
    data = io.BytesIO(log.read_bytes())
    with zipfile.ZipFile(data, "a") as file:
        file.writestr("log.json", b"{}")
    with pytest.raises(InputError, match="other files"):
        read_log(named(log, data.getvalue()))


def test_a_key_that_comes_twice_is_refused(log):
    with zipfile.ZipFile(log) as file:
        text = file.read("log.json")
    twice = text.replace(b'"device": "mast-3"', b'"device": "mast-3", "device": "mast-4"')
    with pytest.raises(InputError, match="key comes twice"):
        read_log(forge(log, members={"log.json": twice}))
    with pytest.raises(InputError, match="not JSON"):
        read_log(forge(log, members={"log.json": b"[" * 1_000_000}))


def test_a_zip_bomb_is_not_inflated(log):
    with pytest.raises(InputError, match="would inflate"):
        read_log(forge(log, members={"log.json": b" " * (container.MOST_JSON + 1)}))
    with pytest.raises(InputError, match="would inflate"):  # the frames are held to the shape that was stated
        read_log(forge(log, members={"frames.npy": b"\0" * (1 << 20)}))


def test_a_bomb_that_lies_about_its_size_is_stopped(log):
    data = forge(log, members={"log.json": b" " * (container.MOST_JSON + 100)}).read_bytes()
    real, said = (container.MOST_JSON + 100).to_bytes(4, "little"), (1000).to_bytes(4, "little")
    with pytest.raises(InputError):
        read_log(named(log, data.replace(real, said)))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_whose_window_may_be_gigabytes_is_refused(log, method):
    with pytest.raises(InputError, match="only deflate is read"):
        read_log(forge(log, method=method))


def test_a_zip_of_a_million_members_is_refused_before_they_are_counted(log):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for number in range(2000):
            file.writestr(f"{number}", b"")
    with pytest.raises(InputError, match="2000 members"):
        read_log(named(log, data.getvalue()))
    lying = bytearray(data.getvalue())
    lying[-14:-10] = b"\x02\x00\x02\x00"  # "2 members", with the directory of 2000
    with pytest.raises(InputError, match="directory of"):
        read_log(named(log, bytes(lying)))


def test_bytes_after_the_end_and_zip64_are_refused(log):
    data = log.read_bytes()
    end = data[-22:]
    for forged in (data + b"x", data[:-22] + b"PK\x06\x07" + bytes(16) + end):
        with pytest.raises(InputError, match="no plain end of a zip"):
            read_log(named(log, forged))


def test_a_zip_of_a_version_that_nobody_reads_is_refused_in_one_line(tmp_path):
    """Found by the fuzzer: the version that the directory asks for made zipfile raise NotImplementedError."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("frames.npy", b"0")
        file.writestr("log.json", b"{}")
    data = bytearray(buffer.getvalue())
    data[data.index(b"PK\x01\x02") + 6] = 64  # version needed to extract: 6.4
    path = tmp_path / "20260101T000000000Z-missed-0123456789abcdef.irlog"
    with pytest.raises(InputError, match="not a readable zip"):
        read_log(named(path, bytes(data)))


def test_a_file_that_is_too_large_is_not_read(log):
    with log.open("r+b") as file:
        file.truncate(container.MOST_FILE + 1)
    with pytest.raises(InputError, match=f"at most {container.MOST_FILE}"):
        read_log(log)


@pytest.mark.parametrize("name", ["x.irlog", "20260304T050607089Z-missed-xyz.irlog", "a.zip"])
def test_a_name_that_is_no_log_name_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="not the name of a field log"):
        read_log(tmp_path / name)


_BOUNDED = """
import resource, sys
from irdim.errors import InputError
from irdim.fieldlog import read_any
import irdim.signing, cryptography.hazmat.primitives.asymmetric.ed25519
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        read_any(path)
        print("read")
    except InputError as error:
        print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_stays_bounded_whatever_is_claimed(log):
    """A 3 MB file of zeros that inflates to 3 GB, and one that says it holds the most that is allowed."""
    bomb = forge(log, members={"frames.npy": bytes(64 << 20)})
    most = forge(log, lambda d: d["frames"].update(shape=[1, 8192, 16384]), members={"frames.npy": bytes(64 << 20)})
    run = subprocess.run([sys.executable, "-c", _BOUNDED, bomb, most], capture_output=True, text=True, check=True)
    *refused, grown = run.stdout.splitlines()
    assert len(refused) == 2
    assert "read" not in refused
    assert int(grown) < 200 << 10  # kB


def test_a_log_of_another_key_or_of_changed_content_is_refused(tmp_path, signer):
    log = write_log(tmp_path, suspect(), signer)
    assert read_log(log).device_key == signer.device_key
    generate_key(tmp_path / "other.key")
    other = Signer.load(tmp_path / "other.key")
    with pytest.raises(InputError, match="signature is wrong"):
        read_log(forge(log, lambda d: d["verdict"].update(score=1.0)))
    text = json.dumps({"key": signer.device_key, "signature": "00" * 64}).encode()
    with pytest.raises(InputError, match="signature is wrong"):
        read_log(forge(log, members={"signature.json": text}))
    for text in (b"", b"{}", b'{"key": 1, "signature": []}', b'{"key": "%s", "signature": "zz"}' % (b"ab" * 32)):
        with pytest.raises(InputError):
            read_log(forge(log, members={"signature.json": text}))
    with pytest.raises(InputError, match="signature is missing"):
        read_log(forge(log, drop="signature.json"))
    with pytest.raises(InputError, match="not by the key that it names"):
        read_log(forge(log, signer=other))
    assert read_log(forge(log, lambda d: d.update(device_key=other.device_key), signer=other)).device_key != (
        signer.device_key
    )


def test_a_signed_log_zipped_anew_is_still_the_same_log(tmp_path, signer):
    log = write_log(tmp_path, suspect(), signer)
    again = forge(log, method=zipfile.ZIP_STORED)
    assert again != log
    assert read_log(again).manifest == read_log(log).manifest
    assert read_log(again).digest != read_log(log).digest


def test_a_tally_under_a_suspects_name_is_refused(tmp_path):
    path = write_tally(tmp_path, tally())
    other = path.with_name(path.name.replace("tally", "missed"))
    path.rename(other)
    with pytest.raises(InputError):
        read_any(other)
    with pytest.raises(InputError):
        read_tally(other)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_is_changed_the_reader_answers_or_refuses_in_one_line(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz")
    path = write_log(folder, suspect(frames=np.zeros((6, 40, 50), np.uint16)))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    _answers_or_refuses(named(path, bytes(content)))


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_a_description_says_it_is_answered_or_refused_in_one_line(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz")
    tallied = data.draw(st.booleans())
    path = write_tally(folder, tally()) if tallied else write_log(folder, suspect())

    def change(d: dict) -> None:
        inner = d
        while True:
            key = data.draw(st.sampled_from(sorted(inner)))
            if isinstance(inner[key], dict) and inner[key] and data.draw(st.booleans()):
                inner = inner[key]
                continue
            inner[key] = data.draw(_VALUES)
            return

    _answers_or_refuses(forge(path, change, name="tally.json" if tallied else "log.json"))


def _answers_or_refuses(path: Path) -> None:
    refused = ""
    try:
        read_any(path)
    except InputError as error:
        refused = str(error)
    assert "\n" not in refused
    assert len(refused) < 1000
