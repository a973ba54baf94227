"""The real servers that tests of the edge share."""

from pathlib import Path

import pytest
from servers import S3, Sshd


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory):
    if why := Sshd.missing():
        pytest.skip(why)
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    yield server
    server.stop()


@pytest.fixture(scope="module")  # not longer than it is needed: after cut connections rclone keeps a core busy
def s3(tmp_path_factory: pytest.TempPathFactory):
    if why := S3.missing():
        pytest.skip(why)
    folder: Path = tmp_path_factory.mktemp("s3") / "store"
    folder.mkdir()
    server = S3(folder)
    yield server
    server.stop()


@pytest.fixture(scope="session", autouse=True)
def exported_before_gstreamer(small_bundle: Path) -> None:
    """PyTorch's exporter aborts where it is first used after GStreamer's libraries were loaded into the same process."""
