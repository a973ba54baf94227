"""Where field logs travel: any fsspec URL. SFTP goes through a client of our own that checks the server's host key."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import fsspec

from irdim.errors import InputError

TIMEOUT = 15.0  # seconds that a server may take to connect, or to answer a request


def open_remote(url: str, *, known_hosts: Path | None = None, identity: Path | None = None) -> tuple[Any, str]:
    """Open an fsspec URL; returns its file system and the path in it. A plain path is `file://`.

    known_hosts: OpenSSH file with the host keys of SFTP servers; the user's and the system's where it is None. identity: SSH key file.
    Raises InputError where the protocol is not installed, or where an SFTP server's key is unknown or another than before.
    """
    protocol = url.split("://", 1)[0] if "://" in url else "file"
    try:
        if protocol in ("sftp", "ssh"):
            return _open_sftp(url, known_hosts, identity)
        fs, path = fsspec.core.url_to_fs(url, skip_instance_cache=True)
    except ImportError as error:
        raise InputError(
            f"{hide_password(url)}: '{protocol}' needs a package that is not installed ({error})"
        ) from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{hide_password(url)}: not an fsspec URL ({error})") from None
    return fs, str(path)


def hide_password(url: str) -> str:
    """The URL as it may be printed."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", url)


def remote_digest(fs: Any, path: str) -> tuple[int, str]:
    """Size and hex SHA-256 of a remote file, read back in blocks."""
    digest, size = hashlib.sha256(), 0
    with fs.open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


def _open_sftp(url: str, known_hosts: Path | None, identity: Path | None) -> tuple[Any, str]:
    import paramiko
    from fsspec.implementations.sftp import SFTPFileSystem

    class RefuseUnknown(paramiko.MissingHostKeyPolicy):
        def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
            where = known_hosts or "~/.ssh/known_hosts"
            raise InputError(
                f"{hostname}: unknown SFTP host key {key.get_name()} {_fingerprint(key)}; compare it with the server's, then add it to {where}"
            )

    class VerifiedSFTP(SFTPFileSystem):
        """fsspec's SFTP accepts any host key by default; this one only those that are known."""

        cachable = False

        def _connect(self) -> None:
            self.client = paramiko.SSHClient()
            self.client.set_missing_host_key_policy(RefuseUnknown())
            if known_hosts is None:
                self.client.load_system_host_keys()
                if (system := Path("/etc/ssh/ssh_known_hosts")).is_file():
                    self.client.load_system_host_keys(str(system))
            else:
                self.client.load_host_keys(str(known_hosts))
            options = {"timeout": TIMEOUT, "banner_timeout": TIMEOUT, "auth_timeout": TIMEOUT, **self.ssh_kwargs}
            if identity is not None:
                options.update(key_filename=str(identity), look_for_keys=False, allow_agent=False)
            try:
                self.client.connect(self.host, **options)
                self.ftp = self.client.open_sftp()
            except BaseException:
                self.client.close()
                raise
            self.ftp.get_channel().settimeout(TIMEOUT)

    if known_hosts is not None and not known_hosts.is_file():
        raise InputError(f"{known_hosts}: there is no such known_hosts file")
    if identity is not None and not identity.is_file():
        raise InputError(f"{identity}: there is no such SSH key")
    options = SFTPFileSystem._get_kwargs_from_urls(url)
    if not options.get("host"):
        raise InputError(f"{hide_password(url)}: names no host; write sftp://user@host:port/path")
    try:
        return VerifiedSFTP(**options), str(SFTPFileSystem._strip_protocol(url))
    except paramiko.BadHostKeyException as error:
        raise InputError(
            f"{options['host']}: the SFTP host key is not the known one (now {_fingerprint(error.key)}); somebody may be in between, "
            "nothing was sent"
        ) from None
    except paramiko.AuthenticationException as error:
        raise InputError(f"{hide_password(url)}: the server refuses the log-in ({error}); check user and key") from None


def _fingerprint(key: Any) -> str:
    """As `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
