"""Ionic relaxation at a fixed cell, of which the end is always told: converged, or not and how far from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.optimize import FIRE, LBFGS, BFGSLineSearch

from ..core.errors import IonloopError
from .fixed_cell_relaxation_settings import FixedCellRelaxation, OptimizerName

if TYPE_CHECKING:
    from ase.optimize.optimize import Optimizer


_OPTIMIZERS: dict[OptimizerName, type[Optimizer]] = {
    "fire": FIRE,
    "lbfgs": LBFGS,
    "bfgs-line-search": BFGSLineSearch,
}


class RelaxationFailed(IonloopError):
    """The calculator failed, or gave numbers that are none, in the middle of a relaxation."""


@dataclass(frozen=True)
class Relaxed:
    """Where a relaxation ended.

    Attributes
    ----------
    atoms
        The structure, no calculator attached; positions are never wrapped back into the cell.
    energy_eV
        Its energy (eV).
    largest_force_eV_per_A
        Its largest force (eV/Å).
    steps
        Steps taken.
    converged
        Whether the largest force reached the tolerance.
    reason
        Why it did not, empty where it did.
    """

    atoms: Atoms
    energy_eV: float
    largest_force_eV_per_A: float
    steps: int
    converged: bool
    reason: str = ""


def relax_ions(atoms: Atoms, calculator: Calculator, settings: FixedCellRelaxation) -> Relaxed:
    """Relax the positions of a copy of ``atoms`` at its cell; one that does not converge is an outcome.

    Raises
    ------
    RelaxationFailed
        If the calculator fails, or energy or forces are not finite.
    """
    moving = atoms.copy()
    moving.calc = calculator
    optimizer = _OPTIMIZERS[settings.optimizer](moving, logfile=None, maxstep=settings.max_step_A)
    reason = ""
    try:
        for _ in optimizer.irun(fmax=settings.force_tolerance_eV_per_A, steps=settings.max_steps):
            _check_finite(moving)
        energy_eV, forces = float(moving.get_potential_energy()), moving.get_forces()
    except (MemoryError, OSError, IonloopError):
        # The machine failed, or the reason is already told.
        raise
    except Exception as error:  # a calculator is foreign code and may raise anything
        if "LineSearch failed" not in str(error):
            raise RelaxationFailed(f"the calculator failed ({type(error).__name__}: {error})") from error
        energy_eV, forces = float(moving.get_potential_energy()), moving.get_forces()
        reason = "the line search found no lower energy; try optimizer: fire"
    finally:
        moving.calc = None
    largest = float(np.linalg.norm(forces, axis=1).max(initial=0.0))
    converged = largest <= settings.force_tolerance_eV_per_A
    if not converged and not reason:
        reason = (
            f"the largest force is {largest:.3g} eV/Å after {optimizer.nsteps} steps, above "
            f"{settings.force_tolerance_eV_per_A:g} eV/Å; raise relaxation.max_steps"
        )
    return Relaxed(moving, energy_eV, largest, int(optimizer.nsteps), converged, "" if converged else reason)


def _check_finite(atoms: Atoms) -> None:
    if not (np.isfinite(atoms.get_potential_energy()) and np.all(np.isfinite(atoms.get_forces()))):
        raise RelaxationFailed("energy or forces are not finite numbers")
