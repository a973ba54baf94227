"""Train a network on patches: steps in a seeded order, checkpoints that resume exactly, thresholds chosen on whole validation frames."""

import contextlib
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from irdim.bundle import ModelCard, Thresholds
from irdim.dataset import Dataset
from irdim.differencing import InputSpec
from irdim.errors import InputError
from irdim.files import sha256, write_json
from irdim.patches import DESCRIPTION as PATCHES_DESCRIPTION
from irdim.patches import Patches
from irdim_train.batches import BatchReader
from irdim_train.choose_threshold import LOWEST, finish_card
from irdim_train.distributed import ALONE, Ranks
from irdim_train.runs import (
    CHECKPOINT,
    DESCRIPTION,
    FORMAT,
    MODEL,
    VERSION,
    FitConfig,
    read_run,
    save_tensors,
)
from irdim_train.staging import held_folder, is_left
from irdim_train.starters import STARTER, start_run
from irdim_train.training import FitState, begin, resume, train
from irdim_train.whole_frames import PatchesThenFrames, WholeFrameReader

ANOTHER = "another irdim-train fit writes here; wait for it, or choose another --out"


def fit(
    patches: Patches,
    out: Path,
    config: FitConfig,
    *,
    ranks: Ranks = ALONE,
    progress: Callable[[int, int, float], None] = lambda step, total, loss: None,
    stage: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Train a new run in the folder `out`, or go on with the one that lies there (same config and patches).

    ranks: the processes that train together; the first one writes. Returns the description that is also in run.json, without the model on
    the other ranks. Raises InputError on patches of another kind or a loss that is not finite (the last checkpoint stays).
    """
    spec = InputSpec(config.input, patches.description["frame_step"], patches.description["register"])
    digest = sha256(patches.path / PATCHES_DESCRIPTION)
    description = {
        "format": FORMAT,
        "version": VERSION,
        "config": config.to_json(),
        "patches": str(patches.path.resolve()),
        "patches_digest": digest,
        "frames_digest": None,
        "data": patches.description["data"],
        "start_digest": None,
        "model": None,
    }
    _check_resumes(out, description)
    with Dataset.open(Path(description["data"])) as data:  # thresholds need it in the end: better to miss it now
        data.check_splits()
    torch.manual_seed(config.seed)
    start = None
    if (out / CHECKPOINT).is_file():  # which has gone on from the weights that it began with
        description["start_digest"] = read_run(out).get("start_digest")
    elif config.start is not None:
        start = start_run(config.start, config.backbone, config.width, config.input)
        description["start_digest"] = sha256(start / MODEL)
    state = begin(config, spec, ranks.device, start=start)
    reader = open_reader(patches, spec, config, state.model.stride, ranks)
    description["frames_digest"] = reader.frames_digest
    out.mkdir(parents=True, exist_ok=True)
    with held_folder(out, ANOTHER) if ranks.first else contextlib.nullcontext():
        for path in out.iterdir() if ranks.first else ():
            if is_left(path):
                path.unlink(missing_ok=True)
        if (out / CHECKPOINT).is_file():
            resume(state, out / CHECKPOINT)
            there = read_run(out)
            description["frames_digest"] = _frames_read(state, config, out, there, reader.frames_digest)
            if ranks.first:
                write_json(out / DESCRIPTION, {**there, "frames_digest": description["frames_digest"]})
        elif ranks.first:
            write_json(out / DESCRIPTION, description)
            if config.start == STARTER:
                stage("begins with weights that learnt from generated sequences; --from random does without")
        if state.total and state.step >= state.total:
            stage(f"{out} has all its {state.total} steps; only its statistics and threshold are found again")
        elif isinstance(reader, PatchesThenFrames):
            stage(
                f"the last {100 * config.whole:.0f} % of the steps read whole frames, from where on the loss is another sum"
            )
        train(state, reader, config, out, ranks, progress)
        if not ranks.first:
            return description
        stage("batch-norm statistics from whole frames, then the threshold on the validation frames")
        return _finish(state, config, spec, description, out, ranks.device)


def open_reader(
    patches: Patches, spec: InputSpec, config: FitConfig, stride: int, ranks: Ranks = ALONE
) -> BatchReader | WholeFrameReader | PatchesThenFrames:
    """What a training reads, by its configuration. Raises InputError where that asks for what is not there."""
    if config.batch % ranks.ranks:
        raise InputError(f"--batch {config.batch}: must be a multiple of the {ranks.ranks} processes")
    if config.whole:
        pixels = config.batch * patches.size**2
        # what came into the data set after the crop has not been trained on, nor has anybody said that it may be
        generated = "generated" in patches.description  # of no sequence of the data set
        cropped = None if generated else set(patches.table["sequence"][patches.rows("train")].tolist())
        frames = WholeFrameReader(Path(patches.description["data"]), spec, stride, ranks.device, pixels, cropped)
        if config.whole == 1:
            return frames
    reader = BatchReader(patches, spec, "train", stride, ranks.device, config.batch, config.lay_over)
    if len(reader.rows) < config.batch:
        raise InputError(
            f"{patches.path}: {len(reader.rows)} training patches are fewer than a batch of {config.batch}; crop more or lower --batch"
        )
    return PatchesThenFrames(reader, frames, config.whole) if config.whole else reader


def _check_resumes(out: Path, description: dict[str, Any]) -> None:
    """A run that lies in `out` must be the same one."""
    if not out.exists() or (out.is_dir() and all(is_left(path) for path in out.iterdir())):
        return
    there = read_run(out)
    if FitConfig(**there["config"]) != FitConfig(
        **description["config"]
    ):  # an option that the run does not know has its default
        raise InputError(f"{out}: holds a run with other options; choose another --out, or go on with --resume {out}")
    if there["patches_digest"] != description["patches_digest"]:
        raise InputError(
            f"{out}: its patches {description['patches']} have changed since the run began; choose another --out to train on them as they are now"
        )


def _frames_read(state: FitState, config: FitConfig, out: Path, there: dict[str, Any], now: str | None) -> str | None:
    """Digest of the whole frames that a run which goes on has read, or will read. there: its description; now: of those that there are.

    Raises InputError where it is among them, and they or their labels are others than before; a run of before that was noted is believed.
    """
    before = there.get("frames_digest")
    if before in (None, now) or state.step <= state.total - round(config.whole * state.total):
        return now
    if state.step >= state.total:
        return str(before)
    raise InputError(
        f"{out}: the labels or frames of {there['data']} have changed since the run began to read whole frames; choose another --out to train on them "
        "as they are now"
    )


def _finish(
    state: FitState, config: FitConfig, spec: InputSpec, description: dict[str, Any], out: Path, device: torch.device
) -> dict[str, Any]:
    """The model, its card and what it cost."""
    begun = ModelCard(
        config.backbone, config.width, state.model.stride, spec, Thresholds(LOWEST, LOWEST), evidence=config.evidence
    )
    data = Path(description["data"])
    card, chosen = finish_card(state.average, begun, data, config.false_alarms, device, freeze_norm=config.freeze_norm)
    save_tensors(out / MODEL, state.average.to("cpu").state_dict())
    description = {
        **description,
        "model": card.to_json(),
        **chosen,
        "steps": state.step,
        "seconds": round(state.seconds, 1),
        "peak_memory_mb": _peak_memory(device),
        "loss": state.course[-1]["loss"] if state.course else None,
    }
    write_json(out / DESCRIPTION, description)
    return description


def _peak_memory(device: torch.device) -> int:
    """MiB: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) >> 20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
