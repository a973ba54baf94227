"""Live cameras through the real libraries: GStreamer's sources, aravis' pretended cameras."""

import shutil
import socket
import subprocess
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from streams import RATE, counts, needs_gstreamer, pipeline, scene
from test_daemon import wait_for

from irdim.errors import InputError
from irdim.history import longest_wait
from irdim_edge.cameras import Began, Live, Shot
from irdim_edge.cameras.drivers import open_driver
from irdim_edge.cameras.drivers.driver import Grabbed

SNOW = "gst:videotestsrc is-live=true pattern=snow ! video/x-raw,format={},width={},height={},framerate=50/1"


def take(camera: Live, frames: int, seconds: float = 30.0) -> tuple[list[Began], list[Shot]]:
    """So many frames of a camera, and the streams that they came in."""
    stopping = threading.Event()
    timer = threading.Timer(seconds, stopping.set)
    timer.start()
    began, shots = [], []
    for item in camera.shots(stopping):
        (began if isinstance(item, Began) else shots).append(item)
        if len(shots) == frames:
            stopping.set()
    timer.cancel()
    return began, shots


@pytest.mark.parametrize(("form", "dtype"), [("GRAY16_LE", np.uint16), ("GRAY8", np.uint8)])
def test_gstreamer_gives_frames_with_their_times(form, dtype):
    needs_gstreamer()
    camera = Live("west", open_driver(SNOW.format(form, 101, 60)))  # rows of 101 px are padded
    began, shots = take(camera, 30)
    assert len(began) == 1
    assert began[0].name.startswith("west-20")
    assert [s.frame.index for s in shots] == list(range(30))
    assert {(s.frame.pixels.shape, s.frame.pixels.dtype) for s in shots} == {((60, 101), np.dtype(dtype))}
    assert np.diff([s.frame.time for s in shots]) == pytest.approx(0.02, abs=1e-6)
    assert np.diff([s.stamped for s in shots]).mean() == pytest.approx(0.02, abs=4e-3)
    assert abs(shots[-1].utc - time.time()) < 5
    assert shots[3].frame.pixels.std() > 20
    assert camera.trouble == ""


def test_gstreamer_brings_every_count(tmp_path):
    needs_gstreamer()
    frames = scene(20)
    camera = Live("west", open_driver(f"gst:{pipeline(tmp_path / 'scene.y16', frames, 100)}"))
    _, shots = take(camera, 20)
    assert np.array_equal(np.stack([s.frame.pixels for s in shots]), counts(frames))


def test_every_nth_frame_is_taken():
    needs_gstreamer()
    _, shots = take(Live("west", open_driver(SNOW.format("GRAY8", 64, 48)), step=2), 10)
    assert [s.frame.index for s in shots] == list(range(10))
    assert np.diff([s.frame.time for s in shots]) == pytest.approx(0.04, abs=1e-6)


def test_a_stream_that_ends_is_opened_again(tmp_path):
    needs_gstreamer()
    camera = Live("west", open_driver(f"gst:{pipeline(tmp_path / 'scene.y16', scene(10), 100)}"))
    began, shots = take(camera, 25)
    assert [s.frame.index for s in shots] == [*range(10), *range(10), *range(5)]
    assert len({b.name for b in began}) == 3
    assert camera.counts["reconnected"] == 2


def test_a_camera_that_hangs_or_stops_is_opened_again(tmp_path):
    needs_gstreamer()
    frozen = np.concatenate([scene(10), np.repeat(scene(1, seed=3), 200, axis=0)])
    camera = Live("west", open_driver(f"gst:{pipeline(tmp_path / 'scene.y16', frozen, 100)}"), stuck=0.5)
    _, shots = take(camera, 13)
    assert [s.frame.index for s in shots] == [*range(11), 0, 1]
    assert camera.counts["repeated"] > 30
    silent = Live("west", open_driver("gst:videotestsrc is-live=true ! video/x-raw,framerate=1/60"), timeout=0.5)
    began, shots = take(silent, 5, seconds=3)
    assert len(shots) <= len(began)
    assert silent.counts["reconnected"] >= 1
    assert "no frame for 0.5 s" in silent.trouble


