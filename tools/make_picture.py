"""The moving picture of the README: the starter bundle on a generated sequence, as the daemon sees it.

python tools/make_picture.py            # writes docs/pictures/detections.webp
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from irdim.bundle import Bundle
from irdim.detector import Detector
from irdim.sources import open_source
from irdim.tracks import Tracker, TrackerOptions
from irdim_edge.config import STARTER_FOLDER

OUT = Path(__file__).parents[1] / "docs/pictures/detections.webp"
MADE = "--sequences 1 --frames 72 --size 240x160 --scr 8 --targets 6 --speed 1.5 --layers 2 --seed 8"
ZOOM, INTERVAL = 2, 0.08
ORANGE, BLUE, VIOLET = (255, 180, 84), (89, 194, 255), (199, 146, 234)  # as on the live page


def main() -> None:
    """Generate, detect, draw."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "irdim_train", "synth", folder, *MADE.split()], check=True)
        path = next(p for p in sorted(Path(folder).iterdir()) if p.is_dir())
        pictures = list(draw(path))
    pictures[0].save(
        OUT, save_all=True, append_images=pictures[1:], duration=int(1000 * INTERVAL), loop=0, quality=20, method=6
    )
    print(f"{OUT}: {len(pictures)} frames, {OUT.stat().st_size // 1000} kB")


def draw(path: Path):  # type: ignore[no-untyped-def]
    """A picture of each frame with full history: counts left, as they are; right the same with what was found."""
    bundle = Bundle.load(STARTER_FOLDER)
    detector, report = Detector.from_bundle(bundle, threads=1), bundle.card.thresholds.report
    tracker = Tracker(TrackerOptions(report=report))
    for frame in open_source(path):
        step = detector.push(frame)
        if step.status != "ok":
            continue
        tracker.update(frame.index, frame.time, step.detections, step.shift)
        low, high = np.percentile(frame.pixels, (0.5, 99.9))
        grey = (255 * ((frame.pixels - low) / (high - low)).clip(0, 1)).astype(np.uint8)
        image = Image.fromarray(np.kron(grey, np.ones((ZOOM, ZOOM), np.uint8))).convert("RGB")
        pen = ImageDraw.Draw(image)
        for track in tracker.tracks:
            if track.confirmed and not track.ended and len(track.points) > 1:
                trail = [(ZOOM * p.x, ZOOM * p.y) for p in track.points][-40:]
                pen.line(trail, fill=BLUE, width=1)
        for d in step.detections:
            if d.score >= report:
                half = max(d.w, d.h, 5) / 2 + 2
                box = [ZOOM * (d.x - half), ZOOM * (d.y - half), ZOOM * (d.x + half), ZOOM * (d.y + half)]
                pen.rectangle(box, outline=ORANGE if d.label == "target" else VIOLET)
        yield image


if __name__ == "__main__":
    main()
