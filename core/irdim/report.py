"""Reports for people: one self-contained HTML page of sections with paragraphs, tables and pictures. jinja2 is imported when it is used."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from irdim.boxes import Box, Detection
from irdim.errors import InputError
from irdim.files import atomic_file

TRUTH, REPORTED = (80, 200, 80), (60, 60, 255)  # BGR


@dataclass(frozen=True)
class Table:
    """heads: column titles; rows: cells, numbers are set to the right."""

    heads: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Figure:
    """png: the picture, base64; caption: what it shows."""

    png: str
    caption: str


@dataclass
class Section:
    """One heading and what lies under it, in this order."""

    title: str
    paragraphs: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)


def write_report(path: Path, title: str, note: str, sections: Sequence[Section]) -> None:
    """Render the sections into one HTML file, atomically. Text is escaped."""
    try:
        import jinja2
    except ImportError:
        raise InputError("reports need jinja2; install irdim[train]") from None
    environment = jinja2.Environment(loader=jinja2.PackageLoader("irdim"), autoescape=True)
    page = environment.get_template("report.html.j2").render(title=title, note=note, sections=sections)
    with atomic_file(path, "w") as file:
        file.write(page)


def picture(image: np.ndarray, caption: str) -> Figure:
    """A figure from an image (H, W) or (H, W, 3) BGR, uint8."""
    ok, data = cv2.imencode(".png", image)
    if not ok:
        raise ValueError(f"an image of shape {image.shape} and dtype {image.dtype} cannot be written as PNG")
    return Figure(base64.b64encode(data.tobytes()).decode(), caption)


def plot(figure: Any, caption: str) -> Figure:
    """A figure from a matplotlib Figure, which is closed."""
    import io

    from matplotlib import pyplot

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    pyplot.close(figure)
    return Figure(base64.b64encode(buffer.getvalue()).decode(), caption)


def show_frame(
    image: np.ndarray,
    labels: Sequence[Box] = (),
    detections: Sequence[Detection] = (),
    *,
    zoom: int = 3,
    limits: tuple[float, float] | None = None,
) -> np.ndarray:
    """A frame (H, W), any depth, as (zoom H, zoom W, 3) uint8: labels as green squares, detections as red circles with their score.
    limits: values shown black and white; the 1st and 99.8th percentile where it is None."""
    low, high = limits or tuple(np.percentile(image, (1, 99.8)))
    grey = np.clip((image.astype(np.float32) - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    shown = cv2.cvtColor(cv2.resize(grey, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST), cv2.COLOR_GRAY2BGR)
    for b in labels:
        half_w, half_h = b.w / 2 + 3, b.h / 2 + 3
        corners = [round(zoom * v) for v in (b.x - half_w, b.y - half_h, b.x + half_w, b.y + half_h)]
        cv2.rectangle(shown, (corners[0], corners[1]), (corners[2], corners[3]), TRUTH, 1, cv2.LINE_AA)
    for d in detections:
        centre = (round(zoom * d.x), round(zoom * d.y))
        cv2.circle(shown, centre, 6 * zoom, REPORTED, 1, cv2.LINE_AA)
        at = (centre[0] + 6 * zoom, centre[1] - 4 * zoom)
        cv2.putText(shown, f"{d.score:.2f}", at, cv2.FONT_HERSHEY_SIMPLEX, 0.35, REPORTED, 1, cv2.LINE_AA)
    return shown


def side_by_side(images: Sequence[np.ndarray], gap: int = 4) -> np.ndarray:
    """Pictures of one height in a row, white between them."""
    height = images[0].shape[0]
    space = np.full((height, gap, 3), 255, np.uint8)
    row: list[np.ndarray] = []
    for image in images:
        row += [image, space]
    return np.concatenate(row[:-1], axis=1)
