"""Constant pressure: exact densities of the volume, the stress balance of a crystal, restarts, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from pydantic import ValidationError

from ionloop.core.errors import InputError
from ionloop.sampling.barostat import CellState, StrainSampler, deformation, strain_sampler
from ionloop.sampling.barostat_settings import BarostatSettings
from ionloop.sampling.guard import ContactGuard, TrajectoryGuard
from ionloop.sampling.molecular_dynamics import TrajectoryEnd, record_path, run_langevin
from ionloop.sampling.molecular_dynamics_settings import MolecularDynamicsSettings
from ionloop.sampling.trajectory import read_frames

STANDARD_ERRORS_ALLOWED = 5.0
BLOCKS = 20
GRADIENT_STEP = 1e-6
GRADIENT_TOLERANCE = 1e-6
ROUNDING = 1e-12
EQUATION_OF_STATE_TOLERANCE = 3e-3
CONSERVED_EV_PER_ATOM = 1e-3
CELLS = ("isotropic", "flexible")


def npt(steps: int = 60, barostat: dict[str, Any] | None = None, **changes: Any) -> MolecularDynamicsSettings:
    values: dict[str, Any] = {
        "temperature_K": 300,
        "timestep_fs": 2.0,
        "steps": steps,
        "write_every": 10,
        "pressure_GPa": 1.0,
        "barostat": {"time_fs": 100.0, "compressibility_per_GPa": 0.007, "every": 5} | (barostat or {}),
    }
    return MolecularDynamicsSettings(**(values | changes))


def assert_mean(samples: np.ndarray, expected: float, largest_error: float) -> None:
    """Compare a mean with ``expected`` within its standard error, which must be small enough to mean something."""
    blocks = samples[: len(samples) // BLOCKS * BLOCKS].reshape(BLOCKS, -1).mean(axis=1)
    standard_error = blocks.std(ddof=1) / np.sqrt(BLOCKS)
    assert standard_error < largest_error
    assert abs(samples.mean() - expected) < STANDARD_ERRORS_ALLOWED * standard_error


# --- the density sampled ---


def sampled_volumes(sampler: StrainSampler, particles: int, moves: int) -> np.ndarray:
    """Return the volumes of an ideal gas whose momenta, its centre of mass at rest, are drawn anew for each move."""
    random = np.random.default_rng(5)
    volume, volumes = particles * sampler.kT_eV / sampler.pressure_eV_per_A3, []
    for _ in range(moves):
        thermal = np.sqrt(sampler.kT_eV) * random.standard_normal((particles - 1, 3))
        before = CellState(volume, 0.0, np.zeros((3, 3)), thermal.T @ thermal)
        amplitudes = sampler.draw(before, random)
        stretch = deformation(sampler.strain(amplitudes))
        slowed = thermal @ np.linalg.inv(stretch)
        after = CellState(volume * np.linalg.det(stretch), 0.0, np.zeros((3, 3)), slowed.T @ slowed)
        if np.log(random.random()) < sampler.log_acceptance(before, after, amplitudes):
            volume = after.volume_A3
        volumes.append(volume)
    return np.array(volumes)


@pytest.mark.parametrize("cell", CELLS)
def test_volume_of_an_ideal_gas_has_its_exact_mean_and_fluctuation(cell: str) -> None:
    # ρ(V) dV ~ V^N exp(-P V / kT) dV, however coarse the step of the barostat: here half of its time constant.
    particles, pressure_GPa = 6, 0.1
    settings = BarostatSettings(cell=cell, compressibility_per_GPa=1 / pressure_GPa, time_fs=20.0, every=10)
    sampler = strain_sampler(settings, temperature_K=300, pressure_GPa=pressure_GPa, timestep_fs=1.0)
    reduced = sampled_volumes(sampler, particles, 8000) * sampler.pressure_eV_per_A3 / sampler.kT_eV
    assert_mean(reduced, particles + 1, largest_error=0.15)
    assert_mean((reduced - particles - 1) ** 2, particles + 1, largest_error=0.8)


@pytest.mark.parametrize("cell", CELLS)
def test_drift_is_the_gradient_of_the_density(cell: str) -> None:
    # With an energy linear in ln V and a constant stress, ∂ ln π / ∂x by finite differences.
    sampler = strain_sampler(BarostatSettings(cell=cell), temperature_K=400, pressure_GPa=3.0, timestep_fs=1.0)
    volume, slope_eV = 90.0, 1.7
    momenta = np.random.default_rng(1).normal(0, 0.3, (5, 3))

    def state(amplitudes: np.ndarray) -> CellState:
        stretch = deformation(sampler.strain(amplitudes))
        slowed = momenta @ np.linalg.inv(stretch)
        now = volume * np.linalg.det(stretch)
        return CellState(now, slope_eV * np.log(now), slope_eV / now * np.eye(3), slowed.T @ slowed)

    origin = np.zeros(len(sampler.modes))
    mean, variance = sampler._proposal(state(origin))
    for a, mode in enumerate(sampler.modes):
        step = GRADIENT_STEP * np.eye(len(origin))[a]
        gradient = (sampler._log_density(state(step)) - sampler._log_density(state(-step))) / (2 * GRADIENT_STEP)
        assert mean[a] / (0.5 * variance[a]) == pytest.approx(gradient - np.trace(mode), rel=GRADIENT_TOLERANCE)


def test_both_cells_give_the_volume_the_same_noise() -> None:
    state = CellState(100.0, 0.0, np.zeros((3, 3)), np.zeros((3, 3)))
    variances = []
    for cell in CELLS:
        sampler = strain_sampler(BarostatSettings(cell=cell), temperature_K=300, pressure_GPa=0, timestep_fs=1.0)
        traces = np.einsum("aii->a", sampler.modes)
        variances.append((sampler._proposal(state)[1] * traces**2).sum())
    assert variances[0] == pytest.approx(variances[1], rel=ROUNDING)


class Balloon(Calculator):
    """Atoms that do not see each other in a cell with a bulk modulus: its volume has a known density."""

    implemented_properties = ("energy", "forces", "stress")
    stiffness_eV = 5.0
    rest_A3 = 500.0

    def energy_eV(self, volume_A3: Any) -> Any:
        return 0.5 * self.stiffness_eV * np.log(volume_A3 / self.rest_A3) ** 2

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        volume = self.atoms.get_volume()
        pressure = -self.stiffness_eV * np.log(volume / self.rest_A3) / volume
        self.results = {
            "energy": float(self.energy_eV(volume)),
            "forces": np.zeros((len(self.atoms), 3)),
            "stress": -pressure * np.array([1.0, 1, 1, 0, 0, 0]),
        }


@pytest.mark.slow
def test_dynamics_sample_the_density_of_the_volume(tmp_path: Path) -> None:
    positions = np.random.default_rng(2).uniform(0, 7.9, (6, 3))
    atoms = Atoms("Cu6", positions=positions, cell=np.cbrt(500.0) * np.eye(3), pbc=True)
    free = TrajectoryGuard(contacts=ContactGuard(covalent_fraction=0))
    settings = npt(
        9000,
        {"every": 3, "time_fs": 30.0, "compressibility_per_GPa": 0.35, "maximum_volume_factor": 4.0},
        friction_per_ps=50.0,
        pressure_GPa=0.3,
        write_every=6,
        guard=free,
    )
    outcome = run_langevin(atoms, Balloon(), settings, tmp_path / "a.traj", seed=3)
    assert outcome.reason == ""
    volumes = np.array([frame.get_volume() for frame in read_frames(outcome.trajectory, start=50)])
    grid = np.linspace(50, 3000, 4000)
    enthalpy_eV = Balloon().energy_eV(grid) + 0.3 * units.GPa * grid
    weights = grid ** len(atoms) * np.exp(-enthalpy_eV / (units.kB * 300))
    mean = float((weights * grid).sum() / weights.sum())
    variance = float((weights * (grid - mean) ** 2).sum() / weights.sum())
    assert_mean(volumes, mean, largest_error=0.02 * mean)
    assert_mean((volumes - mean) ** 2, variance, largest_error=0.15 * variance)


# --- crystals ---


@pytest.mark.slow
def test_cold_crystal_follows_its_equation_of_state(tmp_path: Path) -> None:
    static = bulk("Cu", cubic=True)
    lattice_A = np.linspace(3.40, 3.70, 61)
    energies_eV = []
    for a in lattice_A:
        static.set_cell(a * np.eye(3), scale_atoms=True)
        static.calc = EMT()
        energies_eV.append(static.get_potential_energy())
    for pressure_GPa in (0.0, 10.0):
        enthalpies_eV = np.array(energies_eV) + pressure_GPa * units.GPa * lattice_A**3
        near = np.abs(np.arange(61) - enthalpies_eV.argmin()) < 6
        expected_A = np.poly1d(np.polyfit(lattice_A[near], enthalpies_eV[near], 2)).deriv().roots[0]
        settings = npt(600, temperature_K=10, pressure_GPa=pressure_GPa)
        outcome = run_langevin(bulk("Cu", cubic=True), EMT(), settings, tmp_path / f"{pressure_GPa}.traj", seed=4)
        volumes = [frame.get_volume() for frame in read_frames(outcome.trajectory, start=30)]
        assert np.mean(volumes) == pytest.approx(expected_A**3, rel=EQUATION_OF_STATE_TOLERANCE)


@pytest.mark.slow
def test_flexible_cell_balances_every_component_of_the_stress(tmp_path: Path) -> None:
    # The mean gradient of the density vanishes: <V (σ + P) - Σ p⊗p/m> = 2 kT in every direction, no shear.
    atoms = bulk("Cu", cubic=True)
    settings = npt(2500, {"cell": "flexible"}, friction_per_ps=20.0, pressure_GPa=4.0, timestep_fs=3.0)
    outcome = run_langevin(atoms, EMT(), settings, tmp_path / "a.traj", seed=6)
    assert outcome.end is TrajectoryEnd.COMPLETED
    frames = read_frames(outcome.trajectory, start=40)
    kT = units.kB * 300
    work = []
    for frame in frames:
        momenta = frame.get_momenta()
        kinetic = momenta.T @ (momenta / frame.get_masses()[:, np.newaxis])
        stress = frame.get_stress(voigt=False) + 4.0 * units.GPa * np.eye(3)
        work.append(frame.get_volume() * stress - kinetic)
    for i in range(3):
        for j in range(i, 3):
            assert_mean(np.array(work)[:, i, j], 2 * kT if i == j else 0.0, largest_error=12 * kT)  # P V is 45 kT
    angles = np.array([frame.cell.angles() for frame in frames])
    assert np.ptp(angles, axis=0).min() > 1.0


def test_isotropic_cell_keeps_its_shape_and_the_centre_of_mass_its_place(tmp_path: Path) -> None:
    atoms = bulk("Cu", cubic=True)
    atoms.positions += 5.2 * atoms.cell[1]
    outcome = run_langevin(atoms, EMT(), npt(100), tmp_path / "a.traj", seed=1)
    frames = read_frames(outcome.trajectory)
    assert len({frame.get_volume() for frame in frames}) > 5
    for frame in frames:
        np.testing.assert_allclose(frame.cell / frame.cell[0, 0], atoms.cell / atoms.cell[0, 0], atol=ROUNDING)
        np.testing.assert_allclose(frame.get_center_of_mass(), atoms.get_center_of_mass(), atol=1e-9)
        np.testing.assert_allclose(frame.get_momenta().sum(axis=0), 0.0, atol=1e-10)


def test_heat_counts_what_strains_give(tmp_path: Path) -> None:
    settings = npt(400, {"every": 2}, timestep_fs=1.0)
    outcome = run_langevin(bulk("Cu", cubic=True), EMT(), settings, tmp_path / "a.traj", seed=3)
    frames = read_frames(outcome.trajectory)
    conserved = np.array([frame.get_total_energy() - frame.info["heat_eV"] for frame in frames]) / 4
    assert np.ptp(conserved) < CONSERVED_EV_PER_ATOM
    assert np.ptp([frame.info["heat_eV"] for frame in frames]) / 4 > 10 * CONSERVED_EV_PER_ATOM


# --- restarts and refusals ---


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("every", [3, 10, 25])
def test_restart_is_exact(tmp_path: Path, cell: str, every: int) -> None:
    atoms, frames = bulk("Cu", cubic=True), {}
    for name, lengths in (("undisturbed", (60,)), ("restarted", (10, 40, 60))):
        path = tmp_path / f"{name}.traj"
        for steps in lengths:
            run_langevin(atoms, EMT(), npt(steps, {"cell": cell, "every": every}), path, seed=5)
        frames[name] = read_frames(path)
    assert len(frames["restarted"]) == 7
    for a, b in zip(*frames.values(), strict=True):
        np.testing.assert_array_equal(a.positions, b.positions)
        np.testing.assert_array_equal(a.cell[:], b.cell[:])
        np.testing.assert_array_equal(a.get_momenta(), b.get_momenta())
        np.testing.assert_array_equal(a.get_forces(), b.get_forces())
        np.testing.assert_array_equal(a.get_stress(), b.get_stress())
        assert a.info == b.info


def test_constant_volume_does_not_know_of_the_barostat(tmp_path: Path) -> None:
    path, atoms = tmp_path / "a.traj", bulk("Cu", cubic=True)
    run_langevin(atoms, EMT(), npt(pressure_GPa=None), path, seed=1)
    assert "pressure" not in record_path(path).read_text()
    changed = npt(pressure_GPa=None, barostat={"cell": "flexible"})
    assert run_langevin(atoms, EMT(), changed, path, seed=1).end is TrajectoryEnd.COMPLETED
    with pytest.raises(InputError, match="different: settings"):
        run_langevin(atoms, EMT(), npt(), path, seed=1)


def test_collapsing_cell_stops(tmp_path: Path) -> None:
    settings = npt(2000, {"maximum_volume_factor": 1.05, "time_fs": 1000.0}, pressure_GPa=40.0)
    outcome = run_langevin(bulk("Cu", cubic=True), EMT(), settings, tmp_path / "a.traj", seed=1)
    assert outcome.end is TrajectoryEnd.STOPPED
    assert "the volume is 0.9" in outcome.reason
    assert outcome.frames > 1


def test_cells_and_calculators_that_cannot_follow_are_refused(tmp_path: Path) -> None:
    class Stressless(EMT):
        implemented_properties = ("energy", "forces")

    slab = bulk("Cu", cubic=True)
    slab.pbc = (True, True, False)
    with pytest.raises(InputError, match="periodic in three directions"):
        run_langevin(slab, EMT(), npt(), tmp_path / "a.traj", seed=1)
    with pytest.raises(InputError, match="Stressless does not give"):
        run_langevin(bulk("Cu", cubic=True), Stressless(), npt(), tmp_path / "a.traj", seed=1)
    assert not (tmp_path / "a.traj").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"friction_per_ps": 0}, "needs a thermostat"),
        ({"pressure_GPa": float("inf")}, "finite"),
        ({"barostat": {"time_fs": 0}}, "greater than 0"),
        ({"barostat": {"cell": "cubic"}}, "'isotropic' or 'flexible'"),
        ({"barostat": {"times_fs": 1.0}}, "Extra inputs"),
        ({"barostat": {"maximum_volume_factor": 1.0}}, "greater than 1"),
    ],
)
def test_settings_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        npt(**changes)
