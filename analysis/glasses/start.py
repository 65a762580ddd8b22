"""What a glass begins with: a packing of its own, or the structure, in the size that is asked for."""

from __future__ import annotations

import math

from ase import Atoms

from ...core.errors import InputError
from ...sampling.structures.packing import Composition, density_of_g_per_cm3, pack
from .settings import GlassSettings, Size


def atoms_in(atoms: Atoms, size: Size) -> int:
    """Return the atoms of a glass of that size of a system."""
    if not isinstance(size, int):
        return len(atoms) * math.prod(size)
    unit = smallest_unit(atoms)
    return unit * max(1, round(size / unit))


def smallest_unit(atoms: Atoms) -> int:
    """Return the atoms of the smallest amount that has a structure's composition."""
    return len(atoms) // math.gcd(*atoms.symbols.formula.count().values())


def glass_start(atoms: Atoms, settings: GlassSettings, size: Size, seed: int) -> Atoms:
    """Return what is molten for one glass; equal arguments give equal structures.

    Parameters
    ----------
    atoms
        The system: its composition, and its density where no other is given.

    Raises
    ------
    InputError
        If the system is not periodic, or its atoms cannot be packed.
    """
    if atoms.cell.rank < 3 or not atoms.pbc.all():
        raise InputError("a glass needs a cell that is periodic in three directions")
    if settings.start.kind == "structure":
        repeats = (1, 1, 1) if isinstance(size, int) else size
        return atoms.repeat(repeats)
    return pack(packing(atoms, settings, size, seed))


def packing(atoms: Atoms, settings: GlassSettings, size: Size, seed: int) -> Composition:
    """Return what is packed for one glass.

    Raises
    ------
    InputError
        If the system's cell has no volume.
    """
    start = settings.start
    counts = atoms.symbols.formula.count()
    divisor = math.gcd(*counts.values())
    formula = "".join(f"{symbol}{number // divisor}" for symbol, number in sorted(counts.items()))
    return Composition(
        composition={formula: 1},
        atoms=atoms_in(atoms, size),
        density_g_per_cm3=start.density_fraction * (start.density_g_per_cm3 or density_of_g_per_cm3(atoms)),
        covalent_fraction=start.covalent_fraction,
        minimum_distances_A=start.minimum_distances_A,
        polyanions=start.polyanions,
        unbonded_fraction=start.unbonded_fraction,
        seed=seed,
    )
