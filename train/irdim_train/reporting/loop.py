"""The state of the loop: what devices counted, what arrived of it, what people made of that. One row an iteration, device and bundle."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from irdim.boxes import INTERFERENCE, TARGET, Detection
from irdim.dataset import Dataset, LogRecord, QueueItem
from irdim.differencing import InputSpec
from irdim.errors import InputError
from irdim.fieldlog import KINDS, SAMPLE, TALLY
from irdim.input_statistics import EDGES
from irdim.metrics import DEFAULT_PROTOCOL, open_metric
from irdim.tracks import FALSE_ALARM, STILL
from irdim.wording import quoted
from irdim_train.ingesting.run import REPLAY
from irdim_train.reporting.drift import Drift, compare, training_histograms
from irdim_train.reporting.sample import Rate, Sampled, false_alarm_rate, miss_rate, share

CONFIRMS = {kind: ("accept", INTERFERENCE if kind in (FALSE_ALARM, STILL) else TARGET) for kind in KINDS}
COMPLETE = (
    "accept",
    "background",
    TARGET,
    INTERFERENCE,
)  # decisions by which the boxes of a sampled frame are complete
MOST_STEP = 1000  # frames
Key = tuple[int, str, str]


@dataclass
class Suspects:
    """Of one kind. counted: by the device (logged, merged, over_budget, evicted, ...); the rest here."""

    counted: Counter[str] = field(default_factory=Counter)
    arrived: int = 0
    confirmed: int = 0
    denied: int = 0
    unclear: int = 0
    open: int = 0

    @property
    def confirmed_share(self) -> Rate:
        return share(self.confirmed, self.confirmed + self.denied)

    def to_json(self) -> dict[str, Any]:
        rest = {name: n for name, n in vars(self).items() if name != "counted"}
        return {"counted": dict(self.counted), **rest, "confirmed_share": self.confirmed_share.to_json()}


@dataclass
class Row:
    """What is known of one bundle on one device, of what came in during one iteration. drift: filled in last."""

    iteration: int
    device: str
    bundle: str
    known: bool = True
    seconds: float = 0.0
    frames: int = 0
    warming: Counter[str] = field(default_factory=Counter)
    detections: int = 0
    tracks: int = 0
    suspects: dict[str, Suspects] = field(default_factory=dict)
    sampled: list[Sampled] = field(default_factory=list)
    inputs: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    spec: InputSpec | None = None
    drift: list[Drift] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.device}, bundle {self.bundle[:8]}, iteration {self.iteration}"

    @property
    def judged(self) -> int:
        """Frames on which something was looked for."""
        return self.frames - sum(self.warming.values())

    @property
    def bounded(self) -> int:
        """Frames that were drawn for the sample and are not in it: it is a little less random by these."""
        counted = self.suspects[SAMPLE].counted if SAMPLE in self.suspects else Counter[str]()
        return sum(n for name, n in counted.items() if name != "logged")

    @property
    def misses(self) -> Rate:
        return miss_rate(self.sampled)

    @property
    def false_alarms(self) -> Rate:
        return false_alarm_rate(self.sampled)

    def to_json(self) -> dict[str, Any]:
        plain = ("iteration", "device", "bundle", "known", "seconds", "frames", "judged", "detections", "tracks")
        return {
            **{name: getattr(self, name) for name in plain},
            "warming": dict(self.warming),
            "suspects": {kind: s.to_json() for kind, s in self.suspects.items()},
            "sample": {"reviewed": len(self.sampled), "not_kept": self.bounded, "protocol": DEFAULT_PROTOCOL},
            "miss_rate": self.misses.to_json(),
            "false_alarms_per_frame": self.false_alarms.to_json(),
            "drift": [d.to_json() for d in self.drift],
        }


@dataclass(frozen=True)
class Loop:
    """rows: by iteration, device and bundle; clocks: logs of devices whose clock is far off; refused: name and reason; replays: logs that came
    again in another file."""

    rows: list[Row]
    clocks: list[dict[str, Any]]
    refused: list[dict[str, str]]
    replays: int

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "rows": [row.to_json() for row in self.rows]}


def state_of_loop(data: Dataset) -> Loop:
    """Raises InputError where no field log was ingested yet."""
    logs = data.logs()
    if not logs:
        raise InputError(
            f"{data.path}: no field log was ingested yet; irdim-train ingest URL --data {quoted(data.path)}"
        )
    rows: dict[Key, Row] = {}
    of_log = {log.name: _row(rows, log) for log in logs if log.kind != REPLAY}
    for log, tally in data.tallies():
        _count(of_log[log.name], tally)
    for log in logs:
        if log.kind not in (REPLAY, TALLY):
            row = of_log[log.name]
            _suspects(row, str(log.kind)).arrived += 1
            row.spec = row.spec or _spec(log)
    questions = _questions(data, logs, of_log)
    for row, _, item in questions:
        _judge(row, item)
    _sample(data, questions)
    _compare_inputs(data, rows.values())
    off = [log for log in logs if "clock_off" in log.provenance]
    clocks = [
        {"log": log.name, **{k: log.provenance[k] for k in ("device", "time", "received", "clock_off")}} for log in off
    ]
    refused = [{"name": r.name, "reason": r.reason, "at": r.at} for r in data.refused()]
    replays = sum(log.kind == REPLAY for log in logs)
    return Loop([rows[key] for key in sorted(rows)], clocks, refused, replays)


def _row(rows: dict[Key, Row], log: LogRecord) -> Row:
    p = log.provenance
    key = (log.iteration or 0, str(p.get("device")), str(p.get("bundle")))
    row = rows.setdefault(key, Row(*key))
    row.known &= bool(p.get("known"))
    return row


def _spec(log: LogRecord) -> InputSpec | None:
    """How the bundle sees frames; None where the log does not say it in words of this irdim."""
    said = log.provenance.get("input") or {}
    step, register = said.get("frame_step"), said.get("register")
    if not isinstance(step, int) or not 1 <= step <= MOST_STEP:
        return None
    return InputSpec("sequence", step, register is True)


def _suspects(row: Row, kind: str) -> Suspects:
    return row.suspects.setdefault(kind, Suspects())


def _count(row: Row, tally: dict[str, Any]) -> None:
    row.frames += tally["frames"]
    row.detections += tally["detections"]
    row.tracks += tally["tracks"]
    row.seconds += tally["seconds"]
    row.warming.update(tally["warming"])
    for kind, counts in tally["suspects"].items():
        _suspects(row, kind).counted.update(counts)
    for name, histogram in tally["inputs"].items():  # those over other edges are of another irdim
        there = row.inputs.setdefault(name, {"edges": histogram["edges"], "counts": [0] * len(histogram["counts"])})
        if there["edges"] == histogram["edges"]:
            there["counts"] = [a + b for a, b in zip(there["counts"], histogram["counts"], strict=True)]


def _questions(
    data: Dataset, logs: list[LogRecord], of_log: dict[str, Row]
) -> list[tuple[Row, dict[str, Any], QueueItem]]:
    """What was asked for each row: the log's provenance and the queue item, which stands for the same suspect of every device that logged it; once a row."""
    items = data.queue_items()
    by_key = {item.key: item for item in items}
    by_log = {item.provenance.get("log"): item for item in items}
    found: dict[tuple[int, int], tuple[Row, dict[str, Any], QueueItem]] = {}
    for log in logs:
        item = by_key.get(log.provenance.get("item", "")) or by_log.get(log.name)  # older data sets name the log alone
        if item is not None and log.name in of_log:
            row = of_log[log.name]
            found.setdefault((id(row), item.id), (row, {**item.provenance, **log.provenance}, item))
    return list(found.values())


