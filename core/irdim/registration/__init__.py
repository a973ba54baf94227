"""How far the camera moved between two frames, and between those of a stack."""

from irdim.registration.stack import Motion, stack_shifts
from irdim.registration.texture import Texture, texture
from irdim.registration.translation import estimate_shift

__all__ = ["Motion", "Texture", "estimate_shift", "stack_shifts", "texture"]
