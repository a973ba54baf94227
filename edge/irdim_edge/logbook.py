"""Which verdicts become field logs: not what a mask hides, not what repeats another, not more than the day's budget."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from irdim.fieldlog import SAMPLE, Suspect
from irdim.tracks import VERDICTS as TRACKED
from irdim.tracks import Track, Verdict
from irdim_edge.cameras import Began, Camera, Stopped
from irdim_edge.config import Config
from irdim_edge.judging import Judge
from irdim_edge.policy import DAY, MERGED, OVER_BUDGET, Budget, Merger
from irdim_edge.spool import Spool
from irdim_edge.status import Summary
from irdim_edge.suspects import verdict_json
from irdim_edge.writer import DROPPED, Writer


class Logbook:
    """Hands verdicts to the writer, each with a suspect where one is due."""

    def __init__(
        self, config: Config, camera: Camera, summary: Summary, spool: Spool, meanwhile: Callable[[], None]
    ) -> None:
        """meanwhile: called while a recording is read for its digest."""
        self._meanwhile = meanwhile
        self._config, self._camera, self._summary = config, camera, summary
        self._merger = Merger(seconds=config.suspects.merge_seconds, radius=config.suspects.merge_radius)
        self.budget = Budget(config.allowances)
        now = time.time()
        self.budget.restore((now - e.taken, e.kind, e.bytes) for e in spool.taken_since(now - DAY))
        self.dropped: Counter[str] = Counter()  # by kind, those that could not be cut
        self._stream = Began("")
        self._digest: str | None = None

    def begin(self, stream: Began) -> None:
        """A stream begins."""
        self._stream, self._digest = stream, None
        self.forget()

    def forget(self) -> None:
        """What comes is no repetition of what came (another stream, another bundle)."""
        self._merger.clear()

    def log(self, verdicts: list[Verdict], tracks: list[Track], judge: Judge, writer: Writer) -> None:
        """verdicts: final now; tracks: those that they are about."""
        by_id = {t.id: t for t in tracks} if verdicts else {}
        for verdict in verdicts:
            if verdict.kind != SAMPLE and judge.hides(verdict):
                continue  # a track that crosses a mask is not missed there
            self._summary.verdicts[verdict.kind] += 1
            line: dict[str, Any] = {"v": 1, "source": self._stream.name, **verdict_json(verdict)}
            at, suspect = judge.cutter.time(verdict.frame), None
            if self._merger.repeats(verdict, at):
                self._summary.merged[verdict.kind] += 1
                line["why"] = MERGED
            elif not self.budget.take(verdict.kind):
                self._summary.over_budget[verdict.kind] += 1
                line["why"] = OVER_BUDGET
            else:
                suspect = self._suspect(verdict, by_id.get(verdict.track_id), judge)
                if suspect is None:
                    self.dropped = self.dropped + Counter([verdict.kind])  # not in place: the writer's thread reads it
                    line["why"] = DROPPED
            if suspect is None and verdict.kind not in TRACKED and line.get("why") != DROPPED:
                continue  # nobody judged it; it is worth a line only where there was to be a log
            if writer.submit(line, suspect) and suspect is not None:
                self._merger.note(verdict, at)

    def _suspect(self, verdict: Verdict, track: Track | None, judge: Judge) -> Suspect | None:
        """None where its frames have gone, or where the run stops before the digest of its recording is known: without that, nobody could keep it from
        being learnt where the data set keeps the recording back for scoring."""
        drawn = self._config.suspects.sample_probability if verdict.kind == SAMPLE else None
        try:
            return judge.cutter.cut(verdict, track, self._context(judge), self._camera.state, drawn)
        except Stopped:
            return None

    def _context(self, judge: Judge) -> dict[str, Any]:
        """What field logs say of the camera and of the bundle. Raises Stopped."""
        config, stream, card = self._config, self._stream, judge.bundle.card
        if (
            self._digest is None and stream.digest is not None
        ):  # at the first suspect; a replay waits, and loses nothing
            self._digest = stream.digest(self._meanwhile)
        return {
            **{"device": config.device_name, "camera": config.camera.name, "source": stream.name},
            **{"source_digest": self._digest or None, "bundle": judge.bundle.digest, "precision": config.precision},
            "input": card.input.to_json(),
            "thresholds": {"report": card.thresholds.report, "low": card.thresholds.low},
            "interval": stream.interval * config.camera.step if stream.interval else card.interval,
        }
