"""The daemon's configuration: one TOML file, every key with its meaning."""

from irdim_edge.config.loading import commented_config, load_config, number_or_text, parse_config
from irdim_edge.config.sections import CameraSection
from irdim_edge.config.whole import STARTER, STARTER_FOLDER, Config

__all__ = [
    "STARTER",
    "STARTER_FOLDER",
    "CameraSection",
    "Config",
    "commented_config",
    "load_config",
    "number_or_text",
    "parse_config",
]
