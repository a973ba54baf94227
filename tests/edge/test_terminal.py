"""Signals that come to a command that ends already."""

import subprocess
import sys

import pytest

PROGRAM = """
import os
from irdim_edge.terminal import stop_on_signals

class Late:
    def __del__(self, kill=os.kill, own=os.getpid()):  # taken down with the module, after Python's own handlers
        print("late", flush=True)
        kill(own, {number})

stop_on_signals()
kept = Late()
"""


@pytest.mark.parametrize("number", [2, 15])
def test_a_signal_while_python_ends_leaves_a_clean_end_clean(number):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(number=number)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "late\n", "")
