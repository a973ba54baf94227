"""What can be checked: sequences of a data set, or recordings as an import would find them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from irdim.boxes import IGNORE, INTERFERENCE, TARGET, Box
from irdim.dataset import Dataset
from irdim.dataset import Sequence as Stored
from irdim.errors import InputError
from irdim.sources import Frame
from irdim_train.field_logs import is_field_log
from irdim_train.importing.found import Found, Options
from irdim_train.importing.layouts import find_sequences


@dataclass(frozen=True)
class Subject:
    """One sequence. read: its frames, in order (InputError where they cannot be read); boxes: by frame; digest: of the frames that were imported, where
    that is known; is_log: whether it is a field log; trouble: what went wrong before a frame was read; notes: of how labels were read."""

    name: str
    split: str
    group: str
    interval: float | None
    length: int | None
    read: Callable[[], Iterator[Frame]]
    boxes: dict[int, list[Box]] = field(default_factory=dict)
    digest: str = ""
    is_log: bool = False
    trouble: str = ""
    notes: tuple[str, ...] = ()


def subjects_of_data(data: Dataset) -> list[Subject]:
    """Every sequence of a data set, by name. Their frames are read when they are asked for."""
    return [_of_sequence(data, s) for s in data.sequences()]


def _of_sequence(data: Dataset, sequence: Stored) -> Subject:
    def read() -> Iterator[Frame]:
        frames, times = data.frames(sequence), data.times(sequence)
        for index in range(sequence.length):
            yield Frame(index, float(times[index]), frames[index])

    return Subject(
        sequence.name,
        sequence.split,
        sequence.group,
        sequence.interval,
        sequence.length,
        read,
        {frame: list(boxes) for frame, boxes in data.boxes(sequence).items()},
        sequence.digest,
        is_field_log(sequence),
    )


def subjects_of_recordings(
    paths: Sequence[Path], layout: str = "auto", options: Options | None = None
) -> list[Subject]:
    """Sequences as `irdim-train import` would find them; one that cannot be opened, or whose labels cannot be read, says so in `trouble`.

    Raises InputError where nothing can be recognised at all.
    """
    return [_of_found(one) for one in find_sequences(paths, layout, (options or Options()).origin, options)]


def _of_found(found: Found) -> Subject:
    split = found.splits[0] if len(found.splits) == 1 else "+".join(found.splits)
    try:
        source = found.open(None)
        reading = found.read(source)
    except InputError as error:
        return Subject(found.name, split, found.name, None, None, lambda: iter(()), trouble=str(error))
    boxes: dict[int, list[Box]] = {}
    for label in reading.labels:
        b = label.within(source.shape).box
        known = b.label.lower() if b.label.lower() in (INTERFERENCE, IGNORE) else TARGET
        boxes.setdefault(label.frame, []).append(Box(b.x, b.y, b.w, b.h, known))
    return Subject(
        found.name,
        split,
        found.name,
        source.interval,
        source.length,
        lambda: iter(source),
        boxes,
        notes=reading.notes,
    )
