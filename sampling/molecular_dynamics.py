"""Molecular dynamics (NVE, NVT, NPT) that can be killed at any moment and carries on to the same trajectory.

The noise of each block of ``write_every`` steps comes from its own stream, derived from the seed and the
block's number, and the calculator's history is cleared where a block begins. A restart from the last written
frame therefore repeats, bit for bit, what an undisturbed run computes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from ..core.errors import InputError
from ..core.structures import exact_hash
from .force_evaluation import ForceEvaluation
from .integrators import CALCULATOR_FAILED, Langevin, StopReason, temperature_K
from .molecular_dynamics_settings import MolecularDynamicsSettings
from .trajectory import TrajectoryFile, exclusive, write_record

__all__ = [
    "MolecularDynamicsOutcome",
    "TrajectoryEnd",
    "clear_calculator",
    "may_go_on",
    "record_path",
    "run_langevin",
]

RECORD_VERSION = 1


class TrajectoryEnd(StrEnum):
    """How a trajectory ended; ``RUNNING`` is only ever seen in its record."""

    RUNNING = "running"
    COMPLETED = "completed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class MolecularDynamicsOutcome:
    """What `run_langevin` leaves: sound frames, and why there are no more of them.

    Attributes
    ----------
    end, reason
        Completed, or stopped and why (empty when completed).
    frames, steps
        Frames on disk, the start included, and the step of the last one.
    mean_temperature_K
        Mean kinetic temperature over the frames after the first; nan where there is none.
    trajectory
        The ``.traj`` file.
    """

    end: TrajectoryEnd
    reason: str
    frames: int
    steps: int
    mean_temperature_K: float
    trajectory: Path


def record_path(trajectory: Path) -> Path:
    """Return the path of the JSON beside ``trajectory`` that says how it was started and how it ended."""
    return trajectory.with_name(trajectory.name + ".json")


def clear_calculator(calculator: Calculator) -> None:
    """Make an ASE calculator forget its last configuration: the default of ``reset_history``.

    And what it starts from in its next one, where it says so by a method ``forget``: ASE's own ``reset`` is called
    whenever atoms have moved.
    """
    for name in ("reset", "forget"):
        if hasattr(calculator, name):
            getattr(calculator, name)()


def run_langevin(
    atoms: Atoms,
    calculator: Calculator,
    settings: MolecularDynamicsSettings,
    trajectory: Path,
    *,
    seed: int,
    reset_history: Callable[[Calculator], None] = clear_calculator,
    progress: Callable[[int, int], None] | None = None,
) -> MolecularDynamicsOutcome:
    """Run, or carry on with, a trajectory from Maxwell-Boltzmann velocities.

    The integrator is BAOAB (Leimkuhler and Matthews, J. Chem. Phys. 2013, 138, 174102,
    10.1063/1.4802990), whose configurational averages are accurate to second order, fourth at high friction.
    The centre of mass is held at rest by projecting its momentum out of the thermostat's update, which
    samples the canonical distribution conditioned on zero total momentum exactly; temperatures count 3N - 3
    degrees of freedom. Where a pressure is set, the cell follows it by strains that are accepted exactly
    (`barostat`), and frames carry cell and stress. A trajectory that has ended returns at once; a longer one
    (more ``steps``, all else equal) carries on from where it ended, and so does one whose calculator failed.

    Parameters
    ----------
    atoms
        The start; copied. Its momenta are ignored and drawn from ``seed``.
    calculator
        Gives energy and forces, and the stress where a pressure is set. After ``reset_history`` it must behave
        as if new.
    trajectory
        The ``.traj`` file; positions in it are unwrapped. A record (JSON) is kept beside it.
    seed
        Non-negative; velocities and noise derive from it.
    reset_history
        Called with the calculator where a block of ``write_every`` steps begins. An engine that starts from
        its last wavefunction must drop it here, or a restart would not repeat the undisturbed run.
    progress
        Called with (steps done, steps in all) at the start and after each written frame.

    Raises
    ------
    InputError
        If ``atoms`` cannot be run (fewer than two atoms, constraints, a pressure on a cell that is not
        periodic), the calculator gives no stress where a pressure is set, the seed is negative, or ``trajectory``
        belongs to another start, seed or other settings.
    TrajectoryError
        If the disk is full, the file cannot be written, or another process is writing it.
    """
    _check_input(atoms, seed)
    if settings.pressure_GPa is not None:
        _check_pressure_can_act(atoms, calculator)
    with exclusive(trajectory):
        record = _open_record(trajectory, _identity(atoms, settings, seed))
        with TrajectoryFile(trajectory) as file:
            done = file.last.step if file.last else 0
            if progress:
                progress(done, settings.steps)
            ended = dict(record)
            if may_go_on(TrajectoryEnd(record["end"]), record["reason"]):
                dynamics = Langevin(atoms, ForceEvaluation(calculator, reset_history), settings, seed)
                ended["reason"] = _advance(dynamics, file, settings.steps, progress)
                ended["end"] = TrajectoryEnd.STOPPED if ended["reason"] else TrajectoryEnd.COMPLETED
        # The frames are on disk, synced, before the record claims an end.
        if ended != record:
            write_record(record_path(trajectory), ended)
    return _outcome(ended, file, len(atoms))


def may_go_on(end: TrajectoryEnd, reason: str) -> bool:
    """Return whether a trajectory that ended so can be carried on: an engine that was killed may have more time now."""
    return end is not TrajectoryEnd.STOPPED or CALCULATOR_FAILED in reason


def _advance(dynamics: Langevin, file: TrajectoryFile, steps: int, progress: Callable[[int, int], None] | None) -> str:
    """Write frames until the last step; return why it stopped before, or an empty string."""
    try:
        frame = file.last or dynamics.first_frame()
        if file.last is None:
            file.append(frame)
        dynamics.set_reference(file.first or frame)
        while frame.step < steps:
            frame = dynamics.block(frame)
            file.append(frame)
            if progress:
                progress(frame.step, steps)
    except StopReason as stop:
        return str(stop)
    return ""


def _outcome(record: dict[str, Any], file: TrajectoryFile, n_atoms: int) -> MolecularDynamicsOutcome:
    kinetic_eV = file.kinetic_energies_eV[1:]
    mean_eV = float(np.mean(kinetic_eV)) if kinetic_eV else math.nan
    return MolecularDynamicsOutcome(
        end=TrajectoryEnd(record["end"]),
        reason=record["reason"],
        frames=len(file.kinetic_energies_eV),
        steps=file.last.step if file.last else 0,
        mean_temperature_K=temperature_K(mean_eV, n_atoms),
        trajectory=file.path,
    )


def _check_input(atoms: Atoms, seed: int) -> None:
    if len(atoms) < 2:
        raise InputError(f"molecular dynamics needs at least two atoms, not {len(atoms)}")
    if atoms.constraints:
        raise InputError("molecular dynamics moves every atom: remove the constraints of the structure first")
    if seed < 0:
        raise InputError(f"the seed must be 0 or more, not {seed}")


def _check_pressure_can_act(atoms: Atoms, calculator: Calculator) -> None:
    if atoms.cell.rank < 3 or not atoms.pbc.all():
        raise InputError(
            f"pressure_GPa needs a cell that is periodic in three directions, not pbc={atoms.pbc.tolist()} with"
            f" cell vectors {atoms.cell.lengths().tolist()} Å long: set both, or pressure_GPa to None"
        )
    if "stress" not in getattr(calculator, "implemented_properties", ("stress",)):
        raise InputError(
            f"pressure_GPa needs the stress, which {type(calculator).__name__} does not give: take another"
            " calculator, or set pressure_GPa to None"
        )


def _identity(atoms: Atoms, settings: MolecularDynamicsSettings, seed: int) -> dict[str, Any]:
    """Return what must be equal for two runs to be one trajectory; its length may differ."""
    # What has no effect at constant volume is no part of it, and was unknown when older records were written.
    unused = {"pressure_GPa", "barostat"} if settings.pressure_GPa is None else set()
    return {
        "start": exact_hash(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, atoms.get_masses()),
        "seed": seed,
        "settings": settings.model_dump(mode="json", exclude={"steps", *unused}),
    }


def _open_record(trajectory: Path, identity: dict[str, Any]) -> dict[str, Any]:
    path = record_path(trajectory)
    if not path.exists():
        if trajectory.exists():
            raise InputError(
                f"{trajectory} was not written by a trajectory of this project ({path.name} is not beside"
                " it): choose another path or move the file away"
            )
        record = {"version": RECORD_VERSION, "end": TrajectoryEnd.RUNNING, "reason": "", **identity}
        write_record(path, record)
        return record
    try:
        record = json.loads(path.read_text())
        different = [key for key in identity if record[key] != identity[key]]
        known = record["version"] == RECORD_VERSION
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read: remove it and {trajectory.name} to begin anew") from error
    if different or not known:
        what = ", ".join(different) or "version"
        raise InputError(
            f"{trajectory} belongs to another trajectory (different: {what}): choose another path, or remove"
            f" it and {path.name} to begin anew"
        )
    return record
