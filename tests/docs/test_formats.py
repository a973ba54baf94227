"""docs/formats.md against the code: versions, keys, options and kinds that it lists."""

import re
from pathlib import Path

import typer

import irdim_edge.cli
from irdim import bundle
from irdim.engines import building
from irdim.fieldlog import KINDS, checks
from irdim_edge.config import Config
from irdim_edge.config.sections import Section
from irdim_train import evaluation_report
from irdim_train.synth import ledger

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "formats.md").read_text()


def section(heading: str) -> str:
    return TEXT.partition(f"\n## {heading}")[2].partition("\n## ")[0]


def codes(text: str) -> list[str]:
    return re.findall(r"`([^`]*)`", text)


def test_the_versions_are_those_that_are_written():
    said = re.findall(r"^\| `format`, `version`.*? \| `(\S+)`, (\d+)", TEXT, re.M)
    written = [
        *((m.FORMAT, m.VERSION) for m in (ledger, evaluation_report, bundle)),
        (checks.LOG_FORMAT, checks.VERSION),
        (checks.TALLY_FORMAT, checks.VERSION),
    ]
    assert said == [(name, str(version)) for name, version in written]
    assert f"\n## Bundle (version {bundle.VERSION})\n" in TEXT
    assert f"\n**Engine** (version {building.VERSION})" in TEXT


def test_the_table_of_the_edge_configuration_has_every_key_and_no_other():
    listed, before = [], ""
    for cell in re.findall(r"^\| (`[^|]*) \|", section("Edge configuration"), re.M):
        for code in codes(cell):
            before = code if not code.startswith(".") else before.partition(".")[0] + code
            listed += [before.replace("KIND", kind) for kind in KINDS] if "KIND" in before else [before]
    keys = []
    for name, field in Config.model_fields.items():
        inner = field.annotation
        nested = isinstance(inner, type) and issubclass(inner, Section)
        keys += [f"{name}.{key}" for key in inner.model_fields] if nested else [name]
    assert sorted(listed) == sorted(keys)
    assert f"| `{Config().bundle}`, `{Config().precision}`, {Config().threads} |" in TEXT


def test_the_options_that_fill_in_keys_are_those_of_irdim_edge_config():
    command = typer.main.get_command(irdim_edge.cli.app).commands["config"]
    filling = {option for p in command.params for option in p.opts} - {"--write", "--json"}
    said = re.search(r"its meaning; (.*?) fill in theirs", section("Edge configuration"))
    assert said
    assert set(codes(said[1])) == filling


def test_the_kinds_of_verdict_lines_and_field_logs_are_all_there():
    lines, logs = (re.search(rf"^\| `{key}` \| (.*) \|$", TEXT, re.M) for key in ("kind", "verdict"))
    assert lines
    assert logs
    assert set(codes(lines[1])) == set(KINDS)
    assert set(KINDS) <= set(codes(logs[1]))
