"""From a frame's input to its verdicts: detector, masks, tracker, and the ring of frames that suspects are cut from."""

from dataclasses import dataclass, replace

import numpy as np

from irdim.bundle import Bundle
from irdim.detector import Detector, Step
from irdim.input_step import Prepared
from irdim.sources import Frame
from irdim.tracks import Track, Tracker, Verdict
from irdim_edge.candidates import Candidates
from irdim_edge.config import Config
from irdim_edge.masks import Masks
from irdim_edge.suspects import Cutter

SKIPPED = "skipped"  # reason of a frame that the engine had no time for


@dataclass(frozen=True)
class Judged:
    """step: without what a mask hides; links: the tracks of its detections; verdicts: what became final with it."""

    step: Step
    links: list[Track | None]
    verdicts: list[Verdict]


class Judge:
    """Runs one bundle after the other over the frames of one camera."""

    def __init__(self, config: Config, bundle: Bundle, detector: Detector, seed: str) -> None:
        """seed: of the random sample."""
        self._config, self._seed = config, seed
        self._masks = Masks(config.camera.masks)
        self._confirmed, self._judging, self._last, self._source = 0, False, -1, ""
        self.tracker, self.cutter = Tracker(), Cutter(before=0, after=0, lag=0, crop=1)
        self.use(bundle, detector)

    def use(self, bundle: Bundle, detector: Detector) -> None:
        """From now on with this bundle; the tracks of the one before are counted and gone, its frames are kept."""
        before = self.cutter.frames
        config, card = self._config, bundle.card
        self._confirmed += self.tracker.confirmed
        self.bundle, self.detector = bundle, detector
        self._options = config.tracker_options(card.thresholds.report)
        self.tracker = Tracker(self._options, first_id=self.tracker.next_id)
        self.cutter = Cutter(
            before=max(config.suspects.before, card.input.history - 1),
            after=config.suspects.after,
            lag=config.tracker.lag,
            crop=config.suspects.crop,
            whole_frame=config.suspects.whole_frame,
        )
        for old in before:  # frames that this one has not judged
            self.cutter.push(Step(old, "warming", "bundle"))
        self._begin_sample()

    @property
    def confirmed(self) -> int:
        """Tracks that were confirmed so far."""
        return self._confirmed + self.tracker.confirmed

    def begin(self, source: str) -> None:
        """A stream begins."""
        self._source, self._last = source, -1
        self.detector.forget()
        self._begin_sample()

    def skip(self, frame: Frame) -> Step:
        """A frame that nothing is looked for in; suspects may need it."""
        step = Step(frame, "warming", SKIPPED)
        self.cutter.push(step)
        return step

    def look(self, detector: Detector, frame: Frame, prepared: Prepared | str, output: np.ndarray | None) -> Step:
        """What a detector (this one, or one on trial) finds outside the masks, told how the camera moved since the frame that was judged last. output: of
        its engine; None where there is nothing to look at."""
        if not isinstance(prepared, str) and self._judging and frame.index > self._last + 1:
            dy, dx = prepared.shift
            since = frame.index - self._last
            prepared = replace(prepared, shift=(dy * since, dx * since))
        step = detector.judge(frame, prepared, output)
        return replace(step, detections=[d for d in step.detections if not self._masks.hide(d.x, d.y)])

    def take(self, step: Step) -> Judged:
        """Track what was found, and judge what is due."""
        self._last = step.frame.index
        self._judging = step.status == "ok"
        self.cutter.push(step)
        if not self._judging:
            return Judged(step, [], [])
        verdicts = self.tracker.update(step.frame.index, step.frame.time, step.detections, step.shift)
        self._candidates.watch(step, self.tracker.links, self.tracker.since(self._options.confirm_window))
        verdicts += self._candidates.due(step.frame.index - self._config.tracker.lag, verdicts)
        return Judged(step, self.tracker.links, verdicts)

    def flush(self) -> tuple[list[Verdict], list[Track]]:
        """The stream ends or breaks here: what is still due, and the tracks that it is about."""
        tracks = self.tracker.tracks
        verdicts = self.tracker.flush()
        return verdicts + self._candidates.due(None, verdicts), tracks

    def forget(self) -> None:
        """Nothing of what came before belongs to what comes."""
        self.cutter.clear()
        self._judging = False

    def hides(self, verdict: Verdict) -> bool:
        """Whether a verdict's place lies under a mask."""
        return self._masks.hide(verdict.x, verdict.y)

    def _begin_sample(self) -> None:
        c = self._config
        where = f"{self._seed}/{c.device_name}/{c.camera.name}/{self._source}/{self.bundle.digest}"
        self._candidates = Candidates(self._options, probability=c.suspects.sample_probability, seed=where)
