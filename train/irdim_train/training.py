"""The steps of a training: a seeded order that any checkpoint resumes exactly, on one process or several."""

import contextlib
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from irdim.differencing import InputSpec
from irdim.errors import InputError
from irdim.files import atomic_file
from irdim_train.batches import Batch, BatchReader
from irdim_train.devices import use_bfloat16
from irdim_train.distributed import Ranks
from irdim_train.failures import batch_that_fits, is_out_of_memory, what_to_blame
from irdim_train.loss import paper_loss
from irdim_train.model import GridDetector
from irdim_train.runs import (
    CHECKPOINT,
    COURSE,
    SNAPSHOTS,
    FitConfig,
    load_model,
    load_tensors,
    load_weights,
    save_tensors,
)
from irdim_train.whole_frames import PatchesThenFrames, WholeFrameReader

WARM_UP = 0.05  # share of the steps over which the learning rate rises
TIMED = 12  # steps that are timed to count out a budget in minutes
CHECKPOINT_SECONDS, FIRST_CHECKPOINT = 60.0, 10.0
STOPS = (signal.SIGINT, signal.SIGTERM)
GRADIENT_NORM = 10.0


@dataclass
class FitState:
    """All that training owns and a checkpoint keeps."""

    model: GridDetector
    average: GridDetector  # exponential moving average of the weights; what is kept in the end
    optimiser: torch.optim.Optimizer
    step: int = 0
    total: int = 0
    seconds: float = 0.0
    course: list[dict[str, Any]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)  # of the steps since the course's last row


def begin(config: FitConfig, spec: InputSpec, device: torch.device, *, start: Path | None = None) -> FitState:
    """A network, its average and its optimiser, before the first step. start: the run whose weights it begins with; None: at random, or to be resumed."""
    model, average = (GridDetector(config.backbone, spec.channels, config.width) for _ in range(2))
    if start is not None:
        model.load_state_dict(load_model(start)[0].state_dict())
    average.load_state_dict(model.state_dict())
    model, average = (m.to(device, memory_format=torch.channels_last) for m in (model, average))  # type: ignore[call-overload]
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=config.learning_rate,
        fused=device.type == "cuda",
    )
    return FitState(model, average, optimiser)


def resume(state: FitState, path: Path) -> None:
    """Go on where a checkpoint was saved. Raises InputError where it is of another network."""
    saved = load_tensors(path)
    load_weights(state.model, saved["model"], path)
    load_weights(state.average, saved["average"], path)
    state.optimiser.load_state_dict(saved["optimiser"])
    state.step, state.total, state.seconds = saved["step"], saved["total"], saved["seconds"]
    state.course = [dict(row) for row in saved["course"]]
    state.losses = list(saved.get("losses", []))  # older checkpoints have none


