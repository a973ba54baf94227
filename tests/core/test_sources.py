"""Reading sequences: every format gives back what was written, and every kind of damage ends in one line that names the file."""

import contextlib
import json
import resource
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irdim.errors import InputError
from irdim.sources import FrameSource, is_sequence, open_source, sequence_name
from irdim.sources.images import natural_key


def counts(length: int = 4, dtype: type = np.uint16, seed: int = 0) -> np.ndarray:
    """(length, 12, 17) random counts of 14 bits, or of 8."""
    top = 256 if dtype is np.uint8 else 1 << 14
    return np.random.default_rng(seed).integers(0, top, (length, 12, 17)).astype(dtype)


def write_images(folder: Path, frames: np.ndarray, suffix: str = ".png", start: int = 0) -> Path:
    folder.mkdir()
    for index, pixels in enumerate(frames, start):
        assert cv2.imwrite(str(folder / f"f{index}{suffix}"), pixels)
    return folder


def write_raw(path: Path, frames: np.ndarray, **sidecar: object) -> Path:
    path.write_bytes(frames.tobytes())
    path.with_suffix(".json").write_text(json.dumps({"width": 17, "height": 12, "bits": 14, **sidecar}))
    return path


def write_video(path: Path, frames: np.ndarray, codec: str = "FFV1", rate: float = 25) -> Path:
    depth = cv2.CV_16U if frames.dtype == np.uint16 else cv2.CV_8U
    options = [cv2.VIDEOWRITER_PROP_IS_COLOR, 0, cv2.VIDEOWRITER_PROP_DEPTH, depth]
    size = frames.shape[2], frames.shape[1]
    video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), rate, size, options)
    assert video.isOpened()
    for pixels in frames:
        video.write(pixels)
    video.release()
    return path


def read(path: Path) -> np.ndarray:
    return np.stack([frame.pixels for frame in open_source(path)])


def fails(path: Path, *parts: str) -> None:
    """Reading `path` to its end raises one line that holds `parts`."""
    with pytest.raises(InputError) as caught:
        for _ in open_source(path):
            pass
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


