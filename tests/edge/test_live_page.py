"""The live page of the real daemon, in a real headless Chromium."""

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from browsing import needs_chromium, sync_api
from test_daemon import EDGE, config, record, wait_for
from test_serving import TOKEN, free_port

pytestmark = needs_chromium

STARTER = Path("starter")  # runs without training
MASK = [[5, 70], [45, 70], [45, 92], [5, 92]]
ORANGE, BLUE, RED = (255, 180, 84), (89, 194, 255), (224, 108, 117)


@pytest.fixture
def daemon(tmp_path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts the daemon on a recording at 25 frames/s, with a pause of 6 s before frame `pause`."""
    running: list[subprocess.Popen] = []

    def start(port: int, length: int = 1500, pause: int | None = None, **more: object) -> subprocess.Popen:
        if not (tmp_path / "clip.npy").exists():
            record(tmp_path / "clip.npy", length=length, noisy=(), flash=-1)
            times = np.arange(length) / 25
            if pause is not None:
                times[pause:] += 6
            np.save(tmp_path / "clip.times.npy", times)
        values = {"camera.rate": "own", "serve.port": port, "camera.masks": [MASK], "upload.url": "", **more}
        path = config(tmp_path, STARTER, **values)
        process = subprocess.Popen([*EDGE, "run", str(path)], stdout=subprocess.DEVNULL)
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


def opened(browser: "sync_api.Browser", url: str) -> "sync_api.Page":
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(30_000)
    for _ in range(100):
        try:
            page.goto(url)
            break
        except sync_api.Error:
            page.wait_for_timeout(200)
    return page


def until(page: "sync_api.Page", holds: str, seconds: float = 40) -> None:
    """Wait for an expression. (Playwright's own wait_for_function evaluates in the page, which the page's policy forbids.)"""
    deadline = time.monotonic() + seconds
    while not page.evaluate(holds):
        assert time.monotonic() < deadline, f"{holds}: {page.inner_text('body')}"
        page.wait_for_timeout(100)


def past(page: "sync_api.Page", frame: int) -> None:
    until(page, f"Number(document.body.dataset.frame) >= {frame}")


def count(page: "sync_api.Page", colour: tuple[int, int, int]) -> int:
    """Pixels of the canvas of just this colour."""
    return page.evaluate(
        """([r, g, b]) => { const c = document.getElementById("view"), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
        let n = 0; for (let i = 0; i < d.length; i += 4) n += d[i] === r && d[i + 1] === g && d[i + 2] === b; return n; }""",
        list(colour),
    )


def pixels(page: "sync_api.Page") -> np.ndarray:
    grey = page.evaluate(
        """() => { const c = document.getElementById("view"), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
        const g = []; for (let i = 0; i < d.length; i += 4) g.push(d[i]); return [c.width, g]; }"""
    )
    return np.array(grey[1], float).reshape(-1, grey[0])


def tile(page: "sync_api.Page", name: str) -> str:
    return page.text_content(f"#tiles [data-name='{name}'] dd") or ""


def test_picture_overlay_difference_and_counters(browser, daemon):
    port = free_port()
    daemon(port, length=4000)  # longer than a busy machine needs for all that follows
    page = opened(browser, f"http://127.0.0.1:{port}/")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    past(page, 40)
    page.keyboard.press("Space")  # the picture stands, the counters go on
    page.wait_for_timeout(500)
    with_overlay = [count(page, c) for c in (ORANGE, BLUE, RED)]
    assert min(with_overlay) > 30, with_overlay
    page.keyboard.press("o")
    assert count(page, ORANGE) == count(page, BLUE) == 0
    page.keyboard.press("m")
    assert count(page, RED) == 0
    original = pixels(page)
    before = int(tile(page, "detections"))
    until(page, f'Number(document.querySelector("#tiles [data-name=detections] dd").textContent) > {before}')
    assert 0 < float(tile(page, "frames a second")) < 100
    assert "ms" in tile(page, "latency p50 / p99")
    page.keyboard.press("2")
    until(page, "document.body.dataset.view === 'difference'")
    page.wait_for_timeout(300)
    difference = pixels(page)
    assert "sigma" in (page.text_content("#window") or "")
    assert np.abs(original - difference).mean() > 5
    page.locator("#high").fill("0")
    wait_for(lambda: pixels(page).mean() > difference.mean() + 20)  # half the pixels are white now
    page.locator("#view").hover()
    page.mouse.wheel(0, -400)
    assert np.abs(pixels(page) - difference).mean() > 5
    if folder := os.environ.get("IRDIM_PICTURES"):  # the picture in docs/
        for key in ("r", "0", "1", "o", "m", "Space"):
            page.keyboard.press(key)
        page.wait_for_timeout(3000)
        page.screenshot(path=Path(folder) / "live.png")
        page.keyboard.press("2")
        page.wait_for_timeout(1000)
        page.screenshot(path=Path(folder) / "live-difference.png")
    assert errors == []


def test_no_frame_then_no_daemon_then_it_is_back(browser, daemon):
    port = free_port()
    first = daemon(port, length=400, pause=60)
    page = opened(browser, f"http://127.0.0.1:{port}/")
    past(page, 20)
    page.wait_for_selector("#banner", state="hidden")
    until(page, "/^no frame for [2-9] s$/.test(document.getElementById('banner').textContent)")
    past(page, 70)
    page.wait_for_selector("#banner", state="hidden")
    first.send_signal(signal.SIGTERM)
    assert first.wait(20) == 0  # a page that looks on holds nothing up
    until(
        page,
        "/^the daemon was stopped, nothing runs for [0-9]+ s; trying again$/.test(document.getElementById('banner').textContent)",
    )
    daemon(port)
    until(page, "Number(document.body.dataset.frame) < 60")
    page.wait_for_selector("#banner", state="hidden")


def test_the_end_of_the_recordings_is_no_fault(browser, daemon):
    port = free_port()
    process = daemon(port, length=200)
    page = opened(browser, f"http://127.0.0.1:{port}/")
    past(page, 5)
    assert process.wait(40) == 0
    until(
        page,
        "/^the recordings have ended, nothing runs for [0-9]+ s; trying again$/.test(document.getElementById('banner').textContent)",
    )


def test_elsewhere_a_token_and_then_a_cookie(browser, daemon, tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    port = free_port()
    daemon(port, **{"serve.host": "0.0.0.0", "serve.token_file": "token"})
    page = opened(browser, f"http://127.0.0.1:{port}/")
    assert "a token is needed" in page.content()
    page.goto(f"http://127.0.0.1:{port}/?token={TOKEN[:-1]}x")
    assert "a token is needed" in page.content()
    page.goto(f"http://127.0.0.1:{port}/?token={TOKEN}")
    assert page.url == f"http://127.0.0.1:{port}/"
    past(page, 5)
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert TOKEN not in cookie["value"]


def test_what_is_asked_is_looked_at(daemon):
    port = free_port()
    daemon(port)

    def get(path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        for attempt in range(100):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                connection.request("GET", path, headers=headers)
                answer = connection.getresponse()
                return answer.status, dict(answer.headers), answer.read()
            except ConnectionRefusedError:
                assert attempt < 99
                time.sleep(0.2)
        raise AssertionError

    assert get("/")[0] == 200
    assert get("/", Host="attacker.example")[0] == 421
    assert get("/", Host="[")[0] == 421
    assert get("/", Host="localhost:1")[0] == 200
    assert "default-src 'none'" in get("/")[1]["Content-Security-Policy"]
    for wrong in ("view=x", "low=nan", "low=60&high=40", "low=-1", "high=101", "number=a"):
        assert get(f"/live/frame.png?{wrong}")[0] == 400
    assert get("/live/../serving.py")[0] == 404
    streams = []
    for n in range(5):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/live")
        answer = connection.getresponse()
        streams.append(answer)  # which holds the socket: without it the viewer would be gone
        assert answer.readline() == (b"event: hello\n" if n < 4 else b"event: full\n")
        if n == 0:
            assert json.loads(answer.readline()[6:]) == {"masks": [[[float(x), float(y)] for x, y in MASK]]}
    for answer in streams:
        answer.close()
