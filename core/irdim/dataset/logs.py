"""Field logs and tallies that a data set has taken in, and what it refused."""

import json
from collections.abc import Mapping
from typing import Any

from irdim.dataset import schema
from irdim.dataset.records import LogRecord, Refused
from irdim.dataset.store import Store, to_json
from irdim.errors import InputError

_NAMES = ("digest", "name", "manifest", "kind", "device_key", "iteration", "provenance", "at")
_COLUMNS = ", ".join(_NAMES)


def all_logs(store: Store) -> list[LogRecord]:
    """In the order of their arrival."""
    rows = store.rows(f"SELECT {_COLUMNS} FROM logs ORDER BY at, rowid")
    return [LogRecord(**{**dict(zip(_NAMES, row, strict=True)), "provenance": json.loads(row[6])}) for row in rows]


def with_digest(store: Store, digest: str) -> bool:
    return bool(store.rows("SELECT 1 FROM logs WHERE digest = ?", (digest,)))


def with_manifest(store: Store, manifest: str) -> str | None:
    found = store.rows("SELECT digest FROM logs WHERE manifest = ?", (manifest,))
    return str(found[0][0]) if found else None


def record(store: Store, log: LogRecord) -> None:
    with store.transaction():
        if with_digest(store, log.digest) or (log.manifest and with_manifest(store, log.manifest)):
            raise InputError(f"{log.name}: this field log was ingested before")
        values = {**vars(log), "provenance": to_json(dict(log.provenance), log.name), "at": schema.now()}
        store.insert("logs", **values)


def add_tally(store: Store, digest: str, content: Mapping[str, Any]) -> None:
    """Keep what a tally says; its log must be on record."""
    store.insert("tallies", log=digest, content=to_json(dict(content), digest))


def tallies(store: Store) -> list[tuple[LogRecord, dict[str, Any]]]:
    contents = dict(store.rows("SELECT log, content FROM tallies"))
    return [(log, json.loads(contents[log.digest])) for log in all_logs(store) if log.digest in contents]


def refuse(store: Store, name: str, reason: str) -> None:
    with store.transaction():
        store.execute("DELETE FROM refused WHERE name = ? AND reason = ?", (name, reason))
        store.insert("refused", name=name, reason=reason, at=schema.now())


def accept_after_all(store: Store, name: str) -> None:
    with store.transaction():
        store.execute("UPDATE refused SET settled = ? WHERE name = ? AND settled IS NULL", (schema.now(), name))


def refused(store: Store) -> list[Refused]:
    return [
        Refused(*row)
        for row in store.rows("SELECT name, reason, at FROM refused WHERE settled IS NULL ORDER BY at, name")
    ]