def _judge(row: Row, item: QueueItem) -> None:
    of_kind = _suspects(row, item.kind)
    if item.decision is None:
        of_kind.open += 1
    elif item.kind == SAMPLE or item.decision == "ignore":
        of_kind.unclear += item.decision not in COMPLETE
        of_kind.confirmed += item.decision in COMPLETE
    elif item.decision in CONFIRMS.get(item.kind, ("accept",)):
        of_kind.confirmed += 1
    else:
        of_kind.denied += 1


def _sample(data: Dataset, questions: list[tuple[Row, dict[str, Any], QueueItem]]) -> None:
    """What the device reported on each sampled frame, against what people say is on it."""
    names = {s.id: s for s in data.sequences()}
    for row, p, item in questions:
        if item.kind != SAMPLE or item.decision not in COMPLETE:
            continue
        sequence = names[item.sequence_id]
        found = [Detection(*(d[k] for k in ("x", "y", "w", "h", "score", "label"))) for d in p["detections"]]
        metric = open_metric(DEFAULT_PROTOCOL)
        metric.update(found, data.boxes(sequence).get(item.frame, []), (sequence.height, sequence.width))
        score = metric.at(0.0)
        missed = score.targets - score.true_positives
        one = Sampled(1 / p["sample_probability"], score.targets, missed, score.false_positives)
        row.sampled.append(one)


def _compare_inputs(data: Dataset, rows: Iterable[Row]) -> None:
    """Each row's inputs against the training data, measured as its bundle sees them; where no log says how, as frames come."""
    training: dict[InputSpec, dict[str, Any]] = {}
    for row in rows:
        if not row.inputs:
            continue
        spec = row.spec or InputSpec("sequence")
        if spec not in training:
            training[spec] = training_histograms(data, spec)
        row.drift = [compare(name, training[spec][name], row.inputs[name]) for name in EDGES if name in row.inputs]
