"""Output: what is said of each frame, in files and over the network."""
