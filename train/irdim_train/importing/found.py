"""A sequence that is to be imported, as the layouts find it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from irdim.sources import FrameSource, open_source
from irdim.sources.images import open_files
from irdim_train.importing.labels import Label


@dataclass(frozen=True)
class Options:
    """What a person says about label files. origin: number of the first pixel, where it is not the layout's own; centres_from: that of
    centre lists, which have none of their own; centre_size: side of the box around a listed centre, px."""

    origin: int | None = None
    centres_from: int | None = None
    centre_size: float = 5.0


@dataclass(frozen=True)
class Reading:
    """Labels, and what a person should know of how they were read."""

    labels: list[Label] = field(default_factory=list)
    notes: tuple[str, ...] = ()


def no_labels(source: FrameSource) -> Reading:
    """Of a sequence that has none."""
    return Reading()


@dataclass(frozen=True)
class Found:
    """A sequence: its name, where its frames and labels are, and how these are read.

    layout, origin: as recognised (origin: number of the first pixel, None where the layout has no such thing); why: by what; files: the
    frames in order, where they are not just what `open_source(path)` gives; splits: those that the layout puts its frames in; root: the
    folder of the layout; interval: seconds, as the layout says.
    """

    name: str
    path: Path
    labels: Path | None = None
    layout: str = "frames"
    origin: int | None = None
    why: str = ""
    files: tuple[Path, ...] = ()
    read: Callable[[FrameSource], Reading] = no_labels
    splits: tuple[str, ...] = ()
    root: Path | None = None
    interval: float | None = None

    def open(self, interval: float | None) -> FrameSource:
        """Its frames. interval: seconds, instead of what the layout or the file says."""
        interval = self.interval if interval is None else interval
        return open_files(self.files, self.name, interval) if self.files else open_source(self.path, interval=interval)
