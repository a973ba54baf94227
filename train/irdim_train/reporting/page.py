"""The state of the loop as a page for people."""

from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from irdim.fieldlog import SAMPLE
from irdim.metrics import DEFAULT_PROTOCOL
from irdim.report import Section, Table, plot, write_report
from irdim_train.reporting.drift import Drift
from irdim_train.reporting.loop import Loop, Row, Suspects
from irdim_train.reporting.sample import Rate

CONFIRMED, DENIED, OPEN = "#15803d", "#c2410c", "#9ca3af"
TRAINING, FIELD = "#6b7280", "#2563eb"
WORDS = {
    "sigma_difference": "noise of the difference, counts",
    "sigma_frame": "noise of the frame after its high-pass, counts",
    "level": "median of the frame, counts",
}


def write_page(loop: Loop, path: Path, data: Path) -> None:
    """One self-contained HTML file."""
    made = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    sections = [_overview(loop), _suspects(loop), _rates(loop), *_drift(loop), _refused(loop)]
    write_report(path, "State of the loop", f"{data}, {made}. One row an iteration, device and bundle.", sections)


def _overview(loop: Loop) -> Section:
    heads = [
        "row",
        "iteration",
        "device",
        "bundle",
        "known",
        "hours",
        "frames",
        "judged",
        "detections",
        "tracks",
        "logs",
    ]
    rows = [[number, *_overview_row(r)] for number, r in _numbered(loop)]
    text = [
        "Frames, detections and tracks are what devices say in their tallies; judged frames are those with full history. Logs are the suspects and "
        "sampled frames that arrived. The iteration is the one in which they were ingested; a known device has signed all of them. Below, rows go "
        "by their numbers.",
    ]
    if not any(r.frames for r in loop.rows):
        text.append("No tally has arrived yet: frames, detections and drift are not known.")
    return Section("What came in", text, [Table(heads, rows)])


def _overview_row(r: Row) -> list[Any]:
    who = [r.iteration, r.device, r.bundle[:12], "yes" if r.known else "no"]
    counted = [f"{r.seconds / 3600:.3g}", r.frames, r.judged, r.detections, r.tracks] if r.frames else [""] * 5
    return [*who, *counted, sum(s.arrived for s in r.suspects.values())]


def _suspects(loop: Loop) -> Section:
    heads = ["row", "kind", "logged", "merged", "over budget", "evicted", "arrived", "confirmed", "denied", "unclear"]
    rows, bars = [], []
    for number, row in _numbered(loop):
        for kind, s in sorted(row.suspects.items()):
            if kind != SAMPLE and (s.arrived or any(s.counted.values())):
                counted: list[Any] = [s.counted[name] for name in ("logged", "merged", "over_budget", "evicted")]
                judged: list[Any] = [s.arrived, s.confirmed, s.denied, s.unclear, s.open, s.confirmed_share.text]
                rows.append([number, kind, *counted, *judged])
                bars.append((f"{number}: {kind}", s.confirmed, s.denied, s.open + s.unclear))
    figures = [plot(partial(_draw_bars, bars), "Suspects by what review made of them", wide=True)] if bars else []
    text = [
        "Logged, merged (repeats of one logged lately), over budget and evicted are the device's own counts. A suspect is confirmed when review says "
        "that it is what its kind claims: a missed or low-confidence target was one, a false alarm or a still track was none. Shares have Wilson's "
        "95 % interval."
    ]
    return Section("Suspects", text, [Table([*heads, "open", "confirmed share"], rows)], figures)


def _rates(loop: Loop) -> Section:
    rows = []
    for number, r in _numbered(loop):
        sample = r.suspects.get(SAMPLE, Suspects())
        rates = [r.misses.text, r.false_alarms.text]
        rows.append([number, *rates, sample.arrived, len(r.sampled), sample.unclear, sample.open, r.bounded])
    text = [
        "From the random sample of whole frames alone: each judged frame is taken with a known probability, whatever is in it, so these rates are "
        "those of all frames, which suspects cannot give. Frames are weighted by one over that probability; 95 % intervals are Wilson's on the "
        f"number of independent targets they are worth (misses) and Garwood's (false alarms). Scored by {DEFAULT_PROTOCOL} at the device's own "
        "threshold, on frames whose targets review has marked in full. Where there are too few to say, suspects.sample_probability on the devices brings more.",
    ]
    if any(r.bounded for r in loop.rows):
        text.append(
            "Frames that were drawn and not kept (budget, eviction, full disk) should be few: if the busy frames were the ones dropped, the rates "
            "are too low. The same goes for frames that review left as unclear."
        )
    figures = []
    for title, of in (("Miss rate", "misses"), ("False alarms a frame", "false_alarms")):
        known = [(f"row {n}", getattr(r, of)) for n, r in _numbered(loop) if getattr(r, of).value is not None]
        if known:
            figures.append(plot(partial(_draw_rates, known, title), f"{title}, with 95 % intervals"))
    heads = [
        "row",
        "miss rate",
        "false alarms a frame",
        "arrived",
        "marked in full",
        "unclear",
        "open",
        "drawn, not kept",
    ]
    return Section("Rates", text, [Table(heads, rows)], figures)


