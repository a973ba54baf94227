"""What makes a labelled target easy or hard to find: how far it stands out, how large and how fast it is, how near the border or another one."""

from collections.abc import Sequence

import numpy as np

from irdim.boxes import TARGET, Box
from irdim.dataset import Dataset
from irdim.registration import estimate_shift, texture
from irdim.scr import local_scr
from irdim_train.evaluate import Found

LINK = 8.0  # px a frame against the background, up to which two labels are taken for one target
SPAN = 4  # frames before and after, over which a speed is taken: labels lie on whole pixels, so a frame alone would say nothing


def measure_targets(found: Found, data: Dataset) -> dict[str, np.ndarray]:
    """Properties (targets,) float64 of every target on the frames that were scored, in the order in which a metric has seen them.

    scr: `irdim.scr.local_scr`; size: square root of the box's area, px; speed: px a frame relative to the background, NaN where the target is seen on a
    single frame; border: from the centre to the nearest edge of the frame, px; separation: to the next target's centre, px, infinite where there is none.
    """
    sequence = found.sequence
    frames, labels = data.frames(sequence), data.boxes(sequence)
    scored: list[list[Box]] = [[b for b in labels.get(i, []) if b.label == TARGET] for i in found.frames.tolist()]
    targets = [(frame, box) for frame, boxes in zip(found.frames.tolist(), scored, strict=True) for box in boxes]
    shifts = found.shifts if found.shifts is not None else _camera_motion(found.frames, frames, scored)
    return {
        "scr": np.array([local_scr(frames[i], b) for i, b in targets], float),
        "size": np.array([np.sqrt(b.w * b.h) for _, b in targets], float),
        "speed": speeds(found.frames, [np.array([(b.x, b.y) for b in boxes]) for boxes in scored], shifts),
        "border": np.array([min(b.x, b.y, sequence.width - b.x, sequence.height - b.y) for _, b in targets], float),
        "separation": np.concatenate([_separations(boxes) for boxes in scored] or [np.zeros(0)]),
    }


def speeds(frames: np.ndarray, places: Sequence[np.ndarray], shifts: np.ndarray) -> np.ndarray:
    """Speed relative to the background of every labelled place, px a frame; NaN where it cannot be known.

    frames: (n,) indices; places: for each the targets' centres, (k, 2) x, y; shifts: (n, 2) camera motion (dy, dx) since the frame before. A target's labels
    are linked to the nearest of the next frame, each the other's nearest, within LINK px; a gap between frames breaks the link.
    """
    moved = np.cumsum(shifts[:, ::-1].astype(float), axis=0)  # a place less this stands still with the background
    tracks: list[list[tuple[int, np.ndarray, int]]] = []  # frame, place against the background, number of the target
    last: list[int] = []  # tracks of the targets of the frame before
    number = 0
    for n, centres in enumerate(places):
        still = centres.reshape(-1, 2) - moved[n]
        adjacent = n > 0 and frames[n] == frames[n - 1] + 1
        before = np.array([tracks[t][-1][1] for t in last]).reshape(-1, 2)
        links = _mutual_nearest(before, still) if adjacent else {}
        current = []
        for k, place in enumerate(still):
            if k in links:
                track = last[links[k]]
            else:
                track = len(tracks)
                tracks.append([])
            tracks[track].append((int(frames[n]), place, number))
            current.append(track)
            number += 1
        last = current
    result = np.full(number, np.nan)
    for points in tracks:
        for j, (_, _, which) in enumerate(points):
            (early, start, _), (late, end, _) = points[max(j - SPAN, 0)], points[min(j + SPAN, len(points) - 1)]
            if late > early:
                result[which] = np.hypot(*(end - start)) / (late - early)
    return result


def _mutual_nearest(before: np.ndarray, now: np.ndarray) -> dict[int, int]:
    """Index in `now` to index in `before`, of those that are each other's nearest within LINK."""
    if not len(before) or not len(now):
        return {}
    distance = np.hypot(*(now[:, None] - before[None]).transpose(2, 0, 1))
    nearest = distance.argmin(axis=1)
    return {k: int(b) for k, b in enumerate(nearest) if distance[k, b] <= LINK and int(distance[:, b].argmin()) == k}


def _separations(boxes: list[Box]) -> np.ndarray:
    """To the nearest other one, px; infinite where there is none."""
    if not boxes:
        return np.zeros(0)
    centres = np.array([(b.x, b.y) for b in boxes])
    distance = np.hypot(*(centres[:, None] - centres[None]).transpose(2, 0, 1))
    np.fill_diagonal(distance, np.inf)
    return distance.min(axis=1)


def _camera_motion(indices: np.ndarray, frames: np.ndarray, targets: Sequence[list[Box]]) -> np.ndarray:
    """(n, 2) motion since the frame before; only between frames with targets, as no other matters."""
    shifts = np.zeros((len(indices), 2))
    older = None
    for n, index in enumerate(indices.tolist()):
        if not targets[n]:
            older = None
            continue
        newer = texture(frames[index])
        if older is not None:
            shifts[n] = estimate_shift(older, newer)
        older = newer
    return shifts
