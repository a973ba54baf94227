"""The daemon: camera -> detector -> tracker -> JSON lines, suspects -> spool -> upload.

The loop runs in the calling thread and handles every frame of a replay; packing suspects, uploading and trying a new bundle have threads of their own.
Whatever kills it, the next run goes on: with a new part of the output, and with the spool as it was.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from irdim.bundle import Bundle
from irdim.dataset.frames import read_through
from irdim.detector import Detector, Step
from irdim.errors import InputError
from irdim.fieldlog import KINDS, SAMPLE
from irdim.sources import Frame, FrameSource
from irdim.tracks import VERDICTS as TRACKED
from irdim.tracks import Tracker, Verdict
from irdim_edge.cameras import Replay, check_interval, open_replay
from irdim_edge.candidates import Candidates
from irdim_edge.config import Config
from irdim_edge.masks import Masks
from irdim_edge.outputs import Parts
from irdim_edge.policy import DAY, MERGED, OVER_BUDGET, Budget, Merger
from irdim_edge.serving import Idle, Server
from irdim_edge.spool import Spool
from irdim_edge.status import Summary, only_run
from irdim_edge.suspects import Cutter, verdict_json
from irdim_edge.systemd import Notifier
from irdim_edge.takeover import Takeover
from irdim_edge.tallying import Tallies
from irdim_edge.upload import Uploader
from irdim_edge.writer import Writer

EVERY = 1.0  # seconds between two writings of status.json, and two looks at the bundle's path
EXPIRE_EVERY = 60.0  # seconds between two looks at the age of what waits in the spool
TIMED = 1000  # of the last frames, whose time is kept
TALLY_EVERY = 3600.0  # seconds that a tally covers
DETECTIONS, VERDICTS = "detections", "verdicts"


def run(
    config: Config,
    stopping: threading.Event,
    show: Callable[[Summary], None] = lambda summary: None,
    reloading: threading.Event | None = None,
) -> Summary:
    """Run until the camera ends or `stopping` is set. show: called after each frame; reloading: set by whoever wants the bundle looked at again.

    Raises InputError where the configuration, the bundle or a recording is wrong; what was found before that is written.
    """
    bundle = Bundle.load(config.bundle_path, config.require_signed_by)
    camera = open_replay(
        config.camera.paths,
        rate=config.camera.rate,
        interval=config.camera.interval or None,
        nominal=bundle.card.interval,
        step=config.camera.step,
    )
    with only_run(config.out_path):
        notifier = Notifier()
        running = _Run(config, camera, bundle, show, reloading or threading.Event(), notifier)
        notifier.ready()
        try:
            for source in camera.sources:
                running.begin(source)
                for frame in camera.frames(source, stopping):
                    running.push(frame)
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

    def __init__(
        self,
        config: Config,
        camera: Replay,
        bundle: Bundle,
        show: Callable[[Summary], None],
        reloading: threading.Event,
        notifier: Notifier,
    ) -> None:
        self.summary = Summary(config.device_name, config.camera.name)
        self._config, self._camera, self._show, self._reloading = config, camera, show, reloading
        self._notifier = notifier
        self._masks = Masks(config.camera.masks)
        self._takeover = Takeover(
            config.bundle_path,
            bundle,
            precision=config.precision,
            threads=config.threads,
            engine=config.engine,
            trusted=config.require_signed_by,
        )
        self._source: FrameSource | None = None
        self._source_digest: str | None = None
        self._seed = (
            config.suspects.sample_seed or os.urandom(16).hex()
        )  # drawn anew, or every start of a camera samples the same turns
        detector = Detector.from_bundle(
            bundle, precision=config.precision, threads=config.threads, engine=config.engine
        )
        self._use(bundle, detector)
        destination, signer = config.destination if config.upload.url else None, config.signer
        self._spool = Spool(config.spool_path, config.spool_bounds)
        self.summary.recovered = vars(self._spool.recovered)
        self._merger = Merger(seconds=config.suspects.merge_seconds, radius=config.suspects.merge_radius)
        self._budget = Budget(config.allowances)
        now = time.time()
        self._budget.restore((now - e.taken, e.kind, e.bytes) for e in self._spool.taken_since(now - DAY))
        self._parts = Parts(config.out_path, DETECTIONS, VERDICTS, most_bytes=int(config.max_mb * (1 << 20)))
        self._writer = Writer(self._spool, self._budget, lambda line: self._write(VERDICTS, line), self.note, signer)
        self._tallies = Tallies(config.out_path, self._writer, self._spool, self._judged_so_far)
        self._tallies.begin(config.device_name, config.camera.name, bundle.digest, bundle.card.input)
        self._uploader = Uploader(self._spool, destination, interval=config.upload.interval) if destination else None
        self._began = time.monotonic()
        self._saved, self._expired = -EVERY, -EXPIRE_EVERY
        self._judging = False
        self._spent: deque[float] = deque(maxlen=TIMED)
        self._idle = Idle()
        self._save()
        self._server = self._serve()
        if self._uploader:
            self._uploader.start()

    def begin(self, source: FrameSource) -> None:
        """A sequence begins."""
        self._source, self._source_digest = source, None
        self._detector.reset()
        self._merger.clear()
        self._begin_sample()
        self.summary.source = source.name
        self.summary.sources += 1

    def push(self, frame: Frame) -> None:
        """Take a frame: through the new bundle where one is ready, else through the one that runs."""
        begun = time.perf_counter()
        step = self._take_over(frame) or self._detector.push(frame)
        self._spent.append(time.perf_counter() - begun)
        self._idle.touch()
        step = replace(step, detections=[d for d in step.detections if not self._masks.hide(d.x, d.y)])
        if step.status != "ok" and self._judging:  # the stream broke: no verdict may look across the gap
            self.end_sequence()
        self._judging = step.status == "ok"
        self._cutter.push(step)
        verdicts: list[Verdict] = []
        if self._judging:
            verdicts = self._tracker.update(step.frame.index, step.frame.time, step.detections, step.shift)
            self._candidates.watch(step, self._tracker.links)
            verdicts += self._candidates.due(step.frame.index - self._config.tracker.lag, verdicts)
        self._write_detections(step)
        self._log(verdicts)
        self.summary.frames += 1
        if not self._judging:
            self.summary.warming[step.reason] += 1
        self.summary.tracks = self._confirmed + self._tracker.confirmed
        reported = sum(d.score >= self._detector.thresholds.report for d in step.detections)
        self._tallies.count(step, reported, self._tracker.confirmed, lambda: self._cutter.frames)
        self._show(self.summary)
        if time.monotonic() - self._saved >= EVERY:
            self._save()
            self._notifier.alive(self.summary.line)
            self._tallies.keep()
            self._takeover.look(frame.pixels, self._suits, asked=self._reloading.is_set())
            self._reloading.clear()
            if self._tallies.age >= TALLY_EVERY:
                self._tallies.renew()
            if time.monotonic() - self._expired >= EXPIRE_EVERY:
                self._expired = time.monotonic()
                self._writer.then(self._spool.expire)

    def end_sequence(self) -> None:
        """The sequence ends or breaks here: the verdicts that are due, and nothing kept beyond."""
        self._flush()
        self._cutter.clear()
        self._judging = False

    def finish(self, state: str, stopping: threading.Event | None) -> None:
        """Close everything. The uploader tries once more, unless the run was stopped or failed (stopping: None)."""
        self._notifier.stopping()
        self._tallies.close()
        self._writer.close()
        if self._uploader and state == "finished" and stopping is not None:
            self._uploader.finish(stopping)
        elif self._uploader:
            self._uploader.stop()
        self.summary.state = state
        self._save()
        if self._server is not None:
            self._server.close()
        self._show(self.summary)
        self._parts.close()
        self._spool.close()

    def note(self, error: BaseException) -> None:
        """Count an error and keep its text for the status."""
        self.summary.errors += 1
        self.summary.last_error = " ".join(str(error).split()) or type(error).__name__

    # bundles

    def _use(self, bundle: Bundle, detector: Detector) -> None:
        """Begin to work with a bundle: its thresholds, its history, its name in field logs."""
        config, card = self._config, bundle.card
        self._detector = detector
        options = config.tracker_options(card.thresholds.report)
        self._confirmed = self.summary.tracks
        self._tracker = Tracker(options)
        self._cutter = Cutter(
            before=max(config.suspects.before, card.input.history - 1),
            after=config.suspects.after,
            lag=config.tracker.lag,
            crop=config.suspects.crop,
            whole_frame=config.suspects.whole_frame,
        )
        self.summary.bundle = bundle.digest
        self._options = options
        self._begin_sample()
        self._bundle_context = {
            "bundle": bundle.digest,
            "precision": config.precision,
            "input": card.input.to_json(),
            "thresholds": {"report": card.thresholds.report, "low": card.thresholds.low},
        }

    def _begin_sample(self) -> None:
        s = self._config
        where = f"{self._seed}/{s.device_name}/{s.camera.name}/{self._source.name if self._source else ''}/{self.summary.bundle}"
        self._candidates = Candidates(self._options, probability=s.suspects.sample_probability, seed=where)

    def _take_over(self, frame: Frame) -> Step | None:
        """What a new bundle makes of this frame, from which on it runs; None where there is none, or where it fails."""
        taken = self._takeover.take()
        if taken is None:
            return None
        bundle, detector = taken
        before = self._cutter.frames
        try:
            detector.prime(before)
            step = detector.push(frame)
        except Exception as error:  # whatever it is, the old one has not missed a frame
            self._takeover.failed(bundle.digest[:16], error)
            self.note(error)
            return None
        self._flush()
        self._merger.clear()
        self._use(bundle, detector)
        self._tallies.begin(self._config.device_name, self._config.camera.name, bundle.digest, bundle.card.input)
        for old in before:  # frames that the new one has not judged
            self._cutter.push(Step(old, "warming", "bundle"))
        self._takeover.done(bundle)
        self.summary.takeovers += 1
        return step

    def _suits(self, bundle: Bundle) -> None:
        """Raises InputError where the camera is too slow or too fast for a bundle."""
        camera, source = self._config.camera, self._source
        if source is not None:
            check_interval(source.name, source.interval, bundle.card.interval, camera.step)

    # output

    def _flush(self) -> None:
        tracks = {t.id: t for t in self._tracker.tracks}
        verdicts = self._tracker.flush()
        self._log(verdicts + self._candidates.due(None, verdicts), tracks)

    def _write_detections(self, step: Step) -> None:
        """One line a frame: docs/formats.md, Detection line."""
        links = self._tracker.links if step.status == "ok" else []
        report = self._detector.thresholds.report
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
        self._write(DETECTIONS, {**line, "status": step.status, **reason, "detections": detections})

    def _log(self, verdicts: list[Verdict], tracks: dict | None = None) -> None:
        """Hand verdicts to the writer, with a suspect for each that is new and that the budget allows."""
        tracks = {t.id: t for t in self._tracker.tracks} if verdicts and tracks is None else tracks or {}
        for verdict in verdicts:
            if verdict.kind != SAMPLE and self._masks.hide(verdict.x, verdict.y):
                continue  # a track that crosses a mask is not missed there
            self.summary.verdicts[verdict.kind] += 1
            line: dict[str, Any] = {"v": 1, "source": self.summary.source, **verdict_json(verdict)}
            at, suspect = self._cutter.time(verdict.frame), None
            if self._merger.repeats(verdict, at):
                self.summary.merged[verdict.kind] += 1
                line["why"] = MERGED
            elif not self._budget.take(verdict.kind):
                self.summary.over_budget[verdict.kind] += 1
                line["why"] = OVER_BUDGET
            else:
                drawn = self._config.suspects.sample_probability if verdict.kind == SAMPLE else None
                suspect = self._cutter.cut(
                    verdict, tracks.get(verdict.track_id), self._context(), self._camera.state, drawn
                )
            if suspect is None and verdict.kind not in TRACKED:
                continue  # nobody judged it; it is worth a line only where there is a log
            if self._writer.submit(line, suspect) and suspect is not None:
                self._merger.note(verdict, at)

    def _context(self) -> dict[str, Any]:
        """What field logs say of the camera and of the bundle."""
        config, source = self._config, self._source
        recorded = (source.interval if source else None) or None
        interval = recorded * config.camera.step if recorded else self._detector.card.interval
        where = {"device": config.device_name, "camera": config.camera.name, "source": self.summary.source}
        if (
            source is not None and self._source_digest is None
        ):  # at the first suspect; a replay waits, and drops nothing
            self._source_digest = _digest(source)
        return {**where, "source_digest": self._source_digest or None, **self._bundle_context, "interval": interval}

    def _serve(self) -> Server | None:
        serve = self._config.serve
        return Server(serve.host, serve.port, serve.token, serve.stale, self._said) if serve.port else None

    def _said(self) -> dict[str, Any]:
        """The status as it is now; called by the server's threads."""
        return {**self.summary.to_json(), "idle": round(self._idle.seconds, 3)}

    def _judged_so_far(self) -> dict[str, dict[str, int]]:
        s = self.summary
        return {kind: {"merged": s.merged[kind], "over_budget": s.over_budget[kind]} for kind in KINDS}

    def _write(self, name: str, value: dict) -> None:
        try:
            self._parts.write(name, value)
        except OSError as error:
            self.note(error)

    def _save(self) -> None:
        s, self._saved = self.summary, time.monotonic()
        s.seconds = round(time.monotonic() - self._began, 3)
        s.suspects, s.dropped = self._writer.logged, self._writer.dropped
        s.evicted = sum(self._spool.evicted.values())
        if self._spent:
            quantiles = np.quantile(np.array(self._spent), (0.5, 0.99))
            s.milliseconds = {q: round(1e3 * float(v), 3) for q, v in zip(("p50", "p99"), quantiles, strict=True)}
        s.detections_file = self._parts.path(DETECTIONS).name
        if self._uploader:
            s.uploaded = self._uploader.state.uploaded
            s.upload_error = self._uploader.state.last_error
        try:
            s.waiting = len(self._spool.entries())
            s.save(self._config.out_path)
            self._parts.sync()
        except OSError as error:
            self.note(error)


def _digest(source: FrameSource) -> str:
    """Of a recording's frames, as a data set names them; empty where it breaks off."""
    try:
        return read_through(source.name, source, None).digest
    except InputError:
        return ""
