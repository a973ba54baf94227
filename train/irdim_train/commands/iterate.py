"""irdim-train iterate."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from irdim.console import stdout_console
from irdim.wording import number_of, quoted
from irdim_train.commands.progress import progress_bar


def command(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder of the loop. Run again to go on where it was.")] = Path("loop"),
    data: Annotated[
        Path | None, typer.Option(help="Data set, to begin a loop; its labels change with the decisions.")
    ] = None,
    iterations: Annotated[int, typer.Option(help="Turns after the first training.")] = 5,
    budget: Annotated[int, typer.Option(help="Items to be decided each turn.")] = 100,
    decide: Annotated[
        str, typer.Option(help="ask (a person, in irdim-train review), or a rule: oracle, agree or loss.")
    ] = "ask",
    truth: Annotated[
        Path | None, typer.Option(help="Of --decide oracle: a data set of the same frames, rightly labelled.")
    ] = None,
    choose: Annotated[
        str, typer.Option(help="value (and variety) of items; or random whole frames, to compare.")
    ] = "value",
    pool: Annotated[
        list[str] | None,
        typer.Option(
            help="Training sequences ('log-*') whose unlabelled frames nobody has looked at; those without any label always are."
        ),
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Of the first training; by default ten, and 2,000 steps at least.")
    ] = None,
    more_epochs: Annotated[
        float | None,
        typer.Option(help="Of each later one, which begins with the weights before; by default half of that."),
    ] = None,
    folds: Annotated[int, typer.Option(help="Out-of-fold networks of each refinement; 0: none.")] = 0,
    size: Annotated[int, typer.Option(help="Side of a patch, px.")] = 80,
    frame_step: Annotated[int, typer.Option(help="Frames between neighbours of a stack.")] = 4,
    register: Annotated[bool, typer.Option(help="Align older frames with the newest.")] = True,
    backbone: Annotated[str, typer.Option(help="As of fit.")] = "darknet19",
    preset: Annotated[str | None, typer.Option(help="As of fit.")] = None,
    width: Annotated[float, typer.Option(help="As of fit.")] = 0.5,
    input: Annotated[str, typer.Option(help="As of fit.")] = "difference+frame",
    start: Annotated[
        str | None, typer.Option("--from", metavar="RUN", help="As of fit, of the first training.")
    ] = None,
    snapshots: Annotated[int, typer.Option(help="As of fit.")] = 0,
    seed: Annotated[int, typer.Option(help="Same seed, same weights (on a CPU).")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the state of the loop as JSON.")] = False,
) -> None:
    """Fit, evaluate, refine, mine, decide, and again: the paper's iterative training.

    Training sequences without labels are what the loop draws on; until somebody has looked at a frame of theirs it counts for nothing. With
    --decide ask it stops when items wait for you; decide them and run the same command again.

    Example: irdim-train iterate --data data --out loop --iterations 5 --budget 100
    """
    from irdim_train.devices import choose_device
    from irdim_train.iterating import LoopConfig, Waiting, iterate, open_loop
    from irdim_train.iterating.report import HEADS, scored, table, validation_f1, write_loop_report
    from irdim_train.runs import EPOCHS, LEAST_STEPS
    from irdim_train.starters import begin_with

    config = None
    if data is not None:
        given = {name for name in context.params if context.get_parameter_source(name).name == "COMMANDLINE"}  # type: ignore[union-attr]
        begins = begin_with(start, {"backbone": backbone, "width": width, "input": input}, given, preset)
        half = (EPOCHS if epochs is None else epochs) / 2
        config = LoopConfig(
            data=str(data.resolve()),
            iterations=iterations,
            epochs=EPOCHS if epochs is None else epochs,
            more_epochs=half if more_epochs is None else more_epochs,
            least_steps=LEAST_STEPS if epochs is None else 0,
            more_least_steps=LEAST_STEPS // 2 if epochs is more_epochs is None else 0,
            budget=budget,
            decide=decide,
            truth=str(truth.resolve()) if truth else None,
            choose=choose,
            pool=tuple(pool or ()),
            size=size,
            frame_step=frame_step,
            register=register,
            folds=folds,
            fit={**begins, "snapshots": snapshots, "seed": seed},
        )
    state = open_loop(out, config)
    waiting = 0
    bar = progress_bar("iterate")
    task = bar.add_task("iterate", total=None)

    def tell(text: str) -> None:
        nonlocal task
        bar.remove_task(task)  # its total would stay
        task = bar.add_task(text, total=None)
        bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    try:
        with bar:
            iterate(
                state,
                choose_device(device),
                tell=tell,
                progress=lambda done, of: bar.update(task, completed=done, total=of or None),
            )
    except Waiting as wait:
        waiting = wait.items
    except KeyboardInterrupt:
        print(f"iterate: stopped; go on with irdim-train iterate --out {quoted(out)}", file=sys.stderr)
        raise
    page = write_loop_report(state) if scored(state) else None
    if as_json:
        print(json.dumps({"loop": str(out), "waiting": waiting, "turns": [asdict(t) for t in state.turns]}))
        return
    console = stdout_console(soft_wrap=True)
    shown = Table(*HEADS)
    for row in table(state):
        shown.add_row(*map(str, row))
    console.print(shown)
    console.print(f"page: {page}")
    if waiting:
        then = f"next: irdim-train review {quoted(state.config.data)}, then irdim-train iterate --out {quoted(out)}"
        console.print(f"{number_of(waiting, 'open question')} for you; {then}")
        return
    f1, last = validation_f1(state), scored(state)[-1].number
    best = max(f1, key=lambda number: (f1[number], number)) if last in f1 else last
    if best != last:
        console.print(
            f"iteration {best} has a better F1 of the validation sequences, {f1[best]:.3f}, than the last, {f1[last]:.3f}: that one is taken"
        )
    console.print(f"done; next: irdim-export {quoted(state.run(best))} --int8")
