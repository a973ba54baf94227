"""Label files of other tools, read in bounded memory: no entities in XML, no aliases in YAML, no path that leads out of its folder."""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import yaml
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from irdim.errors import InputError
from irdim.sources.limits import check_file_size

LARGEST_TEXT, _LARGEST_YAML = 1 << 25, 1 << 20  # bytes
LARGEST_TREE = 1 << 27  # JSON, XML: some ten times that in memory; the paper's 89,510 frames take about 90 MiB
_MOST_VALUES, _MOST_PARTS = 1 << 24, 1 << 20  # in a JSON file, in one element of XML


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text, without their ends. Raises InputError where it is none, or too large."""
    try:
        check_file_size(path, LARGEST_TEXT)
        return path.read_text("utf-8-sig").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError:
        raise InputError(f"{path}: no UTF-8 text; save it as one") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the file") from None


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object. Raises InputError where it is none, or too large."""
    try:
        check_file_size(path, LARGEST_TREE)
        data = path.read_bytes()
        if sum(map(data.count, (b"[", b"{", b","))) > _MOST_VALUES:  # small in the file, large in memory
            raise InputError(f"{path}: more than {_MOST_VALUES} values; split it")
        value = json.loads(data)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a readable JSON file ({_line(error)}); write it again") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: must be a JSON object")
    return value


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping of plain values. Raises InputError where it is none, has aliases (which can grow without bound), or is too large."""
    check_file_size(path, _LARGEST_YAML)
    try:
        text = path.read_text("utf-8-sig")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise InputError(f"{path}: YAML aliases are not read; write the values out")
        value = yaml.safe_load(text)
    except InputError:
        raise
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not a readable YAML file ({_line(error)}); correct it") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: must be a YAML mapping")
    return value


def iterate_xml(path: Path, *tags: str) -> Iterator[Element]:
    """The elements of these tags as they end; every other one is forgotten as it ends. Raises InputError where it is no sound XML.

    No document type, no entities, and no element of these tags with more than a million parts.
    """
    check_file_size(path, LARGEST_TREE)
    above: list[Element] = []
    within = parts = 0  # elements of these tags that are open, and what they hold
    try:
        for event, element in iterparse(path, events=("start", "end"), forbid_dtd=True):
            if event == "start":
                above.append(element)
                within += element.tag in tags
                parts = parts + 1 if within else 0
                if parts > _MOST_PARTS:
                    raise InputError(f"{path}: an element of more than {_MOST_PARTS} parts; split it")
                continue
            above.pop()
            if element.tag in tags:
                within -= 1
                yield element
            if not within and above:
                above[-1].remove(element)
    except (ParseError, UnicodeError, LookupError) as error:  # LookupError: of an encoding that is not known
        raise InputError(f"{path}: not a readable XML file ({_line(error)}); write it again") from None
    except DefusedXmlException:
        raise InputError(f"{path}: XML with a document type or entities is not read; take them out") from None


def begins_with(path: Path, tag: str) -> bool:
    """Whether an XML file's first element seems to be `tag`."""
    with path.open("rb") as file:
        return f"<{tag}".encode() in file.read(4096)


def inside(root: Path, name: str, said_by: Path) -> Path:
    """`name` below `root`. Raises InputError where it would lead out of it; `said_by` is the file that says it."""
    path = os.path.normpath(root / name)
    if "\0" in name or not Path(path).is_relative_to(os.path.normpath(root)):
        raise InputError(f"{said_by}: '{name}' leads out of {root}; give paths within that folder")
    return Path(path)


def numbers(values: Any, count: int, where: str) -> list[float]:
    """`count` finite numbers, from numbers or texts. Raises InputError, saying `where`, where they are not."""
    try:
        found = [float(v) for v in values]
    except (TypeError, ValueError, OverflowError):
        found = []
    if len(found) != count or not all(map(math.isfinite, found)):
        raise InputError(f"{where}: needs {count} finite numbers; correct or remove it")
    return found


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
