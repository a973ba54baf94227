"""A new bundle while the daemon runs: loaded and tried beside the old one, in a thread of its own, and handed over only when it works."""

import logging
import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from irdim.bundle import DESCRIPTION, GRAPHS, Bundle
from irdim.detector import Detector
from irdim.errors import InputError
from irdim.sources import Frame

logger = logging.getLogger("irdim_edge")


class Takeover:
    """Watches the path of a bundle (best a symbolic link, so that it changes at once)."""

    def __init__(
        self,
        path: Path,
        running: Bundle,
        *,
        precision: str,
        threads: int,
        engine: str = "auto",
        trusted: Sequence[str] = (),
    ) -> None:
        """running: the bundle that was loaded from the path; engine, trusted: as of Detector.from_bundle and Bundle.load."""
        self._path, self._precision, self._threads = path, precision, threads
        self._engine, self._trusted = engine, trusted
        self._digest, self._seen = running.digest, _signature(path)
        self._loaded: tuple[Bundle, Detector] | None = None
        self._thread: threading.Thread | None = None

    def look(self, pixels: np.ndarray, fits: Callable[[Bundle], None], *, asked: bool = False) -> None:
        """Begin to load what lies at the path now, where that has changed. Returns at once.

        pixels: a frame of the camera, (H, W), whose shape and depth the bundle is tried with; fits: raises InputError where the bundle does not suit
        the camera; asked: somebody asked for it, so look even where nothing seems to have changed.
        """
        if self._thread is not None and self._thread.is_alive():
            return
        signature = _signature(self._path)
        if signature in ((), self._seen) and not asked:
            return
        self._seen = signature
        self._thread = threading.Thread(target=self._load, args=(pixels, fits, asked), name="takeover", daemon=True)
        self._thread.start()

    def take(self) -> tuple[Bundle, Detector] | None:
        """The new bundle and its detector, once it has proved itself; None before."""
        loaded, self._loaded = self._loaded, None
        return loaded

    def done(self, bundle: Bundle) -> None:
        """The new bundle runs."""
        self._digest = bundle.digest
        logger.info("bundle %s: taken over", bundle.digest[:16])

    def failed(self, what: str, error: BaseException) -> None:
        """It does not run: the old one goes on."""
        text = " ".join(str(error).split()) or type(error).__name__
        logger.error("bundle %s: not taken over (%s); the old one, %s, goes on", what, text, self._digest[:16])

    def _load(self, pixels: np.ndarray, fits: Callable[[Bundle], None], asked: bool) -> None:
        try:
            bundle = Bundle.load(self._path.resolve(), self._trusted)
            if bundle.digest == self._digest:
                if asked:
                    logger.info("bundle %s: unchanged", bundle.digest[:16])
                return
            fits(bundle)
            detector = Detector.from_bundle(
                bundle, precision=self._precision, threads=self._threads, engine=self._engine
            )
            _try(detector, pixels)
            self._loaded = bundle, detector
        except Exception as error:
            self.failed(str(self._path), error)


def _try(detector: Detector, pixels: np.ndarray) -> None:
    """Run it on one frame like the camera's, with the history that it wants. Raises InputError where it does not give detections."""
    rng, interval = np.random.default_rng(0), detector.card.interval or 1.0
    top = np.iinfo(pixels.dtype).max
    for i in range(detector.card.input.history):
        noisy = np.clip(pixels + np.rint(rng.normal(0, 2, pixels.shape)), 0, top).astype(pixels.dtype)
        step = detector.push(Frame(i, i * interval, noisy))
    if step.status != "ok" or not all(math.isfinite(d.x + d.y + d.w + d.h + d.score) for d in step.detections):
        raise InputError("it gives no sound detections on a frame of this camera")
    detector.reset()


def _signature(path: Path) -> tuple:
    """Changes with the bundle; empty where there is none, as for a moment while it is replaced."""
    try:
        folder = path.resolve(strict=True)
        stats = [(folder / name).stat() for name in (DESCRIPTION, *GRAPHS.values())]
    except OSError:
        return ()
    return (folder, *((s.st_mtime_ns, s.st_size, s.st_ino) for s in stats))
