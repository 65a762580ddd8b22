"""A uniform electric field around any ASE calculator: on fixed charges, or on what the calculator says it acts on.

With fixed charges q, field E and displacements u from a common parent structure::

    F_i = F_i(0) + q_i E        U = U(0) - Σ_i q_i E·u_i

Charges that pass over bonds have a dipole of what has passed, and Born charges
(`ionloop.fitting.electrostatics.in_field`); what atoms carry takes the place of q in the energy.

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
from ..fitting.electrostatics.in_field import (
    AnswersFields,
    InField,
    born_charges_of,
    in_field_on_charges,
    ion_charges,
)

__all__ = ["FieldCalculator", "born_charges", "dipole_difference_eA", "ion_charges", "mean_born_charges"]

_SAME_CELL_A = 1e-8


def born_charges(calculator: Calculator, atoms: Atoms, charges: Mapping[str, float] | None = None) -> FloatArray:
    """Return the Born effective charges Z*_iαβ = ∂P_α/∂r_iβ (e) of every atom. Shape [n_atoms, 3, 3].

    Their sum over all atoms is nothing. Those of fixed charges are the charges.

    Parameters
    ----------
    calculator
        Of a model.
    charges
        Charge of every species (e) for calculators that know none; None asks the calculator, as all of ionloop's models
        can be.

    Raises
    ------
    InputError
        If no field can act on the calculator's charges, with the reason; else as `ion_charges`.
    """
    if charges is not None:
        return np.asarray(ion_charges(atoms, charges)[:, None, None] * np.eye(3), dtype=np.float64)
    return born_charges_of(_answering(calculator), atoms)


def _answering(calculator: Calculator) -> AnswersFields:
    if isinstance(calculator, AnswersFields):
        return calculator
    raise InputError(
        f"{type(calculator).__name__} does not say what a field does to it; give the charge of every species that the "
        "field acts on"
    )


class FieldCalculator(Calculator):
    """A calculator in a uniform electric field; a field at fixed cell has no stress.

    Properties: energy, free_energy (eV), forces (eV/Å), and dipole (e Å), how far it is polarised: Σ c_i u_i of what
    atoms carry, and what has passed over bonds. Equal atoms give equal bits where the inner calculator's do.

    Parameters
    ----------
    calculator
        What computes the crystal without the field.
    charges
        Charge of every species (e) that the field acts on; None asks the calculator what a field does to it, as all of
        ionloop's models can be.
    field_V_per_A
        Shape [3] (V/Å).
    parent
        The structure that displacements count from: same ions in the same order, same cell. On fixed charges its field
        energy is zero.

    Raises
    ------
    InputError
        At construction: no charge for a species, a charged cell, a calculator that does not say what a field does, a
        field that is not three finite numbers. In a calculation: ions or a cell other than the parent's, a model that
        no field can act on.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "dipole"]

    def __init__(
        self, calculator: Calculator, charges: Mapping[str, float] | None, field_V_per_A: ArrayLike, parent: Atoms
    ) -> None:
        super().__init__()
        self.field_V_per_A = np.array(field_V_per_A, dtype=np.float64)
        if self.field_V_per_A.shape != (3,) or not np.all(np.isfinite(self.field_V_per_A)):
            raise InputError(f"a field has three finite components (V/Å), not {field_V_per_A!r}")
        self._calculator = calculator
        self._charges = None if charges is None else ion_charges(parent, charges)
        self._answering = _answering(calculator) if charges is None else None
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
        found = self._in_field()
        displacements = self.atoms.positions - self._parent.positions
        energy_eV = found.energy_eV - float(found.carried_e @ (displacements @ self.field_V_per_A))
        self.results = {
            "energy": energy_eV,
            "free_energy": energy_eV,
            "forces": found.forces,
            "dipole": found.carried_e @ displacements + found.passed_dipole_eA,
        }

    def _in_field(self) -> InField:
        if self._charges is None:
            assert self._answering is not None
            return self._answering.in_field(self.atoms, self.field_V_per_A)
        return in_field_on_charges(self._calculator, self.atoms, self._charges, self.field_V_per_A)

    def _check_kinship(self) -> None:
        if not np.array_equal(self.atoms.numbers, self._parent.numbers):
            raise InputError("the structure in the field has other ions, or another order of them, than its parent")
        if not np.allclose(self.atoms.cell.array, self._parent.cell.array, rtol=0.0, atol=_SAME_CELL_A):
            raise InputError("the structure in the field has another cell than its parent; fields need a fixed cell")


def dipole_difference_eA(one: Atoms, other: Atoms, charges: Mapping[str, float] | Calculator) -> FloatArray:
    """Return P(one) - P(other) (e Å), shape [3], of two structures of the same ions with unwrapped positions.

    Its negative is the slope of the energy difference with the field, at small fields. ``charges``: of every species,
    P = Σ q_i r_i; or a calculator that says what a field does to it.

    Raises
    ------
    InputError
        As `ion_charges`, if the ions differ, or the calculator has no answer.
    """
    if not np.array_equal(one.numbers, other.numbers):
        raise InputError("a dipole difference needs two structures of the same ions in the same order")
    moved = one.positions - other.positions
    if isinstance(charges, Mapping):
        return np.asarray(ion_charges(one, charges) @ moved, dtype=np.float64)
    here, there = (_answering(charges).in_field(atoms, np.zeros(3)) for atoms in (one, other))
    return np.asarray(here.carried_e @ moved + here.passed_dipole_eA - there.passed_dipole_eA, dtype=np.float64)


def mean_born_charges(calculator: Calculator, atoms: Atoms) -> dict[str, float]:
    """Return a third of the trace of the Born charges (e), mean over the atoms of each element.

    Raises
    ------
    InputError
        As `born_charges`.
    """
    traces = np.trace(born_charges(calculator, atoms), axis1=1, axis2=2) / 3
    return {symbol: float(traces[atoms.symbols == symbol].mean()) for symbol in sorted(set(atoms.symbols))}
