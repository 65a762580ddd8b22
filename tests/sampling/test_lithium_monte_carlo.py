"""Monte Carlo over sites: exact energies, Boltzmann statistics, exclusion, determinism."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from ase import Atoms, units
from pydantic import ValidationError

from ionloop.core.errors import InputError, IonloopError
from ionloop.fitting.electrostatics.baseline import FORMAL_CHARGES, SlaterEwald
from ionloop.sampling.lithium_monte_carlo import Chain, LatticeGas, lattice_gas, sample_distributions
from ionloop.sampling.lithium_monte_carlo_settings import MonteCarloSettings
from ionloop.sampling.structures.crystals import build_crystal
from ionloop.sampling.structures.sites import CandidateSites, candidate_sites

ENERGY_TOLERANCE_EV = 1e-6
# Some five standard errors of the most frequent state: 15000 samples, hardly correlated.
FREQUENCY_TOLERANCE = 0.02
SHORT = MonteCarloSettings(count=6, temperature_steps=5, sweeps=20)


def toy_gas(n_sites: int = 6, excluded_pairs: tuple[tuple[int, int], ...] = ()) -> LatticeGas:
    """Random pair and site energies of the order of the thermal energy at 1000 K."""
    generator = np.random.default_rng(5)
    pairs = generator.normal(0, 0.08, (n_sites, n_sites))
    pairs = pairs + pairs.T
    np.fill_diagonal(pairs, 0)
    excluded = np.zeros((n_sites, n_sites), dtype=bool)
    for first, second in excluded_pairs:
        excluded[first, second] = excluded[second, first] = True
    return LatticeGas(pairs, generator.normal(0, 0.1, n_sites), excluded)


def full_energy(atoms: Atoms) -> float:
    copy = atoms.copy()
    copy.calc = SlaterEwald(FORMAL_CHARGES, accuracy=1e-9)
    return float(copy.get_potential_energy())


@pytest.mark.parametrize("strained", [False, True])
def test_energies_are_differences_of_full_ewald_sums(strained: bool) -> None:
    atoms = build_crystal("li7p3s11")
    if strained:
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.05 * np.eye(3, k=1)), scale_atoms=True)
    settings = MonteCarloSettings(screening=4.0)
    sites = candidate_sites(atoms)
    gas = lattice_gas(atoms, "Li", FORMAL_CHARGES, sites, settings)
    lithium = np.flatnonzero(atoms.symbols == "Li")
    start = np.arange(14)
    generator = np.random.default_rng(1)
    for _ in range(3):
        occupied = np.sort(generator.choice(len(sites.positions), 14, replace=False))
        moved = atoms.copy()
        moved.positions[lithium] = sites.positions[occupied]
        expected = (full_energy(moved) - full_energy(atoms)) / settings.screening
        assert gas.energy(occupied) - gas.energy(start) == pytest.approx(expected, abs=ENERGY_TOLERANCE_EV)


def test_energies_in_a_tiny_triclinic_cell_count_self_images() -> None:
    cell = [[4.2, 0, 0], [1.3, 4.5, 0], [-0.9, 1.1, 4.8]]
    atoms = Atoms("LiCl", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=cell, pbc=True)
    # A supercell of two: the ion's image interactions change when its twin moves.
    atoms = atoms.repeat((2, 1, 1))
    sites = CandidateSites(np.vstack([atoms.positions[[0, 2]], [[1.9, 0.4, 0.2], [6.1, 1.0, 0.6]]]), 2)
    settings = MonteCarloSettings(screening=1.0, minimum_separation_A=1.0)
    gas = lattice_gas(atoms, "Li", FORMAL_CHARGES, sites, settings)
    for occupied in itertools.combinations(range(4), 2):
        moved = atoms.copy()
        moved.positions[[0, 2]] = sites.positions[list(occupied)]
        expected = full_energy(moved) - full_energy(atoms)
        found = gas.energy(np.array(occupied)) - gas.energy(np.array([0, 1]))
        assert found == pytest.approx(expected, abs=ENERGY_TOLERANCE_EV)


@pytest.mark.parametrize("excluded_pairs", [(), ((0, 1), (2, 5))])
def test_chain_samples_the_boltzmann_distribution(excluded_pairs: tuple[tuple[int, int], ...]) -> None:
    temperature_K = 2000.0
    gas = toy_gas(6, excluded_pairs)
    states = [s for s in itertools.combinations(range(6), 3) if gas.allows(np.array(s))]
    weights = np.exp([-gas.energy(np.array(s)) / (units.kB * temperature_K) for s in states])
    exact = weights / weights.sum()
    chain = Chain(gas, np.array(states[0]))
    generator = np.random.default_rng(2)
    counts = dict.fromkeys(states, 0)
    n_samples = 15000
    for _ in range(n_samples):
        chain.run(10, temperature_K, generator)
        counts[tuple(chain.occupied.tolist())] += 1
    found = np.array([counts[s] for s in states]) / n_samples
    assert exact.max() > 3 * exact.min()
    assert np.abs(found - exact).max() < FREQUENCY_TOLERANCE


def test_moves_balance_in_detail() -> None:
    """Transitions between each pair of states occur equally often both ways in equilibrium."""
    gas = toy_gas(5)
    chain = Chain(gas, np.array([0, 1]))
    generator = np.random.default_rng(3)
    flows: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
    before = tuple(chain.occupied.tolist())
    for _ in range(30000):
        chain.run(1, 1000.0, generator)
        after = tuple(chain.occupied.tolist())
        flows[before, after] = flows.get((before, after), 0) + 1
        before = after
    checked = 0
    for (first, second), forward in flows.items():
        if first < second and forward > 100:
            backward = flows.get((second, first), 0)
            assert abs(forward - backward) < 5 * np.sqrt(forward + backward)
            checked += 1
    assert checked >= 10


def test_running_potential_stays_exact() -> None:
    atoms = build_crystal("li7p3s11")
    gas = lattice_gas(atoms, "Li", FORMAL_CHARGES, candidate_sites(atoms), SHORT)
    chain = Chain(gas, np.arange(14))
    assert chain.run(3000, 3000.0, np.random.default_rng(0)) > 100
    potential = gas.site_energies + gas.pair_energies[:, chain.occupied].sum(axis=1)
    np.testing.assert_allclose(chain._potential, potential, atol=1e-9)
    np.testing.assert_array_equal(chain._blocked, gas.excluded[:, chain.occupied].sum(axis=1))
    assert len(set(chain.occupied.tolist())) == 14


def test_distributions_are_distinct_crystals_with_room_between_the_ions() -> None:
    atoms = build_crystal("li7p3s11")
    found = sample_distributions(atoms, "Li", FORMAL_CHARGES, SHORT, seed=1)
    assert len(found) == SHORT.count
    lithium = atoms.symbols == "Li"
    for structure in found:
        assert (structure.symbols == atoms.symbols).all()
        np.testing.assert_array_equal(structure.cell.array, atoms.cell.array)
        np.testing.assert_array_equal(structure.positions[~lithium], atoms.positions[~lithium])
        distances = structure[lithium].get_all_distances(mic=True)
        assert distances[np.triu_indices(14, 1)].min() > SHORT.minimum_separation_A
        expected = (full_energy(structure) - full_energy(atoms)) / SHORT.screening
        assert structure.info["monte_carlo_energy_eV"] == pytest.approx(expected, abs=ENERGY_TOLERANCE_EV)
    for first, second in itertools.combinations(found, 2):
        moved = np.linalg.norm(first.positions[lithium][:, None] - second.positions[lithium][None], axis=-1)
        assert moved.min(axis=1).max() > 0.5


def test_seed_and_stream_decide_and_nothing_else() -> None:
    atoms = build_crystal("li7p3s11")
    six = sample_distributions(atoms, "Li", FORMAL_CHARGES, SHORT, seed=7)
    three = sample_distributions(atoms, "Li", FORMAL_CHARGES, SHORT.model_copy(update={"count": 3}), seed=7)
    for first, second in zip(three, six, strict=False):
        np.testing.assert_array_equal(first.positions, second.positions)
    other = sample_distributions(atoms, "Li", FORMAL_CHARGES, SHORT, seed=8)
    assert any(not np.array_equal(a.positions, b.positions) for a, b in zip(six, other, strict=True))


def test_annealing_lowers_the_energy() -> None:
    atoms = build_crystal("li7p3s11")
    hot = MonteCarloSettings(count=5, start_temperature_K=20000, end_temperature_K=20000, temperature_steps=5)
    annealed = sample_distributions(atoms, "Li", FORMAL_CHARGES, SHORT, seed=1)
    boiling = sample_distributions(atoms, "Li", FORMAL_CHARGES, hot, seed=1)
    energies = [np.mean([s.info["monte_carlo_energy_eV"] for s in structures]) for structures in (annealed, boiling)]
    assert energies[0] < energies[1] - 1


def test_more_distributions_than_exist_is_an_error() -> None:
    atoms = build_crystal("li4p2s6")  # its framework has no holes beside the crystal sites
    with pytest.raises(IonloopError, match="found 1 distinct distributions of 4 ions over 4 sites"):
        sample_distributions(atoms, "Li", FORMAL_CHARGES, SHORT, seed=1)


def test_missing_charge_is_named() -> None:
    with pytest.raises(InputError, match="no charge for P, S; it knows Li"):
        sample_distributions(build_crystal("li7p3s11"), "Li", {"Li": 1.0}, SHORT, seed=1)


def test_crystal_that_breaks_the_exclusion_is_refused() -> None:
    wide = SHORT.model_copy(update={"minimum_separation_A": 5.0})
    with pytest.raises(InputError, match="minimum_separation_A"):
        sample_distributions(build_crystal("li7p3s11"), "Li", FORMAL_CHARGES, wide, seed=1)


@pytest.mark.parametrize(
    "settings",
    [{"count": 0}, {"screening": 0}, {"sweep": 10}, {"start_temperature_K": 300, "end_temperature_K": 800}],
)
def test_meaningless_settings_are_refused(settings: dict) -> None:
    with pytest.raises(ValidationError):
        MonteCarloSettings(**settings)


def test_schedule_is_geometric() -> None:
    temperatures = MonteCarloSettings(temperature_steps=4).temperatures()
    assert temperatures[[0, -1]] == pytest.approx([3000, 800])
    assert temperatures[1:] / temperatures[:-1] == pytest.approx((800 / 3000) ** (1 / 3))
