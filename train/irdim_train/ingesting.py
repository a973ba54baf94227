"""Field logs from the edge become sequences and queue items: verified, once, with their provenance.

Nobody has looked at their frames yet, so each is covered by an `ignore` box, which counts for nothing in training and scoring. The queue item puts
the box of the suspect's frame in question: a decision takes its place.
"""

import hashlib
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from irdim.boxes import IGNORE, INTERFERENCE, TARGET, Box
from irdim.dataset import Dataset, digest_of
from irdim.errors import InputError
from irdim.fieldlog import MOST_FILE, SUFFIX, FieldLog, digest_in, read_log
from irdim.files import atomic_file
from irdim.remote import hide_password, open_remote
from irdim.sources import Frame
from irdim.tracks import MISSED, VERDICTS

QUARANTINE = "quarantine"
WHO = "irdim-train ingest"


@dataclass
class Ingested:
    """What one run did. there: logs that were ingested before; again: suspects that a queue item stood for already."""

    added: list[str] = field(default_factory=list)
    there: int = 0
    again: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    quarantined: dict[str, str] = field(default_factory=dict)


def ingest(
    data: Dataset,
    url: str,
    *,
    known_hosts: Path | None = None,
    identity: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Ingested:
    """Take in every field log under an fsspec URL. What fails is kept in DATA/quarantine with the reason; the rest goes in whole or not at all.

    Raises InputError where the URL cannot be read; what was taken in until then stays.
    """
    result = Ingested()
    shown = hide_password(url)
    try:
        fs, folder = open_remote(url, known_hosts=known_hosts, identity=identity)
        if not fs.isdir(folder):
            raise InputError(f"{shown}: there is no such folder; has irdim-edge uploaded anything?")
        found = {path: info for path, info in sorted(fs.find(folder, detail=True).items()) if _is_log(path)}
        for done, (path, info) in enumerate(found.items()):
            progress(done, len(found))
            _take(data, fs, path, info, result)
    except InputError:
        raise
    except Exception as error:  # every transport has exceptions of its own
        text = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{shown}: {text}; what was ingested stays, run it again") from None
    progress(len(found), len(found))
    return result


def _is_log(path: str) -> bool:
    name = path.rsplit("/", 1)[-1]
    return name.endswith(SUFFIX) and not name.startswith(".")


def _take(data: Dataset, fs: Any, path: str, info: dict[str, Any], result: Ingested) -> None:
    """One log: known, quarantined or added."""
    name = path.rsplit("/", 1)[-1]
    with tempfile.TemporaryDirectory(prefix="irdim-ingest-") as folder:
        copy: Path | None = None
        try:
            digest = digest_in(name)
            if data.ingested(digest):
                result.there += 1
                return
            if (info.get("size") or 0) > MOST_FILE:
                raise InputError(f"{name}: {info['size']} bytes; a field log has at most {MOST_FILE}")
            copy = Path(folder) / name
            _download(fs, path, copy)
            log = read_log(copy)
            if log.kind not in VERDICTS:
                raise InputError(f"{name}: verdict '{log.kind}' is not known to this irdim")
        except InputError as error:
            reason = str(error).replace(f"{folder}/", "")
            _quarantine(data.path / QUARANTINE, name, copy, reason)
            result.quarantined[name] = reason
            return
        _add(data, name, digest, log, result)
        (data.path / QUARANTINE / name).unlink(missing_ok=True)  # a better copy has come
        (data.path / QUARANTINE / f"{name}.reason.txt").unlink(missing_ok=True)


def _add(data: Dataset, name: str, digest: str, log: FieldLog, result: Ingested) -> None:
    """Sequence, queue item and record, in one transaction."""
    d, times = log.description, log.description["frames"]["times"]
    _, height, width = log.frames.shape
    unseen = Box(width / 2, height / 2, float(width), float(height), IGNORE)
    provenance = {
        **{key: d.get(key) for key in ("device", "camera", "bundle", "precision", "source", "time")},
        **{"log": name, "sha256": log.digest, "frame": d["verdict"]["frame"]},
        **{"origin": d["frames"]["origin"], "sensor": d["frames"]["sensor"], "input": d.get("input")},
    }
    x, y, w, h = log.place
    box = Box(min(x, width - 0.01), min(y, height - 0.01), w, h, TARGET if log.kind == MISSED else INTERFERENCE)
    with data.transaction():
        sequence = data.add_sequence(
            f"log-{digest}",
            [Frame(i, t, pixels) for i, (t, pixels) in enumerate(zip(times, log.frames, strict=True))],
            {i: [unseen] for i in range(len(log.frames))},
            split="train",
            group=f"field {d['device']}/{d['camera']}",
            source=name,
            who=WHO,
            why="not looked at yet",
            iteration=data.current_iteration(),
            interval=d.get("interval"),
        )
        in_question = data.boxes(sequence)[log.index][0].id if sequence else None
        sequence = sequence or data.sequence_with(digest_of(log.frames))
        if sequence is None:
            raise InputError(f"{name}: its frames are neither new nor in the data set")
        new = data.enqueue(
            key=f"{log.kind}:{d['frames']['sha256'][:16]}:{log.index}:{x:.0f},{y:.0f}",
            kind=log.kind,
            sequence_id=sequence.id,
            frame=log.index,
            box=box,
            score=log.score,
            reason=d["verdict"]["reason"],
            box_id=in_question,
            provenance=provenance,
        )
        data.record_log(digest, name, provenance)
    result.added.append(name)
    result.again += not new
    if new:
        result.kinds[log.kind] = result.kinds.get(log.kind, 0) + 1


def _download(fs: Any, path: str, to: Path) -> None:
    """Fetch a file, but never more than a field log may have."""
    left = MOST_FILE + 1
    with fs.open(path, "rb") as source, to.open("wb") as file:
        while left > 0 and (block := source.read(min(1 << 20, left))):
            file.write(block)
            left -= len(block)
    if left <= 0:
        raise InputError(f"{to.name}: more than {MOST_FILE} bytes; refused")


def _quarantine(folder: Path, name: str, copy: Path | None, reason: str) -> None:
    """Keep what failed, with the reason beside it. Its name is not trusted."""
    safe = re.sub(r"[^\w.-]", "_", name)
    if safe != name or len(safe) > 120:
        safe = f"{safe[:80]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}{SUFFIX}"
    folder.mkdir(exist_ok=True)
    if copy is not None and copy.is_file():
        with atomic_file(folder / safe) as file, copy.open("rb") as source:
            while block := source.read(1 << 20):
                file.write(block)
    with atomic_file(folder / f"{safe}.reason.txt", "w") as file:
        file.write(reason + "\n")
