"""Train Ultralytics' YOLO11n from scratch on what irdim's network sees, and keep what it finds for bench/detection.py --yolo OUT.

    python -m venv yolo && yolo/bin/pip install ultralytics==8.4.190 torchvision==0.28.0  # brings its torch
    python bench/yolo.py DATA OUT --python yolo/bin/python --minutes 30 [--tile 128 --size 320] [--inputs INPUTS]

Its three channels are the three differences, registered, high-passed and in units of noise sigma, in 8 bits (8 grey levels a sigma near zero).
Whole frames enlarged to SIZE px on the longer side, or tiles of --tile px a quarter over one another, enlarged to SIZE; what two tiles find is merged.
One training frame in --every: neighbours are nearly the same, and a schedule wants several epochs. Everything else is Ultralytics' default, but no shifts
of hue, saturation and value (the channels are no colours) and mirroring both ways. INPUTS holds the prepared frames, for several runs.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from yolo_tiles import tiles

from irdim.boxes import TARGET, Box
from irdim.dataset import Dataset, Sequence
from irdim.differencing import INPUT_RANGE, InputSpec, network_input
from irdim.history import History
from irdim.input_step import motion
from irdim.sources import Frame

OTHER_SIDE = Path(__file__).with_name("yolo_side.py")


def main() -> None:
    """Prepare, train, detect."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--python", type=Path, required=True, help="Of an environment with Ultralytics.")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--tile", type=int, default=0, help="px; 0 for whole frames.")
    parser.add_argument("--size", type=int, default=640, help="px that a frame or tile is enlarged to.")
    parser.add_argument("--every", type=int, default=8)
    parser.add_argument("--frame-step", type=int, default=4)
    parser.add_argument("--inputs", type=Path, default=None, help="Default: OUT/inputs.")
    asked = parser.parse_args()
    inputs = asked.inputs or asked.out / "inputs"
    asked.out.mkdir(parents=True, exist_ok=True)
    spec = InputSpec("difference", asked.frame_step, register=True)
    with Dataset.open(asked.data) as data:
        for split in ("val", "test"):
            prepare_frames(data, split, spec, inputs / split)
        images = write_images(data, spec, asked.out / "images", asked.tile, asked.every)
    about = {"command": " ".join(sys.argv), "minutes": asked.minutes, "tile": asked.tile, "size": asked.size}
    about |= {"images": images, "inputs": str(inputs.resolve())}
    (asked.out / "about.json").write_text(json.dumps(about, indent=1))
    for step in ("train", "detect"):
        subprocess.run([asked.python, OTHER_SIDE, step, asked.out], check=True)


def prepare_frames(data: Dataset, split: str, spec: InputSpec, out: Path) -> None:
    """Every judged frame of a split. Writes a file for each sequence, SEQUENCE.npz: images (n, H, W, 3) uint8, frames (n,) their indices, shifts (n, 2)
    px since the frame before."""
    out.mkdir(parents=True, exist_ok=True)
    for sequence in data.sequences(split):
        path = out / f"{sequence.name}.npz"
        if path.exists():
            continue
        made = list(_inputs(data, sequence, spec))
        if made:
            frames, images, shifts = (np.array(part) for part in zip(*made, strict=True))
            np.savez(path, frames=frames, images=images, shifts=shifts)


def write_images(data: Dataset, spec: InputSpec, out: Path, tile: int, every: int) -> int:
    """Training frames, or their tiles with targets and as many without, as Ultralytics takes them. Returns how many."""
    rng, written = np.random.default_rng(0), 0
    for part in ("images", "labels"):
        (out / part).mkdir(parents=True, exist_ok=True)
    for sequence in data.sequences("train"):
        labels = data.boxes(sequence)
        for index, image, _ in _inputs(data, sequence, spec, every):
            targets = [box for box in labels.get(index, []) if box.label == TARGET]
            for x, y, side in _chosen(image, targets, tile, rng):
                piece = image[y : y + side, x : x + side] if tile else image
                name = f"{sequence.name}-{index:05d}-{x}-{y}"
                cv2.imwrite(str(out / "images" / f"{name}.png"), piece)
                (out / "labels" / f"{name}.txt").write_text(_lines(targets, x, y, piece.shape[:2]))
                written += 1
    few = sorted((out / "images").glob("*.png"))[
        :16
    ]  # Ultralytics validates at the end, and has nothing to learn from it
    (out / "few.txt").write_text("".join(f"{path.resolve()}\n" for path in few))
    (out / "data.yaml").write_text(f"path: {out.resolve()}\ntrain: images\nval: few.txt\nnames: [target]\n")
    return written


def _inputs(
    data: Dataset, sequence: Sequence, spec: InputSpec, every: int = 1
) -> Iterator[tuple[int, np.ndarray, tuple[float, float]]]:
    history = History(spec, sequence.interval)
    frames, times = data.frames(sequence), data.times(sequence)
    for i, (pixels, time) in enumerate(zip(frames, times, strict=True)):
        stack = history.push(Frame(i, float(time), pixels))
        if isinstance(stack, str) or i % every:
            continue
        image = network_input(stack.frames, spec, stack.shifts) * (127.0 / INPUT_RANGE) + 128.0
        yield i, np.clip(np.rint(image), 0, 255).astype(np.uint8).transpose(1, 2, 0), motion(stack.shifts, spec)


def _chosen(image: np.ndarray, targets: list[Box], tile: int, rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """x, y, side of the tiles to train on."""
    if not tile:
        return [(0, 0, 0)]
    places = [(x, y, tile) for x, y in tiles(image.shape[1], image.shape[0], tile)]
    held = [place for place in places if any(_inside(box, *place, place[2]) for box in targets)]
    rest = [place for place in places if place not in held]
    return held + [rest[i] for i in rng.permutation(len(rest))[: max(len(held), 1)]]


def _inside(box: Box, x: int, y: int, w: int, h: int) -> bool:
    return x <= box.x < x + w and y <= box.y < y + h


def _lines(targets: list[Box], x: int, y: int, shape: tuple[int, int]) -> str:
    """class, centre and size as shares of the image."""
    h, w = shape
    held = [box for box in targets if _inside(box, x, y, w, h)]
    return "".join(f"0 {(b.x - x) / w:.6f} {(b.y - y) / h:.6f} {b.w / w:.6f} {b.h / h:.6f}\n" for b in held)


if __name__ == "__main__":
    main()
