"""The kinds of model."""

from typing import Literal

ModelKind = Literal["gap", "es-gap"]
"""With or without electrostatics of fixed charges underneath."""
