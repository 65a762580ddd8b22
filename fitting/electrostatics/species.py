"""What the baseline assumes about each element before anything is fitted."""

from __future__ import annotations

from collections.abc import Iterable

from ...core.errors import InputError

FORMAL_CHARGES: dict[str, float] = {
    "H": 1.0,
    "Li": 1.0,
    "Na": 1.0,
    "K": 1.0,
    "Rb": 1.0,
    "Cs": 1.0,
    "Ag": 1.0,
    "Be": 2.0,
    "Mg": 2.0,
    "Ca": 2.0,
    "Sr": 2.0,
    "Ba": 2.0,
    "Zn": 2.0,
    "Cd": 2.0,
    "B": 3.0,
    "Al": 3.0,
    "Ga": 3.0,
    "In": 3.0,
    "Sc": 3.0,
    "Y": 3.0,
    "La": 3.0,
    "Si": 4.0,
    "Ge": 4.0,
    "Ti": 4.0,
    "Zr": 4.0,
    "Hf": 4.0,
    "P": 5.0,
    "Nb": 5.0,
    "Ta": 5.0,
    "O": -2.0,
    "S": -2.0,
    "Se": -2.0,
    "Te": -2.0,
    "F": -1.0,
    "Cl": -1.0,
    "Br": -1.0,
    "I": -1.0,
}
"""Charge of the common ion, e. Elements with several common ions are left out on purpose."""

DEFAULT_CHARGE_SCALE = 0.3
"""Fraction of the formal charge that the baseline carries unless told otherwise: on PBE data of Li7P3S11 the
largest that a GAP does not have to unlearn."""

_BOHR_A = 0.529177210903

SLATER_EXPONENTS: dict[str, float] = {
    "Li": 0.4174 / _BOHR_A,
    "P": 0.8257 / _BOHR_A,
    "S": 0.8690 / _BOHR_A,
}
"""Slater exponents in 1/Å: ζ = 0.4913 (2n+1)/(2R), n the principal quantum number of the valence shell and R
the radius of the atom in bohr (2.943, 2.082, 1.979) of Rappé, Goddard, J. Phys. Chem. 1991, 95, 3358,
10.1021/j100161a070."""


def default_charges(species: Iterable[str], scale: float = DEFAULT_CHARGE_SCALE) -> dict[str, float]:
    """Baseline charges in e: ``scale`` times the formal charge of each element, sorted by symbol.

    Raises
    ------
    InputError
        For an element without one common ion; its charge must then be given.
    """
    wanted = sorted(set(species))
    unknown = [symbol for symbol in wanted if symbol not in FORMAL_CHARGES]
    if unknown:
        raise InputError(
            f"There is no default charge for {', '.join(unknown)}, which has several common ions or none. "
            f"Give the charges yourself, in e. Known: {', '.join(sorted(FORMAL_CHARGES))}."
        )
    return {symbol: scale * FORMAL_CHARGES[symbol] for symbol in wanted}
