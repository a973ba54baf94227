"""irdim-train: the workstation's command line. Each command lives in a module of irdim_train.commands, named in the order of the loop."""

import importlib

import typer

COMMANDS = {  # name on the command line: module
    "synth": "synth",
    "import": "import_",
    "check": "check",
    "label": "label",
    "export": "export",
    "crop": "crop",
    "fit": "fit",
    "evaluate": "evaluate",
    "compare": "compare",
    "refine": "refine",
    "mine": "mine",
    "iterate": "iterate",
    "devices": "devices",
    "ingest": "ingest",
    "review": "review",
    "report": "report",
}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train detectors of dim, small infrared targets on small patches, and iterate on the data set.",
)
for name, module in COMMANDS.items():
    command = importlib.import_module(f"irdim_train.commands.{module}").command
    if isinstance(command, typer.Typer):  # with commands of its own
        app.add_typer(command, name=name)
    else:
        app.command(name)(command)
