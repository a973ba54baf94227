"""The input step of a whole frame on one core: compiled for this CPU beside NumPy, in turns in one run.

python bench/input_step.py [--size 640x512] [--rounds 60]
"""

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np

from irdim.differencing import NO_SHIFT, InputSpec, network_input
from irdim.engines.options import parse_size
from irdim.native.input import native, native_input
from irdim.registration import estimate_shift, stack_shifts, texture
from irdim_edge.benchmark import moving_scene

STEP = 4  # frames between neighbours of a stack


def main() -> None:
    """Print a line for each step, in ms: median and, in brackets, the quickest tenth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="640x512")
    parser.add_argument("--rounds", type=int, default=60)
    asked = parser.parse_args()
    library = native()
    if library is None:
        raise SystemExit("there is no compiled input step here (no C compiler?)")
    cv2.setNumThreads(1)
    scene = moving_scene(parse_size(asked.size))
    stacks = [tuple(scene[at - k * STEP] for k in range(4)) for at in range(3 * STEP, len(scene))]
    shifts = stack_shifts([texture(frame) for frame in stacks[0]], estimate_shift, estimate_shift)
    plain, registered = (InputSpec("difference+frame", STEP, register) for register in (False, True))
    older = texture(scene[0])  # the ring keeps what it has found of a frame, and the motions between older ones
    steps: dict[str, Callable[[tuple[np.ndarray, ...]], object]] = {
        "NumPy": lambda stack: network_input(stack, plain, NO_SHIFT),
        "compiled": lambda stack: native_input(library, stack, plain, NO_SHIFT),
        "NumPy, aligned": lambda stack: network_input(stack, registered, shifts),
        "compiled, aligned": lambda stack: native_input(library, stack, registered, shifts),
        "registration": lambda stack: estimate_shift(older, texture(stack[0])),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(asked.rounds + 3):
        for name, step in steps.items():
            begun = time.perf_counter()
            step(stacks[turn % len(stacks)])
            if turn >= 3:  # the first ones warm up
                seconds[name].append(time.perf_counter() - begun)
    for name, spent in seconds.items():
        print(f"{name:28} {1e3 * np.median(spent):6.2f} ms ({1e3 * np.quantile(spent, 0.1):.2f})")


if __name__ == "__main__":
    main()
