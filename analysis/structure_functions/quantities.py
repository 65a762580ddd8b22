"""Kinds of radiation, what measured curves are, and in which units: nothing heavy, for commands name them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal

Radiation = Literal["neutrons", "x-rays"]
RADIATIONS: Final[tuple[Radiation, ...]] = ("neutrons", "x-rays")


class Quantity(StrEnum):
    """What a measured curve is."""

    S = "S"
    I = "S-1"  # noqa: E741 - the name that papers use
    QI = "q(S-1)"
    G = "G"
    D = "D"
    T = "T"

    @property
    def axis(self) -> str:
        """What stands in the first column: q or r."""
        return "q" if self in (Quantity.S, Quantity.I, Quantity.QI) else "r"

    @property
    def meaning(self) -> str:
        """What it is, in words."""
        return _MEANINGS[self]


_MEANINGS: Final = {
    Quantity.S: "total structure factor S(q)",
    Quantity.I: "interference function S(q) - 1",
    Quantity.QI: "reduced interference function q [S(q) - 1] (1/Å)",
    Quantity.G: "total pair distribution function G(r), 1 far away",
    Quantity.D: "differential correlation function 4πρr [G(r) - 1] (1/Å²)",
    Quantity.T: "total correlation function T(r) = 4πρr G(r) (1/Å²)",
}


class Unit(StrEnum):
    """Unit of the first column."""

    PER_ANGSTROM = "1/A"
    PER_NANOMETRE = "1/nm"
    ANGSTROM = "A"
    NANOMETRE = "nm"

    @property
    def axis(self) -> str:
        """Which axis it is of: q or r."""
        return "q" if self in (Unit.PER_ANGSTROM, Unit.PER_NANOMETRE) else "r"

    @property
    def factor(self) -> float:
        """What a number is multiplied by to be in 1/Å or Å."""
        return {Unit.PER_NANOMETRE: 0.1, Unit.NANOMETRE: 10.0}.get(self, 1.0)
