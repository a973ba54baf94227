import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import paramiko
import pytest
from logs import add, filled, suspect
from servers import Proxy

from irdim.errors import InputError
from irdim.fieldlog import read_log
from irdim.remote import check_url, describe_failure, has_password, hide_password, open_remote, read_options
from irdim_edge.spool import DAMAGED, Bounds, Spool
from irdim_edge.transfer import Hours, put
from irdim_edge.upload import Destination, Uploader

EDGE = [sys.executable, "-m", "irdim_edge"]
LARGE = Bounds(1 << 30, 1000)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and p.suffix in (".irlog", ".part")}


def sent_from(spool: Spool) -> dict[str, bytes]:
    return {e.name: spool.path(e).read_bytes() for e in spool.entries()}


@pytest.fixture(params=["file", "sftp", "s3"])
def destination(request, tmp_path):
    """(Destination, folder) of a local folder, of one behind a real SFTP server, and of one behind a real S3 server."""
    folder = tmp_path / "there" / "logs"
    if request.param == "file":
        return Destination(folder.as_uri()), folder
    if request.param == "sftp":
        server = request.getfixturevalue("sshd")
        keys = {"known_hosts": server.known(), "identity": server.folder / "user"}
        return Destination(server.url(folder), **keys), folder
    server = request.getfixturevalue("s3")
    return Destination(
        f"s3://bucket/{tmp_path.name}", options=server.options()
    ), server.folder / "bucket" / tmp_path.name


def test_all_arrives_whole_and_the_spool_is_empty(tmp_path, destination):
    where, folder = destination
    spool, order = filled(tmp_path / "spool"), []
    sent = sent_from(spool)
    uploader = Uploader(spool, where)
    assert uploader.run_once(lambda e: order.append(e.score)) == 3, uploader.state
    assert order == [0.02, 0.01, 0.0]
    assert contents(folder) == sent
    assert spool.entries() == []
    assert read_log(next(folder.iterdir())).kind == "missed"


def test_what_is_there_already_is_not_sent_again(tmp_path, destination):
    where, folder = destination
    Uploader(filled(tmp_path / "one"), where).run_once()
    stamps = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    again = Uploader(filled(tmp_path / "two"), where)
    assert again.run_once() == 3
    assert (again.state.uploaded, again.state.already_there, again.state.bytes) == (3, 3, 0)
    assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == stamps


def test_a_damaged_copy_and_a_left_over_part_are_replaced(tmp_path, destination):
    where, folder = destination
    spool = filled(tmp_path / "spool", 1)
    (entry,) = spool.entries()
    data = spool.path(entry).read_bytes()
    folder.mkdir(parents=True)
    (folder / entry.name).write_bytes(data[:-1] + b"?")
    (folder / f".{entry.name}.part").write_bytes(b"x" * 10 * len(data))
    Uploader(spool, where).run_once()
    assert contents(folder) == {entry.name: data}


def test_a_part_left_beside_a_whole_copy_is_removed(tmp_path, destination):
    where, folder = destination
    spool = filled(tmp_path / "spool", 1)
    (entry,) = spool.entries()
    folder.mkdir(parents=True)
    for name in (entry.name, f".{entry.name}.part"):
        (folder / name).write_bytes(spool.path(entry).read_bytes())
    Uploader(spool, where).run_once()
    assert set(contents(folder)) == {entry.name}


def test_an_unknown_host_key_is_refused_and_nothing_is_lost(tmp_path, sshd):
    (tmp_path / "empty").write_text("")
    spool = filled(tmp_path / "spool")
    keys = {"known_hosts": tmp_path / "empty", "identity": sshd.folder / "user"}
    uploader = Uploader(spool, Destination(sshd.url(tmp_path / "there"), **keys))
    with pytest.raises(InputError, match=r"unknown SFTP host key ssh-ed25519 SHA256:.*; compare it") as caught:
        uploader.check()
    shown = subprocess.run(["ssh-keygen", "-l", "-f", str(sshd.folder / "host.pub")], capture_output=True, text=True)
    assert shown.stdout.split()[1] in str(caught.value)
    assert uploader.run_once() == 0
    assert "unknown SFTP host key" in uploader.state.last_error
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


