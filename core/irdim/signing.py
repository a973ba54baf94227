"""Ed25519 signatures of devices (RFC 8032): a private key that stays on the device, a public one in hex that the workstation trusts.

`cryptography` is imported when it is used.
"""

import contextlib
import os
import re
from pathlib import Path
from typing import Any

from irdim.errors import InputError
from irdim.files import make_folder, sync_folder

_PUBLIC = re.compile("[0-9a-f]{64}")


class Signer:
    """Signs with a device's private key. device_key: its public half, 64 hex digits."""

    def __init__(self, private: Any) -> None:
        """private: cryptography's Ed25519PrivateKey."""
        self._private = private
        self.device_key: str = private.public_key().public_bytes_raw().hex()

    @classmethod
    def load(cls, path: Path) -> "Signer":
        """Raises InputError where there is no such key, others may read it, or it is no unencrypted Ed25519 key (PEM, PKCS #8)."""
        ed25519, serialization, _ = _cryptography()
        path = Path(path)
        try:
            text = path.read_bytes()
            mode = path.stat().st_mode
        except OSError as error:
            raise InputError(f"{path}: no device key ({error.strerror}); make one with irdim-edge keygen") from None
        if mode & 0o077:
            raise InputError(f"{path}: others may read this private key; chmod 600 {path}")
        private: object = None
        with contextlib.suppress(ValueError, TypeError):
            private = serialization.load_pem_private_key(text, password=None)
        if not isinstance(private, ed25519.Ed25519PrivateKey):
            raise InputError(f"{path}: not a private device key; irdim-edge keygen makes one")
        return cls(private)

    def sign(self, data: bytes) -> bytes:
        """The signature of `data`, 64 bytes."""
        return bytes(self._private.sign(data))


def generate_key(path: Path) -> str:
    """Make a device's private key in a new file that only its owner may read (PEM, PKCS #8); returns the public key in hex.

    Raises InputError where the file is there: logs signed with a lost key can never be verified anew.
    """
    ed25519, serialization, _ = _cryptography()
    path, private = Path(path), ed25519.Ed25519PrivateKey.generate()
    text = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # unlike a rename, never onto a key that is there
    except FileExistsError:
        raise InputError(f"{path}: a key is there already and stays; choose another name") from None
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return Signer(private).device_key


def verify(public_hex: str, data: bytes, signature: bytes) -> bool:
    """Whether `signature` is that of `data` by the key; False for anything that is no key or no signature."""
    ed25519, _, InvalidSignature = _cryptography()
    if not is_public_key(public_hex):
        return False
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_hex)).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def signature_of(data: bytes, signer: Signer) -> dict[str, str]:
    """What a `signature.json` says: `key` and `signature`, in hex."""
    return {"key": signer.device_key, "signature": signer.sign(data).hex()}


def signed_by(said: Any, data: bytes) -> str | None:
    """The key whose signature of `data` a `signature.json`, parsed, holds; None where it holds none, or that of something else."""
    try:
        key, signature = said["key"], bytes.fromhex(said["signature"])
    except (KeyError, TypeError, ValueError):
        return None
    return str(key) if verify(key, data, signature) else None


def is_public_key(text: str) -> bool:
    """Whether a text has the form of a public key: 64 lower-case hex digits."""
    return isinstance(text, str) and _PUBLIC.fullmatch(text) is not None


def read_public_key(text: str) -> str:
    """A public key from itself, or from the file that holds it (`irdim-edge keygen` writes one). Raises InputError."""
    if is_public_key(text):
        return text
    found = ""
    with contextlib.suppress(OSError, ValueError), Path(text).open("rb") as file:
        found = file.read(1000).decode("ascii", "replace").strip()
    if "PRIVATE KEY" in found:
        raise InputError(f"{text}: a private key, which stays on its device; give the public one ({text}.pub)")
    if not is_public_key(found):
        raise InputError(f"{text}: neither a public key (64 hex digits) nor a file that holds one")
    return found


def _cryptography() -> tuple[Any, Any, Any]:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise InputError("signatures need the package cryptography; install irdim[edge] or irdim[train]") from None
    return ed25519, serialization, InvalidSignature
