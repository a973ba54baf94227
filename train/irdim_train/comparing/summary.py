"""Results of a comparison as a table (mean and spread over seeds), plots and a page."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irdim.files import atomic_file, write_json
from irdim.report import Section, Table, on_white, plot, write_report

AXES = ("data", "backbone", "width", "input", "frame_step", "register", "size")  # seeds are averaged over


@dataclass(frozen=True)
class Row:
    """One setting over its seeds: mean and (largest - smallest) / 2, where there is more than one seed; without what was not measured."""

    setting: dict[str, Any]
    seeds: int
    means: dict[str, float]
    spreads: dict[str, float]


MEASURES: dict[str, Callable[[dict[str, Any]], float | None]] = {
    "minutes": lambda r: r["minutes"],
    "memory_mb": lambda r: r["peak_memory_mb"],
    "patches_precision": lambda r: r["patches"] and r["patches"]["precision"],
    "patches_recall": lambda r: r["patches"] and r["patches"]["recall"],
    "patches_f1": lambda r: r["patches"] and r["patches"]["f1"],
    "frames_precision": lambda r: r["frames"]["precision"],
    "frames_recall": lambda r: r["frames"]["recall"],
    "frames_f1": lambda r: r["frames"]["f1"],
    "frames_best_f1": lambda r: r["frames_best"]["f1"],
    "false_alarms_per_frame": lambda r: r["frames"]["false_alarms_per_frame"],
}
HEADS = (
    "minutes",
    "MiB",
    "P patch",
    "R patch",
    "F1 patch",
    "P frame",
    "R frame (Pd)",
    "F1 frame",
    "best F1 frame",
    "FA/frame",
)


def summarise(results: Sequence[dict[str, Any]]) -> list[Row]:
    """One row a setting, in the order of the results."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for result in results:
        groups.setdefault(tuple(result["cell"][axis] for axis in AXES), []).append(result)
    rows = []
    for setting, group in groups.items():
        measured = {name: [v for r in group if (v := measure(r)) is not None] for name, measure in MEASURES.items()}
        values = {name: v for name, v in measured.items() if v}
        rows.append(
            Row(
                dict(zip(AXES, setting, strict=True)),
                len(group),
                {name: statistics.fmean(v) for name, v in values.items()},
                {name: (max(v) - min(v)) / 2 for name, v in values.items()},
            )
        )
    return rows


def table(rows: Sequence[Row]) -> Table:
    """The rows for people: only the axes that vary, percentages as in the paper."""
    varying = [axis for axis in AXES if len({str(r.setting[axis]) for r in rows}) > 1] or ["backbone", "size"]
    cells = [
        [*(_name(axis, r.setting[axis]) for axis in varying), *(_value(r, name) for name in MEASURES)] for r in rows
    ]
    return Table([*(axis.replace("_", " ") for axis in varying), *HEADS], cells)


def _name(axis: str, value: Any) -> str:
    if axis == "data":
        return Path(value).name
    if axis == "register":
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _value(row: Row, name: str) -> str:
    if name not in row.means:
        return "-"
    mean, spread = row.means[name], row.spreads[name]
    if name == "minutes":
        return f"{mean:.1f}"
    if name == "memory_mb":
        return f"{mean:.0f}"
    if name == "false_alarms_per_frame":
        return f"{mean:.3f}"
    return f"{100 * mean:.2f}" + (f" ± {100 * spread:.2f}" if row.seeds > 1 else "")


