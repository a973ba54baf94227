"""Hold the detections of an edge run against those of `irdim-train evaluate --detections` on the same frames.

python bench/same_detections.py edge-out/detections-0001.jsonl evaluated.jsonl
"""

import json
import sys
from pathlib import Path

Key = tuple[str, int]


def read(path: Path, name: str) -> dict[Key, list[tuple[float, ...]]]:
    """(sequence, frame) to its rounded detections; `name` is the key that holds the sequence."""
    frames = {}
    for line in path.read_text().splitlines():
        value = json.loads(line)
        if value.get("status", "ok") == "ok":
            found = [(round(d["x"], 3), round(d["y"], 3), round(d["score"], 5)) for d in value["detections"]]
            frames[value[name], value["frame"]] = found
    return frames


def main() -> int:
    edge, evaluated = read(Path(sys.argv[1]), "source"), read(Path(sys.argv[2]), "sequence")
    frames = sorted(set(edge) & set(evaluated))
    different = [key for key in frames if edge[key] != evaluated[key]]
    count = sum(len(edge[key]) for key in frames)
    print(
        f"{len(edge)} frames on the edge, {len(frames)} of them evaluated, {count} detections, {len(different)} frames differ {different[:3]}"
    )
    return bool(different or len(frames) != len(edge))


if __name__ == "__main__":
    raise SystemExit(main())
