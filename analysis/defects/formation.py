"""Formation energies of Frenkel pairs and vacancies, and of Frenkel pairs in an electric field.

In a field both the bulk and the defect relax, each in its own basin followed from zero field::

    E_f(E) = min_R [U_defect(R) - Σ q_i E·u_i] - min_R [U_bulk(R) - Σ q_i E·u_i]

on fixed charges; those that pass over bonds have a polarisation in the place of Σ q_i u_i
(`ionloop.fitting.electrostatics.in_field`). The displacements u count from one parent structure, the unrelaxed crystal,
for both (Staacke et al., ACS Appl. Energy Mater. 2021, 4, 12562, 10.1021/acsaem.1c02363, study Frenkel pairs in this
way). At small fields the slope of E_f is minus the dipole of the pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import ArrayLike
from pydantic import Field

from ...core.arrays import FloatArray
from ...core.settings import FrozenModel
from ..electric_field import FieldCalculator
from ..fixed_cell_relaxation_settings import FixedCellRelaxation
from .defect_sites import DefectState, farthest_from_sites_A, farthest_hop_A
from .settings import (
    AXES,
    Axis,
    BasinRules,
)

if TYPE_CHECKING:
    from ..fixed_cell_relaxation import Relaxed


@dataclass(frozen=True)
class FieldPoint:
    """A structure relaxed in a field.

    Attributes
    ----------
    field_V_per_A
        Signed strength along the branch's axis (V/Å).
    relaxed
        Where the relaxation ended; its energy includes the field's.
    state
        What it made of the defect.
    released_eV
        Energy that relaxing at this field gave, beyond what the change of the polarisation accounts for: about
        nothing within a basin, the drop into the next one where an ion hopped (eV).
    """

    field_V_per_A: float
    relaxed: Relaxed
    state: DefectState
    released_eV: float = 0.0


@dataclass(frozen=True)
class FieldSurroundings:
    """What a branch of relaxations is done with.

    Attributes
    ----------
    calculator
        The crystal without field.
    charges
        Charge of every species that the field acts on (e); None asks the calculator what a field does to it.
    parent
        The structure that displacements count from, for bulk and defect alike.
    relaxation
        How ions are relaxed.
    mobile
        Symbol of the mobile ion.
    rules
        When a pair is gone, and when an ion has hopped.
    """

    calculator: Calculator
    charges: Mapping[str, float] | None
    parent: Atoms
    relaxation: FixedCellRelaxation
    mobile: str
    rules: BasinRules = field(default_factory=BasinRules)


def relax_in_field(atoms: Atoms, field_V_per_A: ArrayLike, surroundings: FieldSurroundings) -> Relaxed:
    """Relax ``atoms`` in a field of shape [3] (V/Å).

    Raises
    ------
    InputError
        As `FieldCalculator`.
    RelaxationFailed
        If the calculator fails.
    """

    from ..fixed_cell_relaxation import relax_ions

    inside = FieldCalculator(surroundings.calculator, surroundings.charges, field_V_per_A, surroundings.parent)
    return relax_ions(atoms, inside, surroundings.relaxation)


def field_branch(
    start: Atoms,
    axis: Axis,
    fields_V_per_A: Sequence[float],
    surroundings: FieldSurroundings,
    bulk: Sequence[Atoms] | None = None,
    *,
    start_field_V_per_A: float = 0.0,
) -> Iterator[FieldPoint]:
    """Yield relaxed structures, each started from the one before it; the first from ``start``.

    The sequence ends with the field in which the pair recombines.

    Parameters
    ----------
    start
        A structure relaxed at ``start_field_V_per_A``: zero, or where an interrupted branch stood.
    fields_V_per_A
        Signed strengths along ``axis``, outwards.
    bulk
        For a pair: the bulk relaxed at each of the fields. None for the bulk itself, which cannot recombine.

    Raises
    ------
    InputError, RelaxationFailed
        As `relax_in_field`.
    """
    before, field_before = start, start_field_V_per_A
    direction = np.eye(3)[AXES.index(axis)]
    for number, strength in enumerate(fields_V_per_A):
        relaxed = relax_in_field(before, strength * direction, surroundings)
        released_eV = _released_eV(before, relaxed, field_before * direction, strength * direction, surroundings)
        state = _state(before, relaxed.atoms, None if bulk is None else bulk[number], released_eV, surroundings)
        yield FieldPoint(float(strength), relaxed, state, released_eV)
        if state is DefectState.RECOMBINED:
            return
        before, field_before = relaxed.atoms, strength


def _released_eV(
    before: Atoms,
    relaxed: Relaxed,
    field_before: FloatArray,
    field_after: FloatArray,
    surroundings: FieldSurroundings,
) -> float:
    """Return what relaxing gave beyond ½ (P' - P)·(E' - E), all that a harmonic basin gives (eV); P both in E'."""
    calculator = FieldCalculator(surroundings.calculator, surroundings.charges, field_after, surroundings.parent)
    given_eV = float(calculator.get_property("energy", before)) - relaxed.energy_eV
    at_start, at_end = (calculator.get_property("dipole", one) for one in (before, relaxed.atoms))
    return given_eV - 0.5 * float((at_end - at_start) @ (field_after - field_before))


def _state(
    before: Atoms, after: Atoms, bulk: Atoms | None, released_eV: float, surroundings: FieldSurroundings
) -> DefectState:
    """Return what a relaxation from ``before`` to ``after`` made of a pair (of the bulk, where ``bulk`` is None)."""
    rules = surroundings.rules
    if bulk is not None:
        distance_A = farthest_from_sites_A(bulk, after, surroundings.mobile)
        if distance_A < rules.recombination_radius_A:
            return DefectState.RECOMBINED
    if farthest_hop_A(before, after) > rules.hop_distance_A or released_eV > rules.hop_energy_eV:
        return DefectState.HOPPED
    return DefectState.INTACT


class Distribution(FrozenModel):
    """Values over defects."""

    count: int = Field(description="Defects (number)")
    mean: float = Field(description="Mean (unit of the quantity)")
    standard_deviation: float | None = Field(
        description="Scatter over the defects; None for one (unit of the quantity)"
    )
    standard_error: float | None = Field(description="Uncertainty of the mean; None for one (unit of the quantity)")
    minimum: float = Field(description="Smallest (unit of the quantity)")
    maximum: float = Field(description="Largest (unit of the quantity)")

    @classmethod
    def of(cls, values: Sequence[float]) -> Distribution | None:
        """Return the distribution of ``values``, None where there are none."""
        if not values:
            return None
        array = np.asarray(values, dtype=np.float64)
        scatter = float(array.std(ddof=1)) if len(array) > 1 else None
        return cls(
            count=len(array),
            mean=float(array.mean()),
            standard_deviation=scatter,
            standard_error=None if scatter is None else scatter / float(np.sqrt(len(array))),
            minimum=float(array.min()),
            maximum=float(array.max()),
        )


def vacancy_formation_energy_eV(vacancy_eV: float, bulk_eV: float, atom_eV: float) -> float:
    """Return the energy (eV) that it takes to bring one atom from the crystal to its reference state."""
    return vacancy_eV + atom_eV - bulk_eV
