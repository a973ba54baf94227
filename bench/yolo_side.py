"""Ultralytics' side of bench/yolo.py, in an environment of its own that knows nothing of irdim: train, detect, time.

python bench/yolo_side.py train|detect|time OUT
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import ultralytics
from yolo_tiles import tiles

FAINT = 0.001  # confidence from which a detection is kept
OVERLAP = 0.5  # of two detections, from which the weaker goes
TIMED = 30  # frames


def main() -> None:
    """One step on one folder."""
    step, out = sys.argv[1], Path(sys.argv[2])
    about = json.loads((out / "about.json").read_text())
    if step == "train":
        train(out, about)
        return
    model = ultralytics.YOLO(out / "train" / "weights" / "last.pt")
    if step == "detect":
        detect(model, out, about)
    else:
        torch.set_num_threads(1)
        print(json.dumps({"ms": measure(model, about)}))


def train(out: Path, about: dict[str, Any]) -> None:
    """From scratch, for as many minutes as asked; no validation on the way takes any of them."""
    model = ultralytics.YOLO("yolo11n.yaml")
    model.train(
        data=str(out / "images" / "data.yaml"),
        imgsz=about["size"],
        time=about["minutes"] / 60,
        val=False,
        device="cpu",
        workers=0,
        pretrained=False,
        hsv_h=0.0,
        hsv_s=0.0,
        hsv_v=0.0,
        flipud=0.5,
        plots=False,
        project=str(out.resolve()),
        name="train",
        exist_ok=True,
        seed=0,
    )
    versions = {"ultralytics": ultralytics.__version__, "torch": torch.__version__}
    (out / "about.json").write_text(json.dumps(about | versions, indent=1))


def detect(model: Any, out: Path, about: dict[str, Any]) -> None:
    """Every prepared frame of both splits. Writes OUT/SPLIT/SEQUENCE.npz: frames (n,), ends (n,), rows (m, 5) x, y, w, h in px, confidence."""
    for split in ("val", "test"):
        (out / split).mkdir(exist_ok=True)
        for path in sorted((Path(about["inputs"]) / split).glob("*.npz")):
            with np.load(path) as held:
                frames, images, shifts = held["frames"], held["images"], held["shifts"]
            found = [detections(model, image, about["tile"], about["size"]) for image in images]
            ends = np.cumsum([len(rows) for rows in found])
            np.savez(out / split / path.name, frames=frames, ends=ends, rows=np.concatenate(found), shifts=shifts)
            print(split, path.stem, ends[-1], flush=True)


def measure(model: Any, about: dict[str, Any]) -> float:
    """Milliseconds of processor time a frame, median."""
    with np.load(min((Path(about["inputs"]) / "test").glob("*.npz"))) as held:
        images = held["images"][: TIMED + 3]
    spent = []
    for image in images:
        begun = time.process_time()
        detections(model, image, about["tile"], about["size"])
        spent.append(time.process_time() - begun)
    return round(1e3 * float(np.median(spent[3:])), 1)


def detections(model: Any, image: np.ndarray, tile: int, size: int) -> np.ndarray:
    """(n, 5) float64: centre and size in px, confidence."""
    h, w = image.shape[:2]
    places = tiles(w, h, tile) if tile else [(0, 0)]
    pieces = [np.ascontiguousarray(image[y : y + tile, x : x + tile]) if tile else image for x, y in places]
    results = model.predict(pieces, imgsz=size, conf=FAINT, iou=OVERLAP, max_det=100, device="cpu", verbose=False)
    rows = []
    for (x, y), result in zip(places, results, strict=True):
        boxes, scores = result.boxes.xywh.numpy(), result.boxes.conf.numpy()
        rows.append(np.column_stack([boxes + np.array([x, y, 0, 0]), scores]).astype(float))
    found = np.concatenate(rows)
    if len(places) > 1 and len(found):
        corners = found[:, :4] - np.pad(found[:, 2:4] / 2, ((0, 0), (0, 2)))
        found = found[np.sort(np.array(cv2.dnn.NMSBoxes(corners, found[:, 4], FAINT, OVERLAP)).ravel().astype(int))]
    return found


if __name__ == "__main__":
    main()
