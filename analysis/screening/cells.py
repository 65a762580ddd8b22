"""The cell that a screening runs in: relaxed, and large enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from ...core.errors import InputError, IonloopError


def repetitions(atoms: Atoms, mobile: str, smallest_cell_A: float, mobile_ions: int) -> tuple[int, int, int]:
    """Return how often a cell is repeated along its three axes.

    Every distance of opposite faces becomes ``smallest_cell_A`` or more: it, not the length of a vector, is what lies
    between an atom and its image. Then the cell grows along its thinnest axis until it holds so many mobile ions.

    Raises
    ------
    InputError
        If there are no mobile ions, or the cell is not periodic in three directions.
    """
    ions = int(np.sum(np.array(atoms.get_chemical_symbols()) == mobile))
    if not ions:
        raise InputError(f"the structure holds no {mobile}: set mobile to the ion that moves")
    if atoms.cell.rank < 3 or not atoms.pbc.all():
        raise InputError("a screening at constant pressure needs a cell that is periodic in three directions")
    heights_A = 1.0 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
    times = np.maximum(np.ceil(smallest_cell_A / heights_A - 1e-9), 1).astype(int)
    while ions * int(times.prod()) < mobile_ions:
        times[int(np.argmin(heights_A * times))] += 1
    return int(times[0]), int(times[1]), int(times[2])


@dataclass(frozen=True)
class RelaxedCell:
    """A crystal at rest in its cell.

    Attributes
    ----------
    atoms
        No calculator attached.
    steps
        Steps taken.
    converged
        Whether forces and stress reached the tolerance.
    """

    atoms: Atoms
    steps: int
    converged: bool


def relax_cell(
    atoms: Atoms,
    calculator: Calculator,
    *,
    pressure_eV_per_A3: float,
    force_eV_per_A: float,
    steps: int,
    keeps_shape: bool = False,
) -> RelaxedCell:
    """Relax positions and cell of a copy of ``atoms`` together, at a pressure.

    Stresses join the forces as in Tadmor, Smith, Bernstein, Kaxiras, Phys. Rev. B 1999, 59, 235
    (10.1103/PhysRevB.59.235).

    Parameters
    ----------
    keeps_shape
        Whether the cell changes its volume only, as that of a liquid or a glass should.

    Raises
    ------
    RelaxationFailed
        If the calculator fails or gives numbers that are none, or the cell collapses.
    """

    from ase.filters import UnitCellFilter
    from ase.optimize import FIRE

    from ..fixed_cell_relaxation import RelaxationFailed

    moving = atoms.copy()
    if steps == 0:
        return RelaxedCell(moving, 0, True)
    moving.calc = calculator
    start_A3 = moving.get_volume()
    taken = 0
    try:
        cell = UnitCellFilter(moving, hydrostatic_strain=keeps_shape, scalar_pressure=pressure_eV_per_A3)
        optimizer = FIRE(cell, logfile=None)
        for _ in optimizer.irun(fmax=force_eV_per_A, steps=steps):
            taken = optimizer.nsteps
            if not (np.isfinite(moving.get_forces()).all() and np.isfinite(moving.get_potential_energy())):
                raise RelaxationFailed("energy or forces are not finite numbers")
            if not 0.5 < moving.get_volume() / start_A3 < 2.0:
                raise RelaxationFailed(
                    "the cell halved or doubled its volume: this potential does not hold the crystal"
                )
        converged = bool(optimizer.converged(optimizer.optimizable.get_gradient()))
    except (MemoryError, OSError, IonloopError):
        raise
    except Exception as error:  # a calculator is foreign code and may raise anything
        raise RelaxationFailed(f"the calculator failed ({type(error).__name__}: {error})") from error
    finally:
        moving.calc = None
    return RelaxedCell(moving, taken, converged)
