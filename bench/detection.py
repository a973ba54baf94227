"""Networks beside the classical detectors that a user would try first, on whole frames of one split, scored by one protocol.

    python bench/detection.py DATA OUT --networks runs/first bundles/first [--yolo yolo/whole yolo/tiled] [--split test] [--frame-step 4]

Networks: finished runs (torch) and bundles (FP32 and INT8 through ONNX Runtime), at the threshold that they carry, which `fit` chose on the validation clips.
YOLO: folders that bench/yolo.py wrote, as they are and with irdim's evidence (the past of a detection in its score); threshold of the best F1 on the
validation clips.
Classical: top-hat, local contrast, difference to the temporal median of five registered earlier frames, and the mean of the three, each at the three
scales of irdim_train.labelling.classical, hot and cold; the threshold is that of the best F1 on the validation clips. All judge the same frames: those with
the history that the networks want. Milliseconds a frame: processor time of one thread from the frame to its detections, median over one sequence.
Writes OUT/detection.json and OUT/detection.md.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from yolo import OTHER_SIDE

from irdim.boxes import Detection
from irdim.bundle import DESCRIPTION, Bundle, ModelCard
from irdim.dataset import Dataset, Sequence
from irdim.detector import Detector
from irdim.differencing import InputSpec, network_input
from irdim.engines import Engine, open_engine
from irdim.evidence import Evidence
from irdim.history import History, with_full_history
from irdim.metrics import CentreDistance
from irdim.registration import estimate_shift, texture
from irdim.sources import Frame
from irdim_train.breakdown import break_down
from irdim_train.evaluate import Evaluation, Found, evaluate, rescore
from irdim_train.labelling.classical import DETECTORS, candidates, reference_frames, temporal_median, temporal_noise
from irdim_train.runs import load_model
from irdim_train.torch_engine import TorchEngine

FAINT = 2.0  # sigmas, from which a classical detector answers
TIMED = 30  # frames


def main() -> None:
    """Score everything, and write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--networks", type=Path, nargs="*", default=[])
    parser.add_argument("--yolo", type=Path, nargs="*", default=[])
    parser.add_argument("--python", type=Path, help="Of an environment with Ultralytics, to time --yolo.")
    parser.add_argument(
        "--no-classical", action="store_true", help="Leave the classical detectors out, which take longest."
    )
    parser.add_argument("--split", default="test")
    parser.add_argument("--frame-step", type=int, default=4)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    with Dataset.open(asked.data) as data:
        spec = InputSpec(frame_step=asked.frame_step)
        for name, measure in methods(data, asked, spec).items():
            rows.append({"method": name, **measure(asked.split)})
            print(json.dumps(rows[-1]), flush=True)
            written = {"command": " ".join(sys.argv), "date": str(date.today()), "rows": rows}
            (asked.out / "detection.json").write_text(json.dumps(written, indent=1))
            (asked.out / "detection.md").write_text(table(rows))
    print(table(rows))


def methods(data: Dataset, asked: argparse.Namespace, spec: InputSpec) -> dict[str, Callable[[str], dict[str, Any]]]:
    """Name to what measures it on a split."""
    found: dict[str, Callable[[str], dict[str, Any]]] = {}
    for path in asked.networks:
        for name, card, engine, one in engines(path):
            found[name] = partial(score_network, data, card, engine, one)
    for out in asked.yolo:
        for evidence in (False, True):
            name = f"YOLO11n, {out.name}" + ", with evidence" * evidence
            found[name] = partial(score_yolo, data, out, spec, evidence, asked.python)
    for detectors in () if asked.no_classical else (*((d,) for d in DETECTORS), DETECTORS):
        name = detectors[0] if len(detectors) == 1 else "mean of the three"
        found[name] = partial(score_classical, data, detectors, spec)
    return found


# networks


def engines(path: Path) -> list[tuple[str, ModelCard, Engine, Engine]]:
    """Name, card, engine, and the engine on one thread."""
    if (path / DESCRIPTION).is_file():
        bundle = Bundle.load(path)
        graphs = {p: bundle.cpu_graph(p) for p in ("fp32", "int8")}
        return [
            (f"{path.name}, {p}", bundle.card, open_engine(g), open_engine(g, threads=1)) for p, g in graphs.items()
        ]
    model, card = load_model(path)
    engine = TorchEngine(model)
    return [(f"{path.name}, torch", card, engine, engine)]


