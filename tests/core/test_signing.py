import os
import shutil
import stat
import subprocess
import zipfile

import pytest
from forging import suspect

from irdim.errors import InputError
from irdim.fieldlog import write_log
from irdim.signing import Signer, generate_key, is_public_key, signature_of, signed_by, verify


@pytest.fixture
def key(tmp_path):
    generate_key(tmp_path / "device.key")
    return tmp_path / "device.key"


def test_what_is_signed_is_verified_and_nothing_else(key, tmp_path):
    signer = Signer.load(key)
    other = generate_key(tmp_path / "other.key")
    signature = signer.sign(b"frames")
    assert verify(signer.device_key, b"frames", signature)
    assert not verify(signer.device_key, b"frames!", signature)
    assert not verify(signer.device_key, b"frames", signature[:-1] + bytes([signature[-1] ^ 1]))
    assert not verify(other, b"frames", signature)
    for public, wrong in (("", signature), ("zz" * 32, signature), (signer.device_key, b"")):
        assert not verify(public, b"frames", wrong)


def test_what_stands_beside_signed_data_names_who_signed_it_and_nothing_else_does(key):
    signer = Signer.load(key)
    said = signature_of(b"frames", signer)
    assert signed_by(said, b"frames") == signer.device_key
    assert signed_by(said, b"frames!") is None
    for wrong in ([], None, "", {}, {"key": said["key"]}):
        assert signed_by(wrong, b"frames") is None
    for public in (1, [], "x", said["key"].upper()):
        assert signed_by({**said, "key": public}, b"frames") is None
    for signature in (3, "zz", "", "00", said["signature"][:-2], [0] * 64):
        assert signed_by({**said, "signature": signature}, b"frames") is None


def test_a_private_key_is_the_owners_alone_and_is_never_overwritten(key):
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    with pytest.raises(InputError, match="is there already"):
        generate_key(key)
    assert key.read_bytes() == before
    assert [p.name for p in key.parent.iterdir()] == [key.name]


def test_the_public_key_is_the_same_each_time(key):
    public = Signer.load(key).device_key
    assert is_public_key(public)
    assert Signer.load(key).device_key == public


def test_a_key_that_others_may_read_is_refused(key):
    key.chmod(0o640)
    with pytest.raises(InputError, match="chmod 600"):
        Signer.load(key)


@pytest.mark.parametrize("text", [b"", b"no key", b"\xff" * 100])
def test_what_is_no_key_is_refused(tmp_path, text):
    path = tmp_path / "device.key"
    path.touch(0o600)
    path.write_bytes(text)
    with pytest.raises(InputError, match="not a private device key"):
        Signer.load(path)
    with pytest.raises(InputError, match="no device key"):
        Signer.load(tmp_path / "none.key")


def test_an_interrupted_keygen_leaves_no_half_key(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        generate_key(tmp_path / "device.key")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
def test_openssl_verifies_a_log_too(key, tmp_path):
    """The signature is plain Ed25519 over the bytes of log.json: nobody needs irdim to check it."""
    path = write_log(tmp_path / "logs", suspect(), Signer.load(key))
    with zipfile.ZipFile(path) as file:
        (tmp_path / "log.json").write_bytes(file.read("log.json"))
        text = file.read("signature.json").decode()
    (tmp_path / "signature").write_bytes(bytes.fromhex(text.split('"signature": "')[1][:128]))
    run = ["openssl", "pkeyutl", "-verify", "-inkey", key, "-rawin", "-in", tmp_path / "log.json"]
    done = subprocess.run([*run, "-sigfile", tmp_path / "signature"], capture_output=True, text=True)
    assert "Signature Verified Successfully" in done.stdout
    (tmp_path / "log.json").write_bytes((tmp_path / "log.json").read_bytes() + b" ")
    assert subprocess.run([*run, "-sigfile", tmp_path / "signature"], capture_output=True).returncode
