"""What samplers do to matter: ramps follow their temperature, a crystal melts and becomes a glass, cells breathe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.data import atomic_numbers, covalent_radii

from ionloop.sampling.molecular_dynamics import TrajectoryEnd, run_langevin
from ionloop.sampling.molecular_dynamics_settings import MolecularDynamicsSettings, TemperatureStage
from ionloop.sampling.samplers.base import SamplerOutcome, SamplerRequest
from ionloop.sampling.samplers.changing_temperature import (
    ANNEALING,
    AnnealingSettings,
    MeltQuenchSettings,
    RampSettings,
)
from ionloop.sampling.samplers.constant_temperature import NPTSettings, NVTSettings
from ionloop.sampling.samplers.random_packing import RANDOM_PACKING, RandomPackingSettings
from ionloop.sampling.samplers.rattled import RattledSettings
from ionloop.sampling.samplers.sampling import sample, samples
from ionloop.sampling.seen_contacts import shortest_distances_A
from ionloop.sampling.structures.crystals import build_crystal
from ionloop.sampling.structures.packing import density_of_g_per_cm3
from ionloop.sampling.trajectory import read_frames

STANDARD_ERRORS_ALLOWED = 5.0
NEIGHBOUR_A = 2.556
"""Nearest neighbours in EMT's copper at rest."""
NO_CONTACTS = {"contacts": {"covalent_fraction": 0}}
MELT_EXPANSION = 1.05
BETWEEN_SHELLS = MELT_EXPANSION * 0.5 * (1 + np.sqrt(2.0)) * NEIGHBOUR_A


class Wells(Calculator):
    """Every atom in a harmonic well of its own, tied to the cell: what equipartition says of it is exact."""

    implemented_properties = ("energy", "forces")

    def __init__(self, rest: np.ndarray) -> None:
        super().__init__()
        self.rest = rest

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        moves = self.atoms.positions - self.rest
        moves = moves - moves.mean(axis=0)
        self.results = {"energy": float(0.5 * 2.0 * (moves**2).sum()), "forces": -2.0 * moves}


class IdealGas(Calculator):
    """Atoms without forces: the volume at constant pressure has a distribution in closed form."""

    implemented_properties = ("energy", "forces", "stress")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": np.zeros((len(self.atoms), 3)), "stress": np.zeros(6)}


def run(path: Path, atoms: Atoms, settings, calculator, **changes) -> SamplerOutcome:
    values = {"atoms": atoms, "settings": settings, "index": 0, "seed": 5, "path": path, "calculator": calculator}
    return sample(SamplerRequest(**(values | changes)))


# --- temperatures -----------------------------------------------------------------------------------------------------


def test_a_schedule_goes_from_stage_to_stage_and_stays_where_it_ends() -> None:
    stages = (TemperatureStage(steps=100, start_K=300, end_K=900), TemperatureStage(steps=50, start_K=2000, end_K=500))
    settings = MolecularDynamicsSettings(temperature_K=400, steps=1000, schedule=stages)
    told = [settings.temperature_at(step) for step in (0, 50, 99, 100, 125, 150, 10_000)]
    np.testing.assert_allclose(told, [300, 600, 894, 2000, 1250, 400, 400])
    assert settings.highest_temperature_K == 2000


def test_what_has_no_schedule_is_written_as_before_there_were_any() -> None:
    plain = MolecularDynamicsSettings(temperature_K=400, steps=1000)
    assert "schedule" not in plain.model_dump(mode="json")
    assert "schedule" not in plain.model_dump()
    with_one = plain.model_copy(update={"schedule": (TemperatureStage(steps=10, start_K=1, end_K=2),)})
    assert MolecularDynamicsSettings.model_validate(with_one.model_dump(mode="json")) == with_one