def test_another_size_comes_as_it_is():
    needs_gstreamer()
    part = "videotestsrc is-live=true pattern=snow num-buffers={} ! video/x-raw,format=GRAY8,width={},height=48,framerate=100/1 ! c."
    text = f"gst:{part.format(10, 64)} {part.format(1000, 80)} concat name=c ! appsink sync=false"
    _, shots = take(Live("west", open_driver(text)), 20)
    assert [s.frame.pixels.shape[1] for s in shots] == [64] * 10 + [80] * 10


def test_an_interval_that_does_not_suit_the_bundle_is_said():
    needs_gstreamer()
    camera = Live("west", open_driver(SNOW.format("GRAY8", 64, 48)), nominal=0.04)
    take(camera, 60)
    assert "set camera.step = 2" in camera.trouble


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("gst:nosuchelement", 'no element "nosuchelement"'),
        ("gst:videotestsrc ! appsink videotestsrc ! appsink", "has 2 appsinks"),
        ("usb:0", "give gst:PIPELINE"),
        ("v4l2:", "give gst:PIPELINE"),
        ("", "give gst:PIPELINE"),
    ],
)
def test_a_wrong_address_is_refused(address, message):
    needs_gstreamer()
    with pytest.raises(InputError, match=message):
        open_driver(address)


def test_a_v4l2_device_that_is_not_there_is_waited_for():
    needs_gstreamer()
    camera = Live("west", open_driver("v4l2:/dev/video77"))
    began, shots = take(camera, 1, seconds=1.5)
    assert (began, shots) == ([], [])
    assert camera.counts["reconnected"] >= 1
    assert "v4l2src" in camera.trouble


def test_aravis_fake_camera_gives_16_bits():
    needs_aravis()
    _, shots = take(Live("west", open_driver("aravis:Fake_1")), 10)
    assert {(s.frame.pixels.shape, s.frame.pixels.dtype) for s in shots} == {((512, 512), np.dtype("<u2"))}
    assert [s.frame.index for s in shots] == list(range(10))


def test_a_gige_camera_is_unplugged_and_comes_back():
    """A real GigE Vision stream over loopback."""
    needs_aravis()
    if shutil.which("arv-fake-gv-camera-0.8") is None:
        pytest.skip("arv-fake-gv-camera-0.8 (aravis-tools) is not installed")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.bind(("127.0.0.1", 3956))
        except OSError:
            pytest.skip("port 3956 of GigE Vision is taken")
    command = ["arv-fake-gv-camera-0.8", "-i", "127.0.0.1", "-s", "IRDIM1"]
    plugged = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stopping, began, shots = threading.Event(), [], []
    camera = Live("west", open_driver("aravis:"), timeout=1.0)
    timer = threading.Timer(60, stopping.set)
    timer.start()
    try:
        for item in camera.shots(stopping):
            (began if isinstance(item, Began) else shots).append(item)
            if len(shots) == 10 and isinstance(item, Shot):
                plugged.kill()
                plugged.wait()
                plugged = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if len(began) >= 2 and shots and shots[-1].frame.index == 5:
                stopping.set()
    finally:
        timer.cancel()
        plugged.kill()
        plugged.wait()
    assert len(began) >= 2
    assert camera.counts["reconnected"] >= 1
    assert camera.trouble == ""


def needs_aravis() -> None:
    try:
        import gi

        gi.require_version("Aravis", "0.8")
        from gi.repository import Aravis  # noqa: F401
    except (ImportError, ValueError):
        pytest.skip("aravis' Python bindings (python3-gi, gir1.2-aravis-0.8) are not installed")


