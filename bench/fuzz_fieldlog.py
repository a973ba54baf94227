"""Fuzz the reader of field logs: changed bytes, changed descriptions, changed members, forged zips. It must answer, or refuse in one line.

    python bench/fuzz_fieldlog.py 100000 [--seed 1]

Every input gets the name that its digest asks for, so that the check of the name does not shield what lies behind it. Prints what was answered and
why the rest was refused; exit code 1 where anything else was raised, with the input kept. Memory is watched too.
"""

import argparse
import collections
import copy
import hashlib
import io
import json
import random
import re
import resource
import struct
import sys
import tempfile
import warnings
import zipfile
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from irdim.errors import InputError
from irdim.fieldlog import Suspect, Tally, pack_log, pack_tally, read_any
from irdim.signing import Signer, generate_key

ODD = [
    None,
    True,
    -1,
    0,
    1,
    2,
    255,
    2**31,
    2**53,
    2**70,
    -(2**64),
    0.5,
    1e300,
    "",
    "x",
    "\ud800",
    "\x1b[2J",
    "../../x",
    [],
    [0],
    {},
    {"a": 1},
]
WORDS = [
    b"PK\x01\x02",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PK\x06\x07",
    b"\x93NUMPY\x01\x00",
    b"\xff" * 4,
    b"\x00" * 4,
    b"frames.npy",
    b"../x",
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", "Duplicate name")  # such zips are among the inputs
    draw, outcomes = random.Random(options.seed), collections.Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        seeds = make_seeds(Path(folder))
        for number in range(options.count):
            name, data = forge(draw, *draw.choice(seeds))
            path = Path(folder) / name
            path.write_bytes(data)
            try:
                read_any(path)
                outcomes["answered"] += 1
            except InputError as error:
                text = str(error)
                if "\n" in text or len(text) > 1000:
                    return keep(path, number, "not one line")
                outcomes[re.sub(r" *[\d'\"(\[].*", "", text.replace(f"{path}: ", ""))[:60]] += 1
            except Exception as error:
                return keep(path, number, repr(error))
            path.unlink()
    for reason, count in outcomes.most_common():
        print(f"{count:9d}  {reason}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.count} inputs, seed {options.seed}: nothing but answers and refusals; peak {peak:.0f} MiB")
    return 0


def keep(path: Path, number: int, what: str) -> int:
    kept = Path(path.name)
    kept.write_bytes(path.read_bytes())
    print(f"input {number}: {what}; kept as {kept}", file=sys.stderr)
    return 1


def make_seeds(folder: Path) -> list[tuple[str, bytes]]:
    generate_key(folder / "key")
    signer = Signer.load(folder / "key")
    frames = np.random.default_rng(0).integers(0, 1 << 12, (4, 12, 16)).astype(np.uint16)
    place = {"x": 20.0, "y": 14.0, "w": 3.0, "h": 3.0, "score": 0.5, "track": 1, "reason": "seen before and after"}
    who = {"device": "mast-3", "camera": "west", "source": "x", "bundle": "ab" * 32, "interval": 0.04}
    at = datetime(2026, 3, 4, 5, 6, 7, tzinfo=timezone.utc)
    one = Suspect(
        verdict={"kind": "missed", "frame": 12, **place},
        frames=frames,
        indices=[10, 11, 12, 13],
        times=[0.1, 0.2, 0.3, 0.4],
        origin=(10, 10),
        sensor=(40, 40),
        detections=[{"frame": 12, **{k: place[k] for k in ("x", "y", "w", "h", "score")}, "label": "target"}],
        track={"id": 1, "status": "confirmed", "points": [[12, 20.0, 14.0, 0.5]]},
        context={**who, "input": {"frame_step": 1}, "thresholds": {"report": 0.5, "low": 0.1}},
        at=at,
        camera_state={"gain": 2},
        whole_frame=np.zeros((40, 40), np.uint16),
    )
    inputs = {"level": {"edges": [0.0, 1.0, 2.0], "counts": [1, 2]}}
    counted = {"warming": {"gap": 1}, "detections": 1, "tracks": 1, "suspects": {"missed": {"logged": 1}}}
    tally = Tally("mast-3", "west", "ab" * 32, at, at, 10, inputs=inputs, **counted)
    return [pack_log(one), pack_log(one, signer), pack_tally(tally), pack_tally(tally, signer)]


def forge(draw: random.Random, name: str, data: bytes) -> tuple[str, bytes]:
    """One input: bytes of the zip, of a member, or values of the description changed; named by its digest."""
    how = draw.random()
    if how < 0.35:
        data = change_bytes(draw, data)
    else:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            members = {member: file.read(member) for member in file.namelist()}
        described = next(m for m in members if m in ("log.json", "tally.json"))
        if how < 0.75:
            value = json.loads(members[described])
            for _ in range(draw.choice([1, 1, 1, 2, 5])):
                change_value(draw, value)
            members[described] = json.dumps(value).encode()
        else:
            member = draw.choice(list(members))
            members[member] = change_bytes(draw, members[member])
        data = zipped(draw, members)
    return f"{name[:-22]}{hashlib.sha256(data).hexdigest()[:16]}.irlog", data


def zipped(draw: random.Random, members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    method = draw.choice([zipfile.ZIP_DEFLATED] * 4 + [zipfile.ZIP_STORED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
    with zipfile.ZipFile(packed, "w", method) as file:
        for member, content in members.items():
            if draw.random() < 0.97:
                file.writestr(member if draw.random() < 0.98 else draw.choice(["../x", "/x", "x.pkl"]), content)
    data = bytearray(packed.getvalue())
    if draw.random() < 0.1 and len(data) > 40:  # a directory that lies
        at = data.rindex(b"PK\x05\x06") + draw.randrange(4, 20)
        data[at : at + 2] = struct.pack("<H", draw.choice([0, 1, 2, 3, 4, 5, 65535]))
    return bytes(data)


def change_bytes(draw: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 4, 16])):
        at = draw.randrange(len(changed) + 1)
        how = draw.random()
        if how < 0.5 and at < len(changed):
            changed[at] = draw.randrange(256)
        elif how < 0.7:
            word = draw.choice(WORDS)
            changed[at : at + len(word)] = word
        elif how < 0.85:
            del changed[at : at + draw.randrange(1, 64)]
        else:
            changed[at:at] = draw.randbytes(draw.randrange(1, 64))
    return bytes(changed)


def change_value(draw: random.Random, value: dict) -> None:
    """Replace, remove or add something somewhere in a description."""
    inner: dict | list = value
    while True:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        if not keys:
            return
        key = draw.choice(keys)
        if isinstance(inner[key], dict | list) and inner[key] and draw.random() < 0.7:
            inner = inner[key]
            continue
        if draw.random() < 0.15:
            del inner[key]
        elif draw.random() < 0.3 and isinstance(inner[key], int | float):
            inner[key] = inner[key] * draw.choice([-1, 2, 0.5, 1e9]) + draw.choice([0, 1, -1])
        else:
            inner[key] = copy.deepcopy(draw.choice(ODD))
        return


if __name__ == "__main__":
    raise SystemExit(main())