def test_potential_energy_follows_equipartition_along_a_ramp(tmp_path: Path) -> None:
    # Slow beside the friction: at every moment the wells are as full as the thermostat's temperature says.
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    settings = RampSettings(
        temperatures_K=(300, 1500, 300), length_ps=6.0, timestep_fs=4.0, friction_per_ps=20, guard=NO_CONTACTS
    )
    outcome = run(tmp_path / "a.traj", atoms, settings, lambda: Wells(atoms.positions))
    assert outcome.end is TrajectoryEnd.COMPLETED
    frames = read_frames(tmp_path / "a.traj", start=1)
    times_ps = np.array([frame.info["time_fs"] for frame in frames]) / 1000.0
    expected_K = 300 + 1200 * (1 - np.abs(times_ps / 3.0 - 1))
    modes = 3 * len(atoms) - 3
    # Half of the energy of each mode is potential; it scatters by sqrt(2 / modes) around its mean.
    ratio = np.array([frame.get_potential_energy() for frame in frames]) / (0.5 * modes * units.kB * expected_K)
    blocks = ratio.reshape(10, -1).mean(axis=1)
    assert abs(blocks.mean() - 1) < STANDARD_ERRORS_ALLOWED * blocks.std(ddof=1) / np.sqrt(len(blocks))
    assert blocks.std(ddof=1) < 0.1


def test_a_restart_within_a_schedule_repeats_what_an_undisturbed_run_computes(tmp_path: Path) -> None:
    atoms = bulk("Cu", cubic=True)
    stages = (TemperatureStage(steps=17, start_K=300, end_K=900), TemperatureStage(steps=20, start_K=900, end_K=100))
    settings = MolecularDynamicsSettings(
        temperature_K=100, timestep_fs=2, steps=60, write_every=5, schedule=stages, pressure_GPa=0.0
    )
    run_langevin(atoms, EMT(), settings, tmp_path / "whole.traj", seed=3)
    for steps in (20, 35, 60):
        part = settings.model_copy(update={"steps": steps})
        run_langevin(atoms, EMT(), part, tmp_path / "parts.traj", seed=3)
    whole, parts = (read_frames(tmp_path / name) for name in ("whole.traj", "parts.traj"))
    assert len(whole) == len(parts) == 13
    for first, second in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(first.positions, second.positions)
        np.testing.assert_array_equal(first.get_momenta(), second.get_momenta())
        np.testing.assert_array_equal(first.cell.array, second.cell.array)


def test_annealing_cools_in_geometric_progression_from_the_top_in_every_cycle() -> None:
    settings = AnnealingSettings(start_temperature_K=1600, end_temperature_K=100, length_ps=8.0, cycles=2)
    dynamics = ANNEALING.dynamics(settings, 0)
    assert dynamics.steps == 8000
    told = [dynamics.temperature_at(step) for step in (0, 1000, 2000, 3000, 4000, 6000)]
    np.testing.assert_allclose(told, [1600, 800, 400, 200, 1600, 400], rtol=0.01)


def test_every_temperature_has_its_replicas(tmp_path: Path) -> None:
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    settings = NVTSettings(temperature_K=(200, 1000), replicas=2, length_ps=0.4, timestep_fs=4.0, friction_per_ps=50)
    told = []
    for index in range(4):
        path = tmp_path / f"{index}.traj"
        told.append(run(path, atoms, settings, EMT, index=index, starts=[atoms]).mean_temperature_K)
    assert max(told[:2]) < 0.6 * min(told[2:])