class Script:
    """A driver that gives what it is told: numbers and clocks that no source can be made to give."""

    name = "script"

    def __init__(self, *grabbed: tuple[float, int | None]) -> None:
        self._left = list(grabbed)

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def grab(self, seconds: float) -> Grabbed | None:
        if not self._left:
            time.sleep(seconds)
            return None
        at, number = self._left.pop(0)
        pixels = np.random.default_rng(len(self._left)).integers(0, 4000, (32, 32)).astype(np.uint16)
        return Grabbed(pixels, at, time.monotonic(), number)


def test_frames_that_the_camera_lost_are_counted_by_its_numbers():
    camera = Live("west", Script((0.0, 7), (0.04, 8), (0.16, 11), (0.2, 12), (0.24, 0)))
    _, shots = take(camera, 5)
    assert [s.frame.index for s in shots] == [0, 1, 4, 5, 6]
    assert camera.counts["lost"] == 2


def test_frames_that_the_camera_lost_are_counted_by_the_clock():
    camera = Live("west", Script((0.0, None), (0.041, None), (0.159, None), (0.2, None)), interval=1 / RATE)
    _, shots = take(camera, 4)
    assert [s.frame.index for s in shots] == [0, 1, 4, 5]
    assert camera.counts["lost"] == 2


def test_lost_frames_are_counted_by_the_clock_when_nobody_says_the_interval():
    """Once enough frames have come to know it; a repetition is no loss."""
    at = [i * 0.04 for i in range(160) if i not in (70, 100, 101, 130)]
    camera = Live("west", Script(*((t, None) for t in at)))
    _, shots = take(camera, len(at))
    assert camera.counts["lost"] == 4
    assert [s.frame.index for s in shots] == [round(t / 0.04) for t in at]


@pytest.mark.parametrize(
    ("stated", "step", "first", "later"), [(None, 1, None, 0.04), (None, 2, None, 0.08), (0.05, 2, 0.1, 0.1)]
)
def test_frames_say_how_far_apart_they_are_as_the_configuration_says_or_as_it_was_measured(stated, step, first, later):
    camera = Live("west", Script(*((i * 0.04, i) for i in range(60 * step))), interval=stated, step=step)
    _, shots = take(camera, 60)
    assert (shots[0].interval, shots[-1].interval) == (first, later if stated else pytest.approx(later))


