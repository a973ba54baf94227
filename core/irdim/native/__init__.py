"""The input step in machine code of this CPU, where there is a C compiler. NumPy does the same everywhere."""
