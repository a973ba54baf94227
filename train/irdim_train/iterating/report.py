"""What the loop has brought: the paper's Table 3, the counts of Fig. 8, Fig. 11, and the cost in reviewed items. As text, PNG and HTML."""

from collections import Counter
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from irdim.files import atomic_file
from irdim.report import Figure, Section, Table, on_white, plot, write_report
from irdim_train.iterating.loop import LOSSES
from irdim_train.iterating.state import LoopState, Turn
from irdim_train.refining.histogram import loss_histogram
from irdim_train.runs import read_run

COLOURS = ("#1f77b4", "#e6762d", "#2a9d6f")
HEADS = ("iteration", "images", "P", "R", "F1", "label loss", "asked", "reviewed before")


def validation_f1(state: LoopState) -> dict[int, float]:
    """F1 of each evaluated turn's run by the turn's number, of the validation sequences: test scores choose nothing. Empty where there are none."""
    scores = {t.number: read_run(state.run(t.number))["scores"] for t in scored(state)}
    return {number: float(of["val"]["f1"]) for number, of in scores.items() if "val" in of}


def scored(state: LoopState) -> list[Turn]:
    """The turns that were evaluated."""
    return [t for t in state.turns if t.scores]


def table(state: LoopState) -> list[tuple[Any, ...]]:
    """The rows of Table 3, by HEADS. P, R, F1 in percent; reviewed before: items decided until then, all turns together."""
    turns = scored(state)
    before = [0, *accumulate(t.reviewed for t in turns)]
    return [
        (
            t.number, t.images,
            *(f"{100 * t.scores[k]:.2f}" for k in ("precision", "recall", "f1")),
            f"{t.label_loss:.3f}", sum(t.chosen.values()), done,
        )
        for t, done in zip(turns, before, strict=False)
    ]  # fmt: skip


def counts(state: LoopState) -> Table:
    """Fig. 8: what each turn put into the queue, by kind."""
    turns = scored(state)
    kinds = sorted({k for t in turns for k in t.queued})
    return Table(["iteration", *kinds], [[t.number, *(t.queued.get(k, 0) for k in kinds)] for t in turns])


def decisions(state: LoopState) -> Table:
    """Each kind of item that was decided, all turns together, and as what."""
    total: Counter[tuple[str, str]] = Counter()
    for t in state.turns:
        for name, n in t.decided.items():
            kind, _, decision = name.partition(": ")
            total[kind, decision] += n
    kinds, taken = sorted({k for k, _ in total}), sorted({d for _, d in total})
    return Table(["kind", *taken], [[k, *(total[k, d] for d in taken)] for k in kinds])


def write_loop_report(state: LoopState) -> Path:
    """LOOP/report.html and its pictures as PNG files; returns the page."""
    figures = _figures(state)
    for name, figure in figures.items():
        with atomic_file(state.folder / f"{name}.png") as file:
            file.write(on_white(figure))
    turns = scored(state)
    first, last = turns[0], turns[-1]
    protocol = last.scores["protocol"]
    gain = (
        f"F1 {100 * first.scores['f1']:.2f} -> {100 * last.scores['f1']:.2f} ({protocol}, each at its own threshold), mean loss of the labels "
        f"{first.label_loss:.3f} -> {last.label_loss:.3f}, for {sum(t.reviewed for t in turns)} reviewed items."
    )
    c = state.config
    how = (
        f"Items were chosen by {c.choose} and decided by {'a person' if c.decide == 'ask' else 'the rule ' + c.decide}."
    )
    sections = [
        Section("Iterations", [gain, how], [Table(HEADS, table(state))], [figures["f1"], figures["cost"]]),
        Section("What was asked", ["New items by kind."], [counts(state)], [figures["counts"]]),
        Section("What was decided", ["Items of all iterations, by what was said of them."], [decisions(state)]),
    ]  # fmt: skip
    if "losses" in figures:
        sections.append(Section("Losses of the labels", [], [], [figures["losses"]]))
    page = state.folder / "report.html"
    write_report(page, "Iterations", f"{c.data}; {len(turns)} of {c.iterations + 1} trainings", sections)
    return page


def _figures(state: LoopState) -> dict[str, Figure]:
    turns = scored(state)
    figures = {
        "f1": plot(partial(_scores, turns=turns), "Precision, recall and F1 of each iteration (the paper's Table 3)."),
        "cost": plot(partial(_cost, turns=turns), "F1 over the items that were reviewed before."),
        "counts": plot(partial(_counts, turns=turns), "New items of each iteration, by kind (Fig. 8)."),
    }
    paths = [state.folder / f"iteration-{t.number}" / LOSSES for t in turns]
    there = [p for p in paths if p.is_file()]
    if there:
        chosen = {p.parent.name.replace("-", " "): np.load(p, allow_pickle=False) for p in (there[0], there[-1])}
        figures["losses"] = loss_histogram(
            chosen, "Losses of the labels, in the first and in the last iteration (Fig. 11)."
        )
    return figures


def _scores(axes: Any, turns: list[Turn]) -> None:
    for colour, (key, name) in zip(
        COLOURS, (("f1", "F1"), ("precision", "precision"), ("recall", "recall")), strict=True
    ):
        axes.plot([t.number for t in turns], [100 * t.scores[key] for t in turns], "o-", color=colour, label=name)
    axes.set_xticks([t.number for t in turns])
    axes.set_xlabel("iteration")
    axes.set_ylabel("%")
    axes.legend(frameon=False)


def _cost(axes: Any, turns: list[Turn]) -> None:
    before = [0, *accumulate(t.reviewed for t in turns)]
    axes.plot(before[: len(turns)], [100 * t.scores["f1"] for t in turns], "o-", color=COLOURS[0])
    axes.set_xlabel("items reviewed")
    axes.set_ylabel("F1, %")


def _counts(axes: Any, turns: list[Turn]) -> None:
    kinds = sorted({k for t in turns for k in t.queued})
    bottom = np.zeros(len(turns))
    for n, kind in enumerate(kinds):
        values = np.array([t.queued.get(kind, 0) for t in turns], float)
        axes.bar([t.number for t in turns], values, bottom=bottom, label=kind, color=f"C{n}", width=0.6)
        bottom += values
    axes.set_xticks([t.number for t in turns])
    axes.set_xlabel("iteration")
    axes.set_ylabel("items")
    if kinds:
        axes.legend(frameon=False, fontsize=8)
