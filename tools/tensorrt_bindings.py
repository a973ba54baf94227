"""Real TensorRT Python bindings that import without a GPU, for tests/export/test_tensorrt_api.py.

    python tools/tensorrt_bindings.py .tensorrt

Fetches the bindings of a few versions from PyPI (1 MB each), without NVIDIA's libraries (gigabytes): what the bindings would load is
a dozen functions, for which empty ones are compiled. So classes, methods, flags and signatures are the real ones; nothing can be built or run.
"""

import subprocess
import sys
import zipfile
from pathlib import Path

VERSIONS = {
    "8.6": ("tensorrt-bindings==8.6.1", 8),
    "10.3": ("tensorrt-cu12-bindings==10.3.0", 10),
    "10.16": ("tensorrt-cu13-bindings==10.16.1.11", 10),
    "11.4": ("tensorrt-cu13-bindings==11.4.0.106", 11),
}
LIBRARIES = ("nvinfer", "nvonnxparser", "nvinfer_plugin", "nvparsers")
FUNCTIONS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
    "_ZN11nvuffparser15createUffParserEv",  # the parsers that 8.6 still has
    "_ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi",
    "_ZN14nvcaffeparser117createCaffeParserEv",
    "_ZN14nvcaffeparser123shutdownProtobufLibraryEv",
)


def main(folder: Path) -> None:
    """Fetch what is not there yet: FOLDER/VERSION/tensorrt_bindings and FOLDER/VERSION/lib."""
    for name, (package, major) in VERSIONS.items():
        there = folder / name
        if (there / "lib").is_dir():
            continue
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", str(there)]
        subprocess.run([*pip, package], check=True)
        for wheel in there.glob("*.whl"):
            zipfile.ZipFile(wheel).extractall(there)
        _compile(there / "lib", major)
        print(f"{package}: {there}")


def _compile(folder: Path, major: int) -> None:
    folder.mkdir()
    source = folder / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in FUNCTIONS))
    for library in LIBRARIES:
        file = f"lib{library}.so.{major}"
        subprocess.run(
            ["cc", "-shared", "-fPIC", f"-Wl,-soname,{file}", "-o", str(folder / file), str(source)], check=True
        )


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".tensorrt"))
