"""irdim[edge] on aarch64, in a Debian root under qemu-user: python tools/test_arm64.py (make test-arm64).

A Debian root in .arm64/ (debootstrap; the first run takes up to half an hour, later ones use the root again), irdim[edge] installed there from the wheel of the
working tree, and the daemon replaying generated sequences; beside it the same wheel on this machine. FP32 scores must agree within 1e-3, and
99.5 % of the INT8 detections lie within 0.5 px. Needs root, debootstrap and qemu-user with binfmt; says so where one is missing.
"""

import os
import shutil
import subprocess
import time
from pathlib import Path

import edge_alone as edge
import typer

from irdim.command_line import run_command
from irdim.errors import InputError

FOLDER = edge.ROOT / ".arm64"
DEBIAN = FOLDER / "root"
READY = FOLDER / "root.ready"
SUITE, PYTHON = "bookworm", "3.11"  # Debian's release, and the Python in it
PACKAGES = "python3,python3-venv,ca-certificates"
BINFMT = Path("/proc/sys/fs/binfmt_misc")
INSTALL = "apt-get update && apt-get install -y debootstrap qemu-user-static binfmt-support"
# Jetson Orin's cores, as ONNX Runtime looks at them before it chooses its kernels; qemu has no Cortex-A78AE, and the A76 computes as it does
QEMU_CPU = "cortex-a76"
CORE = """processor\t: {}
BogoMIPS\t: 62.50
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd42
CPU revision\t: 1

"""
# in a mount namespace of its own, which goes with the command
MOUNTS = (
    'mount -t proc proc "$0/proc" && mount --bind "$0/cpuinfo" "$0/proc/cpuinfo" && mount -t sysfs -o ro sysfs "$0/sys"'
)
ENTER = ("unshare", "--mount", "sh", "-c", f'{MOUNTS} && exec chroot "$0" "$@"')
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def test_arm64() -> None:
    """Set up the root where it is not there, install, replay on both, compare."""
    check_tools()
    FOLDER.mkdir(exist_ok=True)
    if not READY.exists():
        make_root()
    python = edge.find_python(PYTHON)
    if python is None:
        raise InputError(
            f"no CPython {PYTHON} here to compare with (Debian {SUITE} has it); install one (pyenv install {PYTHON})"
        )
    wheel, recordings = edge.build_wheel(FOLDER), edge.generate(FOLDER)
    here = edge.make_environment(python, wheel, FOLDER / "x86-64")
    work = prepare(wheel, recordings)
    for precision in edge.PRECISIONS:
        expected = edge.replay([here / "bin" / "irdim-edge"], recordings, FOLDER / "out", precision)
        began = time.monotonic()
        found = replay_there(work, precision)
        edge.judge(f"aarch64, {precision}", edge.compare(expected, found), precision)
        edge.console.print(f"  {len(found) / (time.monotonic() - began):.1f} frames/s under qemu, start included")


def check_tools() -> None:
    """Raises InputError with what is missing."""
    if os.getuid() != 0:
        raise InputError("make test-arm64 needs root (debootstrap and chroot do)")
    missing = [tool for tool in ("debootstrap", "qemu-aarch64-static", "unshare", "chroot") if not shutil.which(tool)]
    if missing:
        raise InputError(f"no {missing[0]} here; {INSTALL}")
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT], stderr=subprocess.DEVNULL)
    if not (BINFMT / "qemu-aarch64").exists() and shutil.which("update-binfmts"):
        subprocess.run(["update-binfmts", "--enable", "qemu-aarch64"], stderr=subprocess.DEVNULL)
    if not (BINFMT / "qemu-aarch64").exists():
        raise InputError(
            f"the kernel does not run aarch64 programs through qemu (no {BINFMT}/qemu-aarch64); {INSTALL}, and run this with mount rights"
        )


def make_root() -> None:
    """Debian, and a virtual environment in it; anew where an earlier try broke off."""
    shutil.rmtree(DEBIAN, ignore_errors=True)
    edge.console.print(f"Debian {SUITE} for aarch64 into {DEBIAN}: ten to fifteen minutes")
    log = (FOLDER / "debootstrap.log").open("w")
    options = ("--arch=arm64", "--variant=minbase", "--foreign", f"--include={PACKAGES}")
    edge.run("debootstrap", *options, SUITE, DEBIAN, stdout=log, stderr=log)
    edge.run("chroot", DEBIAN, "/debootstrap/debootstrap", "--second-stage", stdout=log, stderr=log)
    READY.touch()


def prepare(wheel: Path, recordings: Path) -> Path:
    """The wheel installed and the recordings copied; returns the folder of work there, as seen from there."""
    for path in (Path("/etc/resolv.conf"), CERTIFICATES):  # names and trust as here, a company's proxy included
        if path.exists():
            shutil.copy(path, DEBIAN / path.relative_to("/"))
    (DEBIAN / "cpuinfo").write_text("".join(CORE.format(i) for i in range(os.cpu_count() or 1)))
    work = Path("/srv/irdim")
    inside(work).mkdir(parents=True, exist_ok=True)
    for old in inside(work).glob("*.whl"):
        old.unlink()
    shutil.copy(wheel, inside(work))
    shutil.copytree(recordings, inside(work / "recordings"), dirs_exist_ok=True)
    python = work / "venv" / "bin" / "python"
    if not inside(work / "venv" / "bin" / "pip").exists():
        enter("python3", "-m", "venv", work / "venv")
    shutil.copy(edge.PINS, inside(work / "pins.txt"))
    edge.install_edge(python, work / wheel.name, work / "pins.txt", prefix=(*ENTER, DEBIAN), env=environment())
    machine = subprocess.run([*ENTER, DEBIAN, "uname", "-m"], capture_output=True, text=True).stdout.strip()
    if machine != "aarch64":
        raise InputError(f"{DEBIAN}: is {machine or 'broken'}, not aarch64; remove {FOLDER} and run again")
    return work


def replay_there(work: Path, precision: str) -> dict[tuple[str, int], list[dict]]:
    """As edge_alone.replay, in the root."""
    out = inside(work / "out")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    edge.write_config(out / "edge.toml", work / "recordings", precision)
    enter(work / "venv" / "bin" / "irdim-edge", "run", work / "out" / "edge.toml", stdout=subprocess.DEVNULL)
    return edge.read_lines(out)


def inside(path: Path) -> Path:
    """A path of the root, as seen from here."""
    return DEBIAN / path.relative_to("/")


def enter(*words: object, **more: object) -> None:
    edge.run(*ENTER, DEBIAN, *words, env=environment(), **more)


def environment() -> dict[str, str]:
    """Little of ours: what pip was told of files here does not hold there."""
    kept = {key: value for key, value in os.environ.items() if key.lower().endswith("_proxy")}
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PIP_CERT": str(CERTIFICATES),
        "LC_ALL": "C.UTF-8",
        "QEMU_CPU": QEMU_CPU,
        **kept,
    }


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(test_arm64)
    run_command(app)
