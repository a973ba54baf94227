"""The daemon flat out for an hour with faults of every kind: does its memory stay, and is an event lost or doubled?

    python bench/soak.py [--minutes 60] [--json soak.json] [--plot soak.png]       # needs root: a small tmpfs for the spool, an OpenSSH server
    python bench/soak.py --calm --frames 100000                                    # no faults and no restart: is memory flat?

`irdim-edge run` replays generated recordings of several sizes and depths, many times over, with the starter bundle, and uploads by SFTP through a
proxy. Meanwhile, at random moments: it is killed (-9); a new bundle comes by link and SIGHUP; a broken one comes (cut graph, no JSON, a file missing,
a graph that is none under a right digest, nothing at all); the disk of the spool is filled to the last byte; the server refuses, or takes and never
answers; a recording breaks off on a broken frame, and a broken one lies first in the list at a start. Where the daemon ends, it is started again, as
systemd would.

In the end every line of output is held against the list of recordings (each frame of each run once, in order), and every field log at the
destination, in the spool and on record as evicted against the verdict lines. Exit 1 where anything was lost, doubled, or did not go as it should.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "edge"))

from servers import Proxy, Sshd  # noqa: E402
from soaking.count import count, memory, picture, table  # noqa: E402
from soaking.course import Course  # noqa: E402
from soaking.daemon import Daemon  # noqa: E402
from soaking.faults import Faults  # noqa: E402
from soaking.setup import record, small_disk, variant, write_config  # noqa: E402

PAUSE = (5.0, 15.0)  # seconds between two faults


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=60.0)
    options.add_argument("--frames", type=int, default=0, help="end once a run has so many frames, if that is earlier")
    options.add_argument("--calm", action="store_true", help="no faults, recordings of one size")
    options.add_argument("--precision", choices=["int8", "fp32"], default="fp32")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--json", type=Path)
    options.add_argument("--plot", type=Path, default=Path("soak.png"))
    given = options.parse_args()
    if why := Sshd.missing() or ("" if os.getuid() == 0 else "root mounts the small disk of the spool"):
        raise SystemExit(f"error: {why}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("error: stopped"))  # what was started and mounted is put away
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, small_disk(Path(folder) / "spool"):
        work, began = Path(folder), time.monotonic()
        course = Course(record(work, given.calm, given.frames))
        soak(work, course, given)
        counted = count(work, course)
        minutes = (time.monotonic() - began) / 60
    print(table(course, counted, minutes))
    picture(course, given.plot)
    if given.json:
        samples = [vars(sample) for sample in course.samples]
        whole = {
            "minutes": minutes,
            "memory": memory(course.samples),
            **vars(counted),
            **vars(course),
            "samples": samples,
        }
        given.json.write_text(json.dumps(whole))
    raise SystemExit(bool(course.odd or counted.wrong))


def soak(work: Path, course: Course, given: argparse.Namespace) -> None:
    """Run the daemon until the time is over, with one fault after the other unless all is calm; then a clean stop, and the rest uploaded."""
    bundles = [variant(work / f"bundle-{i}", i) for i in range(2)]
    (work / "bundle").symlink_to(bundles[0])
    for name in ("keys", "depot"):
        (work / name).mkdir()
    server = Sshd(work / "keys")
    proxy = Proxy(server.port)
    write_config(work, server, proxy, precision=given.precision, calm=given.calm)
    daemon = Daemon(work, course)
    draw = random.Random(given.seed)
    faults = Faults(daemon, bundles, proxy, draw)
    until = time.monotonic() + 60 * given.minutes
    try:
        daemon.start()
        while time.monotonic() < until and not (0 < given.frames <= daemon.status().get("frames", 0)):
            time.sleep(0.5 if given.calm else draw.uniform(*PAUSE))
            if not given.calm:
                faults.one()
            if daemon.process.poll() is not None:
                daemon.ended("by itself")
                daemon.start()
        daemon.stop()
        daemon.upload_rest()
    finally:
        daemon.close()
        proxy.stop()
        server.stop()


if __name__ == "__main__":
    main()
