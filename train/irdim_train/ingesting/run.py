"""Field logs from the edge come in: fetched, verified, once, with their provenance; what fails is quarantined with the reason."""

import contextlib
import fcntl
import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from irdim.dataset import Dataset, NotWritable
from irdim.errors import InputError
from irdim.fieldlog import MOST_FILE, SUFFIX, TALLY, FieldLog, TallyLog, digest_in, read_any
from irdim.files import atomic_file
from irdim.remote import describe_failure, hide_password, open_remote
from irdim_train.ingesting.fetching import download, patiently
from irdim_train.ingesting.suspects import add_suspect, question_of

QUARANTINE, INCOMING, LOCK = "quarantine", ".incoming", "ingest.lock"
MOST_QUARANTINE = 1 << 30  # bytes of files that are kept there; beyond, the reasons alone
REPLAY = "replay"
MOST_FAILURES = 3  # files in a row that cannot be fetched, before the run ends
AHEAD, BEHIND = 86400.0, 2 * 366 * 86400.0  # seconds by which a device's clock may differ before it is taken for wrong


@dataclass
class Ingested:
    """What one run did.

    there: files that were ingested before; replayed: logs that were, now in another file; again: suspects that a queue item stood for already;
    unsigned: added without a known device's signature; clocks: files of a device whose clock is far off; failed: files that could not be fetched;
    kept_back: by split, suspects of recordings that the data set does not train on.
    """

    added: list[str] = field(default_factory=list)
    there: int = 0
    replayed: int = 0
    again: int = 0
    tallies: int = 0
    unsigned: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    kept_back: dict[str, int] = field(default_factory=dict)
    quarantined: dict[str, str] = field(default_factory=dict)
    quarantined_before: list[str] = field(default_factory=list)  # those of them that an earlier run refused as well
    clocks: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def ingest(
    data: Dataset,
    url: str,
    *,
    require_signature: bool = False,
    known_hosts: Path | None = None,
    identity: Path | None = None,
    options: dict[str, Any] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
) -> Ingested:
    """Take in every field log under an fsspec URL. What fails is kept in DATA/quarantine with the reason; the rest goes in whole or not at all.

    A data set that knows any device, or `require_signature`, takes signed logs of known devices alone. Raises InputError where the URL cannot
    be read or holds no field log, and where the data set cannot be written; what was taken in until then stays.
    """
    shown = hide_password(url)
    taker = _Taker(data, require_signature, clock)
    with _alone(data.path) as incoming:
        try:
            fs, folder = open_remote(url, known_hosts=known_hosts, identity=identity, options=options)
            if not patiently(lambda: fs.isdir(folder)):
                raise InputError(f"{shown}: there is no such folder; has irdim-edge uploaded anything?")
            listed = patiently(lambda: fs.find(folder, detail=True))
            found = {path: info for path, info in listed.items() if _is_log(path)}
            if not found:
                raise InputError(f"{shown}: no field log (*{SUFFIX}) there; has irdim-edge uploaded anything?")
            for done, path in enumerate(sorted(found, key=_name)):
                progress(done, len(found))
                taker.take(fs, path, found[path], incoming)
        except InputError:
            raise
        except Exception as error:  # every transport has exceptions of its own
            text = describe_failure(url, error, options)
            raise InputError(f"{text}; what was ingested stays, run it again") from None
    progress(len(found), len(found))
    return taker.result


