"""The daemon: camera -> input -> detector -> tracker -> messages and suspects -> spool -> upload.

Capture, the input step and the engine have threads of their own (pipeline.py), and so have the disk (writer.py), uploading, a new bundle's trial and what
listens; decoding, tracks and verdicts are of the thread that calls `run`. Whatever kills it, the next run goes on: with a new part of the output, and with
the spool as it was.
"""

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from irdim.boxes import TARGET
from irdim.bundle import Bundle
from irdim.detector import Detector, Step
from irdim.errors import InputError
from irdim.fieldlog import KINDS
from irdim.input_step import InputStep
from irdim.native.compiler import Unavailable, own_library
from irdim.native.input import native
from irdim.tracks import Track
from irdim_edge.cameras import Began, Camera, Shot, Stopped, check_interval, open_camera
from irdim_edge.config import Config
from irdim_edge.judging import Judge
from irdim_edge.live import LiveView
from irdim_edge.logbook import Logbook
from irdim_edge.output.messages import Messages
from irdim_edge.output.opening import open_publishers, optics_of
from irdim_edge.output.parts import DETECTIONS, VERDICTS, Parts
from irdim_edge.pipeline import Feed, Ready, engine_threads
from irdim_edge.serving import Idle, Server
from irdim_edge.spool import Spool
from irdim_edge.status import Summary, only_run, starting
from irdim_edge.stopwatch import Stopwatch
from irdim_edge.systemd import Notifier
from irdim_edge.takeover import Takeover
from irdim_edge.tallying import Tallies
from irdim_edge.upload import Uploader
from irdim_edge.writer import Writer

logger = logging.getLogger("irdim_edge")

EVERY = 1.0  # seconds between two writings of status.json, and two looks at the bundle's path
EXPIRE_EVERY = 60.0  # seconds between two looks at the age of what waits in the spool
LET_HANG = 60.0  # seconds that a library may hang on where no watchdog ends the process: as WatchdogSec of the unit
TALLY_EVERY = 3600.0  # seconds that a tally covers
RELOADING = "reloading"  # state of a run that ends for another configuration


def run(
    config: Config,
    stopping: threading.Event,
    show: Callable[[Summary], None] = lambda summary: None,
    reloading: threading.Event | None = None,
    reread: Callable[[], Config] | None = None,
) -> Summary:
    """Run until the camera ends or `stopping` is set. show: called after each frame; reloading: set by whoever wants the bundle and the configuration
    looked at again; reread: gives the configuration as it is then. One that changed ends the run of a live camera, in the state 'reloading'.

    Raises InputError where the configuration, the bundle or a recording is wrong; what was found before that is written.
    """
    with only_run(config.out_path):
        with starting(config.out_path, config.device_name, config.camera.name):
            bundle = Bundle.load(config.bundle_path, config.require_signed_by)
            camera = open_camera(config.camera, bundle.card.interval)
            running = _Run(
                config, camera, bundle, stopping, show, reloading or threading.Event(), reread or (lambda: config)
            )
        try:
            running.follow()
            running.finish(RELOADING if running.changed else "stopped" if stopping.is_set() else "finished")
        except BaseException as error:
            running.note(error)
            running.finish("failed", upload=isinstance(error, InputError))  # a recording that broke off
            raise
        return running.summary


