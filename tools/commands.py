"""irdim's commands, as a user types them, for the scripts here and in bench/, which has a link to this file: `python bench/x.py` sees its own folder alone."""

import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent  # of the environment that this script runs in


def call(*words: object) -> str:
    """output_of, with the command on stderr, and what it printed unless that is JSON."""
    print("$", *words, file=sys.stderr, flush=True)
    output = output_of(*words)
    if "--json" not in words:
        print(output, end="", file=sys.stderr)
    return output


def output_of(*words: object) -> str:
    """Run irdim-train, irdim-export, irdim-edge or the program at a path, with its progress on stderr; what it prints. Where it fails, the script ends with
    its exit code."""
    program, *rest = map(str, words)
    done = subprocess.run([str(BIN / program), *rest], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout
