"""Whose field logs are taken in: known devices, signatures, clocks."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from field import described, field_log, make_signer, rezipped, tally_file

from irdim.dataset import Dataset
from irdim_train.ingesting import ingest


@pytest.fixture
def data(tmp_path: Path):
    with Dataset.create(tmp_path / "data") as opened:
        yield opened


def test_without_a_known_device_anything_sound_comes_in_and_is_marked(data, tmp_path):
    signer = make_signer(tmp_path)
    field_log(tmp_path / "depot", 1)
    field_log(tmp_path / "depot", 2, signer=signer)
    result = ingest(data, str(tmp_path / "depot"))
    assert (len(result.added), result.unsigned) == (2, 2)
    assert {log.device_key for log in data.logs()} == {None, signer.device_key}
    assert not any(log.provenance["known"] for log in data.logs())


def test_a_data_set_that_knows_a_device_refuses_all_others(data, tmp_path):
    depot, known, stranger = tmp_path / "depot", make_signer(tmp_path), make_signer(tmp_path, "other.key")
    data.add_device("mast-3", known.device_key, who="anna")
    good = field_log(depot, 1, signer=known)
    unsigned, foreign = field_log(depot, 2), field_log(depot, 3, signer=stranger)
    tallied = tally_file(depot)
    result = ingest(data, str(depot))
    assert (result.added, result.unsigned) == ([good.name], 0)
    assert "not signed" in result.quarantined[unsigned.name]
    assert f"signed by {stranger.device_key}" in result.quarantined[foreign.name]
    assert "not signed" in result.quarantined[tallied.name]
    assert {r.name for r in data.refused()} == {unsigned.name, foreign.name, tallied.name}
    data.add_device("mast-4", stranger.device_key, who="anna")  # then what waits there comes in
    assert ingest(data, str(depot)).added == [foreign.name]
    assert foreign.name not in {r.name for r in data.refused()}
    assert not (tmp_path / "data" / "quarantine" / foreign.name).exists()
    data.remove_device("mast-3", who="anna")
    late = field_log(depot, 5, signer=known)
    assert "no known device" in ingest(data, str(depot)).quarantined[late.name]


def test_signatures_can_be_required_before_any_device_is_known(data, tmp_path):
    field_log(tmp_path / "depot", 1)
    field_log(tmp_path / "depot", 2, signer=make_signer(tmp_path))
    assert len(ingest(data, str(tmp_path / "depot"), require_signature=True).quarantined) == 2


def test_a_device_speaks_in_its_own_name_alone(data, tmp_path):
    known = make_signer(tmp_path)
    data.add_device("mast-4", known.device_key, who="anna")
    field_log(tmp_path / "depot", 1, signer=known)  # it calls itself mast-3
    ingest(data, str(tmp_path / "depot"))
    (item,) = data.queue_items()
    assert (item.provenance["device"], item.provenance["said_device"]) == ("mast-4", "mast-3")
    assert data.sequences()[0].group == "field mast-4/west"


def test_a_signed_log_cannot_be_changed_nor_lose_its_signature(data, tmp_path):
    known, depot = make_signer(tmp_path), tmp_path / "depot"
    data.add_device("mast-3", known.device_key, who="anna")
    log = field_log(depot, 1, signer=known)
    changed = rezipped(log, described(lambda d: d["verdict"].update(score=1.0)))
    stripped = rezipped(log, lambda members: members.pop("signature.json"))
    log.unlink()
    result = ingest(data, str(depot))
    assert result.added == []
    assert "signature is wrong" in result.quarantined[changed.name]
    assert "signature is missing" in result.quarantined[stripped.name]


@pytest.mark.parametrize("years", [-60, 30])
def test_a_clock_that_is_years_off_is_recorded_and_changes_nothing_else(data, tmp_path, years):
    at = datetime.now(timezone.utc) + timedelta(days=365 * years)
    log = field_log(tmp_path / "depot", 1, at=at)
    good = field_log(tmp_path / "depot", 2, score=0.9, at=datetime.now(timezone.utc))
    result = ingest(data, str(tmp_path / "depot"))
    assert sorted(result.added) == sorted([log.name, good.name])
    assert list(result.clocks) == [log.name]
    assert "days off" in result.clocks[log.name]
    items = {i.provenance["log"]: i for i in data.queue_items()}
    assert abs(items[log.name].provenance["clock_off"] / 86400 - 365 * years) < 1
    assert "clock_off" not in items[good.name].provenance
    assert [i.score for i in data.queue_items()] == [0.9, 0.5]
