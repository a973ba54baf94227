"""A folder about one evaluation: evaluation.json for programs, report.html and its plots as PNG files for people."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from irdim.dataset import Dataset
from irdim.files import write_json
from irdim.metrics import FEWEST, Interval
from irdim.report import Figure, Section, Table, on_white, write_report
from irdim.wording import number_of
from irdim_train.breakdown import PROPERTIES
from irdim_train.evaluated import Evaluated, operating_points
from irdim_train.evaluation_examples import missed_and_wrong
from irdim_train.evaluation_plots import draw_plots

DESCRIPTION, FORMAT, VERSION = "evaluation.json", "irdim-evaluation", 1
CURVE_POINTS = 300
PLOTS = ("precision-recall", "false-alarms", "threshold", "fa", "sequences", "by-*")
OWN = ("report.html", *(f"{name}.png" for name in PLOTS))  # patterns of what else is in the folder


def write_evaluation(folder: Path, model: Path, data: Dataset, evaluated: Evaluated) -> None:
    """Write the files into a folder. model, data: what was evaluated on what."""
    write_json(folder / DESCRIPTION, describe(model, data.path, evaluated))
    plots = draw_plots(evaluated)
    for name, figure in plots.items():
        (folder / f"{name}.png").write_bytes(on_white(figure))
    frames, sequences = evaluated.result.metric.at(1.0).frames, len(evaluated.result.per_sequence)
    note = (
        f"{model} on {data.path}, split {evaluated.split}: {number_of(frames, 'frame')} of {number_of(sequences, 'sequence')}, "
        f"{evaluated.result.warming} more without full history; {evaluated.engine}. {chosen_there(evaluated.split)}"
    )
    sections = [*_sections(evaluated, plots), *_examples(*missed_and_wrong(data, evaluated))]
    write_report(folder / "report.html", "Evaluation", note, sections)


def _within(interval: Interval) -> str:
    if interval.low is None:
        return f"no interval of {number_of(interval.sequences, 'sequence')}"
    return f"95 % interval {interval.text}"


def chosen_there(split: str) -> str:
    """What to bear in mind of the scores of a split; nothing of the test sequences'."""
    return (
        "" if split == "test" else f"Thresholds are chosen on {split}, so recordings of other scenes will score lower."
    )


