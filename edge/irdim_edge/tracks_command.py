"""irdim-edge tracks: what a run found, as a table of its confirmed tracks and as pictures of their paths."""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from rich.table import Column, Table

from irdim.boxes import INTERFERENCE, TARGET
from irdim.console import stdout_console
from irdim.errors import InputError
from irdim.files import atomic_file
from irdim.report import MIMIC, TRACK, show_frame
from irdim.sources import FrameSource, open_source
from irdim.wording import number_of
from irdim_edge.cameras.replay import sequences_at, unique_names
from irdim_edge.config import Config, load_config
from irdim_edge.output.parts import DETECTIONS, parts_in
from irdim_edge.status import read_status

ROWS = 30  # tracks that a table shows
POINTS = 2000  # of a path that are kept
NUMBERED = 15  # tracks of a picture that have a number; of more nothing could be read
MANY = 0.05  # confirmed tracks a frame; where there are more, most of them are no targets
ZOOM_TO = 900  # px; a picture of a smaller frame is enlarged by a whole number up to about this width


@dataclass
class Found:
    """A confirmed track, from when it was confirmed. first, last: frames on which it was seen, weakly too; utc: of the first; detections: those reported;
    score: their mean; still: as the tracker judged it last; way: px from the first to the last place; points: (frame, x, y) where it was seen, thinned
    out."""

    source: str
    track: int
    utc: str
    first: int
    last: int = -1
    detections: int = 0
    score: float = 0.0
    still: bool = False
    points: list[tuple[int, float, float]] = field(default_factory=list)

    @property
    def label(self) -> str:
        """What stands still is proposed as interference."""
        return INTERFERENCE if self.still else TARGET

    @property
    def way(self) -> float:
        (_, x, y), (_, to_x, to_y) = self.points[0], self.points[-1]
        return math.hypot(to_x - x, to_y - y)

    def see(self, frame: int, x: float, y: float) -> None:
        """Where it was seen on a frame; once for each."""
        if frame <= self.last:
            return
        self.last = frame
        if len(self.points) >= POINTS:
            self.points = [*self.points[:-1:2], self.points[-1]]
        self.points.append((frame, x, y))

    def report(self, score: float) -> None:
        """One detection of it that was reported."""
        self.score = (self.score * self.detections + score) / (self.detections + 1)
        self.detections += 1


@dataclass
class Run:
    """What one run found. started, bundle: when (ISO 8601), and its digest; loose: reported targets in no confirmed track, single ones most of them;
    interference: reported as no target."""

    started: str = ""
    bundle: str = ""
    frames: int = 0
    loose: int = 0
    interference: int = 0
    tracks: list[Found] = field(default_factory=list)


def tracks(
    config: Annotated[Path, typer.Argument(help="The configuration that irdim-edge run was given.")],
    pictures: Annotated[
        Path | None, typer.Option(help="Folder for a picture of each recording, with the paths of its tracks.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All tracks, not only those reported most often.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, with every track's path.")] = False,
) -> None:
    """List the confirmed tracks that the newest run found, those that were reported most often first.

    A picture shows a frame from the middle of its recording, the paths from where each track was confirmed, and a circle where it was seen last: blue,
    or violet where it stands still. The tracks that were reported most often have their numbers.

    Example: irdim-edge tracks edge.toml --pictures found
    """
    settings = load_config(config)
    run = newest_run(settings.out_path)
    drawn = draw_all(run, settings, pictures) if pictures else []
    if as_json:
        listed = [{**asdict(t), "label": t.label, "way": round(t.way, 1)} for t in run.tracks]
        print(
            json.dumps(
                {
                    "frames": run.frames,
                    "loose": run.loose,
                    "interference": run.interference,
                    "tracks": listed,
                    "pictures": [str(p) for p in drawn],
                }
            )
        )
        return
    shown = run.tracks if everything else run.tracks[:ROWS]
    if shown:
        stdout_console().print(_table(shown))
    print(f"{settings.out_path}: run of {run.started}, bundle {run.bundle[:12]}")
    left = (
        f", the {len(shown)} reported most often shown (--all shows the rest)" if len(shown) < len(run.tracks) else ""
    )
    print(
        f"{number_of(run.frames, 'frame')}: {number_of(len(run.tracks), 'confirmed track')}{left}, "
        f"{number_of(run.loose, 'more target detection')} in no confirmed track or before it was confirmed, "
        f"{number_of(run.interference, 'detection')} of interference"
    )
    if len(run.tracks) > max(MANY * run.frames, NUMBERED):
        print(
            "note: so many tracks can hardly all be targets: this detector does not know your scenes. Label some recordings (irdim-train label) and train "
            "on them (irdim-train fit)"
        )
    for path in drawn:
        print(path)


