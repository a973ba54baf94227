"""status.json: what a run writes of itself, and what others read out of it."""

import json

from irdim_edge.status import Summary


def test_what_is_being_written_does_not_change_while_frames_are_counted(tmp_path):
    """The writer's thread writes it, the server's threads answer with it, the main thread counts on."""
    summary = Summary("mast-3", "west")
    summary.warming["history"] = 1
    said = summary.to_json()
    for reason in ("gap", "size"):
        summary.warming[reason] += 1
    summary.verdicts["missed"] += 1
    assert (said["warming"], said["verdicts"]) == ({"history": 1}, {})
    summary.save(tmp_path)
    assert json.loads((tmp_path / "status.json").read_text())["warming"] == {"history": 1, "gap": 1, "size": 1}