@pytest.mark.parametrize("opens", [open_remote, check_url])
@pytest.mark.parametrize("url", ["nosuch://x/y", "sftp:///x", "simplecache::sftp://host/x"])
def test_a_url_that_cannot_be_used_is_one_line(url, opens):
    with pytest.raises(InputError) as caught:
        opens(url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sftp://me:se:cret@host:22/x", "sftp://me:***@host:22/x"),
        ("sftp://me:se@cret@host:22/x", "sftp://me:***@host:22/x"),
        ("https://host/x?sig=abc&who=me", "https://host/x?sig=***&who=***"),
        ("sftp://me@corp.com:secret@host/x", "sftp://me@corp.com:***@host/x"),
        ("s3://key:a/b+c@host/x", "s3://key:***@host/x"),
        ("sftp://me@host/x", "sftp://me@host/x"),
        ("sftp://host:22/a@b", "sftp://host:22/a@b"),
    ],
)
def test_a_password_is_never_printed(url, shown):
    assert hide_password(url) == shown
    assert has_password(url) == (url != shown)


def test_credentials_are_cut_out_of_messages(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "from-the-environment")
    options = {"key": "AKID", "client_kwargs": {"aws_session_token": "tok"}, "timeout": 3}
    error = OSError("login p%40ss p@ss AKID tok from-the-environment refused")
    assert (
        describe_failure("sftp://me:p%40ss@host/x", error, options)
        == "sftp://me:***@host/x: login *** *** *** *** *** refused"
    )


def test_options_that_others_may_read_are_refused(tmp_path):
    path = tmp_path / "options.json"
    path.write_text('{"secret": "x"}')
    path.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        read_options(path)
    path.chmod(0o600)
    assert read_options(path) == {"secret": "x"}


def test_wrong_s3_credentials_are_one_line_and_nothing_is_lost(tmp_path, s3):
    spool = filled(tmp_path / "spool")
    uploader = Uploader(spool, Destination("s3://bucket/x", options=s3.options(secret="not-the-secret")))
    with pytest.raises(InputError) as caught:
        uploader.check()
    assert "not-the-secret" not in str(caught.value)
    assert uploader.run_once() == 0
    assert len(spool.entries()) == 3


def test_a_failure_is_noted_and_the_next_try_goes_on(tmp_path):
    spool = filled(tmp_path / "spool")
    blocked = tmp_path / "there"
    blocked.write_text("a file where the folder should be")
    uploader = Uploader(spool, Destination(blocked.as_uri()))
    assert uploader.run_once() == 0
    assert uploader.state.last_error
    assert len(spool.entries()) == 3
    blocked.unlink()
    assert uploader.run_once() == 3
    assert uploader.state.last_error == ""


def test_one_file_that_fails_does_not_block_the_others(tmp_path):
    spool, folder = filled(tmp_path / "spool"), tmp_path / "there"
    (folder / f".{spool.entries()[0].name}.part").mkdir(parents=True)
    uploader = Uploader(spool, Destination(folder.as_uri()))
    assert uploader.run_once() == 2
    assert len(spool.entries()) == 1
    assert uploader.state.last_error


def test_a_log_that_was_damaged_in_the_spool_is_set_aside(tmp_path):
    spool = filled(tmp_path / "spool", 2)
    broken = spool.path(spool.entries()[0])
    broken.write_bytes(b"x")
    assert Uploader(spool, Destination((tmp_path / "there").as_uri())).run_once() == 1
    assert (tmp_path / "spool" / DAMAGED / broken.name).exists()


