"""Reports for people: one self-contained HTML page of sections with paragraphs, tables and pictures, readable in light and dark.

jinja2 and matplotlib are imported when they are used.
"""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from irdim.boxes import IGNORE, INTERFERENCE, TARGET, Box, Detection
from irdim.errors import InputError
from irdim.files import atomic_file

# BGR, those of the review page: a labelled target (orange), labelled interference (violet), a region to ignore (grey)
TRUTH, MIMIC, IGNORED = (84, 180, 255), (234, 146, 199), (144, 135, 125)
REPORTED, TRACK = (98, 217, 127), (255, 194, 89)  # a detection (green), a confirmed track (blue)
COLOURS = {TARGET: TRUTH, INTERFERENCE: MIMIC, IGNORE: IGNORED}
CUT, CUT_ZOOM = 32, 5  # px, half the side of what is shown around a place; px of the screen for each


@dataclass(frozen=True)
class Table:
    """heads: column titles; rows: cells. Numbers are set to the right, floats with four decimals."""

    heads: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Figure:
    """png: the picture, base64; caption: what it shows; wide: takes the page's whole width; dark: the picture for a dark page, where it differs."""

    png: str
    caption: str
    wide: bool = False
    dark: str = ""


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


def picture(image: np.ndarray, caption: str, *, wide: bool = False) -> Figure:
    """A figure from an image (H, W) or (H, W, 3) BGR, uint8. Narrow ones stand two in a row."""
    ok, data = cv2.imencode(".png", image)
    if not ok:
        raise ValueError(f"an image of shape {image.shape} and dtype {image.dtype} cannot be written as PNG")
    return Figure(base64.b64encode(data.tobytes()).decode(), caption, wide)


def plot(
    draw: Callable[[Any], None], caption: str, *, size: tuple[float, float] = (6.0, 3.2), wide: bool = False
) -> Figure:
    """A figure by matplotlib: draw(axes) is called twice, for a light and for a dark page. size: inches."""
    try:
        import matplotlib
        from matplotlib.figure import Figure as Canvas
    except ImportError:
        raise InputError("plots need matplotlib; install irdim[train]") from None
    pngs = []
    for paint in ("black", "white"):
        names = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
        with matplotlib.rc_context({**dict.fromkeys(names, paint), "legend.framealpha": 0.0}):
            canvas = Canvas(figsize=size)
            draw(canvas.subplots())
            buffer = io.BytesIO()
            canvas.savefig(buffer, format="png", dpi=130, bbox_inches="tight", transparent=True)
        pngs.append(base64.b64encode(buffer.getvalue()).decode())
    return Figure(pngs[0], caption, wide, pngs[1])


def on_white(figure: Figure) -> bytes:
    """A figure as a PNG file: a page's plots are transparent, a file's viewer may be black."""
    image = np.asarray(cv2.imdecode(np.frombuffer(base64.b64decode(figure.png), np.uint8), cv2.IMREAD_UNCHANGED))
    opacity = image[..., 3:] / 255
    _, png = cv2.imencode(".png", np.rint(image[..., :3] * opacity + 255 * (1 - opacity)).astype(np.uint8))
    return png.tobytes()


def show_frame(
    image: np.ndarray,
    labels: Sequence[Box] = (),
    detections: Sequence[Detection] = (),
    *,
    zoom: int = 3,
    limits: tuple[float, float] | None = None,
) -> np.ndarray:
    """A frame (H, W), any depth, as (zoom H, zoom W, 3) uint8: targets as orange squares, interference as violet ones, regions to ignore as
    grey ones, detections as green circles with their score. limits: values shown black and white; the 1st and 99.8th percentile where it is None."""
    low, high = limits or tuple(np.percentile(image, (1, 99.8)))
    grey = np.clip((image.astype(np.float32) - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    shown = cv2.cvtColor(cv2.resize(grey, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST), cv2.COLOR_GRAY2BGR)
    for b in labels:
        half_w, half_h = b.w / 2 + 3, b.h / 2 + 3
        corners = [round(zoom * v) for v in (b.x - half_w, b.y - half_h, b.x + half_w, b.y + half_h)]
        cv2.rectangle(shown, (corners[0], corners[1]), (corners[2], corners[3]), COLOURS[b.label], 1, cv2.LINE_AA)
    for d in detections:
        centre = (round(zoom * d.x), round(zoom * d.y))
        cv2.circle(shown, centre, 6 * zoom, REPORTED, 1, cv2.LINE_AA)
        _write_beside(shown, f"{d.score:.2f}", centre, 6 * zoom)
    return shown


def show_around(
    image: np.ndarray, at: tuple[float, float], labels: Sequence[Box] = (), detections: Sequence[Detection] = ()
) -> np.ndarray:
    """A cut of a frame (H, W) around a place (x, y), as it is and beside it marked as by `show_frame`, enlarged."""
    cut = []
    for place, size in zip((at[1], at[0]), image.shape, strict=True):
        first = int(np.clip(place - CUT, 0, max(size - 2 * CUT, 0))) * CUT_ZOOM
        cut.append(slice(first, first + 2 * CUT * CUT_ZOOM))
    marked = show_frame(image, labels, detections, zoom=CUT_ZOOM)
    return side_by_side([shown[cut[0], cut[1]] for shown in (show_frame(image, zoom=CUT_ZOOM), marked)])


def _write_beside(image: np.ndarray, text: str, centre: tuple[int, int], radius: int) -> None:
    """White text on a dark plate to the right of a circle, or to its left where the image ends."""
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)
    right = centre[0] + radius + 4
    x = right if right + width + 3 < image.shape[1] else centre[0] - radius - 4 - width
    y = min(max(centre[1] + height // 2, height + 3), image.shape[0] - 4)
    cv2.rectangle(image, (x - 3, y - height - 3), (x + width + 2, y + 3), (40, 40, 40), cv2.FILLED)
    cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)


def side_by_side(images: Sequence[np.ndarray], gap: int = 4) -> np.ndarray:
    """Pictures of one height in a row, white between them."""
    height = images[0].shape[0]
    space = np.full((height, gap, 3), 255, np.uint8)
    row: list[np.ndarray] = []
    for image in images:
        row += [image, space]
    return np.concatenate(row[:-1], axis=1)
