import getpass
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from logs import suspect

from irdim.errors import InputError
from irdim.fieldlog import read_log
from irdim.remote import hide_password, open_remote
from irdim_edge.spool import Spool
from irdim_edge.upload import Uploader, put

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


def filled(folder: Path, count: int = 3) -> Spool:
    spool = Spool(folder, max_bytes=1 << 30, max_files=1000)
    for seed in range(count):
        spool.add(suspect(seed, seed / 100))
    return spool


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and p.suffix in (".irlog", ".part")}


class Sshd:
    """A real OpenSSH server on loopback."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("host", "other", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        shutil.copy(folder / "user.pub", folder / "authorized")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (folder / "conf").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
            "UsePAM no\nStrictModes no\nPasswordAuthentication no\nPidFile none\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n"
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(folder / "conf")], stderr=(folder / "log").open("w")
        )
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError((folder / "log").read_text())

    def url(self, path: Path) -> str:
        return f"sftp://{getpass.getuser()}@127.0.0.1:{self.port}{path}"

    def known(self, name: str = "host") -> Path:
        path = self.folder / f"known_{name}"
        kind, key, *_ = (self.folder / f"{name}.pub").read_text().split()
        path.write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")
        return path

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    if not Path(SSHD).exists() or getpass.getuser() != "root":
        pytest.skip("no sshd here: apt-get install openssh-server (and run as root)")
    pytest.importorskip("paramiko")
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    yield server
    server.stop()


@pytest.fixture(params=["file", "sftp"])
def destination(request, tmp_path):
    """(URL, folder, keys) of a local folder, and of one behind a real SFTP server."""
    folder = tmp_path / "there" / "logs"
    if request.param == "file":
        return folder.as_uri(), folder, {}
    server = request.getfixturevalue("sshd")
    return server.url(folder), folder, {"known_hosts": server.known(), "identity": server.folder / "user"}


def test_all_arrives_whole_and_the_spool_is_empty(tmp_path, destination):
    url, folder, keys = destination
    spool = filled(tmp_path / "spool")
    sent = {e.path.name: e.path.read_bytes() for e in spool.entries()}
    order = []
    assert Uploader(spool, url, **keys).run_once(lambda e: order.append(e.score)) == 3
    assert order == [0.02, 0.01, 0.0]
    assert contents(folder) == sent
    assert spool.entries() == []
    assert read_log(next(folder.iterdir())).kind == "missed"


def test_what_is_there_already_is_not_sent_again(tmp_path, destination):
    url, folder, keys = destination
    Uploader(filled(tmp_path / "one"), url, **keys).run_once()
    stamps = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    again = Uploader(filled(tmp_path / "two"), url, **keys)
    assert again.run_once() == 3
    assert (again.state.uploaded, again.state.already_there, again.state.bytes) == (3, 3, 0)
    assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == stamps


def test_a_damaged_copy_and_a_left_over_part_are_replaced(tmp_path, destination):
    url, folder, keys = destination
    spool = filled(tmp_path / "spool", 1)
    (entry,) = spool.entries()
    data = entry.path.read_bytes()
    folder.mkdir(parents=True)
    (folder / entry.path.name).write_bytes(data[:-1] + b"?")
    (folder / f".{entry.path.name}.part").write_bytes(b"x" * 10 * len(data))
    Uploader(spool, url, **keys).run_once()
    assert contents(folder) == {entry.path.name: data}


def test_an_unknown_host_key_is_refused_and_nothing_is_lost(tmp_path, sshd):
    (tmp_path / "empty").write_text("")
    spool = filled(tmp_path / "spool")
    keys = {"known_hosts": tmp_path / "empty", "identity": sshd.folder / "user"}
    with pytest.raises(InputError, match=r"unknown SFTP host key ssh-ed25519 SHA256:.*; compare it") as caught:
        Uploader(spool, sshd.url(tmp_path / "there"), **keys).run_once()
    shown = subprocess.run(["ssh-keygen", "-l", "-f", str(sshd.folder / "host.pub")], capture_output=True, text=True)
    assert shown.stdout.split()[1] in str(caught.value)
    assert len(spool.entries()) == 3
    assert not (tmp_path / "there").exists()


def test_a_changed_host_key_is_refused(tmp_path, sshd):
    keys = {"known_hosts": sshd.known("other"), "identity": sshd.folder / "user"}
    with pytest.raises(InputError, match="not the known one"):
        open_remote(sshd.url(tmp_path), **keys)


def test_a_refused_log_in_is_one_line(tmp_path, sshd):
    keys = {"known_hosts": sshd.known(), "identity": sshd.folder / "other"}
    with pytest.raises(InputError, match="refuses the log-in"):
        open_remote(sshd.url(tmp_path), **keys)


@pytest.mark.parametrize("url", ["nosuch://x/y", "sftp:///x"])
def test_a_url_that_cannot_be_used_is_one_line(url):
    with pytest.raises(InputError) as caught:
        open_remote(url)
    assert "\n" not in str(caught.value)


def test_a_password_is_never_printed():
    assert hide_password("sftp://me:se:cret@host:22/x") == "sftp://me:***@host:22/x"


def test_a_failure_is_noted_and_the_next_try_goes_on(tmp_path):
    spool = filled(tmp_path / "spool")
    blocked = tmp_path / "there"
    blocked.write_text("a file where the folder should be")
    uploader = Uploader(spool, blocked.as_uri())
    assert not uploader.try_once()
    assert uploader.state.last_error
    assert len(spool.entries()) == 3
    blocked.unlink()
    assert uploader.try_once()
    assert (uploader.state.uploaded, uploader.state.last_error) == (3, "")


def test_a_log_that_was_damaged_in_the_spool_is_set_aside(tmp_path):
    spool = filled(tmp_path / "spool", 2)
    broken = spool.entries()[0].path
    broken.write_bytes(b"x")
    assert Uploader(spool, (tmp_path / "there").as_uri()).run_once() == 1
    assert (tmp_path / "spool" / "damaged" / broken.name).exists()


def test_the_thread_uploads_what_comes_in_and_stops(tmp_path):
    spool = filled(tmp_path / "spool", 1)
    uploader = Uploader(spool, (tmp_path / "there").as_uri(), interval=0.05)
    uploader.start()
    spool.add(suspect(77, 0.9))
    for _ in range(200):
        if uploader.state.uploaded == 2:
            break
        time.sleep(0.02)
    began = time.monotonic()
    uploader.stop()
    assert time.monotonic() - began < 1
    assert len(contents(tmp_path / "there")) == 2
    assert not any(t.name == "uploader" for t in threading.enumerate())


def test_two_uploaders_do_not_meet(tmp_path):
    spool = filled(tmp_path / "spool")
    other = Spool(tmp_path / "spool", max_bytes=1 << 30, max_files=1000)
    with other.uploading() as mine:
        assert mine
        assert Uploader(spool, (tmp_path / "there").as_uri()).run_once() == 0


def test_a_copy_that_differs_is_not_accepted(tmp_path):
    fs, folder = open_remote((tmp_path / "there").as_uri())
    with pytest.raises(OSError, match="differs from what was sent"):
        put(fs, folder, "x.irlog", b"data", "0" * 64)
    assert list((tmp_path / "there").iterdir()) == []


_UPLOAD = """
import sys
from pathlib import Path
from irdim_edge.spool import Spool
from irdim_edge.upload import Uploader
spool = Spool(Path(sys.argv[1]), max_bytes=1 << 30, max_files=1000)
keys = {"known_hosts": Path(sys.argv[3]), "identity": Path(sys.argv[4])} if len(sys.argv) > 3 else {}
print("ready", flush=True)
Uploader(spool, sys.argv[2], **keys).run_once()
"""


def test_kills_of_the_uploader_lose_and_double_nothing(tmp_path, destination):
    url, folder, keys = destination
    spool = filled(tmp_path / "spool", 40)
    sent = {e.path.name: e.path.read_bytes() for e in spool.entries()}
    extra = [str(keys["known_hosts"]), str(keys["identity"])] if keys else []
    kills = 0
    for attempt in range(60):
        process = subprocess.Popen(
            [sys.executable, "-c", _UPLOAD, str(tmp_path / "spool"), url, *extra], stdout=subprocess.PIPE
        )
        process.stdout.readline()
        before = len(spool.entries())
        while process.poll() is None and before - len(spool.entries()) < 6:
            time.sleep(0.002 * (attempt % 3))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        if not spool.entries():
            break
        arrived = contents(folder) if folder.exists() else {}
        waiting = {e.path.name for e in spool.entries()}
        assert set(sent) == waiting | {name for name in arrived if not name.startswith(".")}
    assert kills > 2
    assert contents(folder) == sent
