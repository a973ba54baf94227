"""Signatures of bundles, and engines chosen for them."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from irdim.bundle import Bundle, write_description
from irdim.detector import Detector
from irdim.engines import open_engine
from irdim.engines.agreement import compare_engines
from irdim.engines.choice import engine_graph, open_bundle_engine, open_on_cpu
from irdim.engines.options import BuildOptions, engine_key, parse_size
from irdim.errors import InputError
from irdim.signing import Signer, generate_key
from irdim_edge.config import parse_config
from irdim_edge.preflight import check_config


@pytest.fixture
def signed(small_bundle, tmp_path):
    """A signed copy, and the public key."""
    folder = shutil.copytree(small_bundle, tmp_path / "bundle")
    generate_key(tmp_path / "key")
    signer, bundle = Signer.load(tmp_path / "key"), Bundle.load(folder)
    rest = {k: v for k, v in bundle.description.items() if k not in ("format", "version", "model", "scores", "files")}
    write_description(folder, bundle.card, bundle.scores, rest, signer)
    return folder, signer.device_key


def test_a_signed_bundle_serves_those_who_trust_its_key(signed):
    folder, key = signed
    assert Bundle.load(folder, ["0" * 64, key]).signed_by == key
    assert Bundle.load(folder).signed_by == key
    with pytest.raises(InputError, match=f"signed by {key}, which is not among"):
        Bundle.load(folder, ["0" * 64])


def test_an_unsigned_bundle_is_refused_where_a_signature_is_required(small_bundle):
    assert Bundle.load(small_bundle).signed_by is None
    with pytest.raises(InputError, match="is not signed, and a signature is required"):
        Bundle.load(small_bundle, ["0" * 64])


def test_a_description_that_was_changed_breaks_the_signature(signed):
    folder, _ = signed
    said = json.loads((folder / "bundle.json").read_text())
    said["model"]["thresholds"]["report"] = 0.99
    (folder / "bundle.json").write_text(json.dumps(said))
    with pytest.raises(InputError, match="does not match bundle"):
        Bundle.load(folder)


@pytest.mark.parametrize("text", ["{}", '{"key": "x", "signature": 3}', "[]", '{"key": 1, "signature": "00"}'])
def test_a_broken_signature_is_refused(signed, text):
    folder, _ = signed
    (folder / "signature.json").write_text(text)
    with pytest.raises(InputError, match=r"signature\.json"):
        Bundle.load(folder)


def test_every_file_is_under_a_digest(small_bundle):
    files = Bundle.load(small_bundle).files
    assert set(files) == {p.name for p in small_bundle.iterdir()} - {"bundle.json"}


def test_a_link_that_is_set_anew_does_not_lead_to_what_was_never_checked(small_bundle, tmp_path):
    other, link = shutil.copytree(small_bundle, tmp_path / "other"), tmp_path / "current"
    (other / "model.int8.onnx").write_bytes(b"anything")
    link.symlink_to(small_bundle)
    bundle = Bundle.load(link)
    (tmp_path / "new").symlink_to(other)
    (tmp_path / "new").replace(link)
    assert bundle.graph("int8").read_bytes() == (small_bundle / "model.int8.onnx").read_bytes()
    with pytest.raises(InputError, match=f"{other}/model.int8.onnx: its digest differs"):
        Bundle.load(link)


def test_a_path_without_links_is_named_as_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^bundles/first/bundle\.json: there is no bundle"):
        Bundle.load(Path("bundles/first"))


def test_samples_are_what_the_network_reads_and_hold_targets(small_bundle):
    bundle = Bundle.load(small_bundle)
    samples = bundle.samples()
    assert {s.shape for s in samples} == {(4, 128, 160)}
    assert (small_bundle / "samples.npy").stat().st_size < 1.1e6
    detector = Detector(bundle.card, open_engine(bundle.graph("fp32")))
    outputs = [detector.engine.run(s) for s in samples]
    assert any(1 / (1 + np.exp(-o[4].max())) > 0.3 for o in outputs)


class Wrong:
    """The engine of a graph, with one thing wrong."""

    name = "wrong"

    def __init__(self, engine, spoil):
        self._engine, self._spoil = engine, spoil

    def run(self, image):
        return self._spoil(self._engine.run(image))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda o: o * 0.5,
        lambda o: o[:, ::-1],
        lambda o: np.where(o > 2, np.nan, o),
        lambda o: o[:, :-1],
        lambda o: np.zeros_like(o),
    ],
    ids=["a wrong scale", "upside down", "not finite", "another size", "nothing"],
)
def test_an_engine_that_disagrees_is_found_out(small_bundle, spoil):
    bundle = Bundle.load(small_bundle)
    right = open_engine(bundle.graph("int8"))
    assert not compare_engines(right, Wrong(right, spoil), bundle.samples(), 8).holds


def test_a_little_noise_is_no_disagreement(small_bundle):
    bundle = Bundle.load(small_bundle)
    right, rng = open_engine(bundle.graph("int8")), np.random.default_rng(0)
    noisy = Wrong(right, lambda o: o + rng.normal(0, 0.02, o.shape).astype(np.float32))
    agreement = compare_engines(right, noisy, bundle.samples(), 8)
    assert agreement.holds
    assert agreement.detections > 0


class Crowded:
    """The same map of 285 places, each said by two cells: more than a frame's detections may be."""

    name = "crowded"

    def run(self, image):
        output = np.full((7, 38, 40), -20, np.float32)
        output[:2] = 0.5
        for place in range(285):
            row, column = 2 * (place // 15), 2 * (place % 15)
            for offset, confidence in ((0, 2 + place / 100), (1, 1.9 + place / 100)):
                output[0, row, column + offset] = 0.9 - offset  # the same point
                output[4:6, row, column + offset] = confidence, 20
        return output


def test_a_crowded_map_agrees_with_itself():
    agreement = compare_engines(Crowded(), Crowded(), [np.zeros((4, 304, 320), np.float32)], 8)
    assert agreement.holds, agreement
    assert agreement.detections == 400


def test_a_cpu_runs_the_form_made_for_it_or_the_usual_one_where_it_cannot(small_bundle, tmp_path, caplog):
    bundle = Bundle.load(small_bundle)
    assert bundle.cpu_graph("int8").name == "model.int8.cpu.onnx"
    assert bundle.cpu_graph("fp32") == bundle.graph("fp32")
    assert compare_engines(open_engine(bundle.graph("int8")), open_on_cpu(bundle, "int8"), bundle.samples(), 8).holds
    folder = shutil.copytree(small_bundle, tmp_path / "bundle")
    model = onnx.load(str(bundle.cpu_graph("int8")))
    next(n for n in model.graph.node if n.op_type == "Clip").op_type = "OfTheFuture"
    onnx.save(model, str(folder / "model.int8.cpu.onnx"))
    rest = {k: v for k, v in bundle.description.items() if k not in ("format", "version", "model", "scores", "files")}
    write_description(folder, bundle.card, bundle.scores, rest)
    engine = open_bundle_engine(Bundle.load(folder), engine="onnxruntime")
    assert "OfTheFuture" in caplog.text
    assert "model.int8.onnx runs instead" in caplog.text
    image = bundle.samples()[0]
    assert np.array_equal(engine.run(image), open_engine(bundle.graph("int8")).run(image))


def test_the_cache_knows_all_that_decides_an_engine():
    one = ("graph", "10.3.0", "Orin 8.7", BuildOptions(), 8)
    others = [
        ("other", *one[1:]),
        ("graph", "10.7.0", *one[2:]),
        ("graph", "10.3.0", "Thor 11.0", *one[3:]),
        (*one[:3], BuildOptions(half=False), 8),
        (*one[:3], BuildOptions(workspace_mb=64), 8),
        (*one[:3], BuildOptions(largest=(2000, 2000)), 8),
    ]
    assert len({engine_key(*o) for o in [one, *others]}) == 7
    assert engine_key(*one) == engine_key(*one)


def test_frame_sizes_are_width_by_height_and_must_rise():
    assert parse_size("640x512") == (512, 640)
    assert BuildOptions(usual=(510, 638)).padded(8)[1] == (512, 640)
    with pytest.raises(InputError, match="WIDTHxHEIGHT"):
        parse_size("640")
    with pytest.raises(InputError, match="must rise"):
        BuildOptions(smallest=(600, 640))


def test_a_bundle_without_samples_gives_no_engine(small_bundle, tmp_path):
    old = shutil.copytree(small_bundle, tmp_path / "old")
    said = json.loads((old / "bundle.json").read_text())
    said["version"], said["files"] = (
        1,
        {n: d for n, d in said["files"].items() if n in ("model.onnx", "model.int8.onnx")},
    )
    (old / "bundle.json").write_text(json.dumps(said))
    with pytest.raises(InputError, match="no sample frames"):
        engine_graph(Bundle.load(old), "int8")


def test_auto_takes_onnx_runtime_where_there_is_no_tensorrt(small_bundle):
    if importlib.util.find_spec("tensorrt") is not None:
        pytest.skip("TensorRT is installed here")
    bundle = Bundle.load(small_bundle)
    assert open_bundle_engine(bundle).name.startswith("onnxruntime")
    with pytest.raises(InputError, match=r"TensorRT is not installed; TensorRT 8\.5 to 11 serve"):
        open_bundle_engine(bundle, engine="tensorrt")
    with pytest.raises(InputError, match="engine 'cuda' is not known"):
        open_bundle_engine(bundle, engine="cuda")


def test_a_device_refuses_a_bundle_that_nobody_it_trusts_has_signed(signed, tmp_path):
    folder, key = signed
    (tmp_path / "recordings").mkdir()
    for trusted, why in (("0" * 64, "not among the keys"), ("me", "'me' is no public key")):
        text = f'bundle = "{folder}"\nrequire_signed_by = ["{trusted}"]\n'
        with pytest.raises(InputError, match=why):
            check_config(parse_config(text, tmp_path / "edge.toml"), bundle=True, source=False, upload=False)
    good = parse_config(f'bundle = "{folder}"\nrequire_signed_by = ["{key}"]\n', tmp_path / "edge.toml")
    check_config(good, bundle=True, source=False, upload=False)
