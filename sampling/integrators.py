"""The steps of a trajectory: BAOAB, and the strains of a barostat between them."""

from __future__ import annotations

import math

import numpy as np
from ase import Atoms, units
from ase.stress import full_3x3_to_voigt_6_stress

from ..core.errors import InputError, IonloopError
from .barostat import CellState, StrainSampler, deformation, strain_sampler
from .force_evaluation import EnergyAndForces, ForceEvaluation, StepGuard
from .guard import StepState
from .molecular_dynamics_settings import MolecularDynamicsSettings
from .trajectory import Frame

__all__ = ["CALCULATOR_FAILED", "Langevin", "StopReason", "temperature_K"]

_PER_PS = 1.0 / (1000.0 * units.fs)
_START_STREAM = 0

CALCULATOR_FAILED = "the calculator failed"
"""In the reason of a trajectory that stopped for want of forces: another attempt may get them."""


class StopReason(Exception):
    """The trajectory must not go on; the message says why."""


def _degrees_of_freedom(n_atoms: int) -> int:
    return 3 * n_atoms - 3


def temperature_K(kinetic_eV: float, n_atoms: int) -> float:
    """Return the kinetic temperature of atoms whose centre of mass rests."""
    return 2.0 * kinetic_eV / (_degrees_of_freedom(n_atoms) * units.kB)


def _kinetic_eV(momenta: np.ndarray, masses: np.ndarray) -> float:
    return float(0.5 * (momenta**2 / masses).sum())


