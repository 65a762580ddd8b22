"""Conductivities of paths whose diffusivity is known."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from ionloop.analysis.conductivity.diffusion import Estimate
from ionloop.analysis.conductivity.transport import (
    Carrier,
    ConductivityResult,
    analyse_conductivity,
    conductivity_against_length,
    conductivity_mS_per_cm,
)
from ionloop.analysis.conductivity.transport_settings import TransportSettings
from ionloop.analysis.trajectories.reading import Trajectory
from ionloop.core.errors import InputError

REPEATS = 40
# 90 %; with 95 % there are fewer in one of twenty sets of seeds (binomial), with 80 % as many in one of thirteen.
FEWEST_IN_INTERVAL = 36
FEWEST_RELIABLE = 38
WIDEST_OF_IDEAL = 1.5  # an interval that always holds the truth because it is wide is of no use
STEP_A = 2.0
INTERVAL_FS = 1000.0
# One step of length a along one of three axes in every frame: 6 D t = a² t.
TRUE_DIFFUSIVITY = STEP_A**2 / 6.0
LITHIUM = Carrier("Li", 800.0)


def lattice_walk(seed: int, frames: int = 400, ions: int = 12, together: int = 1) -> np.ndarray:
    """Steps of `STEP_A` to a random neighbour of a cubic lattice; groups of ions step together."""
    random = np.random.default_rng(seed)
    groups = ions // together
    steps = np.zeros((frames, groups, 3))
    direction = random.integers(0, 3, (frames, groups, 1))
    np.put_along_axis(steps, direction, random.choice([-STEP_A, STEP_A], direction.shape), axis=2)
    steps[0] = 0.0
    return np.cumsum(np.repeat(steps, together, axis=1), axis=0)


def trajectory(positions: np.ndarray, symbols: tuple[str, ...] | None = None, interval_fs=INTERVAL_FS) -> Trajectory:
    symbols = symbols or ("Li",) * positions.shape[1]
    return Trajectory(symbols, positions, 10.0 * np.eye(3), interval_fs)


def coverage(estimates: list[Estimate], truth: float) -> int:
    return sum(estimate.contains(truth) for estimate in estimates)


def results(make, carrier: Carrier = LITHIUM, repeats: int = REPEATS) -> list[ConductivityResult]:
    return [analyse_conductivity(make(seed), carrier).result for seed in range(repeats)]


def held(found: list[ConductivityResult], name: str, truth: float) -> int:
    return coverage([getattr(result, name) for result in found], truth)


def test_a_lattice_walk_lies_within_its_own_interval():
    found = results(lambda seed: [trajectory(lattice_walk(seed))])
    for name in ("diffusivity_A2_per_ps", "collective_diffusivity_A2_per_ps"):
        assert held(found, name, TRUE_DIFFUSIVITY) >= FEWEST_IN_INTERVAL
        # The best that increments of a random size allow: every step of this walk has the same.
        paths = 3 * 12 if name == "diffusivity_A2_per_ps" else 3
        ideal = 3.92 * TRUE_DIFFUSIVITY * np.sqrt(2.0 / (400 * paths))
        widths = [getattr(result, name).high - getattr(result, name).low for result in found]
        assert np.median(widths) < WIDEST_OF_IDEAL * ideal
    by_axis = [coverage([one.diffusivity_by_axis_A2_per_ps[axis] for one in found], TRUE_DIFFUSIVITY) for axis in "xyz"]
    assert min(by_axis) >= FEWEST_IN_INTERVAL
    ratios = [result.haven_ratio for result in found if result.haven_ratio]
    assert len(ratios) >= FEWEST_RELIABLE
    assert coverage(ratios, 1.0) >= 0.9 * len(ratios)


def test_replicas_of_unequal_length_lie_within_their_interval():
    lengths = (200, 300, 400)
    found = results(lambda seed: [trajectory(lattice_walk(1000 * n + seed, n, ions=6)) for n in lengths])
    for name in ("diffusivity_A2_per_ps", "collective_diffusivity_A2_per_ps"):
        assert held(found, name, TRUE_DIFFUSIVITY) >= FEWEST_IN_INTERVAL


def test_ions_that_move_together_have_a_known_haven_ratio():
    together = 3
    found = results(lambda seed: [trajectory(lattice_walk(seed, together=together))])
    ratios = [result.haven_ratio for result in found if result.haven_ratio]
    assert held(found, "diffusivity_A2_per_ps", TRUE_DIFFUSIVITY) >= FEWEST_IN_INTERVAL
    assert held(found, "collective_diffusivity_A2_per_ps", together * TRUE_DIFFUSIVITY) >= FEWEST_IN_INTERVAL
    assert len(ratios) >= FEWEST_RELIABLE
    assert coverage(ratios, 1.0 / together) >= 0.9 * len(ratios)
    assert np.median([ratio.value for ratio in ratios]) == pytest.approx(1.0 / together, rel=0.1)


def hops_in_cages(seed: int, frames: int = 1500, ions: int = 14) -> np.ndarray:
    """Vibrations about lattice sites, and hops of 3 Å after random residence, 0.02 of them per frame."""
    random = np.random.default_rng(seed)
    hopping = random.random((frames, ions, 1)) < 0.02
    direction = random.integers(0, 3, (frames, ions, 1))
    steps = np.zeros((frames, ions, 3))
    np.put_along_axis(steps, direction, 3.0 * hopping * random.choice([-1.0, 1.0], direction.shape), axis=2)
    vibration, velocity = np.zeros_like(steps), np.zeros((ions, 3))
    for index in range(1, frames):
        velocity = 0.7 * velocity - 0.3 * vibration[index - 1] + random.normal(0, 0.2, velocity.shape)
        vibration[index] = vibration[index - 1] + velocity
    return np.cumsum(steps, axis=0) + vibration


@pytest.mark.slow
def test_vibrations_in_cages_do_not_count():
    found = results(lambda seed: [trajectory(hops_in_cages(seed))], repeats=40)
    truth = 0.02 * 3.0**2 / 6.0
    assert sum(result.reliable for result in found) >= 0.95 * len(found)
    assert np.median([result.window_start_ps for result in found]) > 2
    for name in ("diffusivity_A2_per_ps", "collective_diffusivity_A2_per_ps"):
        assert held(found, name, truth) >= 0.9 * len(found)


def test_settings_of_earlier_releases_still_load():
    earlier = {"exponent_tolerance": 0.1, "minimum_displacement_A": 3.0, "bootstrap_samples": 500, "seed": 7}
    assert TransportSettings.model_validate(earlier).minimum_displacement_A == 3.0
    for name in ("bootstrap_samples", "seed"):
        assert "without effect" in (TransportSettings.model_fields[name].description or "")


def test_a_harmonic_crystal_does_not_diffuse_and_is_flagged():
    random = np.random.default_rng(3)
    frames, atoms = 2000, 20
    # An oscillator with friction and noise: ballistic at first, then bound.
    positions, velocity = np.zeros((frames, atoms, 3)), np.zeros((atoms, 3))
    for index in range(1, frames):
        velocity = 0.9 * velocity - 0.05 * positions[index - 1] + random.normal(0, 0.03, velocity.shape)
        positions[index] = positions[index - 1] + velocity
    result = analyse_conductivity([trajectory(positions, interval_fs=10.0)], LITHIUM).result
    assert not result.diffusive
    assert not result.reliable
    assert result.diffusivity_A2_per_ps.low == 0.0
    assert result.collective_conductivity_mS_per_cm.low == 0.0
    assert result.haven_ratio is None
    assert any("does not grow linearly" in warning for warning in result.warnings)
    assert any("too little" in warning for warning in result.warnings)


def test_little_displacement_is_flagged():
    walk = lattice_walk(1) * 0.01
    result = analyse_conductivity([trajectory(walk)], LITHIUM).result
    assert result.diffusive
    assert not result.reliable
    assert result.diffusivity_A2_per_ps.low == 0.0
    assert result.diffusivity_A2_per_ps.high < 2e-4 * TRUE_DIFFUSIVITY
    assert any("too little" in warning for warning in result.warnings)


def test_the_framework_carries_no_charge_and_its_drift_does_not_count():
    walk = lattice_walk(5)
    framework = np.random.default_rng(0).normal(0, 0.1, (len(walk), 8, 3))
    shift = 0.5 * np.arange(len(walk))[:, None, None] * np.array([1.0, 0.3, 0.0])
    moving = trajectory(np.concatenate([walk, framework], axis=1) + shift, ("Li",) * 12 + ("S",) * 8)
    found = analyse_conductivity([moving], LITHIUM).result
    still = analyse_conductivity([trajectory(walk)], LITHIUM).result
    assert found.diffusivity_A2_per_ps.value == pytest.approx(still.diffusivity_A2_per_ps.value, rel=0.02)
    assert set(found.diffusivity_by_species_A2_per_ps) == {"Li", "S"}
    assert found.diffusivity_by_species_A2_per_ps["S"].low == 0.0
    drifting = analyse_conductivity([moving], Carrier("Li", 800.0, drift="none")).result
    assert drifting.diffusivity_A2_per_ps.value > 2 * found.diffusivity_A2_per_ps.value


@pytest.mark.parametrize("replicas", [1, 3])
def test_ions_that_drift_through_the_framework_are_not_called_diffusive(replicas):
    def result(velocity_A_per_frame: float) -> ConductivityResult:
        walks = [lattice_walk(seed, frames=1000) for seed in range(replicas)]
        drift = velocity_A_per_frame * np.arange(1000)[:, None, None] * np.array([0.6, 0.0, 0.8])
        return analyse_conductivity([trajectory(walk + drift) for walk in walks], LITHIUM, by_axis=False).result

    assert result(0.0).reliable
    driven = result(0.1)
    assert not driven.reliable
    assert driven.collective_diffusivity_A2_per_ps.low == 0.0
    assert any("as a whole moves one way" in one for one in driven.warnings)


def test_motion_along_one_axis_is_seen_as_such():
    walk = lattice_walk(2) * np.array([2.0, 1.0, 0.0])
    by_axis = analyse_conductivity([trajectory(walk)], LITHIUM).result.diffusivity_by_axis_A2_per_ps
    assert by_axis["x"].contains(4 * TRUE_DIFFUSIVITY)
    assert by_axis["y"].contains(TRUE_DIFFUSIVITY)
    assert by_axis["z"].value == 0.0


def test_replicas_that_differ_by_more_than_chance_widen_the_interval():
    replicas = [trajectory(factor * lattice_walk(seed)) for seed, factor in enumerate((1.0, 1.5, 2.0))]
    result = analyse_conductivity(replicas, LITHIUM).result
    assert any("more than chance" in warning for warning in result.warnings)
    assert result.diffusivity_A2_per_ps.low < TRUE_DIFFUSIVITY * 1.5
    assert result.diffusivity_A2_per_ps.high > TRUE_DIFFUSIVITY * 3.0


def test_the_conductivity_of_sgpr_at_800_K():
    # D(800 K) = 0.32 Å²/ps and 14 Li in the PBE cell of 876.8 Å³ (Hajibabaei, Kim 2021; the project's recalculation).
    assert conductivity_mS_per_cm(0.32, 14, 876.8, 1.0, 800.0) == pytest.approx(1188, rel=2e-3)
    assert conductivity_mS_per_cm(0.32, 14, 876.8, 2.0, 800.0) == pytest.approx(4 * 1188, rel=2e-3)


def test_conductivity_against_length_ends_with_the_whole_and_narrows():
    walks = [trajectory(lattice_walk(seed, frames=600)) for seed in range(2)]
    curve = conductivity_against_length(walks, LITHIUM, lengths=6)
    whole = analyse_conductivity(walks, LITHIUM).result
    assert [point.length_ps for point in curve] == sorted(point.length_ps for point in curve)
    assert curve[-1].tracer_mS_per_cm == whole.tracer_conductivity_mS_per_cm
    widths = [point.collective_mS_per_cm.high - point.collective_mS_per_cm.low for point in curve]
    assert widths[-1] < 0.5 * widths[0]


def test_what_cannot_be_analysed_is_refused():
    walk = trajectory(lattice_walk(0))
    with pytest.raises(InputError, match="has no Na; it has Li"):
        analyse_conductivity([walk], Carrier("Na", 800.0))
    with pytest.raises(InputError, match="formal charge"):
        analyse_conductivity([trajectory(lattice_walk(0), ("Cu",) * 12)], Carrier("Cu", 800.0))
    with pytest.raises(InputError, match="above 0 K"):
        Carrier("Li", 0.0)
    for species in ("li", "Li+"):
        with pytest.raises(InputError, match="did you mean Li"):
            Carrier(species, 800.0)
    for charge in (0.0, float("nan"), float("inf"), 9.0):
        with pytest.raises(InputError, match="formal charge of Li must lie between -8 and 8"):
            _ = Carrier("Li", 800.0, charge).charges
    with pytest.raises(InputError, match="frames"):
        analyse_conductivity([walk.part(stop=19)], LITHIUM)
    with pytest.raises(InputError, match="other atoms"):
        analyse_conductivity([walk, trajectory(lattice_walk(0, ions=6))], LITHIUM)
    with pytest.raises(InputError, match="must be equal"):
        analyse_conductivity([walk, trajectory(lattice_walk(0), interval_fs=10.0)], LITHIUM)
    with pytest.raises(InputError, match="volume"):
        analyse_conductivity([walk, Trajectory(walk.symbols, walk.positions_A, np.eye(3) * 11, INTERVAL_FS)], LITHIUM)
    with pytest.raises(InputError, match="needs a trajectory"):
        analyse_conductivity([], LITHIUM)


@pytest.mark.skipif(importlib.util.find_spec("kinisi") is None, reason="kinisi is not installed")
@pytest.mark.filterwarnings("ignore")  # kinisi's dependencies warn of their own affairs
def test_kinisi_sees_the_same_diffusivity(tmp_path):
    import scipp
    from ase import Atoms
    from ase.io import Trajectory as AseTrajectory
    from ase.io import write
    from kinisi.analyze import DiffusionAnalyzer

    walk = lattice_walk(7)
    framework = np.random.default_rng(0).normal(0, 0.02, (len(walk), 4, 3))
    ours = trajectory(np.concatenate([walk, framework], axis=1), ("Li",) * 12 + ("S",) * 4)
    path = tmp_path / "walk.traj"
    write(path, [Atoms(ours.symbols, positions=p, cell=ours.cell_A, pbc=True) for p in ours.positions_A])
    theirs = DiffusionAnalyzer.from_ase(
        AseTrajectory(path),
        specie="Li",
        time_step=scipp.scalar(1.0, unit="ps"),
        step_skip=scipp.scalar(1, unit="dimensionless"),
        # Its default intervals, all of them, take too long.
        dt=scipp.array(dims=["time interval"], values=np.arange(1.0, 41.0), unit="ps"),
        progress=False,
    )
    theirs.diffusion(scipp.scalar(1.0, unit="ps"), progress=False)
    samples_A2_per_ps = theirs.D.values * 1e4  # cm²/s
    found = analyse_conductivity([ours], LITHIUM).result.diffusivity_A2_per_ps
    low, high = np.percentile(samples_A2_per_ps, [2.5, 97.5])
    assert low < found.value < high
    assert found.value == pytest.approx(np.mean(samples_A2_per_ps), rel=0.1)
