"""Before a run: is there what the configuration names?"""

from irdim.bundle import Bundle
from irdim.engines.choice import tensorrt_is_there
from irdim.errors import InputError
from irdim.remote import check_url
from irdim_edge.cameras import open_camera
from irdim_edge.config import Config
from irdim_edge.output.opening import check_output


def check_config(config: Config, *, bundle: bool, source: bool, upload: bool) -> None:
    """Look at what a configuration names: the bundle loads, the recordings open and suit it, the URL can be used. Raises InputError."""
    card = Bundle.load(config.bundle_path, config.require_signed_by).card if bundle else None
    if source:
        open_camera(config.camera, card.interval if card else None)
    if upload:
        check_url(config.upload.url)


def check_run(config: Config) -> None:
    """All that a run opens, as far as it can be looked at beside a run that goes on: also keys, tokens, certificates, folders. Raises InputError."""
    check_config(config, bundle=True, source=True, upload=bool(config.upload.url))
    _ = config.signer
    if config.serve.port:
        _ = config.serve.token
    if config.upload.url:
        _ = config.destination
    check_output(config)
    if config.engine == "tensorrt" and not tensorrt_is_there():
        raise InputError('engine = "tensorrt": there is no TensorRT or no GPU here')
    for folder in (config.out_path, config.spool_path):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: cannot be written ({error})") from None
