"""Units and signs that data of other programs come in, named as a user types them."""

from __future__ import annotations

from enum import StrEnum


class EnergyUnit(StrEnum):
    """Units of energy."""

    EV = "eV"
    MEV = "meV"
    HARTREE = "Ha"
    RYDBERG = "Ry"
    KJ_PER_MOL = "kJ/mol"
    KCAL_PER_MOL = "kcal/mol"


class LengthUnit(StrEnum):
    """Units of length."""

    ANGSTROM = "Ang"
    BOHR = "Bohr"
    NANOMETRE = "nm"


class StressUnit(StrEnum):
    """Units of stress; the first stands for the file's own energy over length cubed."""

    CONSISTENT = "energy/length3"
    EV_PER_A3 = "eV/Ang3"
    GPA = "GPa"
    KBAR = "kbar"


class StressSign(StrEnum):
    """ASE's sign is positive where the crystal is stretched; many codes print the opposite."""

    ASE = "ase"
    OPPOSITE = "opposite"
