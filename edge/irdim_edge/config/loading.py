"""Reading and writing a configuration: TOML, relative paths counted from its folder, an unknown key refused."""

import difflib
import json
import math
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from irdim.errors import InputError
from irdim.remote import hide_password
from irdim_edge.config.sections import Section
from irdim_edge.config.whole import Config, is_starter

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def load_config(path: Path) -> Config:
    """Read a configuration; its relative paths become absolute. Raises InputError with one line that names file, key and reason."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; irdim-edge config prints one to begin with") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); name the configuration, a file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not readable TOML ({error})") from None
    return parse_config(text, Path(path))


def parse_config(text: str, path: Path) -> Config:
    """A configuration from its text; path: where it lies or will lie, from whose folder relative paths count. Raises InputError."""
    try:
        config = Config.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not readable TOML ({error})") from None
    except ValidationError as error:
        raise InputError(f"{path}: {_first(error)}") from None
    return _absolute(config, path.resolve().parent)


def number_or_text(text: str | None) -> float | str | None:
    """A number where it is one, as TOML would have it."""
    try:
        number = float(text or "")
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def commented_config(values: dict[str, Any] | None = None) -> str:
    """A configuration with every key, its default and its meaning. values: {'bundle': ..., 'camera.paths': ...} instead of defaults."""
    values = dict(values or {})
    lines = ["# irdim-edge run THIS-FILE. Relative paths count from this file's folder.", ""]
    for prefix, section in _sections():
        if prefix:
            lines += ["", f"[{prefix}]"]
        for name, f in section.model_fields.items():
            if _is_section(f.annotation):
                continue
            value = values.pop(f"{prefix}.{name}" if prefix else name, f.default)
            lines += [f"# {f.description}", f"{name} = {json.dumps(value, ensure_ascii=False)}"]
    if values:
        raise InputError(f"no such key: {', '.join(values)}")
    return "\n".join(lines) + "\n"


def _sections() -> list[tuple[str, type[BaseModel]]]:
    """The keys outside of any section, then each section with its name."""
    return [("", Config), *((n, f.annotation) for n, f in Config.model_fields.items() if _is_section(f.annotation))]  # type: ignore[list-item]


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _keys() -> list[str]:
    """All that there are, as SECTION.KEY."""
    return [f"{name}.{key}".lstrip(".") for name, section in _sections() for key in section.model_fields]


def _absolute(config: Config, folder: Path) -> Config:
    def at(text: str) -> str:
        return str(folder / Path(text).expanduser()) if text else ""

    url = config.upload.url
    return config.model_copy(
        update={
            "bundle": config.bundle if is_starter(config.bundle, folder) else at(config.bundle),
            "key": at(config.key),
            "out": at(config.out),
            "camera": config.camera.model_copy(update={"paths": [at(p) for p in config.camera.paths]}),
            "output": config.output.model_copy(
                update={key: at(getattr(config.output, key)) for key in ("mqtt_password_file", "mqtt_ca")}
            ),
            "serve": config.serve.model_copy(update={"token_file": at(config.serve.token_file)}),
            "spool": config.spool.model_copy(update={"path": at(config.spool.path)}),
            "upload": config.upload.model_copy(
                update={
                    "url": url if "://" in url else at(url),
                    "known_hosts": at(config.upload.known_hosts),
                    "identity": at(config.upload.identity),
                    "options": at(config.upload.options),
                }
            ),
        }
    )


def _first(error: ValidationError) -> str:
    one = error.errors()[0]
    key = ".".join(str(part) for part in one["loc"])
    if one["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, _keys(), n=1)
        return f"unknown key '{key}'; {f'did you mean {near[0]}? ' if near else ''}irdim-edge config lists the keys"
    message = one["msg"].removeprefix("Value error, ")
    if not key or isinstance(one["input"], dict):
        return message
    return f"{key}: {message} (it is {hide_password(repr(one['input']))})"
