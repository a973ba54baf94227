"""irdim-train label."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from irdim.boxes import LABELS
from irdim.console import stdout_console
from irdim.errors import InputError
from irdim.wording import number_of, quoted
from irdim_train.commands.progress import progress_bar
from irdim_train.login import login_name

if TYPE_CHECKING:
    from irdim.dataset import Dataset
    from irdim_train.labelling import ProposalOptions

Mark = tuple[int, float, float]  # frame, x, y


def command(
    data: Annotated[Path, typer.Argument(help="Data set (folder).")] = Path("data"),
    sequence: Annotated[
        list[str] | None,
        typer.Option(help="Only these sequences; by default all that have no label but what is to be ignored."),
    ] = None,
    mark: Annotated[
        list[str] | None,
        typer.Option(metavar="FRAME,X,Y", help="A target's centre, px, on two frames or more: it is followed between."),
    ] = None,
    label: Annotated[str, typer.Option(help="What is marked: target, interference or ignore.")] = "target",
    snap: Annotated[bool, typer.Option(help="Move marked targets to where they are seen.")] = True,
    by: Annotated[str | None, typer.Option(help="Who marks; your login name if not set.")] = None,
    threshold: Annotated[
        float, typer.Option(help="Sigmas that a track needs on a frame; fewer: dimmer targets, more noise.")
    ] = 4.5,
    polarity: Annotated[str, typer.Option(help="Targets that are 'hot', 'cold' or 'both'.")] = "both",
    max_speed: Annotated[float, typer.Option(help="Fastest target, px a frame against the background.")] = 4.0,
    still_speed: Annotated[
        float,
        typer.Option(help="What moves less, px a frame, on the sensor or against the background is interference."),
    ] = 0.05,
    most: Annotated[int, typer.Option(help="Most proposals of targets a sequence, the best.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """First labels for a recording: propose tracks for review, or follow a target that you mark on two frames.

    Proposals come from classical detectors and wait in the queue, a whole track an item; nothing becomes a label before
    irdim-train review has accepted it. Marks are labels at once.

    Example: irdim-train label data

    Example: irdim-train label data --sequence flight7 --mark 10,412.5,96 --mark 85,301,120.5
    """
    from irdim.dataset import Dataset
    from irdim_train.labelling import ProposalOptions

    if label not in LABELS:
        raise InputError(f"--label {label}: choose one of {', '.join(LABELS)}")
    options = ProposalOptions(threshold, polarity, max_speed, still_speed, most)
    console = stdout_console(soft_wrap=True)
    with Dataset.open(data) as dataset:
        if mark:
            if len(sequence or ()) != 1:
                raise InputError("--mark needs the one --sequence that it is in")
            assert sequence is not None
            answer = _follow(dataset, sequence[0], [_mark(text) for text in mark], label, snap, by or login_name())
            if as_json:
                print(json.dumps(answer))
                return
            console.print(
                f"{number_of(answer['boxes'], 'box', 'boxes')} on frames {answer['first']} to {answer['last']} of {answer['sequence']}, "
                f"{answer['snapped']} of them where the target was seen, the others between; "
                f"{answer['there']} frames had a label there already",
            )
            if 4 * answer["snapped"] < answer["boxes"]:
                console.print(
                    "it was seen on few of them: mark it on a frame in between as well, or look at the boxes in review"
                )
            return
        rows = _propose(dataset, sequence or [], options)
    if as_json:
        print(json.dumps({"sequences": rows}))
        return
    if not rows:
        console.print(f"{data}: every sequence has labels; --sequence NAME looks through one again")
        return
    table = Table("sequence", "tracks", "of these interference", "new in the queue")
    for row in rows:
        table.add_row(*(str(row[k]) for k in ("sequence", "tracks", "interference", "new")))
    console.print(table)
    console.print(f"next: irdim-train review {quoted(data)} --kind track")


def _propose(dataset: "Dataset", names: list[str], options: "ProposalOptions") -> list[dict[str, Any]]:
    from irdim.boxes import INTERFERENCE
    from irdim_train.labelling import enqueue_proposals, is_labelled, propose_tracks

    chosen = [dataset.sequence(n) for n in names] or [
        s for s in dataset.sequences() if not is_labelled(dataset.boxes(s))
    ]
    rows = []
    with progress_bar("label") as bar:
        task = bar.add_task("label", total=sum(s.length for s in chosen))
        for s in chosen:
            bar.update(task, description=f"label {s.name}")
            found = propose_tracks(
                dataset.frames(s),
                dataset.times(s),
                s.interval,
                options,
                progress=lambda: bar.update(task, advance=1),
            )
            new = enqueue_proposals(dataset, s, found)
            still = sum(p.label == INTERFERENCE for p in found)
            rows.append({"sequence": s.name, "tracks": len(found), "interference": still, "new": new})
            if bar.disable:
                print(f"label: {s.name}: {number_of(len(found), 'track')}, {new} new", file=sys.stderr, flush=True)
    return rows


def _follow(dataset: "Dataset", name: str, marks: list[Mark], label: str, snap: bool, who: str) -> dict[str, Any]:
    from irdim_train.labelling import add_followed, follow

    sequence = dataset.sequence(name)
    places = {frame: (x, y) for frame, x, y in marks}
    if len(places) < len(marks):
        raise InputError("two marks on one frame: a target is marked once on each")
    with progress_bar("follow") as bar:
        task = bar.add_task(f"follow {name}", total=max(places) - min(places))
        followed = follow(
            dataset.frames(sequence), places, label=label, snap=snap, progress=lambda: bar.update(task, advance=1)
        )
    added = add_followed(dataset, sequence, followed, who=who, why=f"marked on {len(places)} frames")
    return {
        "sequence": name,
        "boxes": added,
        "there": len(followed.boxes) - added,
        "snapped": len(followed.snapped),
        "first": min(places),
        "last": max(places),
    }


def _mark(text: str) -> Mark:
    try:
        frame, x, y = text.split(",")
        return int(frame), float(x), float(y)
    except ValueError:
        raise InputError(f"--mark {text}: write FRAME,X,Y, e.g. 10,412.5,96") from None
