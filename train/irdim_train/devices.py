"""Where training runs, and in which precision."""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch

from irdim.errors import InputError


def choose_device(name: str = "auto") -> torch.device:
    """'auto' takes CUDA where there is one. Raises InputError for a device that is not there, or neither a CPU nor CUDA."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise InputError(f"device '{name}' is not known; use cpu, cuda or cuda:1")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {name}: torch finds no CUDA here; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device {name}: there are {torch.cuda.device_count()} GPUs, counted from cuda:0")
    return device


@lru_cache(maxsize=4)
def use_bfloat16(device: torch.device) -> bool:
    """bfloat16 where the hardware multiplies in it; on other processors it is emulated, and slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(bool(v) and ("bf16" in k) for k, v in capabilities.items())


@lru_cache(maxsize=1)
def worker_threads(count: int) -> ThreadPoolExecutor:
    """For work beside which torch's own threads have nothing to do."""
    return ThreadPoolExecutor(count, "irdim-train")
