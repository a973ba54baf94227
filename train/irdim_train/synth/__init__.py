"""Generated sequences whose truth is known: clouds, a moving camera, dim targets, a noisy sensor. Seeded, bit for bit repeatable."""

from irdim_train.synth.options import SynthOptions
from irdim_train.synth.sequence import Synthetic, generate
from irdim_train.synth.write import sequence_jobs, write_jobs

__all__ = ["SynthOptions", "Synthetic", "generate", "sequence_jobs", "write_jobs"]
