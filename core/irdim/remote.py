"""Where field logs travel: any fsspec URL. SFTP goes through a client of our own that checks the server's host key."""

import base64
import contextlib
import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec

from irdim.errors import InputError
from irdim.files import read_json

TIMEOUT = 15.0  # seconds that a server may take to connect, or to answer a request
_SECRET = re.compile("pass|secret|token|key|sig|credential", re.IGNORECASE)
_SECRET_ENVIRONMENT = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def open_remote(
    url: str,
    *,
    known_hosts: Path | None = None,
    identity: Path | None = None,
    options: Mapping[str, Any] | None = None,
    timeout: float = TIMEOUT,
) -> tuple[Any, str]:
    """Open an fsspec URL; returns its file system and the path in it. A plain path is `file://`.

    known_hosts: OpenSSH file with the host keys of SFTP servers; the user's and the system's where it is None. identity: SSH key file.
    options: fsspec's storage options of the protocol (see `read_options`). timeout: seconds that an SFTP or S3 server may take to answer.
    Raises InputError where the protocol is not installed, or where an SFTP server's key is unknown or another than before.
    """
    protocol, options = _protocol(url), dict(options or {})
    if "::" in url:  # fsspec would open the last of a chain by itself, and take any host key
        raise InputError(f"{hide_password(url)}: chained URLs are not opened; give that of the server itself")
    try:
        if protocol in ("sftp", "ssh"):
            return _open_sftp(url, known_hosts, identity, options, timeout)
        if protocol in ("s3", "s3a"):
            return _open_s3(url, options, timeout)
        fs, path = fsspec.core.url_to_fs(url, skip_instance_cache=True, **options)
    except ImportError as error:
        raise _not_installed(url, protocol, error) from None
    except (ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{hide_password(url)}: not an fsspec URL ({error})") from None
    return fs, str(path)


def close_remote(fs: Any) -> None:
    """Give back the connection of a file system that is not used again; an SFTP client that nobody closes keeps a thread and a socket."""
    if callable(close := getattr(fs, "close_connection", None)):
        with contextlib.suppress(Exception):  # it may be broken
            close()


def check_url(url: str) -> None:
    """Raises InputError where a URL cannot be used, as far as that shows without a connection."""
    protocol = _protocol(url)
    try:
        fsspec.get_filesystem_class(protocol)
        host = urlsplit(url).hostname
    except ImportError as error:
        raise _not_installed(url, protocol, error) from None
    except ValueError as error:
        raise InputError(f"{hide_password(url)}: not an fsspec URL ({error})") from None
    if protocol != "file" and not host:
        raise InputError(f"{hide_password(url)}: names no host; write {protocol}://HOST/PATH")


def read_options(path: Path) -> dict[str, Any]:
    """fsspec's storage options from a JSON file, which others may not read since it holds credentials. Raises InputError."""
    options = read_json(path, "file of storage options")
    if not isinstance(options, dict):
        raise InputError(f'{path}: must be a JSON object, such as {{"key": "...", "secret": "..."}}')
    if path.stat().st_mode & 0o077:
        raise InputError(f"{path}: holds credentials and others may read it; chmod 600 {path}")
    return options


def hide_password(url: str) -> str:
    """The URL as it may be printed."""
    if password := _password(url):
        url = url.replace(f":{password}@", ":***@", 1)
    return re.sub(r"([?&][^=&]*=)[^&]*", r"\1***", url)


def _password(url: str) -> str:
    """What stands between the user's name and the last @, even where it holds a slash or the name an @; empty where there is none."""
    user, colon, password = url.partition("://")[2].rpartition("@")[0].partition(":")
    return "" if not colon or "/" in user or re.match(r"[0-9]+/", password) else password  # HOST:PORT/PATH@... has none


def has_password(url: str) -> bool:
    """Whether a URL holds a credential."""
    return hide_password(url) != url


def describe_failure(url: str, error: BaseException, options: Mapping[str, Any] | None = None) -> str:
    """A failure in one line, without credentials."""
    text = " ".join(str(error).split()) or type(error).__name__
    for secret in _secrets(url, options or {}):
        text = text.replace(secret, "***")
    return text if isinstance(error, InputError) else f"{hide_password(url)}: {text}"


def remote_digest(fs: Any, path: str, pace: Callable[[int], None] = lambda size: None) -> tuple[int, str]:
    """Size and hex SHA-256 of a remote file, read back in blocks. pace: called with the size of each, and may wait."""
    digest, size = hashlib.sha256(), 0
    with fs.open(path, "rb") as file:
        while block := file.read(1 << 18):
            pace(len(block))
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


def _protocol(url: str) -> str:
    return url.split("://", 1)[0] if "://" in url else "file"


def _not_installed(url: str, protocol: str, error: ImportError) -> InputError:
    extra = "; pip install 'irdim[s3]'" if protocol in ("s3", "s3a") else ""
    return InputError(f"{hide_password(url)}: '{protocol}' needs a package that is not installed ({error}){extra}")


def _secrets(url: str, options: Mapping[str, Any]) -> set[str]:
    """What must not be printed: the URL's password, credentials among the options, those in the environment."""
    password = _password(url)
    found = {password, unquote(password), *(os.environ.get(name, "") for name in _SECRET_ENVIRONMENT)}
    for key, value in options.items():
        if isinstance(value, Mapping):
            found |= _secrets("", value)
        elif _SECRET.search(key) and isinstance(value, str):
            found.add(value)
    return found - {""}


def _open_s3(url: str, options: dict[str, Any], timeout: float) -> tuple[Any, str]:
    """A bounded wait for each answer, and few tries: whoever calls tries again."""
    given = options.pop("config_kwargs", {})
    config = {"connect_timeout": timeout, "read_timeout": timeout, "retries": {"max_attempts": 0}, **given}
    fs, path = fsspec.core.url_to_fs(url, skip_instance_cache=True, config_kwargs=config, **options)
    fs.retries = 3  # of one request; a third of them may fail and most files still get through
    return fs, str(path)


def _open_sftp(
    url: str, known_hosts: Path | None, identity: Path | None, more: dict[str, Any], timeout: float
) -> tuple[Any, str]:
    import paramiko

    # what fails is told by us, in one line, not by its traceback
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
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
            options = {"timeout": timeout, "banner_timeout": timeout, "auth_timeout": timeout, **self.ssh_kwargs}
            if identity is not None:
                options.update(key_filename=str(identity), look_for_keys=False, allow_agent=False)
            watchdog = threading.Timer(3 * timeout, self.client.close)  # paramiko waits for ever for some answers
            watchdog.daemon = True
            watchdog.start()
            try:
                self.client.connect(self.host, **options)
                self.ftp = self.client.open_sftp()
            except BaseException:
                self.client.close()
                raise
            finally:
                watchdog.cancel()
            self.ftp.get_channel().settimeout(timeout)

        def close_connection(self) -> None:
            self.client.close()

    if known_hosts is not None and not known_hosts.is_file():
        raise InputError(f"{known_hosts}: there is no such known_hosts file")
    if identity is not None and not identity.is_file():
        raise InputError(f"{identity}: there is no such SSH key")
    options = {**SFTPFileSystem._get_kwargs_from_urls(url), **more}
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