def newest_run(folder: Path) -> Run:
    """Of an output folder. Raises InputError where no run has written there."""
    status = read_status(folder)
    first, run = status.get("first_part", 0), Run(status.get("started", ""), status.get("bundle", ""))
    found = dict[tuple[str, int], Found]()
    for number, paths in sorted(parts_in(folder, DETECTIONS).items()):
        for line in _lines(paths[0]) if number >= first else ():
            _count(line, run, found)
    run.tracks = sorted(found.values(), key=lambda t: (-t.detections, t.source, t.track))
    return run


def _count(line: dict[str, Any], run: Run, found: dict[tuple[str, int], Found]) -> None:
    run.frames += 1
    source, frame = line["source"], line["frame"]
    for track in line["tracks"]:
        key = (source, track["track"])
        if key not in found:
            found[key] = Found(*key, line["utc"], frame)
        found[key].still = track["still"]
        found[key].see(track["seen"], track["x"], track["y"])
    for detection in line["detections"]:
        if detection["track"] is not None:
            found[source, detection["track"]].report(detection["score"])
        elif detection["label"] == TARGET:
            run.loose += 1
        else:
            run.interference += 1


def _lines(part: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a part; the last may be just being written."""
    with part.open("rb") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                return
            if not isinstance(line, dict) or line.get("v") != 1:
                raise InputError(f"{part}: not detections of this irdim")
            yield line


def _table(shown: Iterable[Found]) -> Table:
    numbers = (Column(name, justify="right", no_wrap=True) for name in ("track", "frames", "reported", "score"))
    way = Column("way, px", justify="right", no_wrap=True)
    table = Table(Column("recording", overflow="fold"), *numbers, Column("label", no_wrap=True), way)
    for t in shown:
        score = f"{t.score:.2f}" if t.detections else "-"
        label = "still" if t.still else t.label
        row = (str(t.track), f"{t.first} to {t.last}", str(t.detections), score, label, f"{t.way:.0f}")
        table.add_row(t.source, *row)
    return table


def draw_all(run: Run, settings: Config, folder: Path) -> list[Path]:
    """One picture for each recording of the configuration, so that none is left of a run before. Raises InputError for a live camera, of which no frames
    are kept."""
    if settings.camera.stream:
        raise InputError("--pictures: of a live camera no frames are kept to draw on; see its live page (serve.port)")
    files = (file for path in settings.camera.paths for file in sequences_at(Path(path)))
    drawn = []
    for name, source in unique_names(map(open_source, files)):
        here = [t for t in run.tracks if t.source == name]
        drawn.append(folder / f"{name}.png")
        with atomic_file(drawn[-1]) as file:
            file.write(cv2.imencode(".png", draw(_middle(source), here))[1].tobytes())
    return drawn


def _middle(source: FrameSource) -> np.ndarray:
    """A frame from the middle of a recording, (H, W)."""
    pixels, middle = np.zeros(source.shape, source.dtype), (source.length or 0) // 2
    for frame in source:
        pixels = frame.pixels
        if frame.index >= middle:
            break
    return pixels


def draw(frame: np.ndarray, here: Iterable[Found]) -> np.ndarray:
    """(zoom H, zoom W, 3) uint8 BGR: the frame, and over it the path of each track; the first ones given have their numbers at the end."""
    zoom = max(ZOOM_TO // frame.shape[1], 1)
    shown = show_frame(frame, zoom=zoom)
    for rank, t in enumerate(here):
        colour = TRACK if t.label == TARGET else MIMIC
        path = np.rint([(x * zoom, y * zoom) for _, x, y in t.points]).astype(np.int32)
        cv2.polylines(shown, [path.reshape(-1, 1, 2)], False, colour, 1, cv2.LINE_AA)
        x, y = (int(v) for v in path[-1])
        if rank >= NUMBERED:
            cv2.circle(shown, (x, y), 2, colour, 1, cv2.LINE_AA)
            continue
        cv2.circle(shown, (x, y), 5, colour, 1, cv2.LINE_AA)
        at = (min(x + 8, shown.shape[1] - 36), max(y - 6, 12))
        for paint, width in (((20, 20, 20), 3), (colour, 1)):
            cv2.putText(shown, f"{t.track}", at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, paint, width, cv2.LINE_AA)
    return shown
