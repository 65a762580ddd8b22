"""Frenkel pairs of one crystal with one potential, without and in a field, in one process: for scripts and files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from ..electric_field import dipole_difference_eA
from ..fixed_cell_relaxation import Relaxed, relax_ions
from .defect_sites import DefectState, FrenkelPair, farthest_from_sites_A, sample_frenkel_pairs, with_defect
from .formation import Axis, FieldPoint, FieldSurroundings, FrenkelSettings, field_branch


@dataclass(frozen=True)
class EnergyInField:
    """One point of a curve.

    Attributes
    ----------
    field_V_per_A
        Signed strength along the axis (V/Å).
    formation_energy_eV
        None where the pair is gone (eV).
    state
        What became of the pair.
    converged
        Whether the relaxations of pair and bulk converged.
    """

    field_V_per_A: float
    formation_energy_eV: float | None
    state: DefectState
    converged: bool = True


@dataclass(frozen=True)
class PairStudy:
    """One pair.

    Attributes
    ----------
    pair
        As it was made.
    state
        What the relaxation without a field made of it.
    converged
        Whether that relaxation converged.
    formation_energy_eV
        Without a field; None where the pair is gone or did not converge (eV).
    dipole_eA
        Dipole of the relaxed pair (e Å), shape [3]; None without charges.
    curves
        Energies in the field by axis, ascending; empty where no field was asked for.
    """

    pair: FrenkelPair
    state: DefectState
    converged: bool
    formation_energy_eV: float | None
    dipole_eA: tuple[float, float, float] | None = None
    curves: Mapping[Axis, tuple[EnergyInField, ...]] = field(default_factory=dict)


def study_frenkel_pairs(
    atoms: Atoms,
    calculator: Calculator,
    mobile: str,
    settings: FrenkelSettings,
    *,
    charges: Mapping[str, float] | None = None,
    seed: int = 1,
) -> Iterator[PairStudy]:
    """Yield pairs as they are relaxed; the first ``settings.pairs`` that survive are followed in the field.

    Parameters
    ----------
    charges
        Charge of every species (e) for the field; None: no field.

    Raises
    ------
    InputError
        If the crystal has no room for pairs, or its charges do not make a neutral cell.
    RelaxationFailed
        If the calculator fails.
    """
    crystal = atoms.repeat(settings.supercell)
    pairs = sample_frenkel_pairs(
        crystal, mobile, settings.tried, seed=seed, minimum_separation_A=settings.minimum_separation_A
    )
    bulk = relax_ions(crystal, calculator, settings.relaxation)
    study = _Study(settings, bulk, _surroundings(crystal, calculator, mobile, settings, charges))
    for pair in pairs:
        yield study.of(pair, in_field=charges is not None)


def _surroundings(
    crystal: Atoms, calculator: Calculator, mobile: str, settings: FrenkelSettings, charges: Mapping[str, float] | None
) -> FieldSurroundings:
    return FieldSurroundings(
        calculator=calculator,
        charges=charges or {},
        parent=crystal,
        relaxation=settings.relaxation,
        mobile=mobile,
        rules=settings.basins,
    )


class _Study:
    """The bulk at every field, computed once for all pairs."""

    def __init__(self, settings: FrenkelSettings, bulk: Relaxed, surroundings: FieldSurroundings) -> None:
        self.settings = settings
        self.bulk = bulk
        self.surroundings = surroundings
        self.followed = 0
        self._bulks: dict[tuple[Axis, str], list[FieldPoint]] = {}

    def of(self, pair: FrenkelPair, *, in_field: bool) -> PairStudy:
        """Return what becomes of one pair."""
        start = with_defect(self.bulk.atoms, pair)
        relaxed = relax_ions(start, self.surroundings.calculator, self.settings.relaxation)
        distance_A = farthest_from_sites_A(self.bulk.atoms, relaxed.atoms, self.surroundings.mobile)
        if distance_A < self.settings.basins.recombination_radius_A:
            return PairStudy(pair, DefectState.RECOMBINED, relaxed.converged, None)
        if not (relaxed.converged and self.bulk.converged):
            return PairStudy(pair, DefectState.INTACT, False, None)
        energy_eV = relaxed.energy_eV - self.bulk.energy_eV
        if not in_field:
            return PairStudy(pair, DefectState.INTACT, True, energy_eV)
        x, y, z = dipole_difference_eA(relaxed.atoms, self.bulk.atoms, self.surroundings.charges)
        curves = self._curves(relaxed.atoms, energy_eV) if self.followed < self.settings.pairs else {}
        self.followed += 1
        return PairStudy(pair, DefectState.INTACT, True, energy_eV, (float(x), float(y), float(z)), curves)

    def _curves(self, pair: Atoms, energy_eV: float) -> dict[Axis, tuple[EnergyInField, ...]]:
        curves: dict[Axis, tuple[EnergyInField, ...]] = {}
        for axis in self.settings.axes:
            points = [EnergyInField(0.0, energy_eV, DefectState.INTACT)]
            for direction, fields in self.settings.branches.items():
                bulks = self._bulk_branch(axis, direction, fields)
                atoms = [point.relaxed.atoms for point in bulks]
                branch = field_branch(pair, axis, fields, self.surroundings, atoms)
                bulk_hopped = False
                for point, bulk in zip(branch, bulks, strict=False):
                    bulk_hopped = bulk_hopped or bulk.state is DefectState.HOPPED
                    points.append(_energy(point, bulk, bulk_hopped))
            order = np.argsort([point.field_V_per_A for point in points])
            curves[axis] = tuple(points[int(number)] for number in order)
        return curves

    def _bulk_branch(self, axis: Axis, direction: str, fields: Sequence[float]) -> list[FieldPoint]:
        key = (axis, direction)
        if key not in self._bulks:
            self._bulks[key] = list(field_branch(self.bulk.atoms, axis, fields, self.surroundings))
        return self._bulks[key]


def _energy(pair: FieldPoint, bulk: FieldPoint, bulk_hopped: bool) -> EnergyInField:
    if pair.state is DefectState.RECOMBINED:
        return EnergyInField(pair.field_V_per_A, None, pair.state)
    converged = pair.relaxed.converged and bulk.relaxed.converged
    state = DefectState.BULK_HOPPED if bulk_hopped else pair.state
    return EnergyInField(pair.field_V_per_A, pair.relaxed.energy_eV - bulk.relaxed.energy_eV, state, converged)
