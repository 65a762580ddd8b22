"""A uniform electric field on fixed charges, around any ASE calculator.

With charges q, field E and displacements u from a common parent structure::

    F_i = F_i(0) + q_i E        U = U(0) - Σ_i q_i E·u_i

In a periodic crystal the polarisation is defined up to a quantum: moving one ion by a lattice vector T changes U by
-q E·T, because the ion has gained that energy on its way. Positions must therefore never be wrapped back into the
cell between the parent and what is compared with it. V/Å times e is eV/Å.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from numpy.typing import ArrayLike

from ..core.arrays import FloatArray
from ..core.errors import InputError

NEUTRAL_TOLERANCE_E = 1e-3
"""Charge per cell below which it counts as neutral (e): rounding in hand-written charges."""
_SAME_CELL_A = 1e-8


def ion_charges(atoms: Atoms, charges: Mapping[str, float]) -> FloatArray:
    """Return the charge of every ion (e), shape [n_atoms], adding up to nothing.

    A rest below `NEUTRAL_TOLERANCE_E` is taken off all ions alike: left in place it would push the whole crystal
    along the field for ever.

    Raises
    ------
    InputError
        If a species has no charge, or the cell is charged: its energy in a field has no minimum.
    """
    missing = sorted(set(atoms.get_chemical_symbols()) - set(charges))
    if missing:
        raise InputError(
            f"the field acts on fixed charges, and {', '.join(missing)} has none; give a charge for every species"
        )
    values = np.array([charges[symbol] for symbol in atoms.get_chemical_symbols()], dtype=np.float64)
    total = float(values.sum())
    if abs(total) > NEUTRAL_TOLERANCE_E:
        raise InputError(
            f"the cell {atoms.get_chemical_formula()} has the charge {total:+.4g} e: in a field only neutral cells "
            f"(within {NEUTRAL_TOLERANCE_E:g} e) have an energy; make the charges add up to zero"
        )
    return values - total / max(1, len(values))


class FieldCalculator(Calculator):
    """A calculator in a uniform electric field: energy (eV) and forces (eV/Å); a field at fixed cell has no stress.

    Equal atoms give equal bits where the inner calculator's do.

    Parameters
    ----------
    calculator
        What computes the crystal without the field.
    charges
        Charge of every species (e).
    field_V_per_A
        Shape [3] (V/Å).
    parent
        The structure that displacements count from: same ions in the same order, same cell; its field energy is
        zero.

    Raises
    ------
    InputError
        At construction: no charge for a species, a charged cell, a field that is not three finite numbers. In a
        calculation: ions or a cell other than the parent's.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces"]

    def __init__(
        self, calculator: Calculator, charges: Mapping[str, float], field_V_per_A: ArrayLike, parent: Atoms
    ) -> None:
        super().__init__()
        self.field_V_per_A = np.array(field_V_per_A, dtype=np.float64)
        if self.field_V_per_A.shape != (3,) or not np.all(np.isfinite(self.field_V_per_A)):
            raise InputError(f"a field has three finite components (V/Å), not {field_V_per_A!r}")
        self._calculator = calculator
        self._charges = ion_charges(parent, charges)
        self._parent = parent.copy()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Evaluate the crystal and add the field's work and forces; raises what the inner calculator raises."""
        super().calculate(atoms, list(properties), list(system_changes))
        self._check_kinship()
        energy_eV = float(self._calculator.get_property("energy", self.atoms))
        forces = np.asarray(self._calculator.get_property("forces", self.atoms), dtype=np.float64)
        displacements = self.atoms.positions - self._parent.positions
        energy_eV -= float(self._charges @ (displacements @ self.field_V_per_A))
        self.results = {
            "energy": energy_eV,
            "free_energy": energy_eV,
            "forces": forces + np.outer(self._charges, self.field_V_per_A),
        }

    def _check_kinship(self) -> None:
        if not np.array_equal(self.atoms.numbers, self._parent.numbers):
            raise InputError("the structure in the field has other ions, or another order of them, than its parent")
        if not np.allclose(self.atoms.cell.array, self._parent.cell.array, rtol=0.0, atol=_SAME_CELL_A):
            raise InputError("the structure in the field has another cell than its parent; fields need a fixed cell")


def dipole_difference_eA(one: Atoms, other: Atoms, charges: Mapping[str, float]) -> FloatArray:
    """Return Σ q_i (r_i - r'_i) (e Å), shape [3], of two structures of the same ions with unwrapped positions.

    Its negative is the slope of the energy difference with the field, at small fields.

    Raises
    ------
    InputError
        As `ion_charges`, or if the ions differ.
    """
    if not np.array_equal(one.numbers, other.numbers):
        raise InputError("a dipole difference needs two structures of the same ions in the same order")
    return np.asarray(ion_charges(one, charges) @ (one.positions - other.positions), dtype=np.float64)
