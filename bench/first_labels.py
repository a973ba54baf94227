"""How much of the work `irdim-train label` does: its proposals on a labelled data set, whose labels it does not see.

    python bench/first_labels.py DATA [--sequences 20]

A proposal is right where most of its places lie within 6 px of a labelled target.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from irdim.boxes import TARGET
from irdim.dataset import Dataset
from irdim_train.labelling import propose_tracks

NEAR = 6.0  # px


def main() -> None:
    """Print how many target frames were proposed, and how many proposals were right, the first of each sequence and all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sequences", type=int, default=20)
    options = parser.parse_args()
    covered = anyhow = labelled = truths = first_right = found_any = right = proposals = frames = 0
    queue: list[tuple[float, bool]] = []  # of all sequences, as a person sees them
    begun = time.perf_counter()
    with Dataset.open(options.data) as data:
        everything = data.sequences()
        chosen = everything[:: max(len(everything) // options.sequences, 1)][: options.sequences]
        for s in chosen:
            truth = {f: [b for b in bs if b.label == TARGET] for f, bs in data.boxes(s).items()}
            found = propose_tracks(data.frames(s), data.times(s), s.interval)
            good = [p for p in found if p.label == TARGET and _right(p.boxes, truth)]
            targets = [p for p in found if p.label == TARGET]
            first_right += bool(targets) and targets[0] in good
            found_any += bool(good)
            right += len(good)
            queue += [(p.score, p in good) for p in targets]
            truths += max(map(len, truth.values()), default=0)
            lying = [p for p in found if _right(p.boxes, truth)]  # those called interference, too
            proposals += len(targets)
            frames += s.length
            for frame, boxes in truth.items():
                labelled += len(boxes)
                covered += _covered(good, frame, boxes)
                anyhow += _covered(lying, frame, boxes)
    spent = time.perf_counter() - begun
    n = len(chosen)
    print(f"{n} sequences, {frames} frames, {frames / spent:.1f} frames/s")
    print(f"target frames covered by right proposals: {covered} of {labelled} ({covered / max(labelled, 1):.3f})")
    print(f"with those proposed as interference, since they hardly move: {anyhow} ({anyhow / max(labelled, 1):.3f})")
    print(f"right proposals per target (most labels on one frame): {right / max(truths, 1):.2f}")
    print(
        f"sequences with a right proposal: {found_any} of {n}; whose first proposal of a target is right: {first_right}"
    )
    top = [ok for _, ok in sorted(queue, reverse=True)[:n]]
    print(f"of the {len(top)} first in the queue of all sequences, right: {sum(top)} ({np.mean(top):.2f})")
    print(f"proposals of targets: {proposals}, right {right} ({right / max(proposals, 1):.3f})")


def _covered(proposals, frame, boxes) -> int:  # type: ignore[no-untyped-def]
    return sum(any(frame in p.boxes and _near(p.boxes[frame], b) for p in proposals) for b in boxes)


def _right(boxes, truth) -> bool:  # type: ignore[no-untyped-def]
    near = [any(_near(box, b) for b in truth.get(frame, [])) for frame, box in boxes.items()]
    return float(np.mean(near)) > 0.5


def _near(one, other) -> bool:  # type: ignore[no-untyped-def]
    return (one.x - other.x) ** 2 + (one.y - other.y) ** 2 <= NEAR**2


if __name__ == "__main__":
    main()
