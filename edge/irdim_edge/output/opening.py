"""What a configuration says of the output over the network."""

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from irdim.errors import InputError
from irdim_edge.config.addresses import Broker, split_address
from irdim_edge.output.bearings import Optics
from irdim_edge.output.network import Mqtt, Publisher, Udp

if TYPE_CHECKING:
    from irdim_edge.config import Config


def open_publishers(config: "Config") -> list[Publisher]:
    """Raises InputError where a host, a library or a password file is not there."""
    output, publishers = config.output, list[Publisher]()
    if output.udp:
        publishers.append(Udp(*split_address(output.udp)))
    if output.mqtt:
        name = f"irdim-{config.device_name}-{config.camera.name}"
        password = _password(output.mqtt_password_file)
        broker = Broker.parse(output.mqtt)
        tls = _trust(output.mqtt_ca) if broker.tls else None
        publishers.append(Mqtt(broker, name=name, user=output.mqtt_user, password=password, tls=tls))
    return publishers


def check_output(config: "Config") -> None:
    """Without a connection. Raises InputError where a password or a certificate cannot be read."""
    if config.output.mqtt:
        _password(config.output.mqtt_password_file)
        _trust(config.output.mqtt_ca)


def optics_of(config: "Config") -> Optics | None:
    """None where the field of view is not known."""
    optics = config.optics
    across, down = optics.field_of_view
    if not across:
        return None
    return Optics((across, down), optics.azimuth, optics.elevation, optics.roll)


def _trust(file: str) -> ssl.SSLContext:
    """Whose certificates count."""
    try:
        return ssl.create_default_context(cafile=file or None)
    except OSError as error:  # ssl.SSLError is one
        raise InputError(f"output.mqtt_ca {file}: no certificate can be read from it ({error})") from None


def _password(file: str) -> str:
    if not file:
        return ""
    try:
        return Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"output.mqtt_password_file {file}: cannot be read ({error})") from None
