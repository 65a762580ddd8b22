"""What a calculator says of a structure in a uniform electric field, and Born charges from that.

Charge that passes over bonds has a dipole that is defined in a crystal, too: what a bond passes times its vector,
summed over bonds, each to the image that it leads to. Beside it every atom carries a charge wherever it goes. With
displacements u from a parent structure the energy in a field E is::

    U = U(0) - Σ_i c_i E·u_i - E·Σ_b p_b d_b

and the force on an atom what it is at these charges plus q_i E. Born charges are the derivatives of that dipole by
positions, and those of the forces by the field: Z*_iαβ = ∂P_α/∂r_iβ = ∂F_iβ/∂E_α.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from ...core.arrays import FloatArray
from ...core.errors import InputError

NEUTRAL_TOLERANCE_E: Final = 1e-3
"""Charge per cell below which it counts as neutral (e): rounding in hand-written charges."""
_PROBE_V_PER_A: Final = 0.05


@dataclass(frozen=True, eq=False)
class InField:
    """A structure in a field.

    Attributes
    ----------
    energy_eV
        Without the work of the field on what atoms carry, which counts from a parent structure.
    forces
        All of them (eV/Å). Shape [n_atoms, 3].
    carried_e
        Charges that atoms carry wherever they go, adding up to nothing. Shape [n_atoms].
    passed_dipole_eA
        Dipole of what has passed over bonds (e Å). Shape [3].
    """

    energy_eV: float
    forces: FloatArray
    carried_e: FloatArray
    passed_dipole_eA: FloatArray


@runtime_checkable
class AnswersFields(Protocol):
    """A calculator that knows what a field does to it."""

    def in_field(self, atoms: Atoms, field_V_per_A: FloatArray) -> InField:
        """Return a structure in a field of shape [3] (V/Å).

        Raises
        ------
        InputError
            If it has no answer, with the reason.
        """


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


def in_field_on_charges(
    calculator: Calculator, atoms: Atoms, charges_e: FloatArray, field_V_per_A: FloatArray
) -> InField:
    """Return a structure in a field that acts on charges which nothing changes (e) [n_atoms]."""
    energy_eV = float(calculator.get_property("energy", atoms))
    forces = np.asarray(calculator.get_property("forces", atoms), dtype=np.float64)
    return InField(energy_eV, forces + np.outer(charges_e, field_V_per_A), charges_e, np.zeros(3))


def born_charges_of(calculator: AnswersFields, atoms: Atoms) -> FloatArray:
    """Return Z*_iαβ = ∂P_α/∂r_iβ (e) of every atom, without a field. Shape [n_atoms, 3, 3].

    From forces in small fields both ways: forces are polynomials of second order in the field, for which such
    differences are exact.

    Raises
    ------
    InputError
        If the calculator has no answer, with the reason.
    """
    found = np.zeros((len(atoms), 3, 3))
    for axis, unit in enumerate(np.eye(3)):
        forward, backward = (calculator.in_field(atoms, sign * _PROBE_V_PER_A * unit).forces for sign in (1, -1))
        found[:, axis] = (forward - backward) / (2 * _PROBE_V_PER_A)
    return found
