"""Which patches calibrate an INT8 graph, and the ranges that they give."""
