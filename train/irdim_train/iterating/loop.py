"""The steps of the loop. Each can be repeated, and what is done is written down, so that a kill or a person's pause costs nothing."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from irdim.dataset import Dataset
from irdim.errors import InputError
from irdim.files import atomic_file
from irdim.metrics import CentreDistance
from irdim.patches import Patches
from irdim_train.crop import crop
from irdim_train.distributed import Ranks
from irdim_train.evaluate import default_split, evaluate
from irdim_train.fit import fit
from irdim_train.iterating.check import check_loop
from irdim_train.iterating.choose import choose_items
from irdim_train.iterating.pool import cover_pool, open_questions, queue_random_frames
from irdim_train.iterating.rules import decide_by
from irdim_train.iterating.state import STEPS, LoopState, Turn
from irdim_train.mining import MineOptions, mine
from irdim_train.mining.run import open_tracker
from irdim_train.models import open_model
from irdim_train.refining import enqueue_doubts, refine
from irdim_train.refining.folds import fold_engines

LOSSES = "losses.npy"  # (n,) float64 nats of all labels, in a turn's folder


class Waiting(Exception):
    """So many of the chosen items are not decided yet: a person's turn."""

    def __init__(self, items: int) -> None:
        super().__init__(f"{items} items wait for a decision")
        self.items = items


Show = Callable[[int, int], None]  # how far a step is: done, of


def iterate(
    state: LoopState,
    device: torch.device,
    *,
    tell: Callable[[str], None] = lambda text: None,
    progress: Show = lambda done, of: None,
) -> LoopState:
    """Go on with a loop until it is done. Raises Waiting where a person has to decide first.

    The first turn trains on what is labelled; each later one on that and what was decided, from the weights before. tell: is told each step; progress: how
    far the long ones are.
    """
    config = state.config
    with Dataset.open(Path(config.data)) as data:
        if not state.turns:
            check_loop(config, data)
            state.folder.mkdir(parents=True, exist_ok=True)
            state.pool = cover_pool(data, config.pool)
            state.turns.append(Turn(0))
            state.save()
        while not state.done:
            tell(f"iteration {state.turn.number}: {state.step}")
            _STEPS[state.step](state, data, device, progress)
            _advance(state, data)
            state.save()
    return state


def _advance(state: LoopState, data: Dataset) -> None:
    """To the next step; after the last one to the next turn. The last turn ends when it is evaluated."""
    last = state.turn.number == state.config.iterations
    if state.step == "refine" and last:
        state.done = True
    elif state.step == STEPS[-1]:
        data.begin_iteration(f"iterate: {state.turn.reviewed} decided in turn {state.turn.number}")
        state.turns.append(Turn(state.turn.number + 1))
        state.step = STEPS[0]
    else:
        state.step = STEPS[STEPS.index(state.step) + 1]


def _crop(state: LoopState, data: Dataset, device: torch.device, show: Show) -> None:
    c = state.config
    covers = open_questions(data, state.pool)
    made = crop(data, _patches(state), size=c.size, frame_step=c.frame_step, register=c.register, covers=covers)
    state.turn.images, batch = made["train"], c.fit_config().batch
    if state.turn.images < batch:  # said here and not by fit, whose patches would stay as they are
        raise InputError(
            f"{data.path}: its {state.turn.images} training patches are fewer than a batch of {batch}; label more (irdim-train label), then go on"
        )


def _fit(state: LoopState, data: Dataset, device: torch.device, show: Show) -> None:
    number = state.turn.number
    config = state.config.fit_config(str(state.run(number - 1).resolve()) if number else None)
    made = fit(
        Patches.open(_patches(state)),
        state.run(number),
        config,
        ranks=Ranks(0, 1, device),
        progress=lambda step, of, _: show(step, of),
    )
    state.turn.loss = made["loss"] or 0.0


def _evaluate(state: LoopState, data: Dataset, device: torch.device, show: Show) -> None:
    card, engine, _ = open_model(state.run(state.turn.number), device=str(device))
    split, frames = default_split(data), 0
    of = sum(s.length for s in data.sequences(split))

    def judged(_: object, n: int) -> None:
        nonlocal frames
        frames += n
        show(frames, of)

    result = evaluate(card, engine, data, split=split, progress=judged)
    metric: CentreDistance = result.metric
    state.turn.scores = {**metric.at(card.thresholds.report).to_json(), "best_f1": round(metric.best().f1, 6)}


def _refine(state: LoopState, data: Dataset, device: torch.device, show: Show) -> None:
    run = state.run(state.turn.number)
    refined = refine(data, run, state.config.refine_options(str(device)), progress=lambda _, done, of: show(done, of))
    losses = np.array(list(refined.losses.values()), float)
    with atomic_file(state.folder / f"iteration-{state.turn.number}" / LOSSES) as file:
        np.save(file, losses)
    state.turn.label_loss = float(losses.mean()) if losses.size else 0.0
    if state.turn.number < state.config.iterations:
        asked = refined.ranked[: refined.chosen]
        state.turn.queued = dict(enqueue_doubts(data, asked, run, {"folds": state.config.folds}))


def _mine(state: LoopState, data: Dataset, device: torch.device, show: Show) -> None:
    run = state.run(state.turn.number)
    card, engine, _ = open_model(run, device=str(device))
    options = MineOptions(open_tracker(card.thresholds.report))
    pool = [data.sequence(name) for name in state.pool]
    folds = fold_engines(data, run, state.config.folds, False, device) if state.config.folds else {}
    others = {number: engines[0] for number, engines in folds.items()}
    mined = mine(data, pool, card, engine, options, out_of_fold=others, by={"run": str(run)})
    state.turn.queued = dict(Counter(state.turn.queued) + mined.queued)


def _choose(state: LoopState, data: Dataset, device: torch.device, show: Show) -> None:
    c = state.config
    if c.choose == "random":
        state.turn.items = queue_random_frames(data, state.pool, c.budget, state.turn.number)
    else:
        state.turn.items = [i.id for i in choose_items(data.queue_items("open"), c.budget)]
    kinds = {i.id: i.kind for i in data.queue_items()}
    state.turn.chosen = dict(Counter(kinds[number] for number in state.turn.items))


def _decide(state: LoopState, data: Dataset, device: torch.device, show: Show) -> None:
    c, wanted = state.config, set(state.turn.items)
    items = [i for i in data.queue_items("open") if i.id in wanted]
    if c.decide == "ask":
        if items:
            raise Waiting(len(items))
    elif c.truth is not None:
        with Dataset.open(Path(c.truth)) as truth:
            decide_by(c.decide, data, items, truth)
    else:
        decide_by(c.decide, data, items)
    decided = [i for i in data.queue_items("decided") if i.id in wanted]
    state.turn.decided = dict(Counter(f"{i.kind}: {i.decision}" for i in decided))
    state.turn.reviewed = len(decided)


def _patches(state: LoopState) -> Path:
    return state.folder / "patches"


_STEPS: dict[str, Callable[[LoopState, Dataset, torch.device, Show], None]] = {
    "crop": _crop,
    "fit": _fit,
    "evaluate": _evaluate,
    "refine": _refine,
    "mine": _mine,
    "choose": _choose,
    "decide": _decide,
}
