"""How an engine is built, and the name under which it is kept."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from irdim.errors import InputError

Size = tuple[int, int]  # (H, W)


@dataclass(frozen=True)
class BuildOptions:
    """half: FP16 for what is not INT8; workspace_mb: scratch memory that tactics may take, which a Jetson shares with everything else;
    smallest, usual, largest: the range of frame sizes (H, W) that the engine takes, and the one it is tuned for."""

    half: bool = True
    workspace_mb: int = 512
    smallest: Size = (64, 64)
    usual: Size = (512, 640)
    largest: Size = (1088, 1920)

    def __post_init__(self) -> None:
        if self.workspace_mb < 1:
            raise InputError(f"workspace {self.workspace_mb} MB: at least 1")
        for low, middle, high in zip(self.smallest, self.usual, self.largest, strict=True):
            if not 8 <= low <= middle <= high <= 16384:
                sizes = ", ".join(size_text(s) for s in (self.smallest, self.usual, self.largest))
                raise InputError(f"frame sizes {sizes}: must rise, from 8 to 16384 px a side")

    def padded(self, stride: int) -> "tuple[Size, Size, Size]":
        """The three sizes, each rounded up to multiples of the stride."""

        def up(size: Size) -> Size:
            return -(-size[0] // stride) * stride, -(-size[1] // stride) * stride

        return up(self.smallest), up(self.usual), up(self.largest)


def size_text(size: Size) -> str:
    """(H, W) as people write it: WIDTHxHEIGHT."""
    return f"{size[1]}x{size[0]}"


def parse_size(text: str) -> Size:
    """'640x512' (width x height) to (512, 640). Raises InputError."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise InputError(f"frame size '{text}': write WIDTHxHEIGHT, such as 640x512")
    return int(height), int(width)


def engine_key(graph_digest: str, tensorrt: str, gpu: str, options: BuildOptions, stride: int) -> str:
    """16 hex digits of all that decides an engine."""
    return _key([graph_digest, tensorrt, gpu, stride, asdict(options)])


def options_key(graph_digest: str, gpu: str) -> str:
    """16 hex digits of what the options of a build are noted under; TensorRT's version is not among it, so that they outlive an upgrade."""
    return _key([graph_digest, gpu])


def _key(decides: list[Any]) -> str:
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]
