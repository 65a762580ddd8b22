"""Langevin molecular dynamics that can be killed at any moment and carries on to the same trajectory.

The noise of each block of ``write_every`` steps comes from its own stream, derived from the seed and the
block's number, and the calculator's history is cleared where a block begins. A restart from the last written
frame therefore repeats, bit for bit, what an undisturbed run computes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..errors import InputError, IonloopError
from .guard import StepState, TrajectoryGuard
from .trajectory import Frame, TrajectoryFile, exclusive, read_frames, write_json_atomically

__all__ = [
    "MolecularDynamicsOutcome",
    "MolecularDynamicsSettings",
    "TrajectoryEnd",
    "clear_calculator",
    "read_frames",
    "record_path",
    "run_langevin",
    "steps_for",
]

RECORD_VERSION = 1
_PER_PS = 1.0 / (1000.0 * units.fs)
_START_STREAM = 0


class MolecularDynamicsSettings(BaseModel):
    """A Langevin trajectory at constant volume and temperature; ``friction_per_ps: 0`` makes it NVE."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature_K: float = Field(
        gt=0, description="Temperature of the thermostat and of the initial velocities; unit K."
    )
    timestep_fs: float = Field(default=1.0, gt=0, le=10, description="Length of one step; unit fs.")
    steps: int = Field(ge=0, description="Number of steps, a multiple of write_every; no unit.")
    write_every: int = Field(default=10, ge=1, description="Steps between two written frames; no unit.")
    friction_per_ps: float = Field(
        default=10.0,
        ge=0,
        description="Friction of the thermostat; unit 1/ps. 10 thermalises within 0.1 ps, right for sampling;"
        " use 1 or less where diffusion is measured; 0 switches the thermostat off.",
    )
    guard: TrajectoryGuard = Field(
        default_factory=TrajectoryGuard, description="Bounds beyond which the trajectory is stopped."
    )

    @model_validator(mode="after")
    def _steps_fill_whole_blocks(self) -> Self:
        if self.steps % self.write_every:
            raise ValueError(
                f"steps ({self.steps}) must be a multiple of write_every ({self.write_every});"
                " steps_for(length_ps, timestep_fs, write_every) rounds up to one"
            )
        return self


def steps_for(length_ps: float, timestep_fs: float, write_every: int = 1) -> int:
    """Return the smallest multiple of ``write_every`` steps that covers ``length_ps``."""
    # A length given in decimal, such as 0.3 ps at 0.1 fs, must not gain a step by rounding upwards.
    blocks = length_ps * 1000.0 / (timestep_fs * write_every)
    return math.ceil(round(blocks, 9)) * write_every


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
    """Make an ASE calculator forget its last configuration: the default of ``reset_history``."""
    if hasattr(calculator, "reset"):
        calculator.reset()


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
    """Run, or carry on with, a Langevin trajectory from Maxwell-Boltzmann velocities.

    The integrator is BAOAB (Leimkuhler and Matthews, J. Chem. Phys. 2013, 138, 174102,
    10.1063/1.4802990), whose configurational averages are accurate to second order, fourth at high friction.
    The centre of mass is held at rest by projecting its momentum out of the thermostat's update, which
    samples the canonical distribution conditioned on zero total momentum exactly; temperatures count 3N - 3
    degrees of freedom. A trajectory that has ended returns at once; a longer one (more ``steps``, all else
    equal) carries on from where it ended.

    Parameters
    ----------
    atoms
        The start; copied. Its momenta are ignored and drawn from ``seed``.
    calculator
        Gives energy and forces. After ``reset_history`` it must behave as if new.
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
        If ``atoms`` cannot be run (fewer than two atoms, constraints), the seed is negative, or
        ``trajectory`` belongs to another start, seed or other settings.
    TrajectoryError
        If the disk is full, the file cannot be written, or another process is writing it.
    """
    _check_input(atoms, seed)
    with exclusive(trajectory):
        record = _open_record(trajectory, _identity(atoms, settings, seed))
        with TrajectoryFile(trajectory) as file:
            done = file.last.step if file.last else 0
            if progress:
                progress(done, settings.steps)
            ended = dict(record)
            if record["end"] != TrajectoryEnd.STOPPED:
                dynamics = _Langevin(atoms, calculator, settings, seed, reset_history)
                ended["reason"] = dynamics.advance(file, progress)
                ended["end"] = TrajectoryEnd.STOPPED if ended["reason"] else TrajectoryEnd.COMPLETED
        # The frames are on disk, synced, before the record claims an end.
        if ended != record:
            write_json_atomically(record_path(trajectory), ended)
    return _outcome(ended, file, len(atoms))


