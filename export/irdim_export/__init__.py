"""A run becomes a bundle: ONNX, INT8 Q/DQ, parity."""
