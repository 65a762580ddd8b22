"""Checks of what goes into an engine and of what comes out: each returns a one-line objection, or None."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from ..core.states import State
from .common_settings import CommonSettings
from .outcome import Evaluation

# Below this a cell is taken for flat: no crystal has 0.01 Å³.
_SMALLEST_VOLUME_A3 = 0.01


def structure_objection(atoms: Atoms, settings: CommonSettings) -> str | None:
    """Say why ``atoms`` should not be computed at all, or return None."""
    if len(atoms) == 0:
        return "the structure has no atoms"
    if not np.isfinite(atoms.positions).all():
        atom = int(np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))[0])
        return f"the position of atom {atom} ({atoms.symbols[atom]}) is not finite: {atoms.positions[atom]}"
    if not np.isfinite(atoms.cell.array).all():
        return "the cell is not finite"
    if atoms.pbc.any() and abs(np.linalg.det(atoms.cell.complete().array)) < _SMALLEST_VOLUME_A3:
        return f"the periodic cell has no volume: {atoms.cell.array.tolist()}"
    if atoms.pbc.any() and (atoms.cell.lengths()[atoms.pbc] == 0.0).any():
        return f"the cell has no vector along a periodic direction: {atoms.cell.array.tolist()}"
    return _distance_objection(atoms, settings.minimum_distance_A)


def _distance_objection(atoms: Atoms, minimum_distance_A: float) -> str | None:
    from ase.neighborlist import neighbor_list

    if minimum_distance_A == 0.0:
        return None
    first, second, distance_A = neighbor_list("ijd", atoms, minimum_distance_A)
    if len(distance_A) == 0:
        return None
    closest = int(np.argmin(distance_A))
    i, j = sorted((int(first[closest]), int(second[closest])))
    return (
        f"atoms {i} ({atoms.symbols[i]}) and {j} ({atoms.symbols[j]}) are {distance_A[closest]:.3f} Å apart, "
        f"closer than minimum_distance_A = {minimum_distance_A:g}"
    )


def result_objection(atoms: Atoms, evaluation: Evaluation, settings: CommonSettings) -> tuple[State, str] | None:
    """Say why ``evaluation`` is no label of ``atoms``, or return None.

    Returns
    -------
    ``failed`` where the engine gave something malformed, ``rejected`` where the numbers cannot be believed,
    each with its one-line reason.
    """
    malformed = _shape_objection(len(atoms), evaluation)
    if malformed is not None:
        return State.FAILED, malformed
    unbelievable = _finite_objection(evaluation) or _size_objection(atoms, evaluation, settings)
    return None if unbelievable is None else (State.REJECTED, unbelievable)


def _shape_objection(n_atoms: int, evaluation: Evaluation) -> str | None:
    wanted = {"forces": (n_atoms, 3), "stress": (6,), "charges": (n_atoms,), "dipole": (3,)}
    for name, shape in wanted.items():
        values = getattr(evaluation, name)
        if values is not None and values.shape != shape:
            return f"the engine gave {name} of shape {values.shape}, expected {shape}"
    return None


def _finite_objection(evaluation: Evaluation) -> str | None:
    for name in ("energy", "forces", "stress", "charges", "dipole"):
        values = getattr(evaluation, name)
        if values is not None and not np.isfinite(values).all():
            return f"the engine gave a {name} that is not finite"
    return None


def _size_objection(atoms: Atoms, evaluation: Evaluation, settings: CommonSettings) -> str | None:
    sizes = np.linalg.norm(evaluation.forces, axis=1)
    largest = int(np.argmax(sizes))
    if sizes[largest] > settings.maximum_force_eV_per_A:
        return (
            f"the force on atom {largest} ({atoms.symbols[largest]}) is {sizes[largest]:.3g} eV/Å, above "
            f"maximum_force_eV_per_A = {settings.maximum_force_eV_per_A:g}"
        )
    mean_force = float(np.linalg.norm(evaluation.forces.mean(axis=0)))
    if mean_force > settings.maximum_mean_force_eV_per_A:
        return (
            f"the mean force is {mean_force:.3g} eV/Å, above maximum_mean_force_eV_per_A = "
            f"{settings.maximum_mean_force_eV_per_A:g}: forces on a whole crystal must add up to zero"
        )
    charge_sum = 0.0 if evaluation.charges is None else float(evaluation.charges.sum())
    if abs(charge_sum) > settings.maximum_charge_sum_e:
        return (
            f"the atomic charges add up to {charge_sum:.3g} e, beyond maximum_charge_sum_e = "
            f"{settings.maximum_charge_sum_e:g}: electrons are missing or too many"
        )
    return None