def test_repeated_frames_are_not_lost_ones():
    class Twice(Script):
        def grab(self, seconds: float) -> Grabbed | None:
            got = super().grab(seconds)
            return got and replace(got, pixels=np.full((32, 32), int(got.number) // 2, np.uint16))

    camera = Live("west", Twice(*((i * 0.04, i) for i in range(20))))
    _, shots = take(camera, 10)
    assert [s.frame.index for s in shots] == list(range(10))
    assert (camera.counts["repeated"], camera.counts["lost"]) == (9, 0)


@pytest.mark.parametrize("phase", [0, 1, 2])
def test_a_core_that_sends_each_picture_several_times_is_as_fast_as_its_pictures(phase):
    class Thrice(Script):
        def grab(self, seconds: float) -> Grabbed | None:
            got = super().grab(seconds)
            return got and replace(got, pixels=np.full((32, 32), (int(got.number) + phase) // 3, np.uint16))

    for step in (1, 3):
        grabbed = ((i * 0.037, i) for i in range(180))
        camera = Live("west", Thrice(*grabbed), nominal=0.111 * step, step=step)
        _, shots = take(camera, 60 // step)
        assert [s.frame.index for s in shots] == list(range(60 // step))
        assert np.diff([s.frame.time for s in shots])[1:] == pytest.approx(0.111 * step)
        assert shots[-1].interval == pytest.approx(0.111 * step)
        assert camera.trouble == ""


def test_a_copy_that_is_lost_is_no_picture_and_a_picture_that_is_lost_is_one():
    class Thrice(Script):
        def grab(self, seconds: float) -> Grabbed | None:
            got = super().grab(seconds)
            return got and replace(got, pixels=np.full((32, 32), int(got.number) // 3, np.uint16))

    gone = {182, *range(240, 243)}  # one copy of picture 60, and all of picture 80
    camera = Live("west", Thrice(*((i * 0.037, i) for i in range(300) if i not in gone)))
    _, shots = take(camera, 99)
    assert [s.frame.index for s in shots] == [*range(80), *range(81, 100)]


@pytest.mark.parametrize(("late", "gaps"), [(0.2, 0), (2.0, 1)])
def test_of_times_of_arrival_a_burst_is_no_gap(late, gaps):
    class Network(Script):
        def grab(self, seconds: float) -> Grabbed | None:
            got = super().grab(seconds)
            return got and replace(got, stamped=got.time)

    camera = Live("west", Network(*((i * 0.04 + late * (i >= 100), None) for i in range(150))))
    _, shots = take(camera, 150)
    waited = np.diff([s.frame.time for s in shots])
    assert sum(w > longest_wait(s.interval) for w, s in zip(waited, shots[1:], strict=True)) == gaps


def test_an_interval_that_would_make_every_frame_a_gap_is_said():
    camera = Live("west", Script(*((i * 0.04, i) for i in range(60))), interval=0.02)
    take(camera, 60)
    assert "0.04 s between its pictures, but camera.interval says 0.02 s" in camera.trouble


@pytest.mark.parametrize("at", [30, 31])
def test_a_fault_on_a_frame_that_is_not_taken_comes_with_the_next_that_is(at):
    class Brighter(Script):
        def grab(self, seconds: float) -> Grabbed | None:
            got = super().grab(seconds)
            gain = 1.3 if got and int(got.number) >= at else 1.0
            return got and replace(got, pixels=counts(2500 + (scene(1, seed=int(got.number))[0] - 2500) * gain))

    camera = Live("west", Brighter(*((i * 0.04, i) for i in range(60))), step=2)
    _, shots = take(camera, 30)
    assert [(s.frame.index, s.fault) for s in shots if s.fault] == [((at + 1) // 2, "gain")]
    assert camera.counts["gain"] == 1


def test_whatever_a_library_throws_is_a_lost_camera():
    class Broken(Script):
        tries = 0

        def start(self) -> None:
            Broken.tries += 1
            self._left = [(i * 0.04, i) for i in range(3)]

        def grab(self, seconds: float) -> Grabbed | None:
            if Broken.tries == 1 and len(self._left) == 1:
                raise ValueError("buffer is smaller than requested size")
            return super().grab(seconds)

    camera = Live("west", Broken())
    began, shots = take(camera, 5)
    assert [s.frame.index for s in shots] == [0, 1, 0, 1, 2]
    assert (len(began), camera.counts["reconnected"]) == (2, 1)


def test_a_library_that_does_not_come_back_is_said(monkeypatch):
    monkeypatch.setattr("irdim_edge.cameras.live.HANGS", 0.2)
    back = threading.Event()

    class Hanging(Script):
        def grab(self, seconds: float) -> Grabbed | None:
            back.wait(20)
            return None

    camera, stopping = Live("west", Hanging()), threading.Event()
    thread = threading.Thread(target=lambda: list(camera.shots(stopping)))
    thread.start()
    wait_for(lambda: camera.hangs)
    assert camera.trouble == "the driver hangs"
    stopping.set()
    back.set()
    thread.join(20)
    assert not camera.hangs


def test_a_clock_that_goes_back_is_counted():
    camera = Live("west", Script((5.0, 0), (5.04, 1), (1.0, 2), (1.04, 3)), interval=0.04)
    _, shots = take(camera, 4)
    assert [round(s.frame.time, 2) for s in shots] == [0.0, 0.04, -4.0, -3.96]
    assert (camera.counts["backwards"], camera.counts["lost"]) == (1, 0)