def score_network(data: Dataset, card: ModelCard, engine: Engine, one: Engine, split: str) -> dict[str, Any]:
    """At the card's threshold."""
    row = figures(evaluate(card, engine, data, split=split), data, card.thresholds.report)
    sequence = data.sequences(split)[0]
    detector = Detector(replace(card, interval=None), one)
    frames, spent = data.frames(sequence), []
    for i in range(min(sequence.length, TIMED + card.input.history)):
        begun = time.thread_time()
        step = detector.push(Frame(i, float(i), frames[i]))
        if step.status == "ok":
            spent.append(time.thread_time() - begun)
    return row | cost(spent, sequence)


# classical detectors


def score_classical(data: Dataset, detectors: tuple[str, ...], spec: InputSpec, split: str) -> dict[str, Any]:
    """At the threshold of the best F1 on the validation clips."""
    threshold = detect(data, detectors, spec, "val")[0].metric.best().threshold
    result, spent = detect(data, detectors, spec, split)
    return figures(result, data, threshold) | cost(spent, data.sequences(split)[0])


def detect(data: Dataset, detectors: tuple[str, ...], spec: InputSpec, split: str) -> tuple[Evaluation, list[float]]:
    """What a classical detector finds in a split, and seconds of the frames of its first sequence."""
    with ThreadPoolExecutor() as threads:
        ran = list(threads.map(partial(_detect, data.path, detectors, spec), data.sequences(split)))
    return scored(data, (found for found, _ in ran)), ran[0][1]


def scored(data: Dataset, detected: Iterable[Found]) -> Evaluation:
    """Detections held against the labels."""
    result = Evaluation(CentreDistance())
    for found in detected:
        own, labels = CentreDistance(), data.boxes(found.sequence)
        for index, detections in found:
            own.update(detections, labels.get(index, []), (found.sequence.height, found.sequence.width))
        name = found.sequence.name
        result.found[name], result.per_sequence[name] = found, own
        result.metric.extend(own)
    return result


def _detect(path: Path, detectors: tuple[str, ...], spec: InputSpec, sequence: Sequence) -> tuple[Found, list[float]]:
    with Dataset.open(path) as data:
        frames, times = data.frames(sequence), data.times(sequence)
        judged = np.flatnonzero(with_full_history(times, spec, sequence.interval)).tolist()
        rows, ends, spent = [], [], []
        for i in judged:
            begun = time.thread_time()
            rows += [[*_values(c), 0.0] for c in _candidates(frames, i, detectors)]
            ends.append(len(rows))
            spent.append(time.thread_time() - begun)
    table = np.array(rows, float).reshape(-1, 6)
    found = Found(
        sequence, np.array(judged, np.int32), np.array(ends, np.int64), table, None, len(frames) - len(judged)
    )
    return found, spent


def _candidates(frames: np.ndarray, i: int, detectors: tuple[str, ...]) -> list[Any]:
    """Of the frame and those before it alone, as a live detector would."""
    now, before = texture(frames[i]), i - 1
    shift = np.array(estimate_shift(texture(frames[before]), now), np.float32)
    noise, median = temporal_noise(frames[i], frames[before], shift), None
    if "temporal median" in detectors:
        references = reference_frames(i, 0, i)
        shifts = np.array([estimate_shift(texture(frames[r]), now) for r in references], np.float32)
        median = temporal_median(frames[i], frames[references], shifts)
    return candidates(frames[i], median, noise, FAINT, detectors=detectors)


def _values(candidate: Any) -> tuple[float, ...]:
    d = candidate.as_detection()
    return d.x, d.y, d.w, d.h, d.score


# YOLO


