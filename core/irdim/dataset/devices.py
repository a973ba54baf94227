"""The devices whose field logs a data set takes: names and public keys that a person has added."""

import re
import sqlite3

from irdim.dataset import schema
from irdim.dataset.records import Device
from irdim.dataset.store import Store
from irdim.errors import InputError
from irdim.signing import is_public_key

_NAME = re.compile(r"[\w.-]{1,60}")


def known(store: Store) -> list[Device]:
    query = "SELECT name, key, who, at FROM devices WHERE removed IS NULL ORDER BY name"
    return [Device(*row) for row in store.rows(query)]


def ever_known(store: Store) -> bool:
    return bool(store.rows("SELECT 1 FROM devices LIMIT 1"))


def add(store: Store, name: str, key: str, *, who: str) -> bool:
    if not _NAME.fullmatch(name):
        raise InputError(f"device name {name!r}: letters, digits, '.', '_' and '-', 1 to 60 of them")
    if not is_public_key(key):
        raise InputError(f"{key[:80]!r}: not a public key (64 hex digits); irdim-edge keygen prints it")
    with store.transaction():
        for device in known(store):
            if (device.name, device.key) == (name, key):
                return False
            if device.name == name:
                raise InputError(f"device {name}: is known with another key; irdim-train devices remove {name} first")
            if device.key == key:
                raise InputError(f"device {name}: this key is known as {device.name} already")
        try:
            store.insert("devices", name=name, key=key, who=who, at=schema.now())
        except sqlite3.IntegrityError as error:
            raise InputError(f"device {name}: cannot be stored ({error})") from None
        return True


def remove(store: Store, name: str, *, who: str) -> None:
    with store.transaction():
        if name not in {device.name for device in known(store)}:
            raise InputError(f"{store.folder}: no device '{name}'; irdim-train devices list shows them")
        store.execute(
            "UPDATE devices SET removed = ?, removed_by = ? WHERE name = ? AND removed IS NULL",
            (schema.now(), who, name),
        )
