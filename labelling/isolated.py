"""Free atoms: the zero of energy that every fit needs."""

from __future__ import annotations

from ase import Atoms
from ase.data import atomic_numbers, ground_state_magnetic_moments

from ..core.errors import InputError


def isolated_atom(symbol: str, box_A: float | None = None, periodic: bool = False) -> Atoms:
    """Return one atom, with the unpaired electrons of its ground state as initial magnetic moment.

    Parameters
    ----------
    symbol
        Chemical symbol.
    box_A
        Edge of a cubic cell with the atom at its centre (Å); None for no cell.
    periodic
        Whether that cell is periodic.

    Raises
    ------
    InputError
        If there is no such element.
    """
    number = atomic_numbers.get(symbol, 0)
    if number == 0:
        raise InputError(f"{symbol!r} is not a chemical symbol; write for example 'Li'")
    atoms = Atoms(symbol, magmoms=[float(ground_state_magnetic_moments[number])])
    if box_A is not None:
        atoms.set_cell([box_A, box_A, box_A])
        atoms.center()
        atoms.pbc = periodic
    return atoms
