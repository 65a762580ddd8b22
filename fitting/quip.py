"""QUIP, where it is: the package quippy-ase is imported here alone, and only when QUIP is asked for by name.

It is compiled, has no wheel on some platforms, and its licence is an academic one: everything but what names it works
without.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..core.errors import InputError

REMEDY = (
    "install it with `pip install quippy-ase` (its licence is for academic use), or leave the backend at native: the "
    "same numbers, without it"
)


class QuipMissing(InputError):
    """QUIP was asked for and cannot be used."""


class QuipState(StrEnum):
    """Whether QUIP can be used."""

    PRESENT = "present"
    ABSENT = "absent"
    BROKEN = "broken"


@dataclass(frozen=True)
class Quip:
    """What there is of QUIP.

    Attributes
    ----------
    state
        Whether it can be used.
    version
        That of the package quippy-ase; empty if it is not installed.
    reason
        Why it cannot be used, in one line; empty if it can.
    potential
        The class quippy.potential.Potential; None if it cannot be used.
    """

    state: QuipState
    version: str
    reason: str
    potential: Any = None


def find_quip() -> Quip:
    """Import QUIP and say what came of it: a package that is there may still not be one that can be loaded."""
    try:
        version = importlib.metadata.version("quippy-ase")
    except importlib.metadata.PackageNotFoundError:
        version = ""
    try:
        potential = importlib.import_module("quippy.potential").Potential
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "quippy":
            return Quip(QuipState.ABSENT, version, "the package quippy-ase is not installed")
        return Quip(QuipState.BROKEN, version, _said(error))
    # A compiled package may fail in any way: a shared library that is missing, another NumPy than it was built for.
    except Exception as error:
        return Quip(QuipState.BROKEN, version, _said(error))
    return Quip(QuipState.PRESENT, version, "", potential)


def _said(error: Exception) -> str:
    return f"the package quippy-ase cannot be imported: {type(error).__name__}: {' '.join(str(error).split())}"


def quip_potential() -> Any:
    """Return the class ``quippy.potential.Potential``.

    Raises
    ------
    QuipMissing
        If it is not there or cannot be loaded.
    """
    found = find_quip()
    if found.potential is None:
        raise QuipMissing(f"QUIP was asked for, and {found.reason}; {REMEDY}")
    return found.potential
