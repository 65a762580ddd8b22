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


class ForceUnit(StrEnum):
    """Units of force; the first stands for the file's own energy over length."""

    CONSISTENT = "energy/length"
    EV_PER_A = "eV/Ang"
    MEV_PER_A = "meV/Ang"
    HARTREE_PER_BOHR = "Ha/Bohr"
    RYDBERG_PER_BOHR = "Ry/Bohr"
    KCAL_PER_MOL_A = "kcal/mol/Ang"
    KJ_PER_MOL_NM = "kJ/mol/nm"


class StressUnit(StrEnum):
    """Units of stress; the first stands for the file's own energy over length cubed."""

    CONSISTENT = "energy/length3"
    EV_PER_A3 = "eV/Ang3"
    GPA = "GPa"
    KBAR = "kbar"
    MPA = "MPa"
    BAR = "bar"
    HARTREE_PER_BOHR3 = "Ha/Bohr3"


class StressSign(StrEnum):
    """ASE's sign is positive where the crystal is stretched; many codes print the opposite."""

    ASE = "ase"
    OPPOSITE = "opposite"
