"""Errors in the words of what the user typed: options of a command, or keys of the configuration."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from irdim.errors import InputError

OPTION_OF = {  # of irdim-edge config
    "camera.paths": "--source",
    "camera.stream": "--stream",
    "camera.rate": "--rate",
    "camera.step = ": "--step ",
    "camera.step": "--step",
    "upload.url": "--upload",
    "serve.port": "--serve",
}
WITHOUT_TENSORRT = {"take --engine onnxruntime": 'set engine = "onnxruntime" in the configuration of irdim-edge run'}


@contextmanager
def reworded(words: Mapping[str, str]) -> Iterator[None]:
    """An InputError inside comes out with each of `words` replaced."""
    try:
        yield
    except InputError as error:
        text = str(error)
        for word, other in words.items():
            text = text.replace(word, other)
        raise InputError(text) from None
