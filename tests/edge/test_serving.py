"""What a running daemon answers over HTTP."""

import contextlib
import json
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families
from test_daemon import EDGE, config, record

from irdim.errors import InputError
from irdim_edge.config import commented_config, load_config
from irdim_edge.serving import MOST_REQUESTS, Server, temperatures

TOKEN = "0123456789abcdef0123456789abcdef"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def get(url: str, token: str = "") -> tuple[int, str]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_running_daemon_says_how_it_is(small_bundle, tmp_path):
    record(tmp_path / "clip.npy", length=400)
    (tmp_path / "token").write_text(TOKEN + "\n")
    port = free_port()
    more = {"camera.rate": 50, "serve.port": port, "serve.token_file": "token"}
    running = subprocess.Popen([*EDGE, "run", str(config(tmp_path, small_bundle, **more))], stdout=subprocess.DEVNULL)
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
        while True:
            try:
                if get(f"{url}/healthz", TOKEN)[0] == 200 and json.loads(get(f"{url}/status", TOKEN)[1])["frames"] > 20:
                    break
            except OSError:
                assert time.monotonic() < deadline
            time.sleep(0.1)
        families = {f.name: f for f in text_string_to_metric_families(get(f"{url}/metrics", TOKEN)[1])}
        assert families["irdim_frames"].samples[0].value > 20
        assert families["irdim_warming"].samples[0].labels == {"reason": "history"}
        assert families["irdim_run"].samples[0].labels["device"] == "mast-3"
        times = {(s.labels["stage"], s.labels["quantile"]): s.value for s in families["irdim_milliseconds"].samples}
        assert set(times) == {(s, q) for s in ("input", "detect", "track", "latency") for q in ("p50", "p99")}
        assert 0 < times["detect", "p50"] <= times["latency", "p99"]
        for wrong in ("", "x" * 32, "\xe9" * 32):
            assert get(f"{url}/metrics", wrong)[0] == 401
        assert get(f"{url}/etc/passwd", TOKEN)[0] == 404
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0
    with pytest.raises(OSError, match="refused"):
        get(f"http://127.0.0.1:{port}/healthz")


def test_no_frame_for_long_is_not_healthy():
    idle = 3.0
    server = Server("127.0.0.1", 0, "", 30.0, lambda: {"idle": idle})
    try:
        assert get(f"{server.address}/healthz") == (200, "ok\n")
        idle = 31.0
        assert get(f"{server.address}/healthz") == (503, "no frame for 31 s\n")
    finally:
        server.close()


def test_a_port_that_is_taken_is_one_line():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(InputError, match=r"serve\.port \d+: cannot be listened on"):
            Server("127.0.0.1", other.getsockname()[1], "", 30.0, dict)


@pytest.mark.parametrize(
    ("values", "content", "message"),
    [
        ({"serve.host": "0.0.0.0", "serve.port": 9464}, None, "not loopback: set serve.token_file"),
        ({"serve.port": 9464, "serve.token_file": "token"}, None, "token: cannot be read"),
        ({"serve.port": 9464, "serve.token_file": "token"}, "short", "at least 16 ASCII characters"),
    ],
)
def test_a_daemon_that_nobody_guards_is_refused(tmp_path, values, content, message):
    path = tmp_path / "edge.toml"
    path.write_text(commented_config(values))
    if content is not None:
        (tmp_path / "token").write_text(content)
    with pytest.raises(InputError, match=message):
        _ = load_config(path).serve.token


def test_zones_that_do_not_answer_are_left_out(tmp_path):
    for name, files in (("thermal_zone0", {"type": "cpu\n", "temp": "48500\n"}), ("thermal_zone1", {"type": "gpu\n"})):
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(text)
    assert temperatures(tmp_path) == [("cpu", 48.5)]


def test_whoever_reaches_the_port_takes_neither_all_threads_nor_all_files(monkeypatch):
    """Connections that say nothing, or very slowly: without a token, and without an end."""
    monkeypatch.setattr("irdim_edge.serving.PATIENCE", 1.0)
    server = Server("127.0.0.1", 0, TOKEN, 30.0, lambda: {"idle": 0.0})
    port = int(server.address.rpartition(":")[2])
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(MOST_REQUESTS + 40)]
    try:
        mine = [t for t in threading.enumerate() if "process_request_thread" in t.name]
        assert len(mine) <= MOST_REQUESTS
        until = time.monotonic() + 30
        while True:  # a byte now and then holds nothing up beyond the patience
            for one in held:
                with contextlib.suppress(OSError):
                    one.send(b"G")
            try:
                if get(f"{server.address}/healthz", TOKEN)[0] == 200:
                    break
            except OSError:
                assert time.monotonic() < until
            time.sleep(0.1)
    finally:
        for one in held:
            one.close()
        server.close()