# --- cells ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_volume_of_an_ideal_gas_has_its_distribution_at_constant_pressure(tmp_path: Path) -> None:
    # N atoms of which the centre of mass is held: <V> = (N + 1) kT / P with the density V^N exp(-P V / kT).
    atoms = Atoms("Cu8", positions=np.random.default_rng(1).uniform(0, 8, (8, 3)), cell=[8.0] * 3, pbc=True)
    barostat = {"every": 1, "time_fs": 40.0, "compressibility_per_GPa": 1.0, "maximum_volume_factor": 100.0}
    pressure_GPa = 8 * units.kB * 600 / 512.0 / units.GPa
    settings = NPTSettings(
        temperature_K=600,
        pressure_GPa=pressure_GPa,
        length_ps=16,
        timestep_fs=4,
        write_every=2,
        barostat=barostat,
        guard=NO_CONTACTS,
    )
    run(tmp_path / "a.traj", atoms, settings, IdealGas)
    volumes = np.array([frame.get_volume() for frame in read_frames(tmp_path / "a.traj", start=100)])
    blocks = volumes[: len(volumes) // 20 * 20].reshape(20, -1).mean(axis=1)
    error = blocks.std(ddof=1) / np.sqrt(len(blocks))
    expected = 9 * units.kB * 600 / (pressure_GPa * units.GPa)
    assert error < 0.06 * expected
    assert abs(blocks.mean() - expected) < STANDARD_ERRORS_ALLOWED * error
    assert volumes.std() / volumes.mean() == pytest.approx(1 / 3.0, rel=0.3)


def test_rattled_cells_have_the_strains_and_displacements_asked_for(tmp_path: Path) -> None:
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    settings = RattledSettings(count=100, displacement_A=0.05, strain=0.02)
    run(tmp_path / "a.traj", atoms, settings, None)
    frames = samples(settings, 0, tmp_path / "a.traj")
    stretches = np.array([np.linalg.solve(atoms.cell.array, frame.cell.array) for frame in frames])
    np.testing.assert_allclose(stretches, np.swapaxes(stretches, 1, 2), atol=1e-12)
    strains = np.array([_logarithm(stretch) for stretch in stretches])
    assert np.abs(strains).max() <= 0.02 + 1e-12
    assert strains.std(axis=0) == pytest.approx(0.02 / np.sqrt(3), rel=0.25)
    moves = np.array(
        [frame.positions - atoms.positions @ stretch for frame, stretch in zip(frames, stretches, strict=True)]
    )
    assert moves.std() == pytest.approx(0.05, rel=0.02)
    assert abs(moves.mean()) < 5 * 0.05 / np.sqrt(moves.size)


def packings(folder: Path, atoms: Atoms, calculator=None, **changes) -> list[Atoms]:
    settings = RandomPackingSettings(**changes)
    for index in range(settings.count):
        run(folder / f"{index}.traj", atoms, settings, calculator, index=index)
    return [frame for index in range(settings.count) for frame in samples(settings, index, folder / f"{index}.traj")]


def test_random_packings_have_the_system_s_atoms_and_density_and_no_order(tmp_path: Path) -> None:
    crystal = build_crystal("li7p3s11")
    frames = packings(tmp_path, crystal, count=3, relaxation={"steps": 0})
    for frame in frames:
        assert frame.get_volume() == pytest.approx(crystal.get_volume())
        assert frame.cell.lengths() == pytest.approx(crystal.get_volume() ** (1 / 3))
        np.testing.assert_array_equal(frame.numbers, crystal.numbers)
        for pair, distance in shortest_distances_A([frame]).items():
            assert distance >= 0.85 * covalent_radii[[atomic_numbers[symbol] for symbol in pair.split("-")]].sum()
    assert not np.allclose(frames[0].positions, frames[1].positions)


def test_random_packings_are_as_dense_and_as_close_as_asked_for(tmp_path: Path) -> None:
    crystal = build_crystal("li7p3s11")
    changes = {"density_g_per_cm3": 1.6, "density_spread": 0.1, "distances_from": "structure", "edges": (1, 1, 1.5)}
    frames = packings(tmp_path, crystal, count=30, relaxation={"steps": 0}, minimum_distances_A={"S-S": 2.5}, **changes)
    ratios = np.array([density_of_g_per_cm3(frame) for frame in frames]) / 1.6
    assert np.abs(ratios - 1).max() <= 0.1
    assert ratios.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.3)
    known, found = shortest_distances_A([crystal]), shortest_distances_A(frames)
    assert found["P-S"] >= 0.95 * known["P-S"]
    assert 2.5 <= found["S-S"] < 0.95 * known["S-S"]
    assert frames[0].cell.lengths()[2] == pytest.approx(1.5 * frames[0].cell.lengths()[0])


