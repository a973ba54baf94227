"""A data set's folder while it is open: its connection and its transactions, files included."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from irdim.errors import InputError
from irdim.files import sync_folder


class NotWritable(InputError):
    """The data set cannot be written: a full disk, a read-only folder, another process at work. What was to be written may be right."""


class Store:
    """Connection to a data set. Files put in place within a transaction go away where it fails."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder, self.connection = folder, connection
        self._placed: list[Path] = []
        self._depth = 0

    @property
    def frames_folder(self) -> Path:
        return self.folder / "frames"

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, values).fetchall()

    def insert(self, table: str, **values: Any) -> int:
        """Insert one row; returns its id."""
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        cursor = self.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))
        return int(cursor.lastrowid or 0)

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """A statement that writes. Raises NotWritable."""
        try:
            return self.connection.execute(statement, values)
        except sqlite3.OperationalError as error:  # a full disk, a read-only folder
            raise NotWritable(f"{self.folder}: cannot be written ({error}); check the disk") from None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Within another one: undone alone where it fails, kept only where the outer one is."""
        name, placed = f"part{self._depth}", len(self._placed)
        begin, keep, undo = (
            (f"SAVEPOINT {name}", (f"RELEASE {name}",), (f"ROLLBACK TO {name}", f"RELEASE {name}"))
            if self._depth
            else ("BEGIN IMMEDIATE", ("COMMIT",), ("ROLLBACK",))
        )
        try:
            self.connection.execute(begin)
        except sqlite3.OperationalError as error:
            raise NotWritable(
                f"{self.folder}: cannot be written now ({error}); wait for the other irdim process, or check the disk"
            ) from None
        self._depth += 1
        try:
            yield
            for statement in keep:
                self.execute(statement)  # at COMMIT the write-ahead log grows: what fills the disk shows only now
        except BaseException:
            for statement in undo:
                with contextlib.suppress(
                    sqlite3.OperationalError
                ):  # SQLite itself has rolled back, a full disk for one
                    self.connection.execute(statement)
            for path in self._placed[placed:]:
                path.unlink(missing_ok=True)
            del self._placed[placed:]
            raise
        finally:
            self._depth -= 1
            if not self._depth:
                self._placed.clear()

    def place(self, temporary: Path, path: Path) -> None:
        """Give a finished file its name, as part of the transaction."""
        temporary.replace(path)
        self._placed.append(path)
        sync_folder(path.parent)


def to_json(value: object, what: str) -> str:
    """Compact JSON for a column. Raises InputError where `value` cannot be written so."""
    try:
        return json.dumps(value, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what}: cannot be stored as JSON ({error})") from None