def _outcome(record: dict[str, Any], file: TrajectoryFile, n_atoms: int) -> MolecularDynamicsOutcome:
    kinetic_eV = file.kinetic_energies_eV[1:]
    mean_eV = float(np.mean(kinetic_eV)) if kinetic_eV else math.nan
    return MolecularDynamicsOutcome(
        end=TrajectoryEnd(record["end"]),
        reason=record["reason"],
        frames=len(file.kinetic_energies_eV),
        steps=file.last.step if file.last else 0,
        mean_temperature_K=_temperature_K(mean_eV, n_atoms),
        trajectory=file.path,
    )


def _check_input(atoms: Atoms, seed: int) -> None:
    if len(atoms) < 2:
        raise InputError(f"molecular dynamics needs at least two atoms, not {len(atoms)}")
    if atoms.constraints:
        raise InputError("molecular dynamics moves every atom: remove the constraints of the structure first")
    if seed < 0:
        raise InputError(f"the seed must be 0 or more, not {seed}")


def _identity(atoms: Atoms, settings: MolecularDynamicsSettings, seed: int) -> dict[str, Any]:
    """Return what must be equal for two runs to be one trajectory; its length may differ."""
    digest = hashlib.sha256()
    for array in (atoms.numbers, atoms.positions, atoms.cell[:], atoms.pbc, atoms.get_masses()):
        digest.update(np.ascontiguousarray(array).tobytes())
    return {
        "start": digest.hexdigest(),
        "seed": seed,
        "settings": settings.model_dump(mode="json", exclude={"steps"}),
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
        write_json_atomically(path, record)
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


def _degrees_of_freedom(n_atoms: int) -> int:
    return 3 * n_atoms - 3


def _temperature_K(kinetic_eV: float, n_atoms: int) -> float:
    return 2.0 * kinetic_eV / (_degrees_of_freedom(n_atoms) * units.kB)


def _kinetic_eV(momenta: np.ndarray, masses: np.ndarray) -> float:
    return float(0.5 * (momenta**2 / masses).sum())


class _StopReason(Exception):
    """The trajectory must not go on; the message says why."""


class _Potential(NamedTuple):
    energy_eV: float
    forces: np.ndarray


class _Langevin:
    """One trajectory in motion. Arrays are [n_atoms, 3], masses [n_atoms, 1], all in ASE's units."""

    def __init__(
        self,
        atoms: Atoms,
        calculator: Calculator,
        settings: MolecularDynamicsSettings,
        seed: int,
        reset_history: Callable[[Calculator], None],
    ) -> None:
        self.atoms = atoms.copy()
        self.atoms.info = {}
        self.calculator = calculator
        self.settings = settings
        self.seed = seed
        self.reset_history = reset_history
        self.masses = self.atoms.get_masses()[:, np.newaxis]
        self.timestep = settings.timestep_fs * units.fs
        self.kT = units.kB * settings.temperature_K
        self.decay = math.exp(-settings.friction_per_ps * _PER_PS * self.timestep)
        self.heat_eV = 0.0
        self.start_potential_eV = 0.0
        self.start_conserved_eV = 0.0

    def advance(self, file: TrajectoryFile, progress: Callable[[int, int], None] | None) -> str:
        """Write frames until the last step; return why it stopped before, or an empty string."""
        try:
            frame = file.last or self._first_frame()
            if file.last is None:
                file.append(frame)
            self._set_reference(file.first or frame)
            while frame.step < self.settings.steps:
                frame = self._block(frame)
                file.append(frame)
                if progress:
                    progress(frame.step, self.settings.steps)
        except _StopReason as stop:
            return str(stop)
        return ""

    def _stream(self, block: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(block,)))

    def _first_frame(self) -> Frame:
        noise = self._stream(_START_STREAM).standard_normal((len(self.atoms), 3))
        momenta = self._at_rest(np.sqrt(self.masses * self.kT) * noise)
        self.atoms.set_momenta(momenta)
        potential = self._evaluate(self.atoms.positions.copy(), step=0)
        self.start_potential_eV = potential.energy_eV
        self.start_conserved_eV = potential.energy_eV + _kinetic_eV(momenta, self.masses)
        self._guard(potential, potential.energy_eV, step=0)
        return self._frame(potential, step=0)

    def _set_reference(self, first: Frame) -> None:
        self.start_potential_eV = first.energy_eV
        self.start_conserved_eV = first.energy_eV + _kinetic_eV(first.atoms.get_momenta(), self.masses)

    def _block(self, frame: Frame) -> Frame:
        """Return the frame ``write_every`` steps after ``frame``; it depends on nothing else but the seed."""
        random = self._stream(frame.step // self.settings.write_every + 1)
        self.reset_history(self.calculator)
        self.heat_eV = frame.heat_eV
        self.atoms.set_positions(frame.atoms.positions)
        self.atoms.set_momenta(frame.atoms.get_momenta())
        potential = _Potential(frame.energy_eV, frame.forces)
        for step in range(frame.step + 1, frame.step + self.settings.write_every + 1):
            previous_eV = potential.energy_eV
            potential = self._step(potential, random, step)
            self._guard(potential, previous_eV, step)
        return self._frame(potential, step)

    def _step(self, potential: _Potential, random: np.random.Generator, step: int) -> _Potential:
        """BAOAB: half kick, half drift, thermostat, half drift, half kick."""
        half = 0.5 * self.timestep
        momenta = self.atoms.get_momenta() + half * potential.forces
        positions = self.atoms.get_positions() + half * momenta / self.masses
        before_eV = _kinetic_eV(momenta, self.masses)
        noise = random.standard_normal(momenta.shape)
        spread = np.sqrt((1.0 - self.decay**2) * self.masses * self.kT)
        momenta = self._at_rest(self.decay * momenta + spread * noise)
        self.heat_eV += _kinetic_eV(momenta, self.masses) - before_eV
        positions = positions + half * momenta / self.masses
        potential = self._evaluate(positions, step)
        self.atoms.set_momenta(momenta + half * potential.forces)
        return potential

    def _at_rest(self, momenta: np.ndarray) -> np.ndarray:
        return momenta - self.masses / self.masses.sum() * momenta.sum(axis=0)

    def _evaluate(self, positions: np.ndarray, step: int) -> _Potential:
        if not np.all(np.isfinite(positions)):
            raise _StopReason(f"step {step}: positions are not finite numbers")
        self.atoms.set_positions(positions)
        if step == 0:
            self.reset_history(self.calculator)
        self.atoms.calc = self.calculator
        try:
            forces = np.array(self.atoms.get_forces(), dtype=np.float64)
            energy_eV = float(self.atoms.get_potential_energy())
        except (MemoryError, OSError, InputError):
            # The machine or the installation failed, not this geometry: the run may be started again.
            raise
        except Exception as error:  # a calculator is foreign code and may raise anything
            what = str(error).strip() or type(error).__name__
            kind = "" if isinstance(error, IonloopError) else f"{type(error).__name__}: "
            raise _StopReason(f"step {step}: the calculator failed ({kind}{what})") from error
        finally:
            self.atoms.calc = None
        return _Potential(energy_eV, forces)

    def _guard(self, potential: _Potential, previous_eV: float, step: int) -> None:
        kinetic_eV = _kinetic_eV(self.atoms.get_momenta(), self.masses)
        state = StepState(
            atoms=self.atoms,
            forces=potential.forces,
            potential_eV=potential.energy_eV,
            previous_potential_eV=previous_eV,
            start_potential_eV=self.start_potential_eV,
            conserved_eV=potential.energy_eV + kinetic_eV - self.heat_eV,
            start_conserved_eV=self.start_conserved_eV,
            temperature_K=_temperature_K(kinetic_eV, len(self.atoms)),
            degrees_of_freedom=_degrees_of_freedom(len(self.atoms)),
        )
        reason = self.settings.guard.violation(state, self.settings.temperature_K)
        if reason:
            raise _StopReason(f"step {step}: {reason}")

    def _frame(self, potential: _Potential, step: int) -> Frame:
        return Frame(
            atoms=self.atoms.copy(),
            energy_eV=potential.energy_eV,
            forces=potential.forces,
            step=step,
            time_fs=step * self.settings.timestep_fs,
            heat_eV=self.heat_eV,
        )
