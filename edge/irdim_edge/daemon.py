"""The daemon: camera -> detector -> tracker -> JSON lines, suspects -> spool -> upload.

The loop runs in the calling thread and handles every frame of a replay; the uploader has a thread of its own. Whatever kills it, the next run goes on:
with a new part of the output, and with the spool as it was.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from irdim.bundle import Bundle
from irdim.detector import Detector, Step
from irdim.errors import InputError
from irdim.sources import FrameSource
from irdim.tracks import VERDICTS, Tracker, Verdict
from irdim_edge.cameras import open_replay
from irdim_edge.config import Config
from irdim_edge.outputs import JsonLines, next_parts
from irdim_edge.spool import Spool
from irdim_edge.status import Summary, only_run
from irdim_edge.suspects import Budget, Cutter, verdict_json
from irdim_edge.upload import Uploader

EVERY = 1.0  # seconds between two writings of status.json


def run(config: Config, stopping: threading.Event, show: Callable[[Summary], None] = lambda summary: None) -> Summary:
    """Run until the camera ends or `stopping` is set. show: called after each frame.

    Raises InputError where the configuration, the bundle or a recording is wrong; what was found before that is written.
    """
    bundle = Bundle.load(config.bundle_path)
    camera = open_replay(
        config.camera.paths,
        rate=config.camera.rate,
        interval=config.camera.interval or None,
        nominal=bundle.card.interval,
    )
    with only_run(config.out_path):
        running = _Run(config, bundle, show)
        try:
            for source in camera.sources:
                running.begin(source)
                for frame in camera.frames(source, stopping):
                    running.push(running.detector.push(frame))
                running.end_sequence()
                if stopping.is_set():
                    break
            running.finish("stopped" if stopping.is_set() else "finished", stopping)
        except BaseException as error:
            running.note(error)
            running.finish("failed", None)
            raise
        return running.summary


class _Run:
    """All that one run owns."""

    def __init__(self, config: Config, bundle: Bundle, show: Callable[[Summary], None]) -> None:
        card, suspects = bundle.card, config.suspects
        self.detector = Detector.from_bundle(bundle, precision=config.precision, threads=config.threads)
        self.summary = Summary(config.device_name, config.camera.name, bundle.digest)
        self._config, self._show = config, show
        self._tracker = Tracker(config.tracker_options(card.thresholds.report))
        self._cutter = Cutter(
            before=max(suspects.before, card.input.history - 1),
            after=suspects.after,
            lag=config.tracker.lag,
            crop=None if suspects.whole_frame else suspects.crop,
        )
        self._budget = Budget({kind: getattr(suspects, f"{kind}_per_hour") for kind in VERDICTS})
        self._spool = open_spool(config)
        recovered = self._spool.recovered
        self.summary.recovered = {
            "waiting": recovered.waiting,
            "removed": recovered.removed,
            "damaged": recovered.damaged,
        }
        self._uploader = make_uploader(config, self._spool) if config.upload.url else None
        self._context: dict[str, Any] = {
            "device": config.device_name,
            "camera": config.camera.name,
            "bundle": bundle.digest,
            "precision": config.precision,
            "input": card.input.to_json(),
            "thresholds": {"report": card.thresholds.report, "low": card.thresholds.low},
        }
        parts = next_parts(config.out_path, "detections", "verdicts")
        self._detections, self._verdicts = (JsonLines(part) for part in parts)
        self.summary.detections_file = self._detections.path.name
        self._began = time.monotonic()
        self._saved = -EVERY
        self._judging = False
        self._save()
        if self._uploader:
            self._uploader.start()

    def begin(self, source: FrameSource) -> None:
        """A sequence begins."""
        self.detector.reset()
        self.summary.source = source.name
        self.summary.sources += 1
        interval = self._config.camera.interval or source.interval or self.detector.card.interval
        self._context = {**self._context, "source": source.name, "interval": interval}

    def push(self, step: Step) -> None:
        """Take what the detector made of one frame."""
        if step.status != "ok" and self._judging:  # the stream broke: no verdict may look across the gap
            self.end_sequence()
        self._judging = step.status == "ok"
        self._cutter.push(step)
        verdicts: list[Verdict] = []
        if self._judging:
            verdicts = self._tracker.update(step.frame.index, step.frame.time, step.detections, step.shift)
        self._write_detections(step)
        self._log(verdicts)
        self.summary.frames += 1
        if not self._judging:
            self.summary.warming[step.reason] += 1
        self.summary.tracks = self._tracker.confirmed
        self._update()

    def end_sequence(self) -> None:
        """The sequence ends or breaks here: the verdicts that are due, and nothing kept beyond."""
        tracks = {t.id: t for t in self._tracker.tracks}
        self._log(self._tracker.flush(), tracks)
        self._cutter.clear()
        self._judging = False

    def finish(self, state: str, stopping: threading.Event | None) -> None:
        """Close everything. The uploader tries once more, unless the run was stopped or failed (stopping: None)."""
        if self._uploader and state == "finished" and stopping is not None:
            self._uploader.finish(stopping)
        elif self._uploader:
            self._uploader.stop()
        self.summary.state = state
        self._save()
        self._show(self.summary)
        for lines in (self._detections, self._verdicts):
            lines.close()

    def note(self, error: BaseException) -> None:
        """Count an error and keep its text for the status."""
        self.summary.errors += 1
        self.summary.last_error = " ".join(str(error).split()) or type(error).__name__

    def _write_detections(self, step: Step) -> None:
        """One line a frame: docs/formats.md, Detection line."""
        links = self._tracker.links if step.status == "ok" else []
        report = self.detector.thresholds.report
        found = [(d, t) for d, t in zip(step.detections, links, strict=True) if d.score >= report]
        self.summary.detections += len(found)
        line = {"v": 1, "source": self.summary.source, "frame": step.frame.index, "time": step.frame.time}
        reason = {"reason": step.reason} if step.reason else {}
        detections = [
            {
                **{"x": round(d.x, 3), "y": round(d.y, 3), "w": round(d.w, 3), "h": round(d.h, 3)},
                **{"score": round(d.score, 5), "label": d.label, "track": t.id if t and t.confirmed else None},
            }
            for d, t in found
        ]
        self._write(self._detections, {**line, "status": step.status, **reason, "detections": detections})

    def _log(self, verdicts: list[Verdict], tracks: dict | None = None) -> None:
        """Write verdicts down, and cut a suspect for each that the budget allows."""
        tracks = {t.id: t for t in self._tracker.tracks} if verdicts and tracks is None else tracks or {}
        for verdict in verdicts:
            self.summary.verdicts[verdict.kind] += 1
            name = None
            try:
                if not self._budget.take(verdict.kind):
                    self.summary.over_budget[verdict.kind] += 1
                elif suspect := self._cutter.cut(verdict, tracks.get(verdict.track_id), self._context):
                    path = self._spool.add(suspect)
                    self.summary.suspects[verdict.kind] += path is not None
                    name = path.name if path else None
            except (OSError, InputError) as error:  # a full disk: detections go on
                self.note(error)
            source = {"v": 1, "source": self.summary.source}
            self._write(self._verdicts, {**source, **verdict_json(verdict), "log": name})

    def _write(self, lines: JsonLines, value: dict) -> None:
        try:
            lines.write(value)
        except OSError as error:
            self.note(error)

    def _update(self) -> None:
        self._show(self.summary)
        if time.monotonic() - self._saved >= EVERY:
            self._save()

    def _save(self) -> None:
        s, self._saved = self.summary, time.monotonic()
        s.seconds = round(time.monotonic() - self._began, 3)
        s.evicted = self._spool.evicted
        if self._uploader:
            s.uploaded = self._uploader.state.uploaded
            s.upload_error = self._uploader.state.last_error
        try:
            s.waiting = len(self._spool.entries())
            s.save(self._config.out_path)
            for lines in (self._detections, self._verdicts):
                lines.sync()
        except OSError as error:
            self.note(error)


def open_spool(config: Config, adds: bool = True) -> Spool:
    """The configuration's spool. adds: whether this process adds to it; one at a time may."""
    most = int(config.spool.max_mb * (1 << 20))
    return Spool(config.spool_path, max_bytes=most, max_files=config.spool.max_files, adds=adds)


def make_uploader(config: Config, spool: Spool) -> Uploader:
    """The configuration's uploader. Raises InputError where no URL is set."""
    if not config.upload.url:
        raise InputError("upload.url is not set in the configuration; say where to upload to")
    return Uploader(
        spool,
        config.upload.url,
        interval=config.upload.interval,
        known_hosts=config.known_hosts,
        identity=config.identity,
    )
