"""Mining with a fixed network: of the misses and false alarms that the definition can reach, how many are found, and how many that are found are any.

    python bench/mining.py RUN DATA --recordings RECORDINGS --first 4         # docs/results.md has the commands that make the three

Every sequence but those that were labelled for the network. Reachable misses: nothing is reported within 6 px of the target, but it is (within 3 px) in the
lag before and after, with no longer gap between than a track survives, and its reports on these frames would confirm a track. Reachable false alarms: a
report without a target within 3 px, and without another report within 6 px in the lag before and after. Truth is linked from frame to frame (5 px) to know
which target is which.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from irdim.boxes import TARGET, Box, Detection
from irdim.dataset import Dataset, Sequence
from irdim.scr import local_scr
from irdim.tracks import FALSE_ALARM, MISSED, TrackerOptions
from irdim_train.evaluate import Found, detect_sequences
from irdim_train.mining.following import follow_detections
from irdim_train.mining.run import LEAST, open_tracker
from irdim_train.models import open_model

AT, STEP, CLEAR = 3.0, 5.0, 5.0  # px; px; SCR


def main() -> None:
    """Print the two lines of the table, and what was never seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--first", type=int, default=1, help="training sequences to leave out, by name")
    parser.add_argument(
        "--recordings", type=Path, help="generated; what is hidden behind a cloud there is neither right nor wrong"
    )
    parser.add_argument("--least", type=float, default=LEAST)
    arguments = parser.parse_args()
    card, engine, _ = open_model(arguments.run)
    options = open_tracker(card.thresholds.report)
    queued, right, reachable, reached = ({MISSED: 0, FALSE_ALARM: 0} for _ in range(4))
    targets = seen = missed_frames = 0
    with Dataset.open(arguments.data) as data:
        chosen = [*data.sequences("train")[arguments.first :], *data.sequences("test")]
        for found in detect_sequences(card, engine, data, chosen):
            s = found.sequence
            truth = {f: [b for b in of if b.label == TARGET] for f, of in data.boxes(s).items()}
            verdicts = follow_detections(found, data.times(s), options).verdicts
            reports = {f: [d for d in ds if d.label == TARGET and d.score >= options.report] for f, ds in found}
            hidden = _hidden(arguments.recordings / s.name) if arguments.recordings else {}
            for v in verdicts:
                if v.kind in queued and v.score >= arguments.least and not _near(hidden.get(v.frame, []), v, AT):
                    queued[v.kind] += 1
                    right[v.kind] += _near(truth.get(v.frame, []), v, AT) == (v.kind == MISSED)
            for kind, places in _reachable(data, s, found, truth, reports, options).items():
                reachable[kind] += len(places)
                reached[kind] += sum(
                    any(
                        v.kind == kind
                        and v.score >= arguments.least
                        and v.frame == f
                        and np.hypot(v.x - x, v.y - y) <= AT
                        for v in verdicts
                    )
                    for f, x, y in places
                )
            for way in _ways({f: truth.get(f, []) for f in reports}):
                hits = [_near(reports[f], b, AT) for f, b in way]
                targets, seen = targets + 1, seen + any(hits)
                missed_frames += len(hits) - sum(hits)
    print(
        f"{len(chosen)} sequences; {targets} targets, {targets - seen} never seen at all; {missed_frames} missed target frames"
    )
    print("| | queued | precision | reachable (misses: SCR >= 5) | recall |\n|---|---|---|---|---|")
    for kind in (MISSED, FALSE_ALARM):
        precision, recall = right[kind] / max(queued[kind], 1), reached[kind] / max(reachable[kind], 1)
        print(f"| {kind} | {queued[kind]} | {precision:.3f} | {reachable[kind]} | {recall:.3f} |")


def _reachable(
    data: Dataset,
    s: Sequence,
    found: Found,
    truth: dict[int, list[Box]],
    reports: dict[int, list[Detection]],
    o: TrackerOptions,
) -> dict[str, list[tuple[int, float, float]]]:
    """(frame, x, y) of what the definition can reach."""
    frames, judged = data.frames(s), sorted(reports)
    places: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
    for way in _ways({f: truth.get(f, []) for f in judged}):
        hit = {f: _near(reports[f], b, AT) for f, b in way}
        for f, b in way:
            if _near(reports[f], b, o.near) or local_scr(frames[f], b) < CLEAR:
                continue
            before = [g for g in range(f - o.lag, f) if hit.get(g)]
            after = [g for g in range(f + 1, f + o.lag + 1) if hit.get(g)]
            if before and after and after[0] - before[-1] - 1 <= o.max_gap and _confirms([*before, *after], o):
                places[MISSED].append((f, b.x, b.y))
    for f in judged[1:-1]:
        around = [d for g in judged if 0 < abs(g - f) <= o.lag for d in reports[g]]
        for d in reports[f]:
            if not _near(truth.get(f, []), d, AT) and not _near(around, d, o.near):
                places[FALSE_ALARM].append((f, d.x, d.y))
    return places


def _hidden(recording: Path) -> dict[int, list[Box]]:
    """Targets with less than half of their light, by frame: not labelled, and yet there."""
    found: dict[int, list[Box]] = defaultdict(list)
    for spot in json.loads((recording / "truth.json").read_text())["spots"]:
        if spot["label"] == TARGET:
            for frame in spot["hidden"]:
                y, x = spot["track"][frame]
                found[frame].append(Box(x, y, 3, 3))
    return found


def _confirms(frames: list[int], o: TrackerOptions) -> bool:
    """Whether so many of the frames lie within the window as confirm a track."""
    return any(sum(0 <= f - g < o.confirm_window for g in frames) >= o.confirm_hits for f in frames)


def _ways(truth: dict[int, list[Box]]) -> list[list[tuple[int, Box]]]:
    """Each target's boxes, linked from frame to frame to the nearest."""
    ways: list[list[tuple[int, Box]]] = []
    for f in sorted(truth):
        live = [w for w in ways if w[-1][0] == f - 1]
        for b in truth[f]:
            near = min(live, key=lambda w: np.hypot(w[-1][1].x - b.x, w[-1][1].y - b.y), default=None)
            if near is not None and np.hypot(near[-1][1].x - b.x, near[-1][1].y - b.y) <= STEP:
                live = [w for w in live if w is not near]
                near.append((f, b))
            else:
                ways.append([(f, b)])
    return ways


def _near(places: list, to: object, reach: float) -> bool:
    return any(np.hypot(p.x - to.x, p.y - to.y) <= reach for p in places)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
