import os
import subprocess
import sys

import pytest

TABLE = "from rich.table import Table; from irdim.console import stdout_console; t = Table(*'abc'); t.add_row(*['x' * 50] * 3); stdout_console().print(t)"


@pytest.mark.parametrize(("columns", "whole"), [(None, True), ("80", False)])
def test_a_table_in_a_file_is_whole_unless_the_user_says_how_wide(columns, whole, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    environment = dict(os.environ)  # the process's own may have a COLUMNS more, of readline
    shown = subprocess.run(
        [sys.executable, "-c", TABLE], capture_output=True, text=True, check=True, env=environment
    ).stdout
    assert (shown.count("x" * 50) == 3) == whole
