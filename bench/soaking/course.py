"""What happens in a soak, as it is noted down."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Sample:
    """One look at the process. own: resident memory that no file backs; all: with mapped recordings and libraries; MiB."""

    seconds: float
    run: int
    frames: int
    own: float
    all: float
    handles: int
    threads: int


@dataclass
class Course:
    """What happened. runs: numbers of the output's parts of each run of the daemon; playlist: name and frames of each recording."""

    playlist: list[tuple[str, int]]
    samples: list[Sample] = field(default_factory=list)
    runs: list[list[int]] = field(default_factory=list)
    said: list[int] = field(default_factory=list)  # frames that status.json named last, of each run
    faults: Counter[str] = field(default_factory=Counter)
    # run -> what the names of recordings end in that broke off, and on which frame
    broken: dict[int, tuple[str, int]] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)  # what did not go as it should
    back: list[float] = field(default_factory=list)  # seconds from a start to the first line
    takeovers: list[float] = field(default_factory=list)  # seconds from SIGHUP to the new bundle
