"""irdim-train refine."""

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from irdim.console import stdout_console
from irdim.wording import number_of, quoted
from irdim_train.commands.progress import progress_bar

if TYPE_CHECKING:
    from irdim_train.refining import Refined

SHOWN = 15


def command(
    run: Annotated[Path, typer.Argument(help="A finished run.")],
    data: Annotated[
        Path | None, typer.Option(help="Data set whose labels are looked at; the run's own if not set.")
    ] = None,
    split: Annotated[list[str] | None, typer.Option(help="Whose labels; several. Default: train and val.")] = None,
    folds: Annotated[
        int,
        typer.Option(
            help="Judge each training scene by a network that never saw it: so many are trained, each as long as the run. 0: the run alone."
        ),
    ] = 0,
    course: Annotated[
        bool, typer.Option(help="Let the run's snapshots (fit --snapshots) have a say: the loss over the epochs.")
    ] = True,
    context: Annotated[bool, typer.Option(help="Let the labels of the frames before and after have a say.")] = True,
    threshold: Annotated[
        str,
        typer.Option(help="From which excess loss to ask: nats, a quantile (q0.98), or 'histogram' for its valley."),
    ] = "histogram",
    most: Annotated[int, typer.Option(help="Ask at most so many, the greatest excess first; 0: all.")] = 0,
    histogram: Annotated[
        Path | None,
        typer.Option(metavar="PNG", help="Draw the losses of all labels, as they are and were all accepted."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
    dry: Annotated[bool, typer.Option("--dry-run", help="Only list; put nothing into the queue.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Ask about the labels that the trained network disagrees with most: unlabelled targets, badly placed labels, wrong categories, labelled
    background.

    The excess loss of a label is what it would fall by, were the label as the network proposes; nothing changes until somebody decides.

    Example: irdim-train refine runs/first --folds 4 --most 100 --histogram losses.png
    """
    from irdim.dataset import Dataset
    from irdim_train.refining import RefineOptions, enqueue_doubts, refine
    from irdim_train.refining.histogram import write_histogram
    from irdim_train.refining.summary import describe, histograms
    from irdim_train.runs import read_run

    options = RefineOptions(tuple(split or ("train", "val")), folds, course, context, threshold, most, device)
    where = data or Path(read_run(run)["data"])
    with contextlib.ExitStack() as stack:
        dataset = stack.enter_context(Dataset.open(where))
        bar = stack.enter_context(progress_bar("refine"))
        task = bar.add_task("refine", total=None)
        refined = refine(
            dataset,
            run,
            options,
            progress=lambda what, done, of: bar.update(task, description=what, completed=done, total=of),
        )
        asked = refined.ranked[: refined.chosen]
        new = 0
        if not dry:
            new = enqueue_doubts(dataset, asked, run, {"folds": folds, "networks": refined.networks}).total()
    if histogram is not None:
        write_histogram(histogram, histograms(refined))
    if as_json:
        print(json.dumps({"data": str(where), "run": str(run), "queued": new, **describe(refined)}))
        return
    _show(stdout_console(soft_wrap=True), refined, describe(refined), where, new, histogram)


def _show(
    console: Console, refined: "Refined", summary: dict[str, Any], data: Path, new: int, histogram: Path | None
) -> None:
    from irdim_train.refining.queueing import reason

    table = Table(*(Column(name, no_wrap=True) for name in ("kind", "excess", "sequence, frame", "x, y")), "reason")
    for sequence, d in refined.ranked[: min(refined.chosen, SHOWN)]:
        table.add_row(
            d.kind, f"{d.excess:.2f}", f"{sequence.name}, {d.frame}", f"{d.box.x:.1f}, {d.box.y:.1f}", reason(d)
        )
    if refined.chosen:
        console.print(table)
    more = f", the first {SHOWN} shown" if refined.chosen > SHOWN else ""
    kinds = ", ".join(f"{n} {kind}" for kind, n in summary["kinds"].items())
    console.print(
        f"{number_of(refined.chosen, 'doubt')} over an excess of {refined.threshold:.2f} nats{more}: {kinds or 'none'}",
    )
    console.print(
        f"{number_of(len(refined.losses), 'label')} on {number_of(refined.frames, 'frame')}; mean loss {summary['mean_loss']:.3f}, "
        f"{summary['mean_loss_accepted']:.3f} were all accepted; judged by {number_of(refined.networks, 'network')}",
    )
    if histogram is not None:
        console.print(f"losses drawn in {histogram}")
    console.print(f"{new} new in the queue; next: irdim-train review {quoted(data)}")
