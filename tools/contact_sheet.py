"""A contact sheet of synthetic beside real frames: python tools/contact_sheet.py RECORDINGS [--out docs/pictures/synth_beside_real.jpg]

RECORDINGS: real sequences with labels, in any layout that `irdim-train import` takes. Of a few of them one frame each is shown, small, with its
target enlarged below it, beside the same place of the difference with the frame STEP earlier (not registered); under these the same of generated
sequences of several kinds. Every picture is stretched alike (0.5 to 99.8 %).
"""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from irdim.boxes import TARGET, Box
from irdim.command_line import run_command
from irdim.errors import InputError
from irdim.scr import local_scr
from irdim_train.importing import plan_import
from irdim_train.synth import SynthOptions, generate

COLUMNS, WIDTH, HEIGHT, ZOOM, CAPTION, STEP = 5, 240, 192, 28, 18, 4  # px; a zoom shows ZOOM px around the target
KINDS = {
    "thin cloud, as by default": {},
    "hard-edged cloud, local SCR 6": {"clouds": 40.0, "edges": "hard", "scr": 6.0},
    "three soft layers, local SCR 8": {"clouds": 60.0, "edges": "soft", "layers": 3, "scr": 8.0},
    "horizon and sun, local SCR 8": {"horizon": 0.75, "glint": 25.0, "scr": 8.0},
    "8 bit, Airy, local SCR 20": {"bits": 8, "psf": "airy", "scr": 20.0, "clouds": 30.0, "noise": 0.8},
}


@dataclass(frozen=True)
class Shown:
    """A frame (H, W) with its target and a caption, and the frame STEP before it."""

    frame: np.ndarray
    older: np.ndarray
    box: Box
    caption: str


def main(
    recordings: Annotated[Path, typer.Argument(help="Real sequences with labels.")],
    out: Annotated[Path, typer.Option(help="Picture to write.")] = Path("docs/pictures/synth_beside_real.jpg"),
    seed: Annotated[int, typer.Option(help="Of the generated frames, and of the choice of real ones.")] = 0,
) -> None:
    """Write the contact sheet."""
    sheet = np.vstack([_row(_real(recordings, seed)), _row(_generated(seed))])
    out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(out), sheet, [cv2.IMWRITE_JPEG_QUALITY, 82])
    print(f"{out}: {sheet.shape[1]}x{sheet.shape[0]}, {out.stat().st_size / 1000:.0f} kB")


def _real(recordings: Path, seed: int) -> list[Shown]:
    plan = plan_import([recordings])
    labelled = sorted(name for name, labels in plan.labels.items() if any(_is_target(label.box) for label in labels))
    if len(labelled) < COLUMNS:
        raise InputError(
            f"{recordings}: {len(labelled)} sequences with labels, {COLUMNS} are shown; name a larger collection"
        )
    found = []
    for name in sorted(np.random.default_rng(seed).choice(labelled, COLUMNS, replace=False).tolist()):
        targets = [label for label in plan.labels[name] if _is_target(label.box) and label.frame >= STEP]
        chosen = targets[len(targets) // 2]
        older, *_, frame = (f.pixels for f in islice(plan.sources[name], chosen.frame - STEP, chosen.frame + 1))
        found.append(Shown(frame, older, chosen.box, f"real: {name}, SCR {local_scr(frame, chosen.box):.0f}"))
    return found


def _is_target(box: Box) -> bool:
    return box.label.lower() not in ("interference", "ignore")


def _generated(seed: int) -> list[Shown]:
    found = []
    for i, (name, options) in enumerate(KINDS.items()):
        made = generate(SynthOptions(frames=12, width=320, height=256, targets=4, seed=seed, **options), i)  # type: ignore[arg-type]
        places = [(t, b) for t, there in made.boxes.items() for b in there if b.label == TARGET and t >= STEP]
        frame, box = places[len(places) // 2]
        found.append(Shown(made.frames[frame], made.frames[frame - STEP], box, name))
    return found


def _row(shown: list[Shown]) -> np.ndarray:
    return np.hstack([_cell(one) for one in shown])


def _cell(shown: Shown) -> np.ndarray:
    grey = _stretched(shown.frame)
    scale = min(WIDTH / grey.shape[1], HEIGHT / grey.shape[0])
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[: small.shape[0], : small.shape[1]] = small[..., None]
    x, y, half = int(shown.box.x * scale), int(shown.box.y * scale), int(ZOOM / 2 * scale)
    cv2.rectangle(picture, (x - half, y - half), (x + half, y + half), (80, 220, 80), 1)
    top, left = (
        int(np.clip(c - ZOOM / 2, 0, n - ZOOM)) for c, n in zip((shown.box.y, shown.box.x), grey.shape, strict=True)
    )
    around = (slice(top, top + ZOOM), slice(left, left + ZOOM))
    difference = shown.frame.astype(np.float32) - shown.older
    zooms = [
        cv2.resize(_stretched(image[around]), (WIDTH // 2, WIDTH // 2), interpolation=cv2.INTER_NEAREST)
        for image in (shown.frame, difference)
    ]
    below = np.repeat(np.hstack(zooms)[..., None], 3, axis=2)
    caption = np.zeros((CAPTION, WIDTH, 3), np.uint8)
    cv2.putText(caption, shown.caption, (2, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (230, 230, 230), 1, cv2.LINE_AA)
    cell = np.vstack([caption, picture, below])
    return cv2.copyMakeBorder(cell, 0, 4, 0, 4, cv2.BORDER_CONSTANT, value=(40, 40, 40))


def _stretched(frame: np.ndarray) -> np.ndarray:
    low, high = np.percentile(frame, (0.5, 99.8))
    return np.clip((frame - low) / max(high - low, 1) * 255, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    run_command(app)
