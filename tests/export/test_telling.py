"""How far an export is."""

from irdim_export import telling
from irdim_export.telling import counted


def test_sequences_are_counted_every_so_often(monkeypatch):
    for seconds, expected in ((60.0, []), (-1.0, ["scoring: 1 of 3 sequences", "scoring: 2 of 3 sequences"])):
        monkeypatch.setattr(telling, "EVERY", seconds)
        said: list[str] = []
        show = counted(said.append, "scoring")
        for done in (1, 2, 3):
            show(done, 3)
        assert said == expected
