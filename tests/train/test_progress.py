"""Progress where there is no terminal."""

import pytest

from irdim_train.commands import progress


@pytest.mark.parametrize(("every", "lines"), [(0.0, ["crop b: 1 of 2", "crop b: 2 of 2"]), (60.0, [])])
def test_long_work_says_now_and_then_how_far_it_is(monkeypatch, capsys, every, lines):
    monkeypatch.setattr(progress, "EVERY", every)
    with progress.progress_bar("crop") as bar:
        task = bar.add_task("crop a", total=2)
        for _ in range(2):
            bar.update(task, advance=1, description="crop b")
    assert capsys.readouterr().err.splitlines() == lines
