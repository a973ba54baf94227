"""Before a run: is there what the configuration names?"""

from irdim.bundle import Bundle
from irdim.remote import check_url
from irdim_edge.cameras import open_camera
from irdim_edge.config import Config


def check_config(config: Config, *, bundle: bool, source: bool, upload: bool) -> None:
    """Look at what a configuration names: the bundle loads, the recordings open and suit it, the URL can be used. Raises InputError."""
    card = Bundle.load(config.bundle_path, config.require_signed_by).card if bundle else None
    if source:
        open_camera(config.camera, card.interval if card else None)
    if upload:
        check_url(config.upload.url)
