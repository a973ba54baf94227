"""The review page, in a real headless Chromium against a real server."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from browsing import needs_chromium, sync_api
from rendered import make_data

from irdim.boxes import IGNORE, Box
from irdim.dataset import Dataset

pytestmark = needs_chromium

_RUN = """
import typer
from irdim_train.commands.review import command
from irdim.command_line import run_command
app = typer.Typer()
app.command()(command)
run_command(app)
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twenty-four items: moved labels, misses, a track, and a whole frame that is covered."""
    make_data(tmp_path / "data", 2)
    with Dataset.open(tmp_path / "data") as d:
        for s in d.sequences():
            boxes = d.boxes(s)
            for n, frame in enumerate(range(6, 28, 2)):
                b = boxes[frame][0]
                kind = ("misplaced", "missed", "labelled-background")[n % 3]
                d.enqueue(
                    key=f"{s.name}:{frame}",
                    kind=kind,
                    sequence_id=s.id,
                    frame=frame,
                    box=Box(b.x + 2, b.y, b.w, b.h, b.label),
                    score=0.9 - n / 100,
                    reason="the network is sure of it 2.0 px away from the label",
                    box_id=None if kind == "missed" else b.id,
                    provenance={"by": "refine", "loss": 3.2},
                )
        s = d.sequence("seq0")
        cover = Box(s.width / 2, s.height / 2, float(s.width), float(s.height), IGNORE)
        d.add_box(s, 39, cover, who="tests", why="not looked at")
        d.enqueue(
            key="w",
            kind="sample",
            sequence_id=s.id,
            frame=39,
            box=cover,
            score=0.1,
            reason="sampled",
            provenance={"detections": []},
        )
        points = [[f, 20.0 + f, 30.0, 5.0, 5.0] for f in range(30, 38)]
        d.enqueue(
            key="t",
            kind="track",
            sequence_id=s.id,
            frame=33,
            box=Box(53, 30, 5, 5),
            score=0.05,
            reason="8 frames",
            provenance={"points": points},
        )
    return tmp_path / "data"


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Starts a server of a data set; returns the address that it prints."""
    running: list[subprocess.Popen[str]] = []

    def start(data: Path, *options: str) -> str:
        process = subprocess.Popen(
            [sys.executable, "-c", _RUN, str(data), "--port", "0", "--by", "anna", *options],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        running.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, line
        return found[0]

    yield start
    for process in running:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def opened(browser: "sync_api.Browser", url: str) -> "sync_api.Page":
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(15_000)
    page.goto(url)
    page.wait_for_selector("body[data-item]:not([data-item=''])")
    return page


def item(page: "sync_api.Page") -> str:
    return page.evaluate("document.body.dataset.item")


def press(page: "sync_api.Page", key: str) -> None:
    """A key that ends at another item."""
    before = item(page)
    page.keyboard.press(key)
    page.wait_for_function("before => document.body.dataset.item !== before", arg=before)


def point(page: "sync_api.Page", across: float, down: float) -> None:
    """Move the mouse to a share of the view."""
    view = page.locator("#view").bounding_box()
    assert view
    page.mouse.move(view["x"] + across * view["width"], view["y"] + down * view["height"])


def reviews(data: Path) -> list[tuple[int, str, str]]:
    with Dataset.open(data) as d:
        return d._store.rows("SELECT item, decision, who FROM reviews ORDER BY id")


def test_twenty_items_are_reviewed_by_keyboard_each_in_under_a_second(data, serve, browser):
    page = opened(browser, serve(data))
    decided, waited = [], []
    for key in ("atigdl" * 4)[:20]:
        decided.append(int(item(page)))
        began = time.monotonic()
        press(page, key)
        waited.append(time.monotonic() - began)
    names = {"a": "accept", "t": "target", "i": "interference", "g": "ignore", "d": "background", "l": "reject"}
    assert reviews(data) == [(i, names[k], "anna") for i, k in zip(decided, "atigdl" * 4, strict=False)]
    assert sorted(waited)[10] < 1.0
    assert "20 of 24 decided" in page.inner_text("#progress")


def test_a_moved_and_resized_box_is_what_is_written_and_undo_takes_it_back(data, serve, browser):
    page = opened(browser, serve(data))
    number = int(item(page))
    with Dataset.open(data) as d:
        proposed, _, _ = d.queue_item(number)
        s = next(s for s in d.sequences() if s.id == proposed.sequence_id)
        before = [(b.x, b.y, b.w, b.label) for b in d.boxes(s)[proposed.frame]]
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowRight", "Alt+ArrowDown"):
        page.keyboard.press(key)
    press(page, "t")
    with Dataset.open(data) as d:
        [box] = d.boxes(s)[proposed.frame]
    assert (box.x, box.y, box.w) == pytest.approx(
        (proposed.box.x + 2, proposed.box.y - 0.75, proposed.box.w + 1), abs=1e-3
    )
    page.reload()  # what was decided before a reload can be undone
    page.wait_for_function("before => ![before, '', undefined].includes(document.body.dataset.item)", arg=str(number))
    press(page, "u")
    assert item(page) == str(number)
    with Dataset.open(data) as d:
        assert [(b.x, b.y, b.w, b.label) for b in d.boxes(s)[proposed.frame]] == before
        assert number in [i.id for i in d.queue_items("open")]


def test_of_two_tabs_the_second_is_told_and_overwrites_nothing(data, serve, browser):
    url = serve(data)
    one, two = opened(browser, url), opened(browser, url)
    number = int(item(one))
    assert item(two) == str(number)
    two.fill("#who", "ben")
    two.locator("#who").blur()
    press(one, "t")
    press(two, "i")
    assert "decided already: 'target' by anna" in two.inner_text("#note")
    assert reviews(data) == [(number, "target", "anna")]
    press(two, "i")
    assert reviews(data)[1][1:] == ("interference", "ben")


def test_several_targets_of_a_whole_frame_are_marked_at_once(data, serve, browser):
    page = opened(browser, serve(data) + "#kind=sample&order=score")
    page.keyboard.press("h")
    with Dataset.open(data) as d:
        before = len([b for b in d.boxes(d.sequence("seq0"))[39] if b.label != IGNORE])
    point(page, 0.4, 0.4)
    page.keyboard.press("x")
    point(page, 0.6, 0.6)
    page.keyboard.press("x")
    page.keyboard.press("i")  # the box that was marked last
    assert "2 boxes" in page.inner_text("#facts")
    page.keyboard.press("a")
    page.wait_for_selector("body[data-item='']")
    with Dataset.open(data) as d:
        labels = [b.label for b in d.boxes(d.sequence("seq0"))[39]]
    assert len(labels) == before + 2  # the cover is gone
    assert labels[-2:] == ["target", "interference"]


def test_a_target_marked_on_two_frames_is_followed_and_written_with_the_decision(data, serve, browser):
    page = opened(browser, serve(data))
    number = int(item(page))
    page.keyboard.press("h")
    point(page, 0.35, 0.3)
    page.keyboard.press("m")
    for _ in range(4):
        page.keyboard.press(".")
    page.keyboard.press("m")
    page.wait_for_function("document.getElementById('note').textContent.startsWith('followed: 5')")
    with Dataset.open(data) as d:
        rows = d._store.rows("SELECT count(*) FROM boxes")[0][0]
    press(page, "g")
    with Dataset.open(data) as d:
        assert d._store.rows("SELECT count(*) FROM boxes")[0][0] == rows + 6
    assert reviews(data) == [(number, "ignore", "anna")]


def test_the_contrast_window_is_dragged_on_the_true_counts(data, serve, browser):
    page = opened(browser, serve(data))
    page.keyboard.press("h")
    low, high = (int(n) for n in re.findall(r"-?\d+", page.inner_text("#window")))
    assert 900 < low < high < 1300  # the frames' own counts, not 0 to 255
    seen = page.locator("#view").screenshot()
    point(page, 0.5, 0.5)
    page.mouse.down()
    point(page, 0.2, 0.8)
    page.mouse.up()
    narrow = [int(n) for n in re.findall(r"-?\d+", page.inner_text("#window"))]
    assert narrow[1] - narrow[0] < (high - low) / 2
    assert sum(narrow) > low + high
    assert page.locator("#view").screenshot() != seen
    page.keyboard.press("0")
    assert page.locator("#view").screenshot() == seen


def test_an_item_whose_frames_are_gone_says_so_and_can_be_skipped(data, serve, browser):
    (data / "frames" / "seq0.npy").unlink()
    page = opened(browser, serve(data) + "#order=sequence&sequence=seq0")
    assert "are gone" in page.inner_text("#note")
    page.keyboard.press("a")
    page.wait_for_timeout(200)
    assert reviews(data) == []
    press(page, "s")
    assert [r[1] for r in reviews(data)] == ["skip"]


def test_a_decision_that_did_not_arrive_is_said_and_can_be_repeated(data, serve, browser):
    page = opened(browser, serve(data))
    press(page, "t")
    page.route("**/decision", lambda route: route.abort())
    number = item(page)
    page.keyboard.press("i")
    page.wait_for_function("document.getElementById('note').textContent.includes('nothing was decided')")
    assert item(page) == number
    page.unroute("**/decision")
    press(page, "i")
    assert [r[1] for r in reviews(data)] == ["target", "interference"]


def test_it_begins_at_the_items_own_frame_and_rests_there(data, serve, browser):
    """Sampled in the page itself: how long each frame is seen."""
    page = opened(browser, serve(data))
    seen = page.evaluate(
        """() => new Promise((done) => {
          const seen = [], began = performance.now();
          const look = () => {
            const text = document.getElementById("frame").textContent, now = performance.now();
            if (seen.at(-1)?.text !== text) seen.push({ text, at: now });
            now - began < 9000 ? setTimeout(look, 10) : done(seen);
          };
          look();
        })"""
    )
    assert seen[0]["text"].endswith("●")
    stays = [(one["text"].endswith("●"), after["at"] - one["at"]) for one, after in itertools.pairwise(seen)]
    own, others = ([stay for mine, stay in stays[1:] if mine is wanted] for wanted in (True, False))
    assert np.median(others) < 500
    assert own
    assert min(own) > 900


def test_help_lists_the_keys(data, serve, browser):
    page = opened(browser, serve(data))
    page.keyboard.press("?")
    assert "follow it" in page.inner_text("#help")
    page.keyboard.press("t")  # keys are for the help now
    page.keyboard.press("Escape")
    assert reviews(data) == []


def test_beyond_loopback_a_token_is_needed(data, serve, browser):
    url = serve(data, "--host", "0.0.0.0")
    address, token = url.split("?token=")
    address = re.sub(r"//[^:]+:", "//127.0.0.1:", address)
    for path in ("", "?token=wrong", "api/queue", "static/main.js"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(address + path)
    page = opened(browser, f"{address}?token={token}")
    assert "token" not in page.url
    press(page, "t")
    assert len(reviews(data)) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_it_opens_with_the_kind_that_was_asked_for(data, serve, browser, host):
    url = serve(data, "--host", host, "--kind", "track")
    page = opened(browser, re.sub(r"//[^:]+:", "//127.0.0.1:", url))
    assert page.inner_text("#kind-of") == "track → target"
    assert page.inner_text("#progress").strip() == "0 of 1 decided"
    page.keyboard.press("a")
    page.wait_for_selector("body[data-item='']")
    assert len(reviews(data)) == 1


def test_loopback_answers_no_other_site(data, serve):
    url = serve(data)
    for headers, code in (({"Host": "evil.example"}, "400"), ({"Content-Type": "text/plain"}, "400")):
        body = json.dumps({"decision": "accept", "who": "eve"}).encode()
        with pytest.raises(urllib.error.HTTPError, match=code):
            urllib.request.urlopen(urllib.request.Request(f"{url}api/items/1/decision", body, headers))
    assert reviews(data) == []


def test_the_boxes_of_a_track_are_corrected_before_it_is_accepted(data, serve, browser):
    page = opened(browser, serve(data) + "#kind=track&order=score")
    page.keyboard.press("h")  # frame 33 of 30..37
    page.keyboard.press("ArrowDown")
    page.keyboard.press(".")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press(".")
    page.keyboard.press("Delete")
    assert "8 boxes, 2 moved, 1 taken away" in page.inner_text("#facts")
    for _ in range(3):
        page.keyboard.press(".")  # frame 38: no box of the track
    page.keyboard.press("ArrowDown")
    assert "no box on this frame" in page.inner_text("#note")
    page.keyboard.press("a")
    page.wait_for_selector("body[data-item='']")
    with Dataset.open(data) as d:
        boxes = d.boxes(d.sequence("seq0"))
        track = {f: boxes[f][-1] for f in range(30, 38)}
    assert [(b.x, b.y, b.w) for f, b in track.items() if f in (32, 33, 34)] == [(52, 30, 5), (53, 31, 5), (54, 30, 6)]
    assert (track[35].x, track[35].y) != (55, 30)
    assert all(b.label == "target" for b in track.values())
    assert reviews(data)[0][1:] == ("accept", "anna")
