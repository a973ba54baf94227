"""The data set, opened."""

import sqlite3
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as ListOf
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from irdim.boxes import Box
from irdim.dataset import boxes as _boxes
from irdim.dataset import devices as _devices
from irdim.dataset import logs as _logs
from irdim.dataset import queue as _queue
from irdim.dataset import queue_pages as _queue_pages
from irdim.dataset import schema
from irdim.dataset import sequences as _sequences
from irdim.dataset.records import Device, LabelledBox, LogRecord, QueueItem, Refused, Sequence
from irdim.dataset.store import Store
from irdim.errors import InputError
from irdim.sources import Frame, FrameSource


class Dataset:
    """A data set: `with Dataset.open(folder) as data: ...`. Processes may share it: writes wait.

    Everything that writes raises NotWritable, an InputError, where that cannot be: a full disk, a read-only folder.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        """Use `Dataset.open` or `Dataset.create`."""
        self.path = path
        self._store = Store(path, connection)

    @classmethod
    def create(cls, path: Path, *, exist_ok: bool = False) -> "Dataset":
        """Make a data set in a new or empty folder and open it.

        Raises InputError where the folder holds other files, or a data set (which `exist_ok` opens instead).
        """
        path = Path(path)
        if path.exists() and not path.is_dir():
            raise InputError(f"{path}: a file; give a new folder for the data set")
        if path.is_dir() and not (path / schema.FILE).exists() and any(path.iterdir()):
            raise InputError(f"{path}: holds files, and no data set; give a new or empty folder for the data set")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{path}: cannot be made ({error.strerror}); choose another folder") from None
        data = cls(path, schema.connect(path))
        try:
            with data.transaction():
                made = schema.is_empty(data._store.connection)
                if made:
                    schema.create_schema(data._store.connection)
            schema.check(data._store.connection, path)
            if not made and not exist_ok:
                raise InputError(f"{path}: holds a data set already; open it, or choose another folder")
            schema.bring_up_to_date(data._store.connection, path)
        except BaseException:
            data.close()
            raise
        return data

    @classmethod
    def open(cls, path: Path) -> "Dataset":
        """Open a data set. Raises InputError where there is none, or one of a newer version."""
        path = Path(path)
        if not (path / schema.FILE).is_file():
            raise InputError(f"{path}: no data set here (no {schema.FILE}); make one with irdim-train import")
        data = cls(path, schema.connect(path))
        try:
            schema.check(data._store.connection, path)
            schema.bring_up_to_date(data._store.connection, path)
        except BaseException:
            data.close()
            raise
        return data

    def close(self) -> None:
        """Close it. What was not committed is gone."""
        self._store.connection.close()

    def __enter__(self) -> "Dataset":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def transaction(self) -> AbstractContextManager[None]:
        """`with data.transaction():` makes several writes one: all or, on an error or kill, none. May be nested."""
        return self._store.transaction()

    # sequences

    def sequences(self, split: str | None = None) -> list[Sequence]:
        """All sequences, or those of a split, by name."""
        return _sequences.find(self._store, split=split)

    def sequence(self, name: str) -> Sequence:
        """The sequence of that name. Raises InputError where there is none."""
        return _sequences.named(self._store, name)

    def sequence_with(self, digest: str) -> Sequence | None:
        """The sequence of those frames (see `digest_of`), whatever its name; None where there is none."""
        return _sequences.with_digest(self._store, digest)

    def frames(self, sequence: Sequence) -> np.ndarray:
        """Memory map (T, H, W) of its frames, uint8 or uint16 as the sensor gave them."""
        return _sequences.frames(self._store, sequence)

    def frames_file(self, sequence: Sequence) -> Path:
        """The .npy file that `frames` maps, which holds a file handle for as long as the map lives."""
        return _sequences.file_of(self._store, sequence.name)

    def times(self, sequence: Sequence) -> np.ndarray:
        """(T,) float64 seconds."""
        return _sequences.times(self._store, sequence)

    def add_sequence(
        self,
        name: str,
        frames: Iterable[Frame] | FrameSource,
        boxes: Mapping[int, ListOf[Box]],
        *,
        split: str,
        group: str,
        source: str,
        who: str,
        why: str = "import",
        iteration: int = 0,
        interval: float | None = None,
    ) -> Sequence | None:
        """Add a sequence with its boxes, whole or not at all. Frames are streamed; `boxes` goes by a frame's position.

        Returns None where the same frames are there already (under any name). Raises InputError where the name is there
        with other frames, where a box is for a frame that is not there, and where its centre lies outside the frame;
        NotWritable where it is not the sequence's fault.
        Without `interval` that of the frame source is taken.
        """
        row = _sequences.Row(name, split, group, source, who, why, iteration, interval)
        return _sequences.add(self._store, row, frames, boxes)

    def check_splits(self) -> None:
        """Raises InputError where one group (scene) has sequences in two splits."""
        _sequences.check_splits(self._store)

    # boxes

    def boxes(self, sequence: Sequence, iteration: int | None = None) -> dict[int, list[LabelledBox]]:
        """Live boxes by frame; as they were at the end of `iteration` where it is given."""
        return _boxes.live(self._store, sequence, iteration)

    def add_box(
        self, sequence: Sequence, frame: int, box: Box, *, who: str, why: str, iteration: int | None = None
    ) -> int:
        """Add a box, in the current iteration unless one is given; returns its id. InputError where it lies outside."""
        return _boxes.add(self._store, sequence, frame, box, who=who, why=why, iteration=iteration)

    def supersede(self, box_id: int, box: Box | None, *, who: str, why: str, iteration: int | None = None) -> int:
        """Put `box` in a live box's place, or take that away (None); returns the new row's id. The old one stays."""
        return _boxes.supersede(self._store, box_id, box, who=who, why=why, iteration=iteration)

    # queue

    def enqueue(
        self,
        *,
        key: str,
        kind: str,
        sequence_id: int,
        frame: int,
        box: Box,
        score: float,
        reason: str,
        box_id: int | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> bool:
        """Propose something to the reviewer; False where `key` is there already, decided or not."""
        item = QueueItem(0, key, kind, sequence_id, frame, box, score, reason, box_id, provenance or {})
        return _queue.enqueue(self._store, item)

    def queue_items(self, state: str | None = None) -> list[QueueItem]:
        """Queue items, best score first: all, the 'open' or the 'decided'."""
        return _queue.items(self._store, state)

    def queue_page(
        self,
        *,
        kind: str | None = None,
        sequence: str | None = None,
        order: str = "score",
        after: int | None = None,
        most: int = 50,
    ) -> list[QueueItem]:
        """The next open items after item `after`, or the first: order 'score' (best first) or 'sequence' (then frame)."""
        return _queue_pages.page(self._store, kind=kind, sequence=sequence, order=order, after=after, most=most)

    def queue_progress(self) -> dict[str, Any]:
        """`kinds`: how many items of each, 'all' and 'decided'; `sequences`: names of those that have items."""
        return _queue_pages.progress(self._store)

    def queue_item(self, item_id: int) -> tuple[QueueItem, str | None, str | None]:
        """A queue item, who decided it and when. InputError where there is none."""
        return _queue.find(self._store, item_id)

    def undo(self, review: int, *, who: str, why: str) -> int:
        """Put back what decision `review` did to the boxes, by rows that supersede its own; its item is open again. Returns the
        item's id. InputError where it was undone already, or somebody has changed its boxes since."""
        return _queue.undo(self._store, review, who=who, why=why)

    def decide(
        self,
        item_id: int,
        decision: str,
        *,
        who: str,
        why: str,
        box: Box | None = None,
        more: Mapping[int, ListOf[Box]] | None = None,
        track: Mapping[int, Box | None] | None = None,
    ) -> int:
        """Record a decision and what follows from it for the boxes, in one transaction; returns its id, for `undo`.

        'accept' confirms the proposal: a 'missed' becomes a target, a 'false_alarm' an interference, any other kind the
        proposed box; of a 'labelled-background' it takes the label away. 'reject' denies it: a 'false_alarm' was a target
        after all; where a 'missed' or 'low_confidence' was denied there is nothing. 'target', 'interference', 'ignore' say
        what is there, 'background' that nothing is: no box is left, and what covered the frame goes. 'skip' leaves the item
        open. `box` corrects the proposed place and size. Where the item puts a box in question, that box is superseded. A
        'track' adds its boxes, but where a label lies already. 'accept' of a 'sample' (a whole frame) says that the boxes on it are complete, none
        included: what covers the frame as not looked at goes; 'target' and 'interference' say so and add `box`. `more`: boxes
        that were marked besides, by frame; what covered those frames goes, too. `track`: boxes of a 'track' as the reviewer
        corrected them, by frame, None where it is not there: the frame is looked at, and has none. Raises InputError where the item is not there,
        and AlreadyDecided (`irdim.dataset.queue`) where it was decided.
        """
        return _queue.decide(self._store, item_id, decision, who=who, why=why, box=box, more=more, track=track)

    # devices, field logs

    def devices(self) -> list[Device]:
        """The devices whose field logs are taken, by name."""
        return _devices.known(self._store)

    def takes_known_devices_only(self) -> bool:
        """Whether a device was ever made known: from then on, and without any left too, logs of known devices alone are taken."""
        return _devices.ever_known(self._store)

    def add_device(self, name: str, key: str, *, who: str) -> bool:
        """Trust a device's public key (hex); False where it is known so already. InputError where name or key is another's."""
        return _devices.add(self._store, name, key, who=who)

    def remove_device(self, name: str, *, who: str) -> None:
        """Take no more logs of a device; what was taken stays. InputError where there is none of that name."""
        _devices.remove(self._store, name, who=who)

    def logs(self) -> list[LogRecord]:
        """Field logs and tallies that were taken in, in the order of their arrival."""
        return _logs.all_logs(self._store)

    def ingested(self, digest: str) -> bool:
        """Whether a field log of that digest (16 hex digits) was recorded."""
        return _logs.with_digest(self._store, digest)

    def log_with(self, manifest: str) -> str | None:
        """The digest of the field log with that manifest, however it was zipped; None where there is none."""
        return _logs.with_manifest(self._store, manifest)

    def record_log(
        self,
        digest: str,
        name: str,
        provenance: Mapping[str, Any],
        *,
        kind: str | None = None,
        manifest: str | None = None,
        device_key: str | None = None,
        tally: Mapping[str, Any] | None = None,
    ) -> None:
        """Record a field log (see LogRecord) in the current iteration, or a tally with what it says.

        Raises InputError where its digest or manifest is there already.
        """
        log = LogRecord(digest, name, manifest, kind, device_key, self.current_iteration(), provenance)
        with self.transaction():
            _logs.record(self._store, log)
            if tally is not None:
                _logs.add_tally(self._store, digest, tally)

    def tallies(self) -> list[tuple[LogRecord, dict[str, Any]]]:
        """Tallies with what they say, in the order of their arrival."""
        return _logs.tallies(self._store)

    def record_refusal(self, name: str, reason: str) -> None:
        """Keep that a file was not taken in, and why."""
        _logs.refuse(self._store, name, reason)

    def settle_refusal(self, name: str) -> None:
        """A file that was refused has come in after all."""
        _logs.accept_after_all(self._store, name)

    def refused(self) -> list[Refused]:
        """What was refused and has not come in since."""
        return _logs.refused(self._store)

    # iterations

    def current_iteration(self) -> int:
        """The newest iteration; 0 is the first import."""
        return int(self._store.rows("SELECT max(id) FROM iterations")[0][0])

    def begin_iteration(self, note: str) -> int:
        """Begin the next iteration; returns its number."""
        with self.transaction():
            return self._store.insert("iterations", id=self.current_iteration() + 1, note=note, at=schema.now())
