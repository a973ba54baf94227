"""Bytes of a suspect: as a field log, and as other codecs would have its frames. Checks that the frames come back bit for bit.

    python bench/fieldlog_size.py SEQUENCE... [--frames 18] [--crop 128] [--json]

SEQUENCE: what irdim-train import takes (a folder with frames.npy, a video, ...). From the middle of each, a crop and whole frames, the middle one of the
frames as the suspect's. JPEG: 8 bits between the 0.1st and 99.9th percentile, quality 90, one picture a frame; it is lossy and here to compare.
"""

import argparse
import io
import itertools
import json
import tempfile
import time
import zlib
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np

from irdim.fieldlog import Suspect, pack_log, read_log
from irdim.signing import Signer, generate_key
from irdim.sources import open_source


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sequence", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=18)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        generate_key(Path(folder) / "key")
        signer = Signer.load(Path(folder) / "key")
        found: dict[str, list[dict[str, float]]] = {}
        for path in options.sequence:
            stack = middle(path, options.frames)
            height, width = stack.shape[1:]
            top, left = (max(n - options.crop, 0) // 2 for n in (height, width))
            crop = np.ascontiguousarray(stack[:, top : top + options.crop, left : left + options.crop])
            for name, frames in (("crop", crop), ("whole", stack)):
                found.setdefault(f"{name} {frames.dtype}", []).append(sizes(frames, signer, Path(folder)))
    rows = {name: {key: float(np.mean([one[key] for one in of])) for key in of[0]} for name, of in found.items()}
    if options.json:
        print(json.dumps({name: {**row, "sequences": len(found[name])} for name, row in rows.items()}))
        return
    for name, row in rows.items():
        print(f"{name}, {len(found[name])} sequences, {options.frames} frames each; bytes a suspect (share of raw):")
        for key, value in row.items():
            share = "" if key.endswith("ms") else f"  {value / row['raw']:.3f}"
            print(f"  {key:18} {value:12.0f}{share}")


def middle(path: Path, count: int) -> np.ndarray:
    frames = [frame.pixels for frame in itertools.islice(open_source(path), 100)]
    start = max(len(frames) - count, 0) // 2
    return np.stack(frames[start : start + count])


def sizes(frames: np.ndarray, signer: Signer, folder: Path) -> dict[str, float]:
    began = time.perf_counter()
    name, data = pack_log(suspect(frames), signer)
    packed = time.perf_counter()
    path = folder / name
    path.write_bytes(data)
    back = read_log(path).frames
    read = time.perf_counter()
    assert back.dtype == frames.dtype, "another depth came back"
    assert np.array_equal(back, frames), "other frames came back"
    path.unlink()
    npy = io.BytesIO()
    np.save(npy, frames)
    low, high = np.percentile(frames, (0.1, 99.9))
    shown = np.clip((frames - low) / max(high - low, 1) * 255, 0, 255).astype(np.uint8)
    return {
        "raw": frames.nbytes,
        "field log": len(data),
        "npy + deflate": len(zlib.compress(npy.getvalue(), 6)),
        "PNG": sum(len(cv2.imencode(".png", f, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]) for f in frames),
        "JPEG 90, 8 bits": sum(len(cv2.imencode(".jpg", f, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]) for f in shown),
        "pack, ms": (packed - began) * 1e3,
        "read, ms": (read - packed) * 1e3,
    }


def suspect(frames: np.ndarray) -> Suspect:
    count, height, width = frames.shape
    place = {"x": width / 2, "y": height / 2, "w": 3.0, "h": 3.0, "score": 0.5, "track": 1}
    who = {"device": "mast-3", "camera": "west", "source": "clip", "bundle": "ab" * 32, "interval": 0.1}
    settings = {
        "input": {"kind": "difference+frame", "frame_step": 4, "register": True},
        "thresholds": {"report": 0.5, "low": 0.1},
    }
    return Suspect(
        verdict={
            "kind": "missed",
            "frame": count // 2,
            **place,
            "reason": "reported 2 before and 3 after, nothing here",
        },
        frames=frames,
        indices=list(range(count)),
        times=[i / 10 for i in range(count)],
        origin=(0, 0),
        sensor=(height, width),
        detections=[
            {"frame": i, **{k: place[k] for k in ("x", "y", "w", "h", "score")}, "label": "target"}
            for i in range(count)
        ],
        track={"id": 1, "status": "confirmed", "points": [[i, width / 2, height / 2, 0.5] for i in range(count)]},
        context={**who, **settings},
        at=datetime(2026, 11, 23, tzinfo=timezone.utc),
    )


if __name__ == "__main__":
    main()