def _drift(loop: Loop) -> list[Section]:
    rows, figures = [], []
    for number, r in _numbered(loop):
        for d in r.drift:
            numbers = [_number(n) for n in (d.training_median, d.field_median, d.psi, d.ks)]
            rows.append([number, WORDS.get(d.name, d.name), sum(d.field_counts), *numbers, d.verdict])
            if d.psi is not None:
                figures.append(plot(partial(_draw_drift, d), f"Row {number}: {WORDS.get(d.name, d.name)}"))
    if not rows:
        return []
    text = [
        "Noise and level of frames in the field against those of the imported training sequences, by the same code. PSI is the population stability "
        "index over tenths of the training data (below 0.1: none, to 0.25: some, above: large); KS is the largest distance between the two "
        "distribution functions. Fewer than 30 measurements on either side are too few to say. A large drift means that the detector works outside "
        "what it was trained on: look at the field frames, and train on some of them.",
    ]
    heads = ["row", "statistic", "measured", "training median", "field median", "PSI", "KS", "drift"]
    return [Section("Drift of the input", text, [Table(heads, rows)], figures)]


def _numbered(loop: Loop) -> list[tuple[int, Row]]:
    return list(enumerate(loop.rows, 1))


def _refused(loop: Loop) -> Section:
    text = [f"{loop.replays} logs came again in another file, and did nothing."] if loop.replays else []
    tables = []
    if loop.refused:
        tables.append(Table(["refused", "why", "at"], [[r["name"], r["reason"], r["at"]] for r in loop.refused]))
    else:
        text.append("Nothing is in quarantine.")
    if loop.clocks:
        days = [[c["device"], c["time"], c["received"], f"{c['clock_off'] / 86400:.0f}", c["log"]] for c in loop.clocks]
        text.append(
            "Some logs come from devices whose clock is far off; what arrived when is kept by the workstation's."
        )
        tables.append(Table(["device", "its clock", "received", "days off", "log"], days))
    return Section("Refused, replayed, clocks", text, tables)


def _draw_bars(bars: list[tuple[str, int, int, int]], axes: Any) -> None:
    names, *parts = zip(*bars, strict=True)
    bottom = np.zeros(len(names))
    for counts, colour, label in zip(
        parts, (CONFIRMED, DENIED, OPEN), ("confirmed", "denied", "open or unclear"), strict=True
    ):
        axes.barh(range(len(names)), counts, left=bottom, color=colour, label=label)
        bottom += counts
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("suspects")
    axes.legend(fontsize=8)


def _draw_rates(known: list[tuple[str, Rate]], title: str, axes: Any) -> None:
    for k, (_, rate) in enumerate(known):
        axes.plot([rate.low, rate.high], [k, k], color=FIELD)
        axes.plot(rate.value, k, "o", color=FIELD)
    axes.set_yticks(range(len(known)), [name for name, _ in known])
    axes.set_ylim(len(known) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel(title.lower())


def _draw_drift(d: Drift, axes: Any) -> None:
    edges = np.array(d.edges)
    for counts, colour, label in ((d.training_counts, TRAINING, "training"), (d.field_counts, FIELD, "field")):
        axes.stairs(
            np.array(counts) / max(sum(counts), 1),
            edges,
            color=colour,
            label=label,
            fill=label == "training",
            alpha=0.7,
        )
    used = np.flatnonzero(np.array(d.training_counts) + np.array(d.field_counts))
    axes.set_xlim(edges[max(used[0] - 1, 0)], edges[min(used[-1] + 2, len(edges) - 1)])
    axes.set_xscale("symlog" if edges[0] == 0 else "log")
    axes.set_xlabel(WORDS.get(d.name, d.name))
    axes.set_ylabel("share of frames")
    axes.legend(fontsize=8)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def summary_lines(row: Row) -> list[tuple[str, str]]:
    """One row for a terminal."""
    kinds = ", ".join(f"{s.arrived} {kind}" for kind, s in sorted(row.suspects.items()) if s.arrived) or "none"
    judged = [s for kind, s in row.suspects.items() if kind != SAMPLE]
    decided = ", ".join(
        str(sum(getattr(s, name) for s in judged)) for name in ("confirmed", "denied", "unclear", "open")
    )
    counted = f"{row.frames}, {row.judged}; {row.detections}, {row.tracks}" if row.frames else "no tally has come"
    return [
        ("frames, judged; detections, tracks", counted),
        ("arrived", kinds),
        ("confirmed, denied, unclear, open", decided),
        ("miss rate", row.misses.text),
        ("false alarms a frame", row.false_alarms.text),
        ("drift", ", ".join(f"{d.name} {d.verdict}" for d in row.drift) or "not known"),
    ]
