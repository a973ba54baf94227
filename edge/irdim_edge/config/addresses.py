"""Where messages go, as the configuration writes it."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

PORTS = {"mqtt": 1883, "mqtts": 8883}


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[::1]:port`. Raises ValueError."""
    parts = urlsplit(f"//{text}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or parts.path or "@" in text:
        raise ValueError("must be host:port")
    return host, port


def is_path(url: str) -> bool:
    """Whether it is the path of a folder, and neither a URL nor meant for one."""
    return "://" not in url and _meant(url) is None


def check_url(url: str) -> None:
    """Raises ValueError where it is meant for a URL and is none: taken for a path it would be a folder of this machine, filled in silence."""
    meant = _meant(url)
    if meant and "://" not in url:
        raise ValueError(f"upload.url: must be {meant}, not {url}; or a folder's path, which begins with / or ./")


def _meant(text: str) -> str | None:
    """The URL that sftp:/host, ftp//host and scp's me@host:folder are meant for."""
    if found := re.match(r"([a-z][a-z0-9+]+)(?::/?|//)(?=[^/])", text, re.IGNORECASE):
        root = "/" if found[1].lower() == "file" else ""
        return f"{found[1]}://{root}{text[found.end() :]}"
    if found := re.match(r"([\w.-]+@[\w.-]+):/?", text):
        return f"sftp://{found[1]}/{text[found.end() :]}"
    return None


@dataclass(frozen=True)
class Broker:
    """An MQTT broker and the topic that messages go under."""

    host: str
    port: int
    topic: str
    tls: bool

    @classmethod
    def parse(cls, url: str) -> "Broker":
        """Of mqtt://host[:port]/topic. Raises ValueError."""
        parts = urlsplit(url)
        topic = parts.path.strip("/")
        try:
            port = parts.port or PORTS.get(parts.scheme)
        except ValueError:
            port = None
        if not port or not parts.hostname or not topic or set("#+?") & set(url):
            raise ValueError("must be mqtt://host:port/topic, or mqtts://...")
        return cls(parts.hostname, port, topic, parts.scheme == "mqtts")
