"""The daemon under systemd: what it says on the socket, and the unit that ships."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_daemon import EDGE, config, record

from irdim.engines.onnx import OnnxEngine
from irdim.errors import InputError
from irdim_edge import daemon, keys, pipeline, systemd
from irdim_edge.config import load_config
from irdim_edge.status import Summary, read_status
from irdim_edge.systemd import Notifier
from irdim_edge.upload import Uploader

UNIT = Path(__file__).resolve().parents[2] / "deploy" / "irdim-edge@.service"


@contextlib.contextmanager
def listening(folder: Path, seconds: float) -> Iterator[socket.socket]:
    """systemd's end of the socket `notify`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(folder / "notify"))
        supervisor.settimeout(seconds)
        yield supervisor


def started(folder: Path, bundle: Path) -> tuple[threading.Thread, list[Summary]]:
    """A daemon in a thread, and where its summary will be."""
    settings, given = load_config(config(folder, bundle)), list[Summary]()
    running = threading.Thread(target=lambda: given.append(daemon.run(settings, threading.Event())))
    running.start()
    return running, given


def test_it_says_when_it_is_ready_alive_and_stopping(small_bundle, tmp_path):
    record(tmp_path / "clip.npy", length=400)
    path = tmp_path / "notify"
    with listening(tmp_path, 60) as supervisor:
        command = [*EDGE, "run", str(config(tmp_path, small_bundle, **{"camera.rate": 50}))]
        running = subprocess.Popen(command, env={**os.environ, "NOTIFY_SOCKET": str(path)}, stdout=subprocess.DEVNULL)
        while (said := supervisor.recv(4096)) != b"READY=1":
            assert said.startswith(b"WATCHDOG=1\nEXTEND_TIMEOUT_USEC=60000000\nSTATUS=opening")
        alive = supervisor.recv(4096).decode().splitlines()
        assert alive[0] == "WATCHDOG=1"
        assert alive[1].startswith("STATUS=clip  ")
        running.send_signal(signal.SIGTERM)
        while (said := supervisor.recv(4096)) != b"STOPPING=1":
            assert said.startswith(b"WATCHDOG=1\n")
        assert running.wait(20) == 0


def test_a_hung_engine_is_said_once_and_starves_the_watchdog(small_bundle, tmp_path, monkeypatch, caplog):
    """Until it comes back: here after a while, in life with a new process."""
    released, hung = threading.Event(), threading.Event()
    real = OnnxEngine.run

    def run_once(self, image):
        if not hung.is_set():
            hung.set()
            released.wait(20)
        return real(self, image)

    monkeypatch.setattr(OnnxEngine, "run", run_once)
    monkeypatch.setattr(pipeline, "HANGS", 1.0)
    record(tmp_path / "clip.npy", length=40)
    with listening(tmp_path, 20) as supervisor:
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        running, given = started(tmp_path, small_bundle)
        assert hung.wait(20)
        time.sleep(1.5)
        supervisor.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while supervisor.recv(4096):
                pass
        time.sleep(2.5)
        with pytest.raises(BlockingIOError):  # silence
            supervisor.recv(4096)
        released.set()
        running.join(20)
    assert (given[0].frames, given[0].errors) == (40, 1)
    assert "has not answered" in given[0].last_error
    assert caplog.text.count("has not answered") == 1


HANGING_ENGINE = "from irdim.engines.onnx import OnnxEngine; OnnxEngine.run = lambda self, image: time.sleep(100)"
HANGING_DRIVER = "from irdim_edge.cameras.replay import Replay; Replay.hangs = True"


