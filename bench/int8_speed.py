"""INT8 against FP32 ONNX Runtime at 640x512, both in turn in one run, and what the CPU has for INT8.

python bench/int8_speed.py BUNDLE [BUNDLE ...] [--threads 2] [--runs 40]
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np

from irdim.bundle import GRAPHS, Bundle
from irdim.engines import open_engine

SIZE = (512, 640)
INSTRUCTIONS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm")


def main() -> None:
    """Print a line for the machine and one for each bundle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--runs", type=int, default=40)
    arguments = parser.parse_args()
    print(machine(arguments.threads))
    for path in arguments.bundles:
        bundle = Bundle.load(path)
        engines = {name: open_engine(bundle.cpu_graph(name), threads=arguments.threads) for name in GRAPHS}
        image = np.random.default_rng(0).normal(0, 1, (bundle.card.input.channels, *SIZE)).astype(np.float32)
        seconds: dict[str, list[float]] = {name: [] for name in engines}
        for turn in range(arguments.runs + 3):
            for name, engine in engines.items():
                begun = time.perf_counter()
                engine.run(image)
                if turn >= 3:  # the first ones warm up
                    seconds[name].append(time.perf_counter() - begun)
        fp32, int8 = (1e3 * np.median(seconds[name]) for name in ("fp32", "int8"))
        ratios = np.array(seconds["fp32"]) / np.array(seconds["int8"])
        low, high = np.percentile(ratios, [10, 90])
        print(
            f"{bundle.card.backbone}, width {bundle.card.width:g}: FP32 {fp32:.1f} ms, INT8 {int8:.1f} ms, "
            f"ratio {np.median(ratios):.2f} (80 % of the runs {low:.2f} to {high:.2f})"
        )


def machine(threads: int) -> str:
    """The CPU, how many of its cores are used, and its instructions for INT8."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    words = set(next((line for line in lines if line.startswith(("flags", "Features"))), "").split())
    there = [i for i in INSTRUCTIONS if i in words]
    dot = "" if {"avx_vnni", "avx512_vnni", "amx_int8", "asimddp"} & words else "; no INT8 dot product"
    return f"{name}, {threads or len(os.sched_getaffinity(0))} threads, {', '.join(there)}{dot}"


if __name__ == "__main__":
    main()