@contextlib.contextmanager
def bounded(more: int) -> Iterator[None]:
    """Within, the process may take no more than `more` bytes of address space beyond what it has."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + more, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [(".png", np.uint8), (".png", np.uint16), (".tif", np.uint8), (".tiff", np.uint16), (".bmp", np.uint8)],
)
def test_image_folder_gives_the_pixels_in_natural_order(tmp_path: Path, suffix: str, dtype: type) -> None:
    frames = counts(12, dtype)
    folder = write_images(tmp_path / "clip", frames, suffix)  # f2 comes before f10
    source = open_source(folder, interval=0.5)
    assert isinstance(source, FrameSource)
    assert (source.name, source.shape, source.dtype, source.length) == ("clip", (12, 17), np.dtype(dtype), 12)
    read = list(source)
    np.testing.assert_array_equal(np.stack([f.pixels for f in read]), frames)
    assert [f.index for f in read] == list(range(12))
    assert [f.time for f in read] == [0.5 * i for i in range(12)]
    assert read[0].pixels.dtype == dtype


def test_a_grey_image_saved_with_three_channels_is_read_and_a_coloured_one_refused(tmp_path: Path) -> None:
    frame = counts(1, np.uint8)[0]
    folder = write_images(tmp_path / "clip", np.stack([frame])[..., None].repeat(3, -1))
    np.testing.assert_array_equal(read(folder), frame[None])
    cv2.imwrite(str(folder / "f1.png"), np.stack([frame, frame, 255 - frame], -1))
    fails(folder, "f1.png", "colour")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.97])
def test_a_truncated_image_is_named(tmp_path: Path, suffix: str, part: float) -> None:
    folder = write_images(tmp_path / "clip", counts(4, np.uint8), suffix)
    path = folder / f"f2{suffix}"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    fails(folder, f"f2{suffix}")


def test_a_flipped_bit_in_a_png_is_found(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "clip", counts())
    data = bytearray((folder / "f3.png").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "f3.png").write_bytes(data)
    fails(folder, "f3.png", "corrupt")


def test_a_change_of_depth_or_size_in_mid_sequence_names_both_files(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "clip", counts())
    cv2.imwrite(str(folder / "f2.png"), counts(1, np.uint8)[0])
    fails(folder, "f2.png: 8-bit, but the sequence began with 16-bit", "f0.png")
    cv2.imwrite(str(folder / "f2.png"), np.zeros((9, 17), np.uint16))
    fails(folder, "f2.png: 17x9, but the sequence began with 17x12", "f0.png")


def test_a_tiff_with_several_pages_is_not_read_as_its_first(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "clip", counts(2), ".tif")
    cv2.imwritemulti(str(folder / "f1.tif"), list(counts(3)))
    fails(folder, "f1.tif", "several pages")


def test_holes_in_the_numbering_are_noted(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "clip", counts(12), start=5)
    assert open_source(folder).notes == ()  # type: ignore[attr-defined]
    (folder / "f9.png").unlink()
    assert "first after f8.png" in open_source(folder).notes[0]  # type: ignore[attr-defined]


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=20, unique=True))
def test_natural_order_is_that_of_the_numbers(numbers: list[int]) -> None:
    paths = [Path(f"img_{n}_ir.png") for n in numbers]
    assert sorted(paths, key=natural_key) == [Path(f"img_{n}_ir.png") for n in sorted(numbers)]


@given(st.lists(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1), max_size=6))
@settings(deadline=None)
def test_any_names_can_be_ordered(names: list[str]) -> None:
    sorted((Path(name) for name in names), key=natural_key)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_stack_gives_its_frames(tmp_path: Path, dtype: type, order: str) -> None:
    frames = np.array(counts(3, np.uint8), dtype, order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "a.npy", frames)
    source = open_source(tmp_path / "a.npy", interval=0.1)
    assert source.dtype.isnative
    assert [f.pixels.dtype for f in source] == [source.dtype] * 3
    np.testing.assert_array_equal(read(tmp_path / "a.npy"), frames)


@pytest.mark.parametrize(
    ("array", "part"),
    [
        (np.zeros((2, 3, 3), np.float32), "float32"),
        (np.full((2, 3, 3), np.nan), "NaN"),
        (np.zeros((3, 3), np.uint8), "(T, H, W)"),
        (np.zeros((0, 3, 3), np.uint8), "at least one frame"),
        (np.zeros((2, 3, 3), np.int32), "int32"),
        (np.array([{"a": 1}] * 3, object), "object arrays"),
    ],
    ids=["float", "nan", "one frame", "no frame", "int32", "pickled"],
)
def test_an_array_that_is_no_stack_of_counts_is_refused(tmp_path: Path, array: np.ndarray, part: str) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    fails(tmp_path / "a.npy", "a.npy", part)


def test_a_truncated_or_foreign_npy_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, counts())
    whole = path.read_bytes()
    for data in (whole[:-1], whole[:40], b"", b"hello"):
        path.write_bytes(data)
        fails(path, "a.npy", "truncated")


def test_raw_frames_are_read_after_their_header_in_either_byte_order(tmp_path: Path) -> None:
    frames = counts()
    write_raw(tmp_path / "a.y16", frames, interval=0.04)
    source = open_source(tmp_path / "a.y16")
    assert (source.interval, source.length, source.dtype) == (0.04, 4, np.dtype(np.uint16))
    np.testing.assert_array_equal(read(tmp_path / "a.y16"), frames)
    path = write_raw(tmp_path / "b.raw", frames.astype(">u2"), header_bytes=7, byte_order="big")
    path.write_bytes(b"header!" + path.read_bytes())
    np.testing.assert_array_equal(read(path), frames)
    eight = counts(3, np.uint8)
    np.testing.assert_array_equal(read(write_raw(tmp_path / "c.raw", eight, bits=8)), eight)


@pytest.mark.parametrize(
    ("sidecar", "part"),
    [
        ({"width": 0}, "'width'"),
        ({"bits": 32}, "'bits'"),
        ({"height": "12"}, "'height'"),
        ({"header_bytes": -1}, "'header_bytes'"),
        ({"depth": 12}, "contradict"),
        ({"fps": 25}, "unknown key 'fps'"),
        ({"byte_order": "middle"}, "byte_order"),
        ({"interval": 0}, "interval"),
        ({"height": 11}, "truncated"),
        ({"bits": 9}, "frame 0"),
    ],
    ids=lambda value: str(value),
)
def test_a_wrong_sidecar_of_raw_frames_is_named(tmp_path: Path, sidecar: dict[str, object], part: str) -> None:
    fails(write_raw(tmp_path / "a.y16", counts(), **sidecar), part)


def test_truncated_raw_frames_and_a_missing_sidecar_are_named(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "a.y16", counts())
    path.write_bytes(path.read_bytes()[:-1])
    fails(path, "a.y16", "after 3 frames", "truncated")
    path.with_suffix(".json").write_text("{")
    fails(path, "a.json")
    path.with_suffix(".json").unlink()
    fails(path, "a.y16", "sidecar a.json")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lossless_video_keeps_its_depth(tmp_path: Path, dtype: type) -> None:
    frames = counts(5, dtype).repeat(4, 1).repeat(4, 2)
    source = open_source(write_video(tmp_path / "a.mkv", frames))
    assert (source.name, source.shape, source.dtype) == ("a", frames.shape[1:], np.dtype(dtype))
    assert source.interval == pytest.approx(0.04)
    read = [f.pixels for f in source]
    assert len(read) == 5
    np.testing.assert_array_equal(np.stack(read), frames)


def test_a_video_can_be_read_twice_and_a_broken_one_is_named(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", counts(30, np.uint8).repeat(4, 1).repeat(4, 2), "MJPG")
    source = open_source(path)
    assert len(list(source)) == len(list(source)) == 30
    (tmp_path / "b.mp4").write_bytes(b"no video at all")
    fails(tmp_path / "b.mp4", "b.mp4")
    (tmp_path / "c.mp4").write_bytes(b"")
    fails(tmp_path / "c.mp4", "c.mp4", "empty")


def test_a_folder_with_a_stack_is_that_stack_under_the_folders_name(tmp_path: Path) -> None:
    folder = tmp_path / "CLIP_7"
    folder.mkdir()
    np.save(folder / "frames.npy", counts())
    assert open_source(folder).name == open_source(folder / "frames.npy").name == "CLIP_7"
    assert sequence_name(folder / "..") == tmp_path.name


@pytest.mark.parametrize("kind", ["npy", "csv", "headed csv"])
def test_times_beside_the_frames_are_used(tmp_path: Path, kind: str) -> None:
    folder = write_images(tmp_path / "clip", counts())
    times = [10.0, 10.5, 11.0, 13.25]
    if kind == "npy":
        np.save(folder / "times.npy", times)
    else:
        lines = [str(t) for t in times] if kind == "csv" else ["frame,time", *(f"{i},{t}" for i, t in enumerate(times))]
        (folder / "times.csv").write_text("\n".join(lines) + "\n")
    source = open_source(folder)
    assert [f.time for f in source] == times
    assert source.interval == 0.5  # the median
    assert open_source(folder, interval=2.0).interval == 2.0


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("0\n1\n2\n", "3 times for 4 frames"),
        ("0\n1\n1\n2\n", "rise"),
        ("0\n1\nx\n2\n", "row 3"),
        ("0\n1\nnan\n2", "finite"),
    ],
)
def test_times_that_do_not_fit_are_named(tmp_path: Path, text: str, part: str) -> None:
    folder = write_images(tmp_path / "clip", counts())
    (folder / "times.csv").write_text(text)
    fails(folder, "times.csv", part)


def test_too_few_times_for_a_video_are_found(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", counts(5, np.uint8).repeat(4, 1).repeat(4, 2))
    (tmp_path / "a.times.csv").write_text("0\n1\n2\n")
    fails(path, "a.times.csv", "3 times")


def test_what_is_no_sequence_is_said_so(tmp_path: Path) -> None:
    fails(tmp_path, "no PNG, TIFF or BMP")
    fails(tmp_path / "gone", "gone")
    (tmp_path / "note.txt").write_text("hi")
    fails(tmp_path / "note.txt", "not a sequence")
    cv2.imwrite(str(tmp_path / "one.png"), counts()[0])
    fails(tmp_path / "one.png", "single image")
    np.save(tmp_path / "a.npy", counts())
    for interval in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="interval"):
            open_source(tmp_path / "a.npy", interval=interval)
    assert not is_sequence(tmp_path / "note.txt")
    assert not is_sequence(tmp_path / "times.npy")


def png(width: int, height: int, bits: int = 16) -> bytes:
    """A PNG that claims a size and holds next to nothing, every checksum right."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0")),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def tiff(width: int, height: int, *, held: int = 0, kind: int = 1, bits: int = 16, **tags: int) -> bytes:
    """An uncompressed TIFF of one strip that claims a size and holds `held` bytes; kind: SampleFormat (3: float)."""
    values = {
        256: width,
        257: height,
        258: bits,
        259: 1,
        262: 1,
        273: 8,
        277: 1,
        278: height,
        279: width * height * bits // 8,
        339: kind,
    }
    values |= {int(tag[1:]): value for tag, value in tags.items()}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value % 2**32) for tag, value in sorted(values.items()))
    return b"II*\0" + struct.pack("<I", 8 + held) + bytes(held) + struct.pack("<H", len(values)) + directory + bytes(4)


