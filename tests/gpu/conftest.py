"""A real GPU for these tests; without one they are skipped, and the summary says why in one line. Run by `make test-gpu`."""

import pytest

from irdim.cuda.gpu import Gpu
from irdim.engines.tensorrt_api import load_tensorrt
from irdim.errors import InputError

missing: dict[str, None] = {}  # in the order in which it was missed


@pytest.fixture(scope="session")
def gpu() -> Gpu:
    try:
        return Gpu()
    except InputError as error:
        missing[str(error)] = None
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def with_tensorrt(gpu: Gpu) -> None:
    try:
        load_tensorrt()
    except InputError as error:
        missing[str(error)] = None
        pytest.skip(str(error))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reason in missing:
        terminalreporter.write_line(f"tests/gpu, skipped: {reason}")