def test_random_packings_go_downhill_with_the_potential(tmp_path: Path) -> None:
    crystal = bulk("Cu", cubic=True) * (2, 2, 1)
    (tmp_path / "cold").mkdir()
    (packed,) = packings(tmp_path, crystal, count=1, relaxation={"steps": 0})
    (relaxed,) = packings(tmp_path / "cold", crystal, EMT, count=1)
    before, after = (EMT().get_potential_energy(frame) for frame in (packed, relaxed))
    assert after < before - len(crystal) * 0.1
    assert np.linalg.norm(relaxed.positions - packed.positions, axis=1).max() <= 1.0


@pytest.mark.parametrize(
    ("atoms", "said"),
    [
        (bulk("Cu"), "take a supercell"),
        (Atoms("Cu2", positions=[[0, 0, 0], [2.5, 0, 0]]), "no density: its cell has no volume"),
        (bulk("Cu", cubic=True, a=2.5), "cannot be packed"),
        (bulk("Cu", cubic=True, a=2.2), "at most 30 g/cm³"),
    ],
)
def test_a_structure_that_cannot_be_packed_is_told(atoms: Atoms, said: str) -> None:
    assert said in RANDOM_PACKING.objection(RandomPackingSettings(), atoms)


def _logarithm(stretch: np.ndarray) -> np.ndarray:
    values, axes = np.linalg.eigh(stretch)
    return (axes * np.log(values)) @ axes.T


# --- melt and glass ---------------------------------------------------------------------------------------------------


def displacements_A2(frames: list[Atoms], origin: Atoms) -> np.ndarray:
    return np.array([((frame.positions - origin.positions) ** 2).sum(axis=1).mean() for frame in frames])


def neighbours_at(frames: list[Atoms], distance_A: float) -> float:
    """Return how many neighbours an atom has around a distance, over what it would have in a gas: g(r)."""
    width = 0.15
    counts = [((np.abs(frame.get_all_distances(mic=True) - distance_A) < width).sum()) for frame in frames]
    shell_A3 = 4 * np.pi * distance_A**2 * 2 * width
    n_atoms, volume_A3 = len(frames[0]), frames[0].get_volume()
    return float(np.mean(counts)) / n_atoms / (shell_A3 * n_atoms / volume_A3)


@pytest.mark.slow
def test_a_crystal_melts_and_the_melt_becomes_a_glass(tmp_path: Path) -> None:
    # At the density of the melt, or the crystal would only be overheated in so short a time.
    atoms = bulk("Cu", cubic=True, a=MELT_EXPANSION * np.sqrt(2) * NEIGHBOUR_A) * (2, 2, 2)
    settings = MeltQuenchSettings(
        melt_temperature_K=3000,
        heat_ps=0.2,
        melt_ps=2.0,
        quench_K_per_ps=4000,
        hold_ps=0.4,
        timestep_fs=4.0,
        write_every=5,
        replicas=1,
    )
    outcome = run(tmp_path / "a.traj", atoms, settings, EMT)
    assert outcome.end is TrajectoryEnd.COMPLETED, outcome.reason
    frames = read_frames(tmp_path / "a.traj")
    times_ps = np.array([frame.info["time_fs"] for frame in frames]) / 1000.0
    melt = [frame for frame, time in zip(frames, times_ps, strict=True) if 1.2 < time < 2.2]
    glass = [frame for frame, time in zip(frames, times_ps, strict=True) if time > outcome.steps * 0.004 - 0.3]
    # A melt diffuses, by more than half of the way to a neighbour; a glass rests where it was quenched.
    assert displacements_A2(melt[-1:], atoms)[0] > 0.5 * NEIGHBOUR_A**2
    assert displacements_A2(glass, glass[0]).max() < 0.3
    # Between the first two shells of the crystal there is nobody; in the melt and in the glass there is.
    assert neighbours_at([atoms], BETWEEN_SHELLS) == 0
    assert neighbours_at(melt, BETWEEN_SHELLS) > 0.5
    assert neighbours_at(glass, BETWEEN_SHELLS) > 0.2
    assert neighbours_at(glass, NEIGHBOUR_A) > 1.5
    assert np.mean([frame.get_temperature() for frame in glass[-10:]]) == pytest.approx(300, rel=0.3)
    assert outcome.frames == len(frames)
