"""A network in torch as an irdim.engines.Engine."""

import numpy as np
import torch
from torch import nn


class TorchEngine:
    """Runs a GridDetector in float32 on its own device."""

    name = f"torch {torch.__version__}"

    def __init__(self, model: nn.Module, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        self._model = model.to(self.device, memory_format=torch.channels_last).eval()

    @torch.inference_mode()
    def run(self, image: np.ndarray) -> np.ndarray:
        """See Engine.run."""
        batch = torch.from_numpy(image)[None].to(self.device).contiguous(memory_format=torch.channels_last)
        return self._model(batch)[0].float().cpu().numpy()