def write_summary(out: Path, results: Sequence[dict[str, Any]], failed: dict[str, str], command: str) -> list[Row]:
    """compare.json, compare.html and the plots as PNG into `out`."""
    rows = summarise(results)
    write_json(
        out / "compare.json",
        {
            "command": command,
            "rows": [{**r.setting, "seeds": r.seeds, "mean": r.means, "half_range": r.spreads} for r in rows],
            "results": list(results),
            "failed": failed,
        },
    )
    if not rows:
        return rows
    figures = {
        "f1": plot(
            lambda axes: _draw_f1(axes, rows),
            "F1 on whole frames (full) and on patches of the own size (dashed); bars: range over seeds.",
        ),
        "minutes": plot(lambda axes: _draw_minutes(axes, rows), "Minutes of training against F1 on whole frames."),
    }
    for name, figure in figures.items():
        with atomic_file(out / f"{name}.png") as file:
            file.write(on_white(figure))
    sections = [
        Section("Results", [PROTOCOL, *_warnings(results)], [table(rows)]),
        Section("Plots", figures=list(figures.values())),
    ]
    if failed:
        sections.append(Section("Not trained", tables=[Table(["cell", "why"], [[k, v] for k, v in failed.items()])]))
    write_report(out / "compare.html", "Comparison", command, sections)
    return rows


PROTOCOL = (
    "Patches: validation patches of the network's own size, each on its own, at the threshold of the best F1, as the paper's Table 2. "
    "Frames: whole frames of other scenes at the threshold chosen on whole validation frames, as a user has it. "
    "Both within 3 px; precision, recall and F1 in %."
)


def _warnings(results: Sequence[dict[str, Any]]) -> list[str]:
    """Where whole frames were not those of other scenes, and where there were no patches to score."""
    warnings = []
    if splits := {r["split"] for r in results} - {"test"}:
        warnings.append(
            f"No test sequences: whole frames are those of {', '.join(sorted(splits))}, on which the threshold was chosen."
        )
    if any(r["patches"] is None for r in results):
        warnings.append("No validation patches: scores of patches are left out.")
    return warnings


def _series(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows that differ in size alone, by a name for their line."""
    others = [a for a in AXES if a != "size" and len({str(r.setting[a]) for r in rows}) > 1] or ["backbone"]
    lines: dict[str, list[Row]] = {}
    for row in rows:
        parts = [_name(axis, row.setting[axis]) for axis in others]
        named = [
            part if axis in ("backbone", "input", "data") else f"{axis.replace('_', ' ')} {part}"
            for axis, part in zip(others, parts, strict=True)
        ]
        lines.setdefault(", ".join(named), []).append(row)
    return lines


def _draw_f1(axes: Any, rows: Sequence[Row]) -> None:
    lines = _series(rows)
    if len({r.setting["size"] for r in rows}) > 1:
        for name, line in lines.items():
            line = sorted(line, key=lambda r: r.setting["size"])
            sizes = [r.setting["size"] for r in line]
            errors = [100 * r.spreads["frames_f1"] for r in line]
            drawn = axes.errorbar(sizes, [100 * r.means["frames_f1"] for r in line], errors, marker="o", label=name)
            if all("patches_f1" in r.means for r in line):
                axes.plot(sizes, [100 * r.means["patches_f1"] for r in line], "--", color=drawn[0].get_color())
        axes.set_xticks(sorted({r.setting["size"] for r in rows}))
        axes.set_xlabel("patch size, px")
    else:
        names = list(lines)[::-1]
        firsts = [lines[n][0] for n in names]
        axes.barh(
            names,
            [100 * r.means["frames_f1"] for r in firsts],
            xerr=[100 * r.spreads["frames_f1"] for r in firsts],
            height=0.6,
        )
        if all("patches_f1" in r.means for r in firsts):
            axes.plot([100 * r.means["patches_f1"] for r in firsts], names, "o", fillstyle="none", label="patches")
    axes.set_ylabel("F1, %") if len({r.setting["size"] for r in rows}) > 1 else axes.set_xlabel("F1, %")
    axes.legend(fontsize=7)


def _draw_minutes(axes: Any, rows: Sequence[Row]) -> None:
    for name, line in _series(rows).items():
        axes.plot([r.means["minutes"] for r in line], [100 * r.means["frames_f1"] for r in line], "o", label=name)
        for r in line:
            axes.annotate(
                str(r.setting["size"]),
                (r.means["minutes"], 100 * r.means["frames_f1"]),
                fontsize=6,
                xytext=(3, 3),
                textcoords="offset points",
            )
    axes.set_xlabel("minutes")
    axes.set_ylabel("F1 on frames, %")
    axes.legend(fontsize=7)
