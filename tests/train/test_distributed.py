"""Two processes that train together do what one does with the same batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

from irdim_train.runs import load_tensors

STEPS = 50
CODE = """
import json, sys
from pathlib import Path
import torch
from irdim.patches import Patches
from irdim_train import training
from irdim_train.distributed import join_ranks
from irdim_train.fit import fit
from irdim_train.runs import FitConfig
torch.set_num_threads(1)
training.use_bfloat16 = lambda device: False  # the sum of two halves of a batch, each rounded to 8 bits, is another sum
patches, start, out, epochs = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), float(sys.argv[4])
config = FitConfig(width=0.25, epochs=epochs, batch=16, start=start, freeze_norm=True, augment=False, learning_rate=5e-4)
losses = []
with join_ranks(torch.device("cpu")) as ranks:
    fit(Patches.open(patches), out, config, ranks=ranks, progress=lambda step, total, loss: losses.append(loss))
    if ranks.first:
        Path(sys.argv[5]).write_text(json.dumps(losses))
"""


def train(processes: int, small_patches: Path, small_run: Path, folder: Path) -> list[float]:
    folder.mkdir()
    script = folder / "train.py"
    script.write_text(CODE)
    epochs = STEPS / (json.loads((small_patches / "patches.json").read_text())["train"] // 16)
    arguments = [
        str(script),
        str(small_patches),
        str(small_run),
        str(folder / "run"),
        str(epochs),
        str(folder / "losses"),
    ]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [*torchrun, *arguments] if processes > 1 else [sys.executable, *arguments]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads((folder / "losses").read_text())


def test_two_ranks_follow_the_loss_of_one(small_patches, small_run, tmp_path):
    one, two = (train(n, small_patches, small_run, tmp_path / str(n)) for n in (1, 2))
    assert len(one) == len(two) == STEPS
    assert max(abs(a - b) for a, b in zip(one, two, strict=True)) < 1e-4
    assert len(set(one)) > STEPS / 2  # it learns on batches that differ
    weights = [load_tensors(tmp_path / str(n) / "run" / "model.pt") for n in (1, 2)]
    assert max(float((weights[0][k] - weights[1][k]).abs().max()) for k in weights[0]) < 1e-3


def test_a_batch_that_does_not_divide_is_refused(small_patches, tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--no-python"]
    command = [
        str(Path(sys.executable).parent / "irdim-train"),
        "fit",
        str(small_patches),
        "--out",
        str(tmp_path / "run"),
    ]
    done = subprocess.run([*torchrun, *command, "--batch", "15"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "--batch 15: must be a multiple of the 2 processes" in done.stderr
    assert not (tmp_path / "run").exists()


def test_two_ranks_find_what_one_finds(small_run):
    irdim_train = str(Path(sys.executable).parent / "irdim-train")
    command = [irdim_train, "evaluate", str(small_run), "--split", "train", "--json"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--no-python"]
    answers = []
    for words in (command, [*torchrun, *command]):
        done = subprocess.run(words, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        answers.append(json.loads(done.stdout))  # one answer, of the first rank
    assert answers[0] == answers[1]
