"""The SQLite file: schema, version, and how it is opened."""

import os
import sqlite3
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

from irdim.errors import InputError

FILE = "dataset.sqlite"
VERSION = 4
_OURS = 0x69726469  # application_id: "irdi"
_BUSY = 60.0  # seconds to wait for another process's transaction

_FIRST = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE iterations (id INTEGER PRIMARY KEY, note TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE sequences (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
  split TEXT NOT NULL CHECK (split IN ('train', 'val', 'test')), scene TEXT NOT NULL,
  length INTEGER NOT NULL CHECK (length > 0), height INTEGER NOT NULL, width INTEGER NOT NULL,
  dtype TEXT NOT NULL CHECK (dtype IN ('uint8', 'uint16')), interval REAL, times BLOB NOT NULL,
  source TEXT NOT NULL, digest TEXT NOT NULL UNIQUE, iteration INTEGER NOT NULL REFERENCES iterations (id),
  who TEXT NOT NULL, why TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE boxes (
  id INTEGER PRIMARY KEY, sequence INTEGER NOT NULL REFERENCES sequences (id),
  frame INTEGER NOT NULL CHECK (frame >= 0),
  x REAL, y REAL, w REAL, h REAL, label TEXT CHECK (label IN ('target', 'interference', 'ignore')),
  supersedes INTEGER UNIQUE REFERENCES boxes (id), iteration INTEGER NOT NULL REFERENCES iterations (id),
  who TEXT NOT NULL, why TEXT NOT NULL, at TEXT NOT NULL,
  CHECK ((label IS NULL) + (x IS NULL) + (y IS NULL) + (w IS NULL) + (h IS NULL) IN (0, 5)),
  CHECK (label IS NOT NULL OR supersedes IS NOT NULL));
CREATE INDEX boxes_of_sequence ON boxes (sequence, frame);
CREATE TABLE queue (
  id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
  sequence INTEGER NOT NULL REFERENCES sequences (id),
  frame INTEGER NOT NULL, x REAL NOT NULL, y REAL NOT NULL, w REAL NOT NULL, h REAL NOT NULL, label TEXT NOT NULL,
  score REAL NOT NULL, reason TEXT NOT NULL, box INTEGER REFERENCES boxes (id),
  provenance TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE reviews (
  id INTEGER PRIMARY KEY, item INTEGER NOT NULL REFERENCES queue (id),
  decision TEXT NOT NULL CHECK (decision IN ('accept', 'reject', 'target', 'interference', 'ignore', 'skip')),
  box INTEGER REFERENCES boxes (id), iteration INTEGER NOT NULL REFERENCES iterations (id),
  who TEXT NOT NULL, why TEXT NOT NULL, at TEXT NOT NULL);
CREATE UNIQUE INDEX one_decision_an_item ON reviews (item) WHERE decision <> 'skip';
CREATE TABLE logs (digest TEXT PRIMARY KEY, name TEXT NOT NULL, provenance TEXT NOT NULL, at TEXT NOT NULL);
CREATE TRIGGER boxes_stay BEFORE DELETE ON boxes BEGIN SELECT RAISE(ABORT, 'boxes are superseded, never deleted'); END;
CREATE TRIGGER boxes_keep BEFORE UPDATE ON boxes BEGIN SELECT RAISE(ABORT, 'boxes are superseded, never changed'); END;
CREATE TRIGGER reviews_stay BEFORE DELETE ON reviews BEGIN SELECT RAISE(ABORT, 'reviews are never deleted'); END;
CREATE TRIGGER reviews_keep BEFORE UPDATE ON reviews BEGIN SELECT RAISE(ABORT, 'reviews are never changed'); END;
"""
_SECOND = """
ALTER TABLE logs ADD COLUMN manifest TEXT;
ALTER TABLE logs ADD COLUMN kind TEXT;
ALTER TABLE logs ADD COLUMN device_key TEXT;
ALTER TABLE logs ADD COLUMN iteration INTEGER REFERENCES iterations (id);
UPDATE logs SET kind = substr(name, 21, instr(substr(name, 21), '-') - 1),
  iteration = (SELECT iteration FROM sequences s WHERE s.name = 'log-' || logs.digest);
CREATE UNIQUE INDEX one_log_once ON logs (manifest);
CREATE TABLE tallies (log TEXT PRIMARY KEY REFERENCES logs (digest), content TEXT NOT NULL);
CREATE TABLE devices (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, key TEXT NOT NULL, who TEXT NOT NULL, at TEXT NOT NULL,
  removed TEXT, removed_by TEXT);
CREATE UNIQUE INDEX one_device_a_name ON devices (name) WHERE removed IS NULL;
CREATE UNIQUE INDEX one_device_a_key ON devices (key) WHERE removed IS NULL;
CREATE TABLE refused (
  name TEXT NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL, settled TEXT, PRIMARY KEY (name, reason));
"""
_THIRD = """
DROP TRIGGER reviews_stay;
DROP TRIGGER reviews_keep;
DROP INDEX one_decision_an_item;
ALTER TABLE reviews RENAME TO reviews_of_version_2;
CREATE TABLE reviews (
  id INTEGER PRIMARY KEY, item INTEGER NOT NULL REFERENCES queue (id),
  decision TEXT NOT NULL
    CHECK (decision IN ('accept', 'reject', 'target', 'interference', 'ignore', 'background', 'skip')),
  box INTEGER REFERENCES boxes (id), iteration INTEGER NOT NULL REFERENCES iterations (id),
  who TEXT NOT NULL, why TEXT NOT NULL, at TEXT NOT NULL);
INSERT INTO reviews SELECT * FROM reviews_of_version_2;
DROP TABLE reviews_of_version_2;
CREATE UNIQUE INDEX one_decision_an_item ON reviews (item) WHERE decision <> 'skip';
CREATE TRIGGER reviews_stay BEFORE DELETE ON reviews BEGIN SELECT RAISE(ABORT, 'reviews are never deleted'); END;
CREATE TRIGGER reviews_keep BEFORE UPDATE ON reviews BEGIN SELECT RAISE(ABORT, 'reviews are never changed'); END;
"""
_FOURTH = """
DROP INDEX one_decision_an_item;
ALTER TABLE reviews ADD COLUMN after_box INTEGER;
ALTER TABLE reviews ADD COLUMN last_box INTEGER;
CREATE INDEX reviews_of_item ON reviews (item);
CREATE TABLE undone (
  review INTEGER PRIMARY KEY REFERENCES reviews (id), who TEXT NOT NULL, why TEXT NOT NULL, at TEXT NOT NULL);
CREATE TRIGGER undone_stay BEFORE DELETE ON undone BEGIN SELECT RAISE(ABORT, 'undone decisions are never deleted'); END;
CREATE TRIGGER undone_keep BEFORE UPDATE ON undone BEGIN SELECT RAISE(ABORT, 'undone decisions are never changed'); END;
CREATE TRIGGER one_decision_an_item BEFORE INSERT ON reviews WHEN NEW.decision <> 'skip' AND EXISTS (
  SELECT 1 FROM reviews r WHERE r.item = NEW.item AND r.decision <> 'skip'
  AND NOT EXISTS (SELECT 1 FROM undone u WHERE u.review = r.id))
BEGIN SELECT RAISE(ABORT, 'the item was decided already'); END;
CREATE INDEX queue_by_score ON queue (score DESC, id);
CREATE INDEX queue_of_kind ON queue (kind, score DESC, id);
CREATE INDEX queue_of_sequence ON queue (sequence, frame, id);
"""
_VERSIONS = (_FIRST, _SECOND, _THIRD, _FOURTH)  # what each version adds to the one before


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def create_schema(connection: sqlite3.Connection) -> None:
    """Write the tables into an empty file. Within one transaction, so that a kill leaves it empty or complete."""
    for statement in _statements(_FIRST):
        connection.execute(statement)
    connection.execute(
        "INSERT INTO meta VALUES ('format', 'irdim-dataset'), ('version', '1'), ('created', ?)", (now(),)
    )
    connection.execute("INSERT INTO iterations VALUES (0, 'first import', ?)", (now(),))
    connection.execute(f"PRAGMA application_id = {_OURS}")
    _bring_up(connection, 1)


def connect(folder: Path) -> sqlite3.Connection:
    """Open the folder's SQLite file, made if it is not there. One in a read-only folder is opened for reading."""
    path = folder / FILE
    try:
        if path.exists() and not os.access(folder, os.W_OK):
            if (log := path.with_name(FILE + "-wal")).exists() and log.stat().st_size:
                raise InputError(f"{log}: unmerged writes in a read-only folder; copy the data set and open the copy")
            connection = sqlite3.connect(
                f"file:{quote(str(path.absolute()))}?immutable=1", uri=True, isolation_level=None
            )
        else:
            connection = sqlite3.connect(path, timeout=_BUSY, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error as error:
        raise InputError(
            f"{path}: not a data set that can be opened ({error}); give the folder of a data set"
        ) from None
    return connection


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether the file holds nothing yet (new, or left by a kill before its tables were there)."""
    return int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]) == 0


def check(connection: sqlite3.Connection, folder: Path) -> None:
    """Raises InputError unless the file is a data set of this or an older version."""
    ours = connection.execute("PRAGMA application_id").fetchone()[0]
    version = _version(connection)
    if ours != _OURS or version < 1:
        raise InputError(f"{folder / FILE}: not an irdim data set; give the folder that irdim-train import wrote")
    if version > VERSION:
        raise InputError(
            f"{folder / FILE}: version {version} of the data set format, this irdim reads up to {VERSION}; update irdim"
        )


def bring_up_to_date(connection: sqlite3.Connection, folder: Path) -> None:
    """Bring an older data set to this version, in place and in one step: a kill leaves it as it was. Raises InputError where it is read-only."""
    if _version(connection) >= VERSION:
        return
    try:
        connection.execute("BEGIN IMMEDIATE")
        _bring_up(connection, _version(connection))  # another process may have been faster
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise InputError(
            f"{folder / FILE}: of an older version, and cannot be brought up to version {VERSION} ({error}); "
            "open it once where it can be written, or copy it"
        ) from None


def _bring_up(connection: sqlite3.Connection, version: int) -> None:
    """Within a transaction."""
    for script in _VERSIONS[version:]:
        for statement in _statements(script):
            connection.execute(statement)
    connection.execute("UPDATE meta SET value = ? WHERE key = 'version'", (str(VERSION),))
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _statements(script: str) -> list[str]:
    """Split at the ends of statements (executescript would commit in between)."""
    found, part = [], ""
    for line in script.splitlines(keepends=True):
        part += line
        if sqlite3.complete_statement(part):
            found.append(part)
            part = ""
    return found