def score_yolo(
    data: Dataset, out: Path, spec: InputSpec, evidence: bool, python: Path | None, split: str
) -> dict[str, Any]:
    """What bench/yolo.py found, at the threshold of the best F1 on the validation clips. Without `python` its time is that of the input alone."""
    threshold = scored(data, read_yolo(data, out, evidence, "val")).metric.best().threshold
    row = figures(scored(data, read_yolo(data, out, evidence, split)), data, threshold)
    sequence = data.sequences(split)[0]
    own = cost(_input_times(data, sequence, replace(spec, kind="difference", register=True)), sequence)
    if python is not None:
        ran = subprocess.run([python, OTHER_SIDE, "time", out], check=True, capture_output=True, text=True)
        own["ms"] = round(own["ms"] + json.loads(ran.stdout.splitlines()[-1])["ms"], 1)
    return row | own


def read_yolo(data: Dataset, out: Path, evidence: bool, split: str) -> Iterable[Found]:
    """Sequence by sequence."""
    for sequence in data.sequences(split):
        path = out / split / f"{sequence.name}.npz"
        if not path.exists():
            sys.exit(f"error: {path}: not there; has bench/yolo.py come to its end?")
        with np.load(path) as held:
            frames, ends, rows, shifts = held["frames"], held["ends"], held["rows"], held["shifts"]
        past, kept = Evidence(), list[list[list[float]]]()
        for begin, end, shift in zip([0, *ends[:-1]], ends, shifts, strict=True):
            found = [Detection(*row) for row in rows[begin:end].tolist()]
            if evidence:
                found = past.update(found, tuple(shift))
            kept.append([[d.x, d.y, d.w, d.h, d.score, 0.0] for d in sorted(found, key=lambda d: -d.score)])
        table = np.array([row for frame in kept for row in frame], float).reshape(-1, 6)
        counts = np.cumsum([len(frame) for frame in kept])
        yield Found(sequence, frames.astype(np.int32), counts, table, None, sequence.length - len(frames))


def _input_times(data: Dataset, sequence: Sequence, spec: InputSpec) -> list[float]:
    history, frames, spent = History(spec), data.frames(sequence), []
    for i in range(min(sequence.length, TIMED + spec.history)):
        begun = time.thread_time()
        stack = history.push(Frame(i, float(i), frames[i]))
        if not isinstance(stack, str):
            network_input(stack.frames, spec, stack.shifts)
            spent.append(time.thread_time() - begun)
    return spent


# figures


def figures(result: Evaluation, data: Dataset, threshold: float) -> dict[str, Any]:
    """One row, shares of 1."""
    metric = result.metric
    score, wide = metric.at(threshold), rescore(result, data, 6.0)
    row: dict[str, Any] = {"protocol": score.protocol, "threshold": round(threshold, 4), "frames": score.frames}
    row |= {
        "f1": score.f1,
        "precision": score.precision,
        "recall": score.recall,
        "f1 within 6 px": wide.at(threshold).f1,
    }
    row |= {"best f1": metric.best().f1, "best f1 within 6 px": wide.best().f1}
    for rate in (0.01, 0.1, 1.0):
        row[f"Pd at {rate:g} a frame"] = metric.at_false_alarms(rate).recall
    row["Pd by SCR"] = {r.name: [round(r.recall, 4), r.targets] for r in break_down(result, data, threshold)["scr"]}
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}


def cost(spent: list[float], sequence: Sequence) -> dict[str, Any]:
    """Milliseconds of processor time a frame."""
    return {"ms": round(1e3 * float(np.median(spent)), 1), "of": f"{sequence.width}x{sequence.height}"}


def table(rows: list[dict[str, Any]]) -> str:
    """As Markdown, in %."""
    heads = ("f1", "best f1", "best f1 within 6 px", "Pd at 0.01 a frame", "Pd at 0.1 a frame", "Pd at 1 a frame")
    lines = [f"| method | {' | '.join(heads)} | ms a frame |", "|---" * (len(heads) + 2) + "|"]
    for row in rows:
        lines.append(
            f"| {row['method']} | {' | '.join(f'{100 * row[h]:.1f}' for h in heads)} | {row['ms']} ({row['of']}) |"
        )
    names = list(rows[0]["Pd by SCR"])
    lines += ["", f"| Pd by local SCR | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for row in rows:
        shares = (f"{100 * row['Pd by SCR'][name][0]:.0f}" for name in names)
        lines.append(f"| {row['method']} | {' | '.join(shares)} |")
    lines.append(f"| targets | {' | '.join(str(rows[0]['Pd by SCR'][n][1]) for n in names)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
