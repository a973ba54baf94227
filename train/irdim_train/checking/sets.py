"""What only shows between sequences: frames or scenes that two splits share, mixed cameras, splits without what they are for."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from irdim.wording import number_of
from irdim_train.checking.findings import Finding
from irdim_train.checking.seen import Seen

ALIKE = 0.9  # correlation of two scenes' thumbnails from which they are near-identical
BLOCK = 512  # sequences compared with all others at a time


def recordings(seen: Sequence[Seen]) -> list[Seen]:
    """Those that are no field logs, which are cut short and overlap by design; all of them where there is nothing else."""
    return [s for s in seen if not s.subject.is_log] or list(seen)


def compare_sets(seen: Sequence[Seen], findings: list[Finding]) -> None:
    """Add what is found between the sequences."""
    _shared_groups(seen, findings)
    _shared_frames(seen, findings)
    _similar_scenes(seen, findings)
    _mixed(seen, findings)
    _empty_splits(seen, findings)


def _shared_groups(seen: Sequence[Seen], findings: list[Finding]) -> None:
    splits: dict[str, set[str]] = {}
    for s in seen:
        splits.setdefault(s.subject.group, set()).add(s.subject.split)
    for group, of in splits.items():
        if len(of) > 1:
            text = f"group '{group}' has sequences in {' and '.join(sorted(of))}: what is measured was trained on; import it into one split"
            findings.append(Finding("shared scene", text))


def _shared_frames(seen: Sequence[Seen], findings: list[Finding]) -> None:
    """The same pixels in two sequences: harmful where these are in two splits."""
    first: dict[bytes, int] = {}
    pairs: Counter[tuple[int, int]] = Counter()
    for number, s in enumerate(seen):
        for digest in s.digests.tolist():
            other = first.setdefault(digest, number)
            if other != number:
                pairs[other, number] += 1
    for (one, two), n in pairs.items():
        a, b = seen[one].subject, seen[two].subject
        apart = a.split != b.split
        if not apart and (a.is_log or b.is_log):
            continue
        where = f" ({a.split} and {b.split})" if apart else ""
        text = f"{a.name} and {b.name}{where} have {number_of(n, 'frame')} in common; remove one of them"
        findings.append(Finding("shared frames" if apart else "duplicate", text, b.name))


def _similar_scenes(seen: Sequence[Seen], findings: list[Finding]) -> None:
    known = [s for s in seen if s.scene.any()]
    if len({s.subject.split for s in known}) < 2:
        return
    scenes = np.stack([s.scene for s in known])
    for at in range(0, len(known), BLOCK):
        likeness = scenes[at : at + BLOCK] @ scenes.T
        for one, two in zip(*np.nonzero(likeness > ALIKE), strict=True):
            a, b = known[at + one].subject, known[two].subject
            if at + one < two and a.split != b.split and a.group != b.group:
                text = (
                    f"{a.name} ({a.split}) and {b.name} ({b.split}) begin with scenes that are nearly the same (correlation "
                    f"{likeness[one, two]:.2f}); if so, import into another --out, with --val and --test patterns that keep both in one split"
                )
                findings.append(Finding("similar scene", text, b.name))


def _mixed(seen: Sequence[Seen], findings: list[Finding]) -> None:
    for what, of in (
        ("frame sizes", Counter(f"{s.shape[1]}x{s.shape[0]}" for s in recordings(seen))),
        ("depths", Counter(s.dtype for s in seen)),
        (
            "frame intervals",
            Counter("unknown" if s.subject.interval is None else f"{s.subject.interval:.3g} s" for s in seen),
        ),
    ):
        if len(of) > 1:
            text = ", ".join(f"{value} ({n})" for value, n in of.most_common(4)) + (", ..." if len(of) > 4 else "")
            findings.append(
                Finding("mixed", f"{len(of)} {what}: {text}; a bundle is for one camera and one frame rate")
            )


def _empty_splits(seen: Sequence[Seen], findings: list[Finding]) -> None:
    targets = Counter({s.subject.split: 0 for s in seen})
    for s in seen:
        targets[s.subject.split] += len(s.targets)
    for split, n in targets.items():
        if not n:
            findings.append(
                Finding("splits", f"{split or 'these sequences'}: no target is labelled; begin with irdim-train label")
            )
    if seen and targets.keys() == {"train"}:
        text = "all sequences are in train: without val a threshold is chosen on what was trained on, and nothing can be measured"
        findings.append(Finding("splits", text))