def _save(state: FitState, out: Path) -> None:
    save_tensors(
        out / CHECKPOINT,
        {
            "model": state.model.state_dict(),
            "average": state.average.state_dict(),
            "optimiser": state.optimiser.state_dict(),
            "step": state.step,
            "total": state.total,
            "seconds": state.seconds,
            "course": state.course,
            "losses": state.losses,
        },
    )
    with atomic_file(out / COURSE, "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in state.course)


def train(
    state: FitState,
    reader: BatchReader | WholeFrameReader | PatchesThenFrames,
    config: FitConfig,
    out: Path,
    ranks: Ranks,
    progress: Callable[[int, int, float], None],
) -> None:
    """All steps that are left, with a checkpoint every minute and at the end. A budget in minutes becomes a number of steps after the first few.

    Ctrl-C and SIGTERM save a checkpoint and raise KeyboardInterrupt; InputError as of `train_step`.
    """
    each = reader.an_epoch
    total = state.total or (max(round(config.epochs * each), config.least_steps, 1) if config.minutes is None else 0)
    begun, saved = time.monotonic() - state.seconds, time.monotonic() - max(CHECKPOINT_SECONDS - FIRST_CHECKPOINT, 0.0)
    state.model.train()
    if config.freeze_norm:
        freeze_norm(state.model)
    with _stop_after_the_step() as asked_to_stop:
        while not total or state.step < total:
            for batch in reader.steps(config.seed, state.step, total or TIMED, config.augment, ranks.share):
                rate = config.learning_rate * _rate(state.step, total or 20 * TIMED)
                loss, stopping = train_step(state, batch, rate, config, ranks, asked_to_stop(), out)
                state.losses.append(loss)
                now = time.monotonic()
                state.seconds = now - begun
                if state.step % each == 0 or state.step == total:
                    state.course.append(
                        {
                            "epoch": round(state.step / each, 3),
                            "step": state.step,
                            "loss": sum(state.losses) / len(state.losses),
                            "lr": rate,
                            "seconds": round(state.seconds, 2),
                        }
                    )
                    state.losses.clear()
                if ranks.first and state.step in _snapshot_steps(config, total):
                    save_tensors(out / SNAPSHOTS / f"{state.step:07d}.pt", state.average.state_dict())
                if total and (now - saved > CHECKPOINT_SECONDS or state.step == total or stopping):
                    state.total, saved = total, now
                    if ranks.first:
                        _save(state, out)
                progress(state.step, total, loss)
                if stopping:
                    raise KeyboardInterrupt
            if not total:
                assert config.minutes is not None
                total = ranks.from_first(max(TIMED + 1, round(config.minutes * 60 / (state.seconds / TIMED))))


def _snapshot_steps(config: FitConfig, total: int) -> list[int]:
    """Evenly spread over the second half of the course: before, the network knows nothing that a label could be held against."""
    return (
        [round(total * (0.5 + 0.5 * (i + 1) / (config.snapshots + 1))) for i in range(config.snapshots)]
        if total
        else []
    )


def train_step(
    state: FitState, batch: Batch, rate: float, config: FitConfig, ranks: Ranks, stop: bool, out: Path
) -> tuple[float, bool]:
    """One step of the optimiser at a learning rate. Returns the loss, and whether any rank was asked to stop.

    Raises InputError where the memory does not suffice, or the loss is not finite.
    """
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    state.optimiser.zero_grad(set_to_none=True)
    mean = _gradients(state.model, batch, config, ranks.device)
    if mean is None:
        fits = (
            config.batch * batch_that_fits(state.model, batch.image) // len(batch.image)
        )  # a whole frame has the pixels of several patches
        fits -= fits % ranks.ranks
        remedy = (
            f"--batch {fits} fits"
            if fits
            else "not even a batch of 1 fits; choose a smaller --width or --size, or --whole-frames 0"
        )
        raise InputError(f"step {state.step}: out of memory with a batch of {config.batch}; {remedy}")
    loss, stopping = ranks.mean(state.model, mean, float(stop))
    if not math.isfinite(loss):
        raise InputError(
            f"step {state.step}: the loss is not finite ({what_to_blame(batch, state.average, config.a, config.b)}); the last good checkpoint is "
            f"{out / CHECKPOINT}; begin again with a lower --learning-rate, or look at these"
        )
    nn.utils.clip_grad_norm_(state.model.parameters(), GRADIENT_NORM)
    try:
        state.optimiser.step()
    except (RuntimeError, MemoryError) as error:  # its own state, at the first step
        if not is_out_of_memory(error):
            raise
        raise InputError(f"step {state.step}: out of memory; choose a smaller --batch or --width") from None
    state.step += 1
    _follow(state.average, state.model, config.ema, state.step)
    return loss, stopping > 0


def _gradients(model: nn.Module, batch: Batch, config: FitConfig, device: torch.device) -> float | None:
    """The batch's mean loss, with its gradients; None where the memory does not suffice. Nothing of the graph outlives this."""
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=use_bfloat16(device)):
            output = model(batch.image)
        loss = paper_loss(output, batch.targets).each(config.a, config.b).mean()
        loss.backward()
        return float(loss.detach())
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None


def freeze_norm(model: nn.Module) -> None:
    """Batch norm keeps the statistics that it has."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


@contextlib.contextmanager
def _stop_after_the_step() -> Iterator[Callable[[], bool]]:
    """Lets a step end before Ctrl-C or SIGTERM stops the training, so that the checkpoint is a whole one; a second one stops at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = {number: signal.getsignal(number) for number in STOPS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def remember(number: int, frame: Any) -> None:
        asked.set()
        restore()

    for number in STOPS:
        signal.signal(number, remember)
    try:
        yield asked.is_set
    finally:
        restore()


def _rate(step: int, total: int) -> float:
    """Share of the learning rate: a straight rise, then half a cosine down to 1 %."""
    rise = max(round(WARM_UP * total), 1)
    if step < rise:
        return (step + 1) / rise
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min((step - rise) / max(total - rise, 1), 1.0)))


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Exponential moving average; short at first, so that the random start is forgotten."""
    decay = min(decay, (1 + step) / (10 + step))
    for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)
