"""A run becomes a bundle: ONNX, INT8 Q/DQ, parity."""

import irdim_train  # noqa: F401 - before torch: it sets how torch's threads wait
