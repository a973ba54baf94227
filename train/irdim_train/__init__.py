"""The workstation: data set, patches, backbones, fitting, evaluation, review."""

import os

# Before torch reads it: its threads wait for their next piece of a step for some 0.1 ms, not for several, which they would take from the loader.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
