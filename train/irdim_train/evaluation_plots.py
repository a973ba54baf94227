"""The plots of an evaluation."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.ticker import NullFormatter

from irdim.metrics import Metric
from irdim.report import Figure, plot
from irdim_train.breakdown import PROPERTIES, Range
from irdim_train.evaluated import Evaluated

COLOURS = ("#1f77b4", "#e6762d", "#2a9d6f", "#9467bd", "#c23b3b", "#8c6d31")  # of protocols; seen on white and on black
LINES = ("-", (0, (5, 4)), (0, (1, 2)))  # of protocols too: curves that lie over one another are all seen
GREY = "#888888"
MOST_NAMED = 60  # sequences that one plot can name


def draw_plots(evaluated: Evaluated) -> dict[str, Figure]:
    """Name of each plot to the plot."""
    threshold, main = evaluated.threshold, evaluated.result.metric.protocol
    plots = {
        "precision-recall": plot(
            partial(_precision_recall, evaluated=evaluated),
            f"Precision over recall at every threshold; the dots are the report threshold, {threshold:.3f}.",
        ),
        "false-alarms": plot(
            partial(_false_alarms, evaluated=evaluated),
            "Pd over false alarms a frame, each counted once; the dots are the report threshold.",
        ),
        "threshold": plot(
            partial(_threshold, evaluated=evaluated),
            f"What another threshold would give ({main}); the line is the report threshold.",
        ),
    }
    for name, metric in evaluated.metrics.items():
        if metric.counts_pixels:
            plots["fa"] = plot(
                partial(_fa, metric=metric, threshold=threshold),
                f"Pd over Fa, the pixels of false alarms among all pixels ({name}), as the public benchmarks plot it.",
            )
    for name, ranges in evaluated.breakdown.items():
        if ranges:
            caption = f"{PROPERTIES[name].title}: Pd ({main}), with 95 % intervals where five sequences or more have such targets."
            draw = partial(_ranges, ranges=ranges, title=PROPERTIES[name].title)
            plots[f"by-{name}"] = plot(draw, caption)
    scores = [(n, at.f1) for n, m in evaluated.result.per_sequence.items() if (at := m.at(threshold)).targets]
    scores.sort(key=lambda item: item[1])
    height = 1.2 + 0.19 * min(len(scores), MOST_NAMED)
    overall = evaluated.result.metric.at(threshold).f1
    plots["sequences"] = plot(
        partial(_sequences, scores=scores, overall=overall),
        "F1 of each sequence with a target.",
        size=(7.0, height),
        wide=True,
    )
    return plots


def _precision_recall(axes: Any, evaluated: Evaluated) -> None:
    for (colour, line), (name, metric) in zip(_styles(evaluated), evaluated.metrics.items(), strict=True):
        curve, at = metric.curve(1000), metric.at(evaluated.threshold)
        axes.plot(curve["recall"], curve["precision"], color=colour, linestyle=line, label=name)
        axes.plot(at.recall, at.precision, "o", color=colour)
    axes.set(xlabel="recall (Pd)", ylabel="precision", xlim=(0, 1), ylim=(0, 1.03))
    _finish(axes, legend=True)


def _false_alarms(axes: Any, evaluated: Evaluated) -> None:
    for (colour, line), (name, metric) in zip(_styles(evaluated), evaluated.metrics.items(), strict=True):
        curve, at = metric.curve(1000), metric.at(evaluated.threshold)
        _rates(axes, curve["false_alarms_per_frame"], curve["recall"], colour, name, line)
        axes.plot(at.false_alarms_per_frame or np.nan, at.recall, "o", color=colour)
    _decades(axes)
    axes.set(xlabel="false alarms a frame", ylabel="Pd", ylim=(0, 1.03))
    _finish(axes, legend=True)


def _fa(axes: Any, metric: Metric, threshold: float) -> None:
    curve, at = metric.curve(1000), metric.at(threshold).to_json()
    _rates(axes, curve["false_alarm_pixels_per_pixel"], curve["recall"], COLOURS[0], metric.protocol)
    axes.plot(at["false_alarm_pixels_per_pixel"] or np.nan, at["recall"], "o", color=COLOURS[0])
    _decades(axes)
    axes.set(xlabel="Fa, false-alarm pixels per pixel", ylabel="Pd", ylim=(0, 1.03))
    _finish(axes)


def _rates(
    axes: Any, rates: Sequence[float], recalls: Sequence[float], colour: str, name: str, line: Any = LINES[0]
) -> None:
    """Only what a logarithmic axis can show: from the last threshold without a false alarm on."""
    shown = [(x, y) for x, y in zip(rates, recalls, strict=True) if x > 0]
    axes.plot(*zip(*shown, strict=True) if shown else ([], []), color=colour, linestyle=line, label=name)


def _decades(axes: Any) -> None:
    """A logarithmic axis of whole decades, which alone are named: the names of what lies between run into one another."""
    x = np.concatenate([np.asarray(line.get_xdata(), float) for line in axes.lines] or [np.ones(1)])
    x = x[np.isfinite(x) & (x > 0)]
    low, high = (np.floor(np.log10(x.min())), np.ceil(np.log10(x.max()))) if x.size else (-1, 0)
    axes.set(xscale="log", xlim=(10.0**low, 10.0 ** max(high, low + 1)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _threshold(axes: Any, evaluated: Evaluated) -> None:
    curve = evaluated.result.metric.curve(1000)
    precision, recall = np.array(curve["precision"]), np.array(curve["recall"])
    axes.plot(curve["threshold"], precision, color=COLOURS[0], label="precision")
    axes.plot(curve["threshold"], recall, color=COLOURS[1], label="recall (Pd)")
    axes.plot(
        curve["threshold"], 2 * precision * recall / np.maximum(precision + recall, 1e-9), color=COLOURS[2], label="F1"
    )
    axes.axvline(evaluated.threshold, color=GREY, linestyle="--", linewidth=1)
    axes.set(xlabel="threshold", ylim=(0, 1.03), xlim=(0, 1))
    _finish(axes, legend=True)


def _ranges(axes: Any, ranges: Sequence[Range], title: str) -> None:
    at = np.arange(len(ranges))
    axes.bar(at, [r.recall for r in ranges], width=0.7, color=COLOURS[0], alpha=0.75)
    for i, r in enumerate(ranges):
        top = r.recall
        if r.interval.low is not None and r.interval.high is not None:
            axes.plot([i, i], [r.interval.low, r.interval.high], color=GREY, linewidth=2)
            top = max(top, r.interval.high)
        axes.text(i, top + 0.02, f"{r.targets}", ha="center", va="bottom", fontsize=8)
    axes.set_xticks(at, [r.name for r in ranges], rotation=20 if len(ranges) > 5 else 0)
    axes.set(xlabel=title, ylabel="Pd (targets above)", ylim=(0, 1.12))
    _finish(axes)


def _sequences(axes: Any, scores: Sequence[tuple[str, float]], overall: float) -> None:
    named = len(scores) <= MOST_NAMED
    at = np.arange(len(scores))[::-1]
    axes.barh(at, [f1 for _, f1 in scores], height=0.7 if named else 1.0, color=COLOURS[0], alpha=0.75)
    axes.axvline(overall, color=GREY, linestyle="--", linewidth=1)
    axes.text(overall, len(scores) - 0.3, f"all: {overall:.3f}", ha="center", va="bottom", fontsize=8)
    axes.set_yticks(at if named else [], [name for name, _ in scores] if named else [], fontsize=8)
    axes.set(xlabel="F1", xlim=(0, 1), ylim=(-0.6, len(scores) - 0.4))
    _finish(axes)


def _styles(evaluated: Evaluated) -> list[tuple[str, Any]]:
    """Colour and line of each protocol."""
    return [(COLOURS[i % len(COLOURS)], LINES[i % len(LINES)]) for i in range(len(evaluated.metrics))]


def _finish(axes: Any, legend: bool = False) -> None:
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend(fontsize=8)