class _Run:
    """All that one run owns."""

    def __init__(
        self,
        config: Config,
        camera: Camera,
        bundle: Bundle,
        stopping: threading.Event,
        show: Callable[[Summary], None],
        reloading: threading.Event,
        reread: Callable[[], Config],
    ) -> None:
        self.changed = False  # whether the run ends for another configuration
        self._reread = reread
        self.summary = Summary(config.device_name, config.camera.name, bundle.digest)
        self._config, self._camera, self._show, self._reloading = config, camera, show, reloading
        self._stopping = stopping
        self._notifier, self._stopwatch, self._idle = Notifier(), Stopwatch(), Idle()
        self._live = LiveView(config.camera.masks) if config.serve.port else None
        self._server = self._serve()  # before anything is written: the port may be taken
        self._publishers = open_publishers(config)
        self._messages = Messages(optics_of(config))
        options: dict[str, Any] = {"precision": config.precision, "engine": config.engine}
        options["threads"] = config.threads or engine_threads()
        self._takeover = Takeover(config.bundle_path, bundle, trusted=config.require_signed_by, **options)
        seed = config.suspects.sample_seed or os.urandom(16).hex()  # drawn anew: else each start samples the same turns
        with self._notifier.opening("opening the engine"):
            detector = Detector.from_bundle(bundle, **options)
        _warn_of_slow_input(detector)
        self._judge = Judge(config, bundle, detector, str(seed))
        self._spool = Spool(config.spool_path, config.spool_bounds)
        self.summary.recovered = vars(self._spool.recovered)
        self._logbook = Logbook(config, camera, self.summary, self._spool, self._meanwhile)
        self._parts = Parts(config.out_path, DETECTIONS, VERDICTS, most_bytes=int(config.max_mb * (1 << 20)))
        self.summary.first_part = self._parts.first
        self._writer = Writer(
            self._spool,
            self._logbook.budget,
            lambda line: self._write(VERDICTS, line),
            self.note,
            config.signer,
            waits=not camera.live,
        )
        self._tallies = Tallies(config.out_path, self._writer, self._spool, self._judged_so_far)
        self._tallies.begin(config.device_name, config.camera.name, bundle.digest, bundle.card.input)
        destination = config.destination if config.upload.url else None
        self._uploader = Uploader(self._spool, destination, interval=config.upload.interval) if destination else None
        self._began = time.monotonic()
        self._expired = self._began - EXPIRE_EVERY
        self._stream: Began | None = None
        self._newest: Shot | None = None
        self._hangs_since: float | None = None
        self._save()
        self._saved = self._began - EVERY  # again with the first frame, so that nobody waits to see whether it works
        if self._uploader:
            self._uploader.start()
        kept = self._judge.cutter.length
        self._feed = Feed(camera, self._judge.detector, self._takeover, stopping, kept=kept, note=self.note)
        self._notifier.ready()
        page = f", live page at {self._server.address}/" if self._server else ""
        logger.info("bundle %s, %s on %s%s", bundle.digest[:12], config.precision, detector.engine.name, page)

    def follow(self) -> None:
        """Take what the camera gives, until it ends or the run is to stop."""
        try:
            for item in self._feed:
                if isinstance(item, Began):
                    self._begin(item)
                    continue
                if isinstance(item, Ready):
                    self._push(item)
                self._tick()
            self._end_stream()
        finally:
            self._feed.close()

    def finish(self, state: str, upload: bool = False) -> None:
        """Close everything. The uploader tries once more where the run has finished, or where `upload` asks for it, unless it is to stop."""
        if state == RELOADING:
            self._notifier.reloading()
        self._tallies.close()
        self._writer.close()
        if self._uploader and (state == "finished" or upload):
            self._uploader.finish(self._stopping, self._while_uploading)
        elif self._uploader:
            self._uploader.stop()
        if state != RELOADING:
            self._notifier.stopping()  # from here on systemd waits for 20 s
        self.summary.state = state
        self._sum_up()
        self._keep_status(self.summary.frames)
        for publisher in self._publishers:
            publisher.close()
        if self._server is not None:
            self._server.close()
        self._show(self.summary)
        self._parts.close()
        self._spool.close()

    def note(self, error: BaseException) -> None:
        """Count an error and keep its text for the status."""
        self.summary.note(error)

    # frames

    def _begin(self, stream: Began) -> None:
        self._end_stream()
        self._stream = stream
        self._judge.begin(stream.name)
        self._logbook.begin(stream)
        self.summary.source = stream.name
        self.summary.sources += 1

    def _push(self, ready: Ready) -> None:
        """A frame, and those before it that there was no time for."""
        for shot in ready.skipped:
            self._break_off(ready, shot)
            step = self._judge.skip(shot.frame)
            self.summary.skipped += 1
            self._say(shot, step, [], [])
        self._break_off(ready, ready.shot)
        begun = time.monotonic()
        step = self._offered(ready) or self._judge.look(
            self._judge.detector, ready.shot.frame, ready.prepared, ready.output
        )
        done = time.monotonic()
        judged = self._judge.take(step)
        tracks = self._judge.tracker.tracks
        self._logbook.log(judged.verdicts, tracks, self._judge, self._writer)
        self._say(ready.shot, step, judged.links, tracks)
        self._stopwatch.note("input", ready.seconds)
        self._stopwatch.note("detect", ready.engine_seconds + done - begun)
        self._stopwatch.note("track", time.monotonic() - done)
        self._stopwatch.note("latency", time.monotonic() - ready.shot.stamped)
        self._newest = ready.shot
        self._idle.touch()
        self._show(self.summary)

    def _offered(self, ready: Ready) -> Step | None:
        """What a new bundle makes of the frame, from which on it runs; None where there is none, or where it fails."""
        if (offer := ready.offer) is None:
            return None
        try:
            if offer.failure is not None:
                raise offer.failure
            step = self._judge.look(offer.detector, ready.shot.frame, offer.prepared, offer.output)
        except Exception as error:  # whatever it is, the old one has not missed a frame
            self._feed.answer(False)
            self._takeover.failed(offer.bundle.digest[:16], error)
            self.note(error)
            return None
        self._log_what_is_due()
        self._logbook.forget()
        self._judge.use(offer.bundle, offer.detector)
        config, bundle = self._config, offer.bundle
        self._tallies.begin(config.device_name, config.camera.name, bundle.digest, bundle.card.input)
        self._takeover.done(bundle)
        self.summary.bundle = bundle.digest
        self.summary.takeovers += 1
        self._feed.answer(True)
        return step

    def _break_off(self, ready: Ready, shot: Shot) -> None:
        """Where the history broke off before a frame, be it a skipped one, no verdict and no suspect may reach across."""
        if shot.frame.index in ready.breaks:
            self._end_stream()
            self._judge.detector.forget()

    def _end_stream(self) -> None:
        """The stream ends or breaks here: the verdicts that are due, and nothing kept beyond."""
        self._log_what_is_due()
        self._judge.forget()

    def _log_what_is_due(self) -> None:
        due, tracks = self._judge.flush()
        self._logbook.log(due, tracks, self._judge, self._writer)

    def _say(self, shot: Shot, step: Step, links: list[Track | None], tracks: list[Track]) -> None:
        """Count a frame, write its line, send its message."""
        report = self._judge.detector.thresholds.report
        line = self._messages.line(self.summary.source, shot, step, links, tracks, report)
        if self._live is not None:
            self._live.show(step, self._judge.detector.card.input, line, tracks)
        found = len(line["detections"])
        self.summary.frames += 1
        self.summary.detections += found
        self.summary.interference += sum(d["label"] != TARGET for d in line["detections"])
        self.summary.tracks = self._judge.confirmed
        if step.status != "ok":
            self.summary.warming[step.reason] += 1
        self._writer.line(lambda: self._write(DETECTIONS, line))
        if self._publishers and (self._config.output.every_frame or found or line["tracks"]):
            message = {"device": self._config.device_name, "camera": self._config.camera.name, **line}
            for publisher in self._publishers:
                publisher.send(message)
        self._tallies.count(step, found, self._judge.tracker.confirmed, lambda: self._judge.cutter.frames)

    # between frames

    def _tick(self) -> None:
        """What is due once a second, whether frames come or not."""
        if time.monotonic() - self._saved < EVERY:
            return
        self._save()
        self._look_for_hangs()
        self._tallies.keep()
        asked = self._reloading.is_set()
        self._reloading.clear()
        if asked:
            self._look_at_configuration()
        if self.changed:
            return
        if self._newest is not None:
            self._takeover.look(self._newest.frame.pixels, self._suits, asked=asked)
        if self._tallies.age >= TALLY_EVERY:
            self._tallies.renew()
        if time.monotonic() - self._expired >= EXPIRE_EVERY:
            self._expired = time.monotonic()
            self._writer.then(self._spool.expire, once="expire")

    def _look_for_hangs(self) -> None:
        """From a library that hangs only a new process helps. The watchdog is told nothing more and ends this one; without one it ends itself."""
        what = "the engine" if self._feed.hangs else "the camera's driver" if self._camera.hangs else ""
        if not what:
            self._hangs_since = None
            self._notifier.alive(self.summary.line)
        elif self._hangs_since is None:
            self._hangs_since = time.monotonic()
            error = InputError(f"{what} has not answered for long; only a new process helps")
            logger.error("%s", error)
            self.note(error)
        elif not self._notifier.watched and time.monotonic() - self._hangs_since >= LET_HANG:
            logger.critical("%s hangs, and no watchdog ends this process, which ends itself", what)
            os._exit(1)  # whatever waits for the library would wait on

    def _look_at_configuration(self) -> None:
        """One that changed and can be used ends the run; whoever began it begins it anew. A recording is not begun anew."""
        try:
            changed = self._reread() != self._config
        except Exception as error:  # whatever it is, the one before goes on
            logger.error("the configuration is not taken over (%s); the one before goes on", error)
            self.note(error)
            return
        if changed and not self._camera.live:
            logger.warning(
                "the configuration changed; it counts from the next start, since a recording is not begun anew"
            )
        elif changed:
            logger.warning("the configuration changed: beginning anew with it")
            self.changed = True
            self._stopping.set()

    def _meanwhile(self) -> None:
        """Something takes long in this thread. Raises Stopped where the run is to stop."""
        if self._stopping.is_set():
            raise Stopped
        if time.monotonic() - self._saved >= EVERY:
            self._save()
            self._notifier.alive("reading the recording for its digest")

    def _while_uploading(self) -> None:
        """The last upload, after the writer has ended."""
        if time.monotonic() - self._saved >= EVERY:
            self._saved = time.monotonic()
            self._sum_up()
            self._keep_status(self.summary.frames)
            self._notifier.alive("uploading what is left")

    def _suits(self, bundle: Bundle) -> None:
        """Raises InputError where the camera is too slow or too fast for a bundle."""
        if self._stream is not None:
            check_interval(self._stream.name, self._stream.interval, bundle.card.interval, self._config.camera.step)

    def _serve(self) -> Server | None:
        serve = self._config.serve
        if not serve.port:
            return None
        return Server(serve.host, serve.port, serve.token, serve.stale, self._said, self._live)

    def _said(self) -> dict[str, Any]:
        """The status as it is now; called by the server's threads."""
        return {**self.summary.to_json(), "idle": round(self._idle.seconds, 3)}

    def _judged_so_far(self) -> dict[str, dict[str, int]]:
        s = self.summary
        uncut = self._logbook.dropped
        return {k: {"merged": s.merged[k], "over_budget": s.over_budget[k], "dropped": uncut[k]} for k in KINDS}

    def _write(self, name: str, value: dict) -> None:
        try:
            self._parts.write(name, value)
        except OSError as error:
            self.note(error)

    def _save(self) -> None:
        """Bring the summary up to date; it is written in the writer's thread, however long the disk takes."""
        self._saved = time.monotonic()
        self._sum_up()
        frames = self.summary.frames  # whose lines the writer has before this
        self._writer.then(lambda: self._keep_status(frames), once="status")

    def _sum_up(self) -> None:
        s = self.summary
        s.seconds = round(time.monotonic() - self._began, 3)
        s.milliseconds, s.unwritten = self._stopwatch.quantiles(), self._writer.unwritten
        s.camera_counts, s.camera_trouble = self._camera.counts.copy(), self._camera.trouble
        s.messages = sum((p.counts for p in self._publishers), Counter())
        s.messages_trouble = "; ".join(p.trouble for p in self._publishers if p.trouble)

    def _keep_status(self, frames: int) -> None:
        """frames: as many as have their line."""
        s = self.summary
        s.suspects, s.dropped = self._writer.logged, self._writer.dropped + self._logbook.dropped
        s.evicted = sum(self._spool.evicted.values())
        s.detections_file = self._parts.path(DETECTIONS).name
        if self._uploader:
            s.uploaded = self._uploader.state.uploaded
            s.upload_error = self._uploader.state.last_error
        try:
            s.waiting = len(self._spool.entries())
            s.save(self._config.out_path, frames)
            self._parts.sync()
        except OSError as error:
            self.note(error)


def _warn_of_slow_input(detector: Detector) -> None:
    """A workstation need not hear of it; a board may lose frames by it."""
    if isinstance(detector.input, InputStep) and native() is None:
        library = own_library()
        why = library if isinstance(library, Unavailable) else "what was compiled differs from it"
        logger.warning("the input step runs in NumPy, which takes more than twice as long: %s", why)
