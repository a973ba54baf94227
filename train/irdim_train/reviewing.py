"""What a reviewer sees of a queue item: where it is, and pictures of the place before, at and after."""

from collections.abc import Sequence as ListOf
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from irdim.dataset import Dataset, QueueItem, Sequence
from irdim.errors import InputError
from irdim.files import atomic_file

VIEW, ZOOM, GAP = 48, 6, 6  # px of the frame that a panel shows; screen px of each; screen px between panels
STEP = 3  # frames between the panels before, at and after
OUTSIDE = 20  # grey of what lies beyond the frame
CONTRAST = (1.0, 99.7)  # percentiles of the place that become black and white


def as_json(item: QueueItem, sequence: str) -> dict[str, Any]:
    """A queue item as `review --json` prints it."""
    box = {k: round(getattr(item.box, k), 3) for k in ("x", "y", "w", "h")}
    return {
        **{"id": item.id, "kind": item.kind, "score": item.score, "sequence": sequence, "frame": item.frame},
        **{"box": {**box, "label": item.box.label}, "reason": item.reason, "provenance": dict(item.provenance)},
        **{"state": item.state, "decision": item.decision},
    }


def sequence_names(data: Dataset) -> dict[int, Sequence]:
    """Sequences by the id that queue items name."""
    return {s.id: s for s in data.sequences()}


def panels(data: Dataset, item: QueueItem, sequence: Sequence, view: int = VIEW) -> list[np.ndarray]:
    """Four (view, view) uint8 pictures of the place: before, at, after (one contrast), and the difference at - before."""
    frames = data.frames(sequence)
    picks = [max(item.frame - STEP, 0), item.frame, min(item.frame + STEP, sequence.length - 1)]
    cuts = [_cut(frames[i], item, view) for i in picks]
    low, high = np.nanpercentile(cuts[1], CONTRAST)
    difference = cuts[1] - cuts[0]
    difference -= np.nanmedian(difference)
    reach = max(float(np.nanpercentile(np.abs(difference), 99.7)), 1.0)
    return [*(_grey(c, low, high) for c in cuts), _grey(difference, -reach, reach)]


def picture(data: Dataset, item: QueueItem, sequence: Sequence) -> np.ndarray:
    """(H, W, 3) uint8 BGR strip: before, at, after and difference, nearest-neighbour zoom, the proposed box drawn."""
    top, left = _corner(item, VIEW)
    box = item.box
    strip = []
    for name, panel in zip(("before", "at", "after", "difference"), panels(data, item, sequence), strict=True):
        big = cv2.cvtColor(np.kron(panel, np.ones((ZOOM, ZOOM), np.uint8)), cv2.COLOR_GRAY2BGR)
        half = max(box.w, box.h, 5.0) / 2 + 1.5  # beside the target, never over it
        first, last = (
            (round((box.x - left + s * half) * ZOOM), round((box.y - top + s * half) * ZOOM)) for s in (-1, 1)
        )
        cv2.rectangle(big, first, last, (60, 200, 255), 1)
        head = np.full((20, big.shape[1], 3), 32, np.uint8)
        cv2.putText(head, name, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (230, 230, 230), 1, cv2.LINE_AA)
        strip += [np.vstack([head, big]), np.full((big.shape[0] + 20, GAP, 3), 32, np.uint8)]
    row = np.hstack(strip[:-1])
    foot = np.full((38, row.shape[1], 3), 32, np.uint8)
    texts = (
        f"item {item.id}  {item.kind} -> {box.label}  score {item.score:.3f}  {sequence.name} frame {item.frame}",
        item.reason,
    )
    for i, text in enumerate(texts):
        ascii_text = text.encode("ascii", "replace").decode()
        cv2.putText(foot, ascii_text, (4, 15 + 17 * i), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (230, 230, 230), 1, cv2.LINE_AA)
    return np.vstack([row, foot])


def write_pictures(data: Dataset, items: ListOf[QueueItem], out: Path) -> tuple[list[Path], list[str]]:
    """A PNG for each item that can be shown: OUT/ID-KIND.png. Returns them, and why the others cannot be."""
    sequences, written, problems = sequence_names(data), [], []
    for item in items:
        try:
            strip = picture(data, item, sequences[item.sequence_id])
        except (InputError, OSError) as error:
            problems.append(why_not_shown(item, error))
            continue
        path = out / f"{item.id:06d}-{item.kind}.png"
        with atomic_file(path) as file:
            file.write(cv2.imencode(".png", strip)[1].tobytes())
        written.append(path)
    return written, problems


def why_not_shown(item: QueueItem, error: Exception) -> str:
    """One line, of what reading an item's frames raised."""
    return f"item {item.id} cannot be shown: {error}"


def in_characters(pictures: ListOf[np.ndarray]) -> str:
    """Grey pictures side by side as rich markup, two rows of pixels a line."""
    row = np.hstack([np.pad(p, ((0, p.shape[0] % 2), (0, 2))) for p in pictures])
    lines = []
    for upper, lower in zip(row[::2], row[1::2], strict=True):
        pairs = zip(upper.tolist(), lower.tolist(), strict=True)
        lines.append("".join(f"[rgb({a},{a},{a}) on rgb({b},{b},{b})]▀[/]" for a, b in pairs))
    return "\n".join(lines)


def _corner(item: QueueItem, view: int) -> tuple[int, int]:
    """Top and left of the view, in px of the frame; it may reach out of it."""
    return int(np.floor(item.box.y)) - view // 2, int(np.floor(item.box.x)) - view // 2


def _cut(frame: np.ndarray, item: QueueItem, view: int) -> np.ndarray:
    """(view, view) float32 around the item; NaN beyond the frame."""
    top, left = _corner(item, view)
    height, width = frame.shape
    cut = np.full((view, view), np.nan, np.float32)
    rows, columns = slice(max(top, 0), min(top + view, height)), slice(max(left, 0), min(left + view, width))
    cut[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = frame[rows, columns]
    return cut


def _grey(values: np.ndarray, low: float, high: float) -> np.ndarray:
    grey = np.clip((values - low) / max(high - low, 1e-6), 0, 1) * 255
    return np.where(np.isnan(grey), OUTSIDE, grey).astype(np.uint8)
