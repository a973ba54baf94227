"""The input step on the GPU: frames in a ring in device memory, irdim.differencing as CUDA kernels, straight into the engine's input."""
