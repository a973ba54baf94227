"""A run or a bundle, ready to be scored."""

from pathlib import Path

from irdim.bundle import DESCRIPTION as BUNDLE_DESCRIPTION
from irdim.bundle import Bundle, ModelCard
from irdim.engines import Engine
from irdim.engines.choice import open_on_cpu
from irdim_train.devices import choose_device
from irdim_train.runs import load_model, read_run
from irdim_train.torch_engine import TorchEngine


def open_model(path: Path, precision: str = "int8", device: str = "auto") -> tuple[ModelCard, Engine, Path | None]:
    """Card, engine and, for a run, the data set that it was trained on. precision: which graph of a bundle; device: where a run's network goes."""
    if (Path(path) / BUNDLE_DESCRIPTION).is_file():
        bundle = Bundle.load(path)
        return bundle.card, open_on_cpu(bundle, precision), None
    model, card = load_model(path)
    return card, TorchEngine(model, choose_device(device)), Path(read_run(path)["data"])