class _Taker:
    """One run's policy, and what came of it."""

    def __init__(self, data: Dataset, require_signature: bool, clock: Callable[[], datetime]) -> None:
        self.data, self.clock, self.result = data, clock, Ingested()
        self._failures = 0  # in a row
        self._quarantined: int | None = None  # bytes, once they were counted
        self._devices = {device.key: device.name for device in data.devices()}
        self._known_only = require_signature or data.takes_known_devices_only()

    def take(self, fs: Any, path: str, info: dict[str, Any], incoming: Path) -> None:
        """One file: there already, a replay, quarantined or added."""
        name, result = _name(path), self.result
        copy: Path | None = None
        try:
            digest = digest_in(name)
            if self.data.ingested(digest):
                result.there += 1
                return
            if (info.get("size") or 0) > MOST_FILE:
                raise InputError(f"{info['size']} bytes; a field log has at most {MOST_FILE}")
            copy = incoming / name
            if not self._fetch(fs, path, copy):
                return
            log = read_any(copy)
            self._check_device(log.device_key)
            self._settle(name, digest, log)
        except NotWritable:
            raise
        except (
            LookupError,
            TypeError,
            ValueError,
            ArithmeticError,
            AttributeError,
        ) as error:  # InputError is a ValueError
            reason = str(error) if isinstance(error, InputError) else f"cannot be taken in ({error!r:.200})"
            self._quarantine(name, copy, reason.replace(f"{incoming}/", "").removeprefix(f"{name}: "))
        finally:
            if copy is not None:
                copy.unlink(missing_ok=True)

    def _fetch(self, fs: Any, path: str, copy: Path) -> bool:
        """Whether the file came; what fails again and again is left for the next run."""
        try:
            patiently(lambda: download(fs, path, copy))
        except InputError:
            raise
        except Exception as error:
            self.result.failed[copy.name] = " ".join(str(error).split()) or type(error).__name__
            self._failures += 1
            if self._failures >= MOST_FAILURES:
                raise
            return False
        self._failures = 0
        return True

    def _check_device(self, key: str | None) -> None:
        if not self._known_only or key in self._devices:
            return
        if key is None:
            raise InputError("not signed, and only logs of known devices are taken (irdim-train devices list)")
        raise InputError(f"signed by {key}, which is no known device (irdim-train devices add NAME {key})")

    def _settle(self, name: str, digest: str, log: FieldLog | TallyLog) -> None:
        """Sequence, queue item and record, in one transaction."""
        data, result, split, new = self.data, self.result, "", False
        provenance = self._provenance(name, log)
        with data.transaction():
            data.settle_refusal(name)
            if (first := data.log_with(log.manifest)) is not None:
                data.record_log(digest, name, {**provenance, "of": first}, kind=REPLAY, device_key=log.device_key)
            else:
                if isinstance(log, FieldLog):
                    sequence, new = add_suspect(data, name, digest, log, provenance)
                    split = sequence.split
                tally = _tally_json(log) if isinstance(log, TallyLog) else None
                signed = {"manifest": log.manifest, "device_key": log.device_key}
                asks = question_of(log) if isinstance(log, FieldLog) else {}
                data.record_log(digest, name, {**provenance, **asks}, kind=log.kind, tally=tally, **signed)
        for left in (name, f"{name}.reason.txt"):  # a better copy has come, or its device is known now
            (data.path / QUARANTINE / left).unlink(missing_ok=True)
        if first is not None:
            result.replayed += 1
            return
        result.added.append(name)
        result.tallies += log.kind == TALLY
        result.unsigned += log.device_key not in self._devices
        result.again += log.kind != TALLY and not new
        if split not in ("", "train"):
            result.kept_back[split] = result.kept_back.get(split, 0) + 1
        if new:
            result.kinds[log.kind] = result.kinds.get(log.kind, 0) + 1
        if "clock_off" in provenance:
            days = provenance["clock_off"] / 86400
            result.clocks[name] = f"{provenance['device']} says {provenance['time']}, {abs(days):.0f} days off"

    def _provenance(self, name: str, log: FieldLog | TallyLog) -> dict[str, Any]:
        """Who, with which bundle, and when. `device` is the known device that signed, else what the log says of itself."""
        if isinstance(log, TallyLog):
            t = log.tally
            said = {"device": t.device, "camera": t.camera, "bundle": t.bundle, "time": _tally_json(log)["end"]}
            at = t.end
        else:
            d = log.description
            keys = ("device", "camera", "bundle", "precision", "source", "time", "input", "thresholds", "interval")
            said = {key: d.get(key) for key in keys}
            frames = {"frame": d["verdict"]["frame"], "origin": d["frames"]["origin"], "sensor": d["frames"]["sensor"]}
            said.update(frames, camera_state=d.get("camera_state", {}))
            at = datetime.fromisoformat(d["time"].replace("Z", "+00:00"))
        known = self._devices.get(log.device_key or "")
        now = self.clock()
        off = (at - now).total_seconds()
        return {
            **said,
            **({"device": known, "said_device": said["device"]} if known and known != said["device"] else {}),
            **{"log": name, "sha256": log.digest, "device_key": log.device_key, "known": known is not None},
            **{"received": now.isoformat(timespec="seconds")},
            **({"clock_off": round(off)} if not -BEHIND <= off <= AHEAD else {}),
        }

    def _quarantine(self, name: str, copy: Path | None, reason: str) -> None:
        """Keep what failed, with the reason beside it. Its name is not trusted."""
        self.result.quarantined[name] = reason
        folder = self.data.path / QUARANTINE
        folder.mkdir(exist_ok=True)
        safe = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)
        if safe != name or len(safe) > 120:
            safe = f"{safe[:80]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}{SUFFIX}"
        if copy is not None and copy.is_file():
            size, before = copy.stat().st_size, folder / safe
            if self._quarantined is None:
                self._quarantined = sum(p.stat().st_size for p in folder.iterdir())
            grown = self._quarantined + size - (before.stat().st_size if before.exists() else 0)
            if grown <= MOST_QUARANTINE:
                copy.replace(before)
                self._quarantined = grown
            else:
                reason += "; not kept, the quarantine is full"
        if (folder / f"{safe}.reason.txt").exists():
            self.result.quarantined_before.append(name)
        with atomic_file(folder / f"{safe}.reason.txt", "w") as file:
            file.write(reason + "\n")
        self.data.record_refusal(name, reason)


def _tally_json(log: TallyLog) -> dict[str, Any]:
    t = log.tally
    times = {"begin": t.begin.isoformat(), "end": t.end.isoformat(), "seconds": (t.end - t.begin).total_seconds()}
    return {**vars(t), **times}


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _is_log(path: str) -> bool:
    name = _name(path)
    return name.endswith(SUFFIX) and not name.startswith(".")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """A folder for what comes in, of this run alone; what a killed one left in it goes. Raises InputError while another run is on."""
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{folder}: another irdim-train ingest is at work; wait for it") from None
        incoming = folder / INCOMING
        shutil.rmtree(incoming, ignore_errors=True)
        incoming.mkdir()
        try:
            yield incoming
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