class Langevin:
    """One trajectory in motion. Arrays are [n_atoms, 3], masses [n_atoms, 1], all in ASE's units.

    Parameters
    ----------
    atoms
        Copied.
    evaluation
        Gives energy, forces and, where a pressure is set, the stress.
    settings, seed
        As of `run_langevin`.
    """

    def __init__(
        self, atoms: Atoms, evaluation: ForceEvaluation, settings: MolecularDynamicsSettings, seed: int
    ) -> None:
        self.atoms = atoms.copy()
        self.atoms.info = {}
        self.evaluation = evaluation
        self.settings = settings
        self.seed = seed
        self.guard = StepGuard(settings.guard, self.atoms)
        self.masses = self.atoms.get_masses()[:, np.newaxis]
        self.mass_fractions = self.masses / self.masses.sum()
        self.timestep = settings.timestep_fs * units.fs
        self.decay = math.exp(-settings.friction_per_ps * _PER_PS * self.timestep)
        self.highest_temperature_K = settings.highest_temperature_K
        self._set_temperature(settings.temperature_at(0))
        self.heat_eV = 0.0
        self.start_potential_eV = 0.0
        self.start_conserved_eV = 0.0
        self.start_volume_A3 = 0.0

    def _set_temperature(self, temperature_K: float) -> None:
        self.kT = units.kB * temperature_K
        self.spread = np.sqrt((1.0 - self.decay**2) * self.masses * self.kT)
        self.strains: StrainSampler | None = None
        if self.settings.pressure_GPa is not None:
            self.strains = strain_sampler(
                self.settings.barostat,
                temperature_K=temperature_K,
                pressure_GPa=self.settings.pressure_GPa,
                timestep_fs=self.settings.timestep_fs,
            )

    def first_frame(self) -> Frame:
        """Return the start, with velocities drawn from the seed; raise `StopReason` if it is not sound."""
        noise = self._stream(_START_STREAM).standard_normal((len(self.atoms), 3))
        momenta = self._at_rest(np.sqrt(self.masses * self.kT) * noise)
        self.atoms.set_momenta(momenta)
        self.evaluation.forget()
        potential = self._evaluate(step=0)
        self.start_potential_eV = potential.energy_eV
        self.start_conserved_eV = potential.energy_eV + _kinetic_eV(momenta, self.masses)
        self._guard(potential, potential.energy_eV, step=0)
        return self._frame(potential, step=0)

    def set_reference(self, first: Frame) -> None:
        """Take the energies and the volume that changes are measured from."""
        self.start_potential_eV = first.energy_eV
        self.start_conserved_eV = first.energy_eV + _kinetic_eV(first.atoms.get_momenta(), self.masses)
        self.start_volume_A3 = abs(float(np.linalg.det(first.atoms.cell.array)))

    def block(self, frame: Frame) -> Frame:
        """Return the frame ``write_every`` steps after ``frame``; it depends on nothing else but the seed."""
        random = self._stream(frame.step // self.settings.write_every + 1)
        self.evaluation.forget()
        if self.settings.schedule:
            self._set_temperature(self.settings.temperature_at(frame.step + 0.5 * self.settings.write_every))
        self.heat_eV = frame.heat_eV
        self.atoms.set_positions(frame.atoms.positions)
        self.atoms.set_cell(frame.atoms.cell)
        self.atoms.set_momenta(frame.atoms.get_momenta())
        potential = EnergyAndForces(frame.energy_eV, frame.forces)
        for step in range(frame.step + 1, frame.step + self.settings.write_every + 1):
            previous_eV = potential.energy_eV
            potential = self._step(potential, random, step)
            self._guard(potential, previous_eV, step)
            if self.strains and self._strains_at(step):
                previous_eV = potential.energy_eV
                potential = self._strain(self.strains, potential, random, step)
                self._guard(potential, previous_eV, step)
        return self._frame(potential, step)

    def _stream(self, block: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(block,)))

    def _strains_at(self, step: int) -> bool:
        return self.strains is not None and step % self.settings.barostat.every == 0

    def _step(self, potential: EnergyAndForces, random: np.random.Generator, step: int) -> EnergyAndForces:
        """BAOAB: half kick, half drift, thermostat, half drift, half kick."""
        half = 0.5 * self.timestep
        momenta = self.atoms.get_momenta() + half * potential.forces
        positions = self.atoms.positions + half * momenta / self.masses
        before_eV = _kinetic_eV(momenta, self.masses)
        if self.settings.friction_per_ps:
            momenta = self.decay * momenta + self.spread * random.standard_normal(momenta.shape)
        # Without friction too: forces that do not quite sum to zero must not set the cell in motion.
        momenta = self._at_rest(momenta)
        self.heat_eV += _kinetic_eV(momenta, self.masses) - before_eV
        self.atoms.positions = positions + half * momenta / self.masses
        potential = self._evaluate(step)
        self.atoms.set_momenta(momenta + half * potential.forces)
        return potential

    def _strain(
        self, strains: StrainSampler, potential: EnergyAndForces, random: np.random.Generator, step: int
    ) -> EnergyAndForces:
        """Try a strain about the centre of mass: the cell, positions and momenta that it leads to, or as before."""
        positions, momenta, cell = self.atoms.positions.copy(), self.atoms.get_momenta(), self.atoms.cell.array.copy()
        before = self._cell_state(potential)
        amplitudes = strains.draw(before, random)
        threshold = math.log1p(-random.random())
        stretch = deformation(strains.strain(amplitudes))
        centre = (self.mass_fractions * positions).sum(axis=0)
        self.atoms.set_cell(cell @ stretch)
        self.atoms.positions = centre + (positions - centre) @ stretch
        self.atoms.set_momenta(momenta @ np.linalg.inv(stretch))
        self._check_volume(step)
        trial = self._evaluate(step)
        after = self._cell_state(trial)
        if not math.isfinite(after.energy_eV):
            raise StopReason(f"step {step}: the energy of a strained cell is not a finite number")
        if threshold < strains.log_acceptance(before, after, amplitudes):
            # Neither the strain nor the thermostat may hide what the integrator loses.
            self.heat_eV += after.energy_eV - before.energy_eV
            return trial
        self.atoms.set_cell(cell)
        self.atoms.positions = positions
        self.atoms.set_momenta(momenta)
        return potential

    def _cell_state(self, potential: EnergyAndForces) -> CellState:
        momenta = self.atoms.get_momenta()
        return CellState(
            volume_A3=abs(float(np.linalg.det(self.atoms.cell.array))),
            potential_eV=potential.energy_eV,
            stress=np.asarray(potential.stress, dtype=np.float64),
            kinetic=(momenta / self.masses).T @ momenta,
        )

    def _check_volume(self, step: int) -> None:
        factor = abs(float(np.linalg.det(self.atoms.cell.array))) / self.start_volume_A3
        limit = self.settings.barostat.maximum_volume_factor
        if not 1.0 / limit <= factor <= limit:
            raise StopReason(
                f"step {step}: the volume is {factor:.2f} times that of the first frame (at most {limit:g} times more"
                " or less)"
            )

    def _at_rest(self, momenta: np.ndarray) -> np.ndarray:
        return momenta - self.mass_fractions * momenta.sum(axis=0)

    def _evaluate(self, step: int) -> EnergyAndForces:
        if not np.all(np.isfinite(self.atoms.positions)):
            raise StopReason(f"step {step}: positions are not finite numbers")
        wants_stress = self.strains is not None and (self._strains_at(step) or step % self.settings.write_every == 0)
        try:
            return self.evaluation(self.atoms, stress=wants_stress)
        except (MemoryError, OSError, InputError):
            # The machine or the installation failed, not this geometry: the run may be started again.
            raise
        except Exception as error:  # a calculator is foreign code and may raise anything
            what = str(error).strip() or type(error).__name__
            kind = "" if isinstance(error, IonloopError) else f"{type(error).__name__}: "
            raise StopReason(f"step {step}: {CALCULATOR_FAILED} ({kind}{what})") from error

    def _guard(self, potential: EnergyAndForces, previous_eV: float, step: int) -> None:
        kinetic_eV = _kinetic_eV(self.atoms.get_momenta(), self.masses)
        state = StepState(
            atoms=self.atoms,
            forces=potential.forces,
            potential_eV=potential.energy_eV,
            previous_potential_eV=previous_eV,
            start_potential_eV=self.start_potential_eV,
            conserved_eV=potential.energy_eV + kinetic_eV - self.heat_eV,
            start_conserved_eV=self.start_conserved_eV,
            temperature_K=temperature_K(kinetic_eV, len(self.atoms)),
            degrees_of_freedom=_degrees_of_freedom(len(self.atoms)),
        )
        reason = self.guard.violation(state, self.highest_temperature_K)
        if reason:
            raise StopReason(f"step {step}: {reason}")

    def _frame(self, potential: EnergyAndForces, step: int) -> Frame:
        return Frame(
            atoms=self.atoms.copy(),
            energy_eV=potential.energy_eV,
            forces=potential.forces,
            step=step,
            time_fs=step * self.settings.timestep_fs,
            heat_eV=self.heat_eV,
            stress=None if potential.stress is None else full_3x3_to_voigt_6_stress(potential.stress),
        )
