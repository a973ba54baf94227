"""The SQLite file: schema, version, and how it is opened."""

import os
import sqlite3
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

from irdim.errors import InputError

FILE = "dataset.sqlite"
VERSION = 1
_OURS = 0x69726469  # application_id: "irdi"
_BUSY = 60.0  # seconds to wait for another process's transaction

_TABLES = """
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


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def create_schema(connection: sqlite3.Connection) -> None:
    """Write the tables into an empty file. Within one transaction, so that a kill leaves it empty or complete."""
    for statement in _statements(_TABLES):
        connection.execute(statement)
    connection.execute(
        "INSERT INTO meta VALUES ('format', 'irdim-dataset'), ('version', ?), ('created', ?)", (str(VERSION), now())
    )
    connection.execute("INSERT INTO iterations VALUES (0, 'first import', ?)", (now(),))
    connection.execute(f"PRAGMA application_id = {_OURS}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


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
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if ours != _OURS or version < 1:
        raise InputError(f"{folder / FILE}: not an irdim data set; give the folder that irdim-train import wrote")
    if version > VERSION:
        raise InputError(
            f"{folder / FILE}: version {version} of the data set format, this irdim reads up to {VERSION}; update irdim"
        )


def _statements(script: str) -> list[str]:
    """Split at the ends of statements (executescript would commit in between)."""
    found, part = [], ""
    for line in script.splitlines(keepends=True):
        part += line
        if sqlite3.complete_statement(part):
            found.append(part)
            part = ""
    return found