@pytest.mark.parametrize(("hanging", "what"), [(HANGING_ENGINE, "the engine"), (HANGING_DRIVER, "the camera's driver")])
@pytest.mark.parametrize("watched", [False, True])
def test_without_a_watchdog_a_process_that_hangs_ends_itself(small_bundle, tmp_path, hanging, what, watched):
    """As in a container, where `restart: always` begins it anew."""
    record(tmp_path / "clip.npy", length=400)
    path = config(tmp_path, small_bundle, **{"camera.rate": 25.0})
    code = (
        f"import sys, time; {hanging}; from irdim_edge import daemon, pipeline; pipeline.HANGS, daemon.LET_HANG = 1.0, 3.0;"
        "from irdim_edge.cli import app; app(['run', sys.argv[1]])"
    )
    unwatched = {k: v for k, v in os.environ.items() if k not in ("NOTIFY_SOCKET", "WATCHDOG_USEC")}
    with listening(tmp_path, 20):
        watchdog = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "60000000"} if watched else {}
        command = [sys.executable, "-c", code, str(path)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**unwatched, **watchdog}) as process:
            told: list[str] = []
            for line in iter(process.stderr.readline, ""):
                told.append(line)
                if "has not answered" in line:
                    break
            try:
                assert process.wait(6 if watched else 60) == 1
            except subprocess.TimeoutExpired:
                assert watched
            finally:
                process.kill()
            rest = process.stderr.read()
    assert f"{what} has not answered for long" in told[-1], told
    assert rest.count("\n") == rest.count(f"{what} hangs, and no watchdog ends this process") == (not watched), rest
    found = read_status(tmp_path / "edge-out")
    assert found["state"] == "killed"
    assert what in found["last_error"]


def test_a_replay_says_that_it_stops_once_its_last_upload_is_done(small_bundle, tmp_path, monkeypatch):
    """From then on systemd waits 20 s; a slow line wants hours, in which the watchdog is fed and the status is kept."""
    real, uploading, sent = Uploader.run_once, threading.Event(), threading.Event()

    def slow(self):
        uploading.set()
        time.sleep(3.5)
        done = real(self)
        sent.set()
        return done

    monkeypatch.setattr(Uploader, "run_once", slow)
    record(tmp_path / "clip.npy", length=70)
    with listening(tmp_path, 30) as supervisor:
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        running, given = started(tmp_path, small_bundle)
        assert uploading.wait(30)
        said, updated = [], set()
        while (one := supervisor.recv(4096).decode()) != "STOPPING=1":
            said.append(one)
            with contextlib.suppress(InputError):
                updated.add(read_status(tmp_path / "edge-out").get("updated"))
        assert sent.is_set()
        running.join(20)
    assert sum("STATUS=uploading what is left" in one for one in said) >= 2
    assert len(updated) >= 2
    assert (given[0].state, given[0].waiting) == ("finished", 0)
    assert given[0].uploaded > 0


def test_the_watchdog_is_fed_while_an_engine_is_built(monkeypatch, tmp_path):
    monkeypatch.setattr(systemd, "OPENING_EVERY", 0.05)
    with listening(tmp_path, 20) as supervisor:
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notifier = Notifier()
        with notifier.opening("building"):
            for _ in range(3):
                assert supervisor.recv(4096) == b"WATCHDOG=1\nEXTEND_TIMEOUT_USEC=300000\nSTATUS=building"
        notifier.ready()
        while (said := supervisor.recv(4096)) != b"READY=1":
            assert said.startswith(b"WATCHDOG=1")
        supervisor.settimeout(0.2)
        with pytest.raises(TimeoutError):
            supervisor.recv(4096)


def test_without_systemd_it_says_nothing(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    Notifier().alive("fine")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/at/all")
    Notifier().ready()  # whoever listened has gone


def test_the_key_is_where_the_unit_s_user_can_read_it():
    """Made by root it is root's, mode 600, and the daemon is started again and again."""
    user = re.search(r"^User=(\w+)$", UNIT.read_text(), re.M)[1]
    docs = {name: (UNIT.parents[1] / "docs" / name).read_text() for name in ("jetson.md", "field-logs.md")}
    for name, text in docs.items():
        made = re.findall(r"^ +(.*irdim-edge keygen \S+)", text, re.M)
        assert made == [f"sudo -u {user} irdim-edge keygen /var/lib/irdim/device.key"], name
        assert "/etc/irdim/device.key" not in text
    assert f"sudo -u {user}" in keys.keygen.__doc__
    assert "Example: irdim-edge keygen /var/lib/irdim/device.key" in keys.keygen.__doc__


def test_what_the_unit_calls_its_documentation_is_there():
    """Nothing installs the documents on a board."""
    assert "Documentation=file:" not in UNIT.read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path):
    """ExecStart is where the image has it; here something else stands in for it."""
    unit = tmp_path / "irdim-edge@west.service"
    unit.write_text(UNIT.read_text().replace("/opt/irdim/bin/irdim-edge", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True)
    assert "irdim" not in done.stderr, done.stderr
    assert done.returncode == 0
