"""The state of the loop: what devices saw, what arrived, what people made of it, and whether the world still looks like the training data."""

from irdim_train.reporting.loop import Loop, Row, state_of_loop

__all__ = ["Loop", "Row", "state_of_loop"]