def test_the_thread_uploads_what_comes_in_and_stops(tmp_path):
    spool = Spool(tmp_path / "spool", LARGE)
    uploader = Uploader(spool, Destination((tmp_path / "there").as_uri()), interval=0.05)
    uploader.start()
    for seed in (1, 2):
        add(spool, suspect(seed, 0.9))
        wait_for(lambda seed=seed: uploader.state.uploaded == seed)
    began = time.monotonic()
    uploader.stop()
    assert time.monotonic() - began < 1
    assert len(contents(tmp_path / "there")) == 2
    assert not any(t.name == "uploader" for t in threading.enumerate())


def test_a_spool_that_is_away_for_a_moment_is_told_and_does_not_end_uploading(tmp_path):
    """A disk that is mounted again, or too many open files."""
    uploader = Uploader(filled(tmp_path / "spool"), Destination((tmp_path / "there").as_uri()), interval=0.05)
    (tmp_path / "spool").rename(tmp_path / "away")
    uploader.start()
    wait_for(lambda: uploader.state.failures)
    assert uploader.state.last_error == f"{tmp_path / 'spool'}: cannot be read (No such file or directory)"
    (tmp_path / "away").rename(tmp_path / "spool")
    wait_for(lambda: uploader.state.uploaded == 3)
    wait_for(lambda: not uploader.state.last_error)
    uploader.stop()


def test_two_uploaders_do_not_meet(tmp_path):
    spool = filled(tmp_path / "spool")
    other = Spool(tmp_path / "spool", LARGE, adds=False)
    with other.uploading() as mine:
        assert mine
        uploader = Uploader(spool, Destination((tmp_path / "there").as_uri()))
        assert uploader.run_once() == 0
        assert uploader.state.busy


def test_a_copy_that_differs_is_not_accepted(tmp_path):
    fs, folder = open_remote((tmp_path / "there").as_uri())
    with pytest.raises(OSError, match="differs from what was sent"):
        put(fs, folder, "x.irlog", b"data", "0" * 64)
    assert list((tmp_path / "there").iterdir()) == []


def test_the_bandwidth_cap_holds_for_what_is_sent_and_read_back(tmp_path, destination):
    where, _ = destination
    spool = filled(tmp_path / "spool", 4)
    size = sum(e.bytes for e in spool.entries())
    capped = Destination(**{**vars(where), "bytes_per_second": size / 0.5})
    began = time.monotonic()
    assert Uploader(spool, capped).run_once() == 4
    assert time.monotonic() - began > 0.9  # there and back


def test_a_slow_transfer_stops_within_a_second(tmp_path):
    spool = filled(tmp_path / "spool")
    uploader = Uploader(spool, Destination((tmp_path / "there").as_uri(), bytes_per_second=1000.0))
    uploader.start()
    wait_for(lambda: (tmp_path / "there").exists())
    began = time.monotonic()
    uploader.stop(5)
    assert time.monotonic() - began < 1
    assert len(spool.entries()) == 3


@pytest.mark.parametrize(
    ("spans", "hour", "minute", "allowed"),
    [
        ([], 12, 0, True),
        (["22:00-06:00"], 23, 0, True),
        (["22:00-06:00"], 5, 59, True),
        (["22:00-06:00"], 6, 0, False),
        (["08:30-12:00", "13:00-24:00"], 12, 30, False),
        (["08:30-12:00", "13:00-24:00"], 8, 30, True),
    ],
)
def test_hours_allow_and_forbid(spans, hour, minute, allowed):
    assert Hours.parse(spans).allow(datetime(2026, 1, 1, hour, minute)) is allowed


@pytest.mark.parametrize("text", ["22-6", "25:00-26:00", "10:60-11:00", ""])
def test_hours_that_make_no_sense_are_refused(text):
    with pytest.raises(InputError, match="22:00-06:00"):
        Hours.parse([text])


