import json
import subprocess

from test_daemon import EDGE


def test_the_pipeline_is_measured_beside_its_engine(small_bundle):
    command = [*EDGE, "bench", str(small_bundle), "--size", "160x128", "--frames", "3", "--threads", "1"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {m["precision"]: m for m in json.loads(done.stdout)["measured"] if m["engine"].startswith("onnxruntime")}
    assert set(found) == {"fp32", "int8"}
    for m in found.values():
        assert m["ratio"] > 0
        stages = {name: p50 for name, (p50, p99) in m["milliseconds"].items() if p50 <= p99}
        assert set(stages) == {"input", "engine", "decode", "track", "sum"}
        assert stages["sum"] >= max(stages["input"], stages["engine"])
    shown = subprocess.run(command, capture_output=True, text=True).stdout
    assert "engine alone, frames/s" in shown
    assert "…" not in shown
