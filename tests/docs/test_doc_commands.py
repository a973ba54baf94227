"""The commands in README.md and docs/*.md: options as --help has them; run one after the other, document by document (slow).

What the comments in these documents mean is said in markdown_commands.py.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest
import typer
from markdown_commands import Command, continues_readme, read_commands

import irdim_edge.cli
import irdim_export.cli
import irdim_train.cli

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = {
    "irdim-train": typer.main.get_command(irdim_train.cli.app),
    "irdim-export": typer.main.get_command(irdim_export.cli.app),
    "irdim-edge": typer.main.get_command(irdim_edge.cli.app),
}
ENDS = "&&", "||", "|", ";", ">"
SECONDS = 900  # of one command, on a busy machine


def irdim_calls(line: str) -> Iterator[list[str]]:
    """The words of each irdim command in a shell line: also behind sudo, torchrun and assignments, not where it is another's option."""
    words = [
        part
        for word in shlex.split(line, comments=True)
        for part in ([word[:-1], ";"] if word.endswith(";") else [word])
    ]
    for i, word in enumerate(words):
        before = words[i - 1] if i else ""
        if word in PROGRAMS and (not before.startswith("-") or before == "--no-python"):
            yield list(takewhile(lambda w: w not in ENDS, words[i:]))


def misuse(words: list[str], whole: bool = True) -> str:
    """What --help does not know in these words, or ''. whole: what it asks for must be there too."""
    command, rest = PROGRAMS[words[0]], words[1:]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        if rest[0] not in command.commands:
            return f"no such command: {rest[0]}"
        command, rest = command.commands[rest[0]], rest[1:]
    context = command.context_class(command, info_name=words[0])
    try:
        given, left, _ = command.make_parser(context).parse_args(list(rest))
        if left:
            return f"too many arguments: {left}"
        if whole and "help" not in given and "version" not in given:
            for parameter in command.params:
                if parameter.required and given.get(parameter.name) is None:
                    return f"{parameter.name.upper()} is missing"
    except Exception as error:  # typer brings its own click, whose errors it does not export
        if not hasattr(error, "format_message"):
            raise
        return error.format_message()
    return ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_irdim_command_in_a_document_is_one_that_help_knows(document):
    shown = [(str(c), words, True) for c in read_commands(document) for words in irdim_calls(c.text)]
    for number, line in enumerate(document.read_text().splitlines(), 1):
        for code in re.findall(r"`(irdim-(?:train|export|edge)\b[^`]*|torchrun [^`]*)`", line):
            placed = f"{document.name}:{number}: {code}"
            shown += [(placed, words, False) for words in irdim_calls(re.sub(r"[\[\]]|\.\.\.", "", code))]
    assert [f"{where} ({wrong})" for where, words, whole in shown if (wrong := misuse(words, whole))] == []


def test_the_examples_in_help_are_commands_that_it_knows():
    def examples(command) -> Iterator[str]:
        yield from re.findall(r"^.*: ((?:torchrun .*)?irdim-\w+ .*)$", command.help or "", re.M)
        for one in getattr(command, "commands", {}).values():
            yield from examples(one)

    found = [line for command in PROGRAMS.values() for line in examples(command)]
    assert len(found) > 20
    assert [f"{line} ({wrong})" for line in found for words in irdim_calls(line) if (wrong := misuse(words))] == []


def test_what_help_does_not_know_is_found():
    def wrong(line: str) -> list[str]:
        return [misuse(words) for words in irdim_calls(line)]

    assert wrong("irdim-train crop data --size 80 --out patches  # --nothing") == [""]
    assert wrong("sudo -u irdim A=b irdim-edge keygen k; irdim-train fit --nothing 1") == [
        "",
        "No such option: --nothing",
    ]
    assert wrong("irdim-train corp data") == ["no such command: corp"]
    assert wrong("irdim-train crop") == ["DATA is missing"]
    assert wrong("irdim-train crop data more") == ["too many arguments: ['more']"]
    assert wrong("docker build -t irdim-edge --build-arg GPU=1 .") == []


def test_comments_say_what_is_run(tmp_path):
    text = (
        "word\n\n    one\n    two \\\n      more\n\n<!-- run as: two => 2\none => 1 -->\n<!-- run:\nhidden\n-->\n```sh\none two\n```\n"
        "<!-- not run: why -->\n\n    three\n\n<!-- no commands -->\n\n    x = y\n\n```python\nz\n```\n<!-- nothing is run: why -->\n\n    four\n"
    )
    path = tmp_path / "a.md"
    path.write_text(text)
    assert [(c.line, c.text, c.run) for c in read_commands(path)] == [
        (3, "one", "one"),
        (4, "two   more", "two   more"),
        (10, "hidden", "hidden"),
        (13, "one two", "1 2"),
        (17, "three", ""),
        (28, "four", ""),
    ]
    path.write_text("<!-- not runn: why -->\n\n    three\n")
    with pytest.raises(ValueError, match=r"a\.md:1: what does"):
        read_commands(path)


def run_document(document: Path, folder: Path) -> None:
    """Run what can be run, in `folder`; a failure ends it with document:line and output."""
    folder.mkdir(exist_ok=True)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    for command in read_commands(document):
        if not command.run:
            continue
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", command.run],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
        )
        if done.returncode:
            pytest.fail(said(command, done.returncode, done.stdout), pytrace=False)


def said(command: Command, code: int, output: str) -> str:
    as_run = f"\nrun as: {command.run}" if command.run != command.text else ""
    return f"{command}{as_run}\nexit code {code}\n{output}"


@pytest.fixture(scope="module")
def after_readme(tmp_path_factory) -> Path:
    """The folder in which README.md's commands were run."""
    folder = tmp_path_factory.mktemp("readme") / "work"
    run_document(README, folder)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.xdist_group("documents")  # one worker, so that README.md is run once
@pytest.mark.parametrize(
    "document", [d for d in DOCUMENTS if any(c.run for c in read_commands(d))], ids=lambda path: path.name
)
def test_the_commands_of_a_document_run(document, after_readme, tmp_path):
    if document == README:
        return  # its commands have just been run by the fixture
    folder = tmp_path / "work"
    if continues_readme(document):
        shutil.copytree(after_readme, folder, symlinks=True)
    run_document(document, folder)