def npy(shape: tuple[int, ...], descr: str = "<u2", data: bytes = b"") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


HOSTILE = {
    "png huge.png": png(100_000, 100_000),
    "png of no width.png": png(0, 5),
    "png empty.png": png(3000, 3000),
    "tiff huge.tif": tiff(100_000, 100_000),
    "tiff truncated.tif": tiff(8000, 8000, held=1000),
    "tiff huge tiles.tif": tiff(64, 64, _322=1 << 20, _323=1 << 20, _324=8, _325=64),
    "tiff many channels.tif": tiff(4096, 4096, _277=60000),
    "tiff cut in its directory.tif": tiff(64, 64)[:60],
    "tiff directory beyond.tif": b"II*\0\xff\xff\xff\x7f",
    "bigtiff.tif": b"II+\0\x08\0\0\0" + bytes(100),
    "bmp huge.bmp": b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 100_000, -100_000, 1, 8, 0, 0, 1, 1, 0, 0),
    "jpeg huge.jpg": b"\xff\xd8\xff\xc0\0\x0b\x08\xff\xff\xff\xff\x01\x01\x11\0\xff\xd9",
    "jpeg cut.jpg": cv2.imencode(".jpg", counts(1, np.uint8)[0])[1].tobytes()[:-40],
    "a text.png": b"no image at all",
    "a WebP.png": cv2.imencode(".webp", np.zeros((4, 4, 3), np.uint8))[1].tobytes(),  # a decoder would take it, of any size
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_image_is_refused_in_bounded_memory(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    (folder / name).write_bytes(HOSTILE[name])
    with bounded(200 << 20):
        fails(folder, name)


def test_float_images_are_refused_by_name(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "clip", np.full((2, 12, 17), np.nan, np.float32), ".tif")
    fails(folder, "f0.tif", "float32", "8- or 16-bit")


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (npy((1, 1 << 40, 1 << 40)), "truncated"),
        (npy((1 << 62, 1 << 62, 1 << 62)), "truncated"),
        (npy((-1, 4, 4), data=bytes(64)), "npy"),
        (npy((2, 1 << 40, 4)), "truncated"),
        (npy((1, 20_000, 20_000)) + bytes(1), "truncated"),
        (npy((1, 2, 2), "|O", bytes(64)), "object arrays"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 9000, "truncated"),
        (npy((2, 2, 2)).replace(b"shape': (", b"shape': (("), "truncated"),
        (npy((2, 2, 2)).replace(b"(2, 2, 2)", b"'a' % (1)"), "not a readable"),
    ],
)
def test_a_hostile_npy_is_refused_in_bounded_memory(tmp_path: Path, data: bytes, part: str) -> None:
    (tmp_path / "a.npy").write_bytes(data)
    with bounded(200 << 20):
        fails(tmp_path / "a.npy", "a.npy", part)