def describe(model: Path, data: Path, evaluated: Evaluated) -> dict[str, Any]:
    """What evaluation.json holds, see docs/formats.md."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "model": str(model),
        "data": str(data),
        "split": evaluated.split,
        "engine": evaluated.engine,
        "threshold": evaluated.threshold,
        "lowest_score": evaluated.low,
        "warming_frames": evaluated.result.warming,
        "protocols": {name: _describe_protocol(evaluated, name) for name in evaluated.metrics},
        "breakdown": {name: [r.to_json() for r in ranges] for name, ranges in evaluated.breakdown.items()},
        "sequences": {name: m.at(evaluated.threshold).to_json() for name, m in evaluated.result.per_sequence.items()},
    }


def _describe_protocol(evaluated: Evaluated, protocol: str) -> dict[str, Any]:
    metric = evaluated.metrics[protocol]
    return {
        **metric.at(evaluated.threshold).to_json(),
        "intervals": {name: interval.to_json() for name, interval in evaluated.intervals[protocol].items()},
        "best_f1": metric.best().to_json(),
        "operating_points": [
            {"allowed_false_alarms_per_frame": p.allowed, "reached": p.reached, **p.score.to_json()}
            for p in operating_points(metric)
        ],
        "curve": {name: [float(f"{v:.6g}") for v in values] for name, values in metric.curve(CURVE_POINTS).items()},
    }


def _sections(evaluated: Evaluated, plots: Mapping[str, Figure]) -> list[Section]:
    few = len(evaluated.result.per_sequence) < FEWEST
    return [
        Section("Scores", [_summary(evaluated)], [_protocol_table(evaluated)]),
        Section(
            "Operating points",
            [
                "Thresholds of the best F1 and of a false-alarm rate are chosen on these very frames: they say what the network could do, not what it will do.",
                f"Detections below a score of {evaluated.low:g} were not kept.",
            ],
            [_points_table(evaluated)],
            [plots[name] for name in ("precision-recall", "false-alarms", "threshold", "fa") if name in plots],
        ),
        Section(
            "What the targets are like",
            [
                f"Share of the targets found (Pd) by {evaluated.result.metric.protocol} at threshold {evaluated.threshold:.3f}.",
                "Bars: 95 % intervals over the sequences that have such targets, where there are at least five.",
            ],
            [_breakdown_table(evaluated)],
            [plots[name] for name in plots if name.startswith("by-")],
        ),
        Section(
            "Sequences",
            ["Too few sequences for intervals." if few else "Lowest F1 first."],
            [_sequence_table(evaluated)],
            [plots["sequences"]],
        ),
    ]


def _examples(missed: list[Figure], wrong: list[Figure]) -> list[Section]:
    words = "Left as it is, right with orange for labelled targets, violet for interference, grey for what is ignored and green for what was reported."
    return [
        Section(
            "Missed targets",
            [f"{words} Those first that were nearest to being reported."] if missed else ["None."],
            figures=missed,
        ),
        Section("False alarms", ["The strongest first."] if wrong else ["None."], figures=wrong),
    ]


def _summary(evaluated: Evaluated) -> str:
    score = evaluated.result.metric.at(evaluated.threshold)
    intervals = evaluated.intervals[score.protocol]
    hour = score.false_alarms_per_hour
    return (
        f"{score.protocol}, threshold {score.threshold:.3f}: F1 {score.f1:.3f} ({_within(intervals['f1'])}), "
        f"{score.true_positives} of {score.targets} targets found (Pd {score.recall:.3f}, {_within(intervals['recall'])}), "
        f"{number_of(score.false_positives, 'false alarm')}, {score.false_alarms_per_frame:.3f} a frame ({_within(intervals['false_alarms_per_frame'])})"
        + (f", {hour:.0f} an hour." if hour is not None else "; an hour: the interval between frames is not known.")
    )


def _protocol_table(evaluated: Evaluated) -> Table:
    rows = []
    for name, metric in evaluated.metrics.items():
        score, intervals = metric.at(evaluated.threshold), evaluated.intervals[name]
        rows.append(
            [
                name,
                score.precision,
                score.recall,
                score.f1,
                intervals["f1"].text,
                score.false_alarms_per_frame,
                score.on_interference,
                f"{score.false_positives / max(score.pixels, 1):.2e}",
                f"{score.false_alarm_pixels / max(score.pixels, 1):.2e}"
                if score.false_alarm_pixels is not None
                else "",
                score.targets,
            ]
        )
    heads = ["protocol", "precision", "recall (Pd)", "F1", "95 % of F1", "false alarms/frame", "on interference"]
    return Table([*heads, "false alarms/px", "false-alarm px/px (Fa)", "targets"], rows)


def _points_table(evaluated: Evaluated) -> Table:
    rows = []
    for name, metric in evaluated.metrics.items():
        points = [("best F1", metric.best(), True)]
        points += [(f"{p.allowed:g} false alarms/frame", p.score, p.reached) for p in operating_points(metric)]
        rows += [
            [
                name,
                title if reached else f"{title} (not reached)",
                score.threshold,
                score.precision,
                score.recall,
                score.f1,
                score.false_alarms_per_frame,
            ]
            for title, score, reached in points
        ]
    return Table(["protocol", "point", "threshold", "precision", "recall (Pd)", "F1", "false alarms/frame"], rows)


def _breakdown_table(evaluated: Evaluated) -> Table:
    rows = [
        [PROPERTIES[name].title, r.name, r.targets, r.recall, r.interval.text, r.interval.sequences]
        for name, ranges in evaluated.breakdown.items()
        for r in ranges
    ]
    return Table(["property", "range", "targets", "Pd", "95 %", "sequences"], rows)


def _sequence_table(evaluated: Evaluated) -> Table:
    scores = {n: m.at(evaluated.threshold) for n, m in evaluated.result.per_sequence.items()}
    rows = [  # without a target there is nothing to be found: no recall, no F1
        [
            name,
            s.frames,
            s.targets,
            s.precision,
            *((s.recall, s.f1) if s.targets else ("", "")),
            s.false_alarms_per_frame,
        ]
        for name, s in sorted(scores.items(), key=lambda item: (not item[1].targets, item[1].f1))
    ]
    return Table(["sequence", "frames", "targets", "precision", "recall (Pd)", "F1", "false alarms/frame"], rows)
