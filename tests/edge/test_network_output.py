"""Messages over UDP and MQTT to real listeners, and bearings against the rotation matrices."""

import contextlib
import json
import math
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from test_daemon import config, lines, record, wait_for

from irdim.errors import InputError
from irdim_edge.config import load_config
from irdim_edge.config.addresses import Broker, split_address
from irdim_edge.daemon import run
from irdim_edge.output import network
from irdim_edge.output.bearings import Optics
from irdim_edge.output.network import LARGEST, Mqtt, Udp, client_name, encode
from irdim_edge.status import Summary

OPTICS = {"optics.field_of_view": [12.0, 9.6], "optics.azimuth": 350.0, "optics.elevation": 5.0}


@contextlib.contextmanager
def broker(folder: Path, more: str = "") -> Iterator[int]:
    """A mosquitto of one's own, and its port."""
    mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if mosquitto is None:
        pytest.skip("mosquitto is not installed")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n{more}")
    process = subprocess.Popen([mosquitto, "-c", str(folder / "mosquitto.conf")], stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("every_frame", [False, True])
def test_a_listener_hears_over_udp_what_the_files_say(small_bundle, tmp_path, every_frame):
    record(tmp_path / "clip.npy", 40)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        port = listener.getsockname()[1]
        more = {"output.udp": f"127.0.0.1:{port}", "output.every_frame": every_frame, "upload.url": "", **OPTICS}
        summary = run(load_config(config(tmp_path, small_bundle, **more)), threading.Event())
        written = lines(tmp_path)
        expected = [line for line in written if every_frame or line["detections"] or line["tracks"]]
        heard = [json.loads(listener.recv(65536)) for _ in expected]
    assert heard == [{"device": "mast-3", "camera": "west", **line} for line in expected]
    assert dict(summary.messages) == {"sent": len(expected)}
    assert len(expected) == 40 if every_frame else 20 < len(expected) < 40
    found = [d for line in written for d in line["detections"]]
    assert found
    assert all(345 < d["azimuth"] < 355 and -1 < d["elevation"] < 10 for d in found)


def test_a_broker_hears_over_mqtt_and_a_broken_connection_is_told(small_bundle, tmp_path):
    paho = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")
    record(tmp_path / "clip.npy", 60)
    heard: list[tuple[str, bytes]] = []
    summaries: list[Summary] = []
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.on_message = lambda _, __, m: heard.append((m.topic, m.payload))
    client.on_connect = lambda c, *_: c.subscribe("sky/#")
    with broker(tmp_path) as port:
        more = {"output.mqtt": f"mqtt://127.0.0.1:{port}/sky/west", "upload.url": "", "camera.rate": 25.0}
        settings = load_config(config(tmp_path, small_bundle, **more))
        wait_for(lambda: _connected(client, port))
        client.loop_start()
        running = threading.Thread(target=lambda: summaries.append(run(settings, threading.Event())))
        running.start()
        wait_for(lambda: len(heard) > 10)
        running.join(60)
        wait_for(lambda: heard[-1] == ("sky/west/state", b"offline"))
        client.loop_stop()
    assert heard[0] == ("sky/west/state", b"online")
    messages = [json.loads(payload) for topic, payload in heard if topic == "sky/west/detections"]
    assert len(messages) == summaries[0].messages["sent"] > 10
    assert {m["device"] for m in messages} == {"mast-3"}
    away = run(
        settings, threading.Event()
    )  # without a broker: the files have it all, and the count says what was not sent
    assert (away.frames, away.messages["sent"]) == (60, 0)
    assert away.messages["unsent"] > 20
    assert "not reached" in away.messages_trouble


def test_a_broker_with_a_certificate_of_ones_own_is_spoken_to_over_tls(small_bundle, tmp_path):
    paho = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")
    with broker(tmp_path, certified(tmp_path)) as port:
        record(tmp_path / "clip.npy", 40)
        secure = {"output.mqtt": f"mqtts://localhost:{port}/sky/west", "upload.url": "", "camera.rate": 25.0}
        settings = load_config(config(tmp_path, small_bundle, **secure, **{"output.mqtt_ca": "ca.pem"}))
        heard: list[str] = []
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        client.tls_set(str(tmp_path / "ca.pem"))
        client.on_message = lambda _, __, m: heard.append(m.topic)
        client.on_connect = lambda c, *_: c.subscribe("sky/#")
        wait_for(lambda: _connected(client, port, "localhost"))
        client.loop_start()
        summary = run(settings, threading.Event())
        wait_for(lambda: heard.count("sky/west/detections") == summary.messages["sent"] > 10)
        client.loop_stop()
        strange = run(load_config(config(tmp_path, small_bundle, **secure)), threading.Event())
    assert strange.messages["sent"] == 0
    assert "certificate verify failed" in strange.messages_trouble
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(InputError, match=r"output.mqtt_ca .*empty.pem: no certificate"):
        run(load_config(config(tmp_path, small_bundle, **secure, **{"output.mqtt_ca": "empty.pem"})), threading.Event())


def certified(folder: Path) -> str:
    """A certificate for localhost from an authority that nobody knows (ca.pem), and what mosquitto is told of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*plain))
    (folder / "ca.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    return f"certfile {folder / 'ca.pem'}\nkeyfile {folder / 'key.pem'}\nuser root\n"


def _connected(client, port: int, host: str = "127.0.0.1") -> bool:
    try:
        client.connect(host, port)
    except OSError:
        time.sleep(0.1)
        return False
    return True


def test_too_many_detections_leave_the_weakest_out():
    many = [{"x": 1.5, "y": 2.5, "score": 1 - i / 5000, "label": "target"} for i in range(5000)]
    data = encode({"v": 1, "frame": 3, "detections": many, "tracks": []})
    message = json.loads(data)
    assert len(data) <= LARGEST
    assert len(message["detections"]) + message["left_out"] == 5000
    assert message["detections"] == many[: len(message["detections"])]
    assert len(message["detections"]) > 500


def test_what_nobody_takes_is_counted():
    udp = Udp("127.0.0.1", 9)
    for _ in range(3):
        udp.send({"detections": []})
    assert sum(udp.counts.values()) == 3
    udp.close()
    nowhere = Udp("no-such-host.invalid", 5005)  # as before there is a network
    nowhere.send({"detections": []})
    assert dict(nowhere.counts) == {"unsent": 1}
    wait_for(lambda: "no such host" in nowhere.trouble)
    nowhere.close()
    mqtt = Mqtt(Broker("127.0.0.1", 9, "sky", False), name="irdim-test")
    mqtt.send({"detections": []})
    assert dict(mqtt.counts) == {"unsent": 1}
    mqtt.close()


@pytest.mark.parametrize(
    ("every", "first"),
    [
        (0.2, "127.0.0.1"),  # it has moved: nothing fails, and nobody hears
        (3600.0, "255.255.255.255"),  # which a datagram may not be sent to: an error
    ],
)
def test_a_udp_host_that_moves_is_found_again(monkeypatch, every, first):
    monkeypatch.setattr(network, "RESOLVE_EVERY", every)
    monkeypatch.setattr(network, "RESOLVE_AGAIN", 0.1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.2", 0))
        listener.settimeout(0.1)
        port = listener.getsockname()[1]
        found = [first]

        def resolve(host: str, port: int, **more: object) -> list[tuple]:
            assert host == "listener.example"
            return [(socket.AF_INET, socket.SOCK_DGRAM, 0, "", (found[0], port))]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        udp = Udp("listener.example", port)
        udp.send({"detections": []})
        assert bool(udp.counts["unsent"]) == bool(udp.trouble) == (first != "127.0.0.1")
        found[0] = "127.0.0.2"

        def heard() -> bool:
            udp.send({"detections": []})
            with contextlib.suppress(TimeoutError):
                return bool(listener.recv(65536))
            return False

        wait_for(heard)
        assert not udp.trouble
        found[0] = ""
        monkeypatch.setattr(socket, "getaddrinfo", unknown)  # a name server that is away costs nothing
        time.sleep(0.5)
        assert heard()
        udp.close()


def unknown(*_: object, **__: object) -> list[tuple]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_two_cameras_of_a_device_with_a_long_name_are_two_clients():
    """A broker throws out the one that it has when another comes under the same name."""
    device = "mast-on-the-hill-behind-the-lighthouse-of-the-northern-harbour-mole"
    names = [client_name(f"irdim-{device}-{camera}") for camera in ("west", "east")]
    assert len(set(names)) == 2
    assert [len(name) for name in names] == [64, 64]
    assert client_name("irdim-mast-3-west") == "irdim-mast-3-west"


@pytest.mark.parametrize("text", ["host", "host:", ":5", "host:70000", "host:5/x", "me@host:5", ""])
def test_a_wrong_udp_address_is_refused(text):
    with pytest.raises(ValueError, match="host:port"):
        split_address(text)


@pytest.mark.parametrize("text", ["mqtt://host", "host/topic", "mqtt://host/a/#", "http://host/topic", "mqtt:///topic"])
def test_a_wrong_broker_is_refused(text):
    with pytest.raises(ValueError, match="must be mqtt"):
        Broker.parse(text)


def test_addresses_are_read():
    assert split_address("[::1]:5005") == ("::1", 5005)
    assert Broker.parse("mqtts://broker/sky/west") == Broker("broker", 8883, "sky/west", True)


@given(
    x=st.floats(0, 640),
    y=st.floats(0, 512),
    azimuth=st.floats(-360, 360),
    elevation=st.floats(-60, 60),
    roll=st.floats(-180, 180),
)
def test_a_bearing_is_the_ray_turned_by_roll_elevation_and_azimuth(x, y, azimuth, elevation, roll):
    """East, north, up; slow and by matrices."""
    across, down = math.tan(math.radians(12)), math.tan(math.radians(9))
    ray = np.array([(x - 320) / 320 * across, 1.0, -(y - 256) / 256 * down])  # right, ahead, up of the camera
    r, e, a = np.radians([roll, elevation, azimuth])
    about_axis = np.array([[np.cos(r), 0, np.sin(r)], [0, 1, 0], [-np.sin(r), 0, np.cos(r)]])
    raised = np.array([[1, 0, 0], [0, np.cos(e), -np.sin(e)], [0, np.sin(e), np.cos(e)]])
    turned = np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]])
    east, north, up = turned @ raised @ about_axis @ ray
    found = Optics((24.0, 18.0), azimuth, elevation, roll).bearing(x, y, (512, 640))
    wanted = math.degrees(math.atan2(east, north)) % 360
    assert (found[0] - wanted + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)
    assert found[1] == pytest.approx(math.degrees(math.atan2(up, math.hypot(east, north))), abs=1e-6)


def test_a_camera_that_is_rolled_clockwise_sees_the_horizon_turn():
    """With the camera turned clockwise by 90 degrees, what lies at the right edge of its frame lies below the axis."""
    azimuth, elevation = Optics((10.0, 10.0), 90.0, 0.0, 90.0).bearing(100, 50, (100, 100))
    assert azimuth == pytest.approx(90)
    assert elevation == pytest.approx(-5)
