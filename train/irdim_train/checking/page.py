"""A check for people: the findings, the worst with pictures, and what the targets are like."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from irdim.report import Figure, Section, Table, picture, plot, show_frame, write_report
from irdim_train.checking.findings import Finding, Severity
from irdim_train.checking.run import Checked

TITLES = {
    Severity.HARMFUL: "Harmful: training or measuring goes wrong with it",
    Severity.LOOK: "Worth a look",
    Severity.NOTE: "Worth knowing",
}
PICTURES = 12  # of a severity
LISTED = 200  # findings of a severity
ZOOM = 5


def write_page(path: Path, checked: Checked, what: str) -> None:
    """what: path of the data set or recordings, for the title."""
    sections = [_summary(checked)]
    for severity, title in TITLES.items():
        mine = [f for f in checked.findings if f.severity is severity]
        if mine:
            sections.append(Section(title, _told(mine), [_list(mine)], _pictures(mine)))
    if checked.seen:
        sections += [_targets(checked), _sizing(checked)]
    write_report(path, f"Check of {Path(what).name}", what, sections)


def summary_table(checked: Checked) -> Table:
    """Counts and medians, a line for each split."""
    heads = [
        "split",
        "sequences",
        "frames",
        "targets",
        "box px",
        "spot px",
        "SCR",
        "px/frame",
        "offset px",
    ]
    rows = []
    for split in checked.splits:
        f = checked.figures(split)
        offset = "" if f["median_offset_x"] is None else f"{f['median_offset_x']:+.2f}, {f['median_offset_y']:+.2f}"
        middles = (f"{f[k]:.1f}" if f[k] is not None else "" for k in ("median_box", "median_spot", "median_scr"))
        speed = "" if f["median_speed"] is None else f"{f['median_speed']:.2f}"
        rows.append([split or "all", f["sequences"], f["frames"], f["targets"], *middles, speed, offset])
    return Table(heads, rows)


def sizing_table(checked: Checked) -> Table:
    """The paper's Table 1 for these frames."""
    rows = [
        [s.name, f"{s.kilobytes:,.1f}", "" if s.per_mille is None else f"{s.per_mille:.4g}"] for s in checked.sizing()
    ]
    return Table(["frames of", "KiB a stack of four", "target's share, per mille"], rows)


def _summary(checked: Checked) -> Section:
    words = ["Nothing wrong was found." if not checked.findings else f"{len(checked.findings)} findings."]
    if checked.seen:
        step, why = checked.frame_step()
        words.append(f"Suggested: --frame-step {step} ({why}).")
    return Section("Summary", words, [summary_table(checked)] if checked.seen else [])


def _told(findings: Sequence[Finding]) -> list[str]:
    return (
        [] if len(findings) <= LISTED else [f"{len(findings)} in all, the first {LISTED} listed; --json has every one."]
    )


def _list(findings: Sequence[Finding]) -> Table:
    return Table(["kind", "what"], [[f.kind, f.text] for f in findings[:LISTED]])


def _pictures(findings: Sequence[Finding]) -> list[Figure]:
    shown = [f for f in findings if f.picture is not None][:PICTURES]
    return [
        picture(show_frame(f.picture, [f.box] if f.box else [], zoom=ZOOM), f"{f.sequence}, frame {f.frame}: {f.kind}")
        for f in shown
        if f.picture is not None
    ]


def _targets(checked: Checked) -> Section:
    figures = [
        _histogram(checked, "box", "side of the box, px", None),
        _histogram(checked, "scr", "SCR", (0.0, 30.0)),
        _histogram(checked, "speed", "speed against the background, px a frame", (0.0, 8.0)),
        _offsets(checked),
    ]
    words = [
        "SCR = |peak - local mean| / local sigma, over a ring of 6 px from 2 px outside the box. What lies beyond an axis is in its last bar.",
    ]
    return Section("Targets", words, figures=figures)


def _histogram(checked: Checked, name: str, axis: str, limits: tuple[float, float] | None) -> Figure:
    def draw(axes: Any) -> None:
        everything = checked.column(name)
        everything = everything[np.isfinite(everything)]
        low, high = limits or (0.0, float(everything.max(initial=1.0)))
        bins = np.linspace(low, high, 41)
        columns = [checked.column(name, split) for split in checked.splits]
        columns = [np.clip(c[np.isfinite(c)], low, high) for c in columns]
        axes.hist(columns, bins, stacked=True, label=[s or "all" for s in checked.splits])
        axes.set_xlabel(axis)
        axes.set_ylabel("targets")
        axes.legend()

    return plot(draw, f"Targets by {axis}.")


def _offsets(checked: Checked) -> Figure:
    def draw(axes: Any) -> None:
        x, y = -checked.column("offset_x"), -checked.column("offset_y")
        axes.scatter(x, y, s=4, alpha=0.3)
        axes.axhline(0, linewidth=0.5)
        axes.axvline(0, linewidth=0.5)
        axes.set_xlim(-4, 4)
        axes.set_ylim(4, -4)
        axes.set_aspect("equal")
        axes.set_xlabel("right, px")
        axes.set_ylabel("down, px")

    return plot(
        draw,
        "Where label centres lie, seen from their target's centroid (clear targets only). A cloud beside the cross is a systematic offset.",
    )


def _sizing(checked: Checked) -> Section:
    return Section("Storage and share of the target, the paper's Table 1", tables=[sizing_table(checked)])