def test_outside_the_hours_nothing_is_sent(tmp_path):
    spool, now = filled(tmp_path / "spool"), datetime.now()
    never = Hours((((now.hour * 60 + now.minute + 120) % 1440, (now.hour * 60 + now.minute + 121) % 1440),))
    assert Uploader(spool, Destination((tmp_path / "there").as_uri(), hours=never)).run_once() == 0
    assert len(spool.entries()) == 3


def through_proxy(kind: str, request, tmp_path: Path, **faults) -> tuple[Proxy, Destination, Path]:
    server = request.getfixturevalue("sshd" if kind == "sftp" else "s3")
    proxy = Proxy(server.port, **faults)
    if kind == "sftp":
        keys = {"known_hosts": server.known(port=proxy.port), "identity": server.folder / "user"}
        return proxy, Destination(server.url(tmp_path / "there", proxy.port), timeout=2.0, **keys), tmp_path / "there"
    options = server.options(proxy.port)
    where = Destination(f"s3://bucket/{tmp_path.name}", options=options, timeout=2.0)
    return proxy, where, server.folder / "bucket" / tmp_path.name


@pytest.mark.parametrize("kind", ["sftp", "s3"])
def test_one_connection_in_three_fails_and_all_arrives_once(kind, request, tmp_path):
    proxy, where, folder = through_proxy(kind, request, tmp_path, fail=1 / 3, seed=3)
    spool = filled(tmp_path / "spool", 6)
    sent = sent_from(spool)
    uploader = Uploader(spool, where)
    passes = 0
    while spool.entries():
        passes += 1
        assert passes < 40, uploader.state
        uploader.run_once()
        uploader._disconnect()  # a new connection for each pass, so that the share holds
    proxy.stop()
    assert proxy.cut >= 1
    assert {n: d for n, d in contents(folder).items() if not n.startswith(".")} == sent


@pytest.mark.parametrize("kind", ["sftp", "s3"])
def test_a_server_that_hangs_is_given_up_and_tried_again(kind, request, tmp_path):
    proxy, where, folder = through_proxy(kind, request, tmp_path)
    spool = filled(tmp_path / "spool", 2)
    sent = sent_from(spool)
    uploader = Uploader(spool, where)
    uploader.check()
    proxy.hang = True
    began = time.monotonic()
    assert uploader.run_once() == 0
    assert time.monotonic() - began < 90
    assert uploader.state.last_error
    assert len(spool.entries()) == 2
    proxy.hang = False
    assert uploader.run_until_empty()
    proxy.stop()
    assert contents(folder) == sent


def test_connections_that_failed_leave_no_thread_behind(request, tmp_path):
    """A silent server, six times over: what is held then is one connection at most."""
    proxy, where, _ = through_proxy("sftp", request, tmp_path)
    where = replace(where, timeout=0.5)
    uploader = Uploader(filled(tmp_path / "spool", 1), where)
    others = set(threading.enumerate())  # of the tests before this one

    for hang in (False, True) * 6:
        proxy.hang = hang
        with contextlib.suppress(InputError):
            uploader.check()
        if hang:
            uploader.run_once()
    proxy.hang = False

    def held() -> list[threading.Thread]:
        return [
            t for t in threading.enumerate() if isinstance(t, paramiko.Transport) and t not in others
        ]  # each has its socket

    end = time.monotonic() + 20
    while len(held()) > 1 and time.monotonic() < end:  # one that was closed ends a moment later
        time.sleep(0.1)
    proxy.stop()
    assert len(held()) <= 1


@pytest.mark.parametrize("kind", ["sftp", "s3"])
def test_a_slow_server_gets_it_all_the_same(kind, request, tmp_path):
    proxy, where, folder = through_proxy(kind, request, tmp_path, rate=60_000)
    spool = filled(tmp_path / "spool", 2)
    sent = sent_from(spool)
    uploader = Uploader(spool, where)
    assert uploader.run_once() == 2, uploader.state
    proxy.stop()
    assert contents(folder) == sent