def test_frames_beyond_any_sensor_are_refused_although_the_file_holds_them(tmp_path: Path) -> None:
    with (tmp_path / "a.npy").open("wb") as file:  # sparse: no block of it is on the disk
        file.write(npy((1, 20_000, 20_000)))
        file.truncate(file.tell() + 2 * 20_000**2)
    fails(tmp_path / "a.npy", "20000x20000", "megapixels")
    with (tmp_path / "b.raw").open("wb") as file:
        file.truncate(2 * 60_000**2)
    (tmp_path / "b.json").write_text('{"width": 60000, "height": 60000, "bits": 16}')
    fails(tmp_path / "b.raw", "60000x60000", "megapixels")


def test_hostile_times_are_refused_in_bounded_memory(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", counts())
    (tmp_path / "a.times.npy").write_bytes(npy((1 << 40,), "<f8"))
    with bounded(200 << 20):
        fails(tmp_path / "a.npy", "a.times.npy")
    (tmp_path / "a.times.npy").unlink()
    with (tmp_path / "a.times.csv").open("wb") as file:
        file.truncate(1 << 40)
    with bounded(200 << 20):
        fails(tmp_path / "a.npy", "a.times.csv", "MiB")


def test_nothing_but_our_line_is_said_of_what_is_no_video(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("a.mp4", "a.avi", "a.mkv"):
        (tmp_path / name).write_text("no video at all\n" * 100)
        fails(tmp_path / name, name, "no video")
    whole = write_video(tmp_path / "b.mp4", counts(30, np.uint8).repeat(4, 1).repeat(4, 2), "mp4v").read_bytes()
    (tmp_path / "b.mp4").write_bytes(whole[: len(whole) // 2])
    fails(tmp_path / "b.mp4", "b.mp4")
    assert capfd.readouterr().err == ""


def test_jpegs_are_read_and_what_they_lose_is_said(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "clip", np.full((3, 16, 16), 90, np.uint8), ".jpg")
    assert (read(folder) == 90).all()
    assert "JPEG" in open_source(folder).notes[0]  # type: ignore[attr-defined]
