"""Where messages go, as the configuration writes it."""

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