def configured(folder: Path, *upload: str) -> Path:
    path = folder / "edge.toml"
    path.write_text(f'out = "{folder / "out"}"\n[upload]\n' + "\n".join(upload))
    return path


def edge(*options: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*EDGE, *options], capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )


def test_a_bad_url_fails_even_when_nothing_waits(tmp_path):
    done = edge("upload", str(configured(tmp_path, 'url = "nosuch://depot/logs"')))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "nosuch" in done.stderr


def test_a_server_that_is_not_there_fails_even_when_nothing_waits(tmp_path, s3):
    server = s3.options_file(tmp_path / "options.json", port=9)
    path = configured(tmp_path, 'url = "s3://bucket/x"', f'options = "{server}"', "timeout = 1")
    done = edge("upload", str(path))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "nothing is lost, 0 in the spool" in done.stderr
    assert "irdim-edge upload again" in done.stderr


def test_upload_removes_what_a_kill_left_but_not_beside_a_writer(tmp_path):
    folder = tmp_path / "out/spool"
    spool = Spool(folder, LARGE)
    half = folder / ".x.irlog.abc.tmp"
    half.write_bytes(b"half")
    path = configured(tmp_path, f'url = "{(tmp_path / "there").as_uri()}"')
    assert edge("upload", str(path)).returncode == 0
    assert half.exists()
    spool.close()
    assert edge("upload", str(path)).returncode == 0
    assert not half.exists()


def test_secrets_appear_nowhere(tmp_path, s3):
    filled(tmp_path / "out/spool")
    path = configured(
        tmp_path, 'url = "s3://bucket/secrets"', f'options = "{s3.options_file(tmp_path / "o.json")}"', "timeout = 5"
    )
    good = edge("upload", str(path), "--json")
    assert json.loads(good.stdout)["uploaded"] == 3, good.stderr
    filled(tmp_path / "out/spool")
    s3.options_file(tmp_path / "o.json", secret="wrong" + s3.SECRET)
    bad = edge("upload", str(path), AWS_SECRET_ACCESS_KEY="hidden-in-the-environment")
    assert bad.returncode == 2
    shown = good.stdout + good.stderr + bad.stdout + bad.stderr
    shown += "".join(p.read_text(errors="replace") for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert not [s for s in (s3.SECRET, s3.KEY, "hidden-in-the-environment") if s in shown]


_UPLOAD = """
import sys, json
from pathlib import Path
from irdim_edge.spool import Bounds, Spool
from irdim_edge.upload import Destination, Uploader
spool = Spool(Path(sys.argv[1]), Bounds(1 << 30, 1000), adds=False)
keys = {k: Path(v) for k, v in json.loads(sys.argv[3]).items()}
print("ready", flush=True)
Uploader(spool, Destination(sys.argv[2], options=json.loads(sys.argv[4]), **keys)).run_once()
"""


def test_kills_of_the_uploader_lose_and_double_nothing(tmp_path, destination):
    where, folder = destination
    count = 40 if where.url.startswith("file") else 9
    spool = filled(tmp_path / "spool", count)
    sent = sent_from(spool)
    keys = {k: str(v) for k in ("known_hosts", "identity") if (v := getattr(where, k))}
    words = [str(tmp_path / "spool"), where.url, json.dumps(keys), json.dumps(where.options)]
    kills = 0
    for attempt in range(60):
        process = subprocess.Popen([sys.executable, "-c", _UPLOAD, *words], stdout=subprocess.PIPE)
        process.stdout.readline()
        before = len(spool.entries())
        while process.poll() is None and before - len(spool.entries()) < count // 3:
            time.sleep(0.002 * (attempt % 3))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        if not spool.entries():
            break
        arrived = contents(folder) if folder.exists() else {}
        waiting = {e.name for e in spool.entries()}
        assert set(sent) == waiting | {name for name in arrived if not name.startswith(".")}
    assert kills > 1
    assert contents(folder) == sent


def wait_for(condition, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.01)
