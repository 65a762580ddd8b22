"""How models are called, drawn and ordered wherever they are shown: by their kinds, the reference last.

Names that no installed kind has, a campaign's own or those of a package that is not there, get a spare look, the same
in every process.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..core.looks import Look, spare_look
from ..fitting.kinds.registry import MODELS

REFERENCE: Final = "reference"
REFERENCE_LOOK: Final = Look(REFERENCE, "#3d444b", "diamond")


def model_look(name: str) -> Look:
    """Return the look of a model, the same in all figures."""
    if name == REFERENCE:
        return REFERENCE_LOOK
    return MODELS.get(name).look if name in MODELS else spare_look(name)


def model_name(name: str) -> str:
    """Return what a model is called in text."""
    return model_look(name).label


def model_place(name: str) -> tuple[bool, int, str]:
    """Return what models are sorted by: kinds as they are registered, then others by name, the reference last."""
    names = MODELS.names
    return name == REFERENCE, names.index(name) if name in names else len(names), name


def in_order(names: Iterable[str]) -> list[str]:
    """Return each of the names once, sorted by `model_place`."""
    return sorted(set(names), key=model_place)
