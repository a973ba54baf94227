"""The shell commands of a Markdown document, in their order, and what its comments say of them.

A block is indented by four spaces or fenced as ```sh. Comments, which no reader sees, stand on lines of their own:

    <!-- run: COMMANDS -->            hidden commands, run where they stand; may have several lines
    <!-- run as: TEXT => OTHER -->    from here on TEXT is run as OTHER, in this document; a pair a line
    <!-- not run: REASON -->          of the block that follows; its irdim commands are still held against --help
    <!-- nothing is run: REASON -->   the same, of every block that follows
    <!-- no commands -->              the block that follows is a drawing, a configuration, an equation
    <!-- begins where README.md ends -->   in a copy of the folder that README.md's commands leave
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COMMENT = re.compile(
    r"<!--\s*(?:(run|run as|not run|nothing is run):\s*(.*?)|(no commands|begins where README\.md ends))\s*-->", re.S
)
OURS = re.compile(r"<!--\s*(run|not|no|nothing|begins)\b")
SHELLS = "sh", "bash", "shell", "console"
FENCE = "```"
CONTINUES_README = "begins where README.md ends"


@dataclass(frozen=True)
class Command:
    """One command line as the document shows it. line: from 1; run: what to run instead, empty: nothing."""

    document: Path
    line: int
    text: str
    run: str

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}: {self.text}"


def read_commands(document: Path) -> list[Command]:
    """Raises ValueError at a comment that begins like one of ours and is none, or that no block follows."""
    commands: list[Command] = []
    replaced: dict[str, str] = {}
    nothing, pending = False, ""

    def add(line: int, text: str, runs: bool) -> None:
        shown = text
        for old, new in replaced.items():
            text = text.replace(old, new)
        commands.append(Command(document, line, shown, text if runs else ""))

    for line, kind, text in _parts(document.read_text()):
        if kind == "comment":
            found = COMMENT.fullmatch(text)
            if not found and OURS.match(text):
                raise ValueError(f"{document.name}:{line}: what does {text} mean?")
            word, rest = (found[1] or found[3], found[2] or "") if found else ("", "")
            if pending and word:
                raise ValueError(f"{document.name}:{line}: no block follows '{pending}'")
            if word == "run" and found:
                first = line + text[: found.start(2)].count("\n")
                for more, one in _joined(rest.splitlines()):
                    add(first + more, one, True)
            elif word == "run as":
                replaced |= dict(re.split(r"\s+=>\s+", pair, maxsplit=1) for pair in rest.splitlines())
            elif word == "nothing is run":
                nothing = True
            elif word in ("not run", "no commands"):
                pending = word
        else:
            if pending != "no commands":
                for more, one in _joined(text.splitlines()):
                    add(line + more, one, not (pending or nothing))
            pending = ""
    return commands


def continues_readme(document: Path) -> bool:
    return f"<!-- {CONTINUES_README} -->" in document.read_text()


def _parts(text: str) -> Iterator[tuple[int, str, str]]:
    """(line, 'comment' or 'block', text) in their order; blocks without their indent or fence."""
    lines = text.splitlines()
    at, after_blank = 0, True
    while at < len(lines):
        begin, line = at, lines[at]
        at += 1
        if line.lstrip().startswith("<!--"):
            while "-->" not in lines[at - 1]:
                at += 1
            yield begin + 1, "comment", "\n".join(lines[begin:at]).strip()
        elif line.startswith(FENCE):
            while not lines[at].startswith(FENCE):
                at += 1
            if line.removeprefix(FENCE).strip() in SHELLS:
                yield begin + 2, "block", "\n".join(lines[begin + 1 : at])
            at += 1
        elif line.startswith("    ") and after_blank:
            while at < len(lines) and lines[at].startswith("    "):
                at += 1
            yield begin + 1, "block", "\n".join(one[4:] for one in lines[begin:at])
        after_blank = not line.strip() or line.lstrip().startswith("<!--")


def _joined(lines: list[str]) -> Iterator[tuple[int, str]]:
    """(number from 0, command): a line that ends in a backslash goes on with the next."""
    begin, held = 0, ""
    for number, line in enumerate(lines):
        begin = begin if held else number
        held += line
        if held.endswith("\\"):
            held = held[:-1]
        elif held.strip():
            yield begin, held.strip()
            held = ""
