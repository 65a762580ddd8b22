"""Distributions of the mobile ions over their candidate sites, by Monte Carlo with electrostatic energies.

The framework is frozen, so the energy of an occupation n (0 or 1 per site) is a quadratic form,
E = ½ nᵀMn + b·n, with M and b from one Ewald pair matrix. A trial move takes one ion to one empty site
(Metropolis et al., J. Chem. Phys. 1953, 21, 1087, 10.1063/1.1699114); with the potential M n + b kept up to
date it costs O(1), an accepted move O(n_sites). The temperature falls geometrically (Kirkpatrick et al.,
Science 1983, 220, 671, 10.1126/science.220.4598.671).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms, units

from ..core.arrays import BoolArray, FloatArray, IntArray
from ..core.errors import InputError, IonloopError
from ..fitting.pair_lists import periodic_pairs
from .lithium_monte_carlo_settings import MonteCarloSettings

if TYPE_CHECKING:
    from .structures.sites import CandidateSites


# Accuracy of the pair matrix for unit charges, eV/Å: far below any thermal energy, for any formal charges.
_PAIR_ACCURACY = 1e-7
# Fresh chains tried for one more distribution that has not been seen.
_MAX_ATTEMPTS = 50


@dataclass(frozen=True)
class LatticeGas:
    """Energies of ions on sites: E = ½ nᵀ ``pair_energies`` n + ``site_energies`` · n + a constant, eV.

    ``pair_energies``: symmetric, zero diagonal [n_sites, n_sites]; ``site_energies``: [n_sites];
    ``excluded``: pairs of sites that two ions may not share [n_sites, n_sites].
    """

    pair_energies: FloatArray
    site_energies: FloatArray
    excluded: BoolArray

    def energy(self, occupied: IntArray) -> float:
        """Energy (eV) of ions on the sites of these indices, up to the constant of the frozen framework."""
        pairs = self.pair_energies[np.ix_(occupied, occupied)]
        return float(0.5 * pairs.sum() + self.site_energies[occupied].sum())

    def allows(self, occupied: IntArray) -> bool:
        """Whether no two ions are on sites that exclude each other."""
        return not self.excluded[np.ix_(occupied, occupied)].any()


def lattice_gas(
    atoms: Atoms,
    mobile: str,
    charges: Mapping[str, float],
    sites: CandidateSites,
    settings: MonteCarloSettings,
) -> LatticeGas:
    """Pair and site energies of the mobile ion in the frozen framework of a crystal.

    Parameters
    ----------
    atoms
        The crystal; its atoms that are not mobile are the framework.
    mobile
        Symbol of the mobile ion.
    charges
        e, by species; formal charges, as the energies are divided by the screening.
    sites
        Candidate sites of the mobile ion.
    settings
        Screening and minimum separation are used.

    Raises
    ------
    InputError
        For a species without a charge.
    """

    from ..fitting.electrostatics.baseline import pair_energy_matrix

    missing = sorted(set(atoms.symbols) - set(charges))
    if missing:
        raise InputError(
            f"The Monte Carlo over {mobile} sites has no charge for {', '.join(missing)}; it knows "
            f"{', '.join(sorted(charges))}. Add the missing species to the charges (in e)."
        )
    framework = atoms[~np.asarray(atoms.symbols == mobile)]
    n_sites = len(sites.positions)
    cell = np.asarray(atoms.cell.array)
    matrix = pair_energy_matrix(np.vstack([sites.positions, framework.positions]), cell, accuracy=_PAIR_ACCURACY)
    framework_charges = np.array([charges[symbol] for symbol in framework.symbols])
    ion = charges[mobile]
    pair_energies = ion**2 * matrix[:n_sites, :n_sites] / settings.screening
    site_energies = ion * matrix[:n_sites, n_sites:] @ framework_charges / settings.screening
    site_energies += 0.5 * np.diag(pair_energies)
    np.fill_diagonal(pair_energies, 0.0)
    excluded = np.zeros((n_sites, n_sites), dtype=bool)
    near = periodic_pairs(sites.positions, cell, settings.minimum_separation_A)
    between = near.first != near.second
    excluded[near.first[between], near.second[between]] = True
    return LatticeGas(pair_energies, site_energies, excluded | excluded.T)


class Chain:
    """A Markov chain of occupations of a `LatticeGas`.

    Parameters
    ----------
    gas
        The energies.
    occupied
        Indices of the sites that hold an ion at the start. Shape [n_ions].

    Raises
    ------
    InputError
        Where ions at the start exclude each other.
    """

    def __init__(self, gas: LatticeGas, occupied: IntArray) -> None:
        if not gas.allows(occupied):
            raise InputError(
                "Mobile ions of the starting structure are closer together than minimum_separation_A: "
                "lower it below their shortest distance."
            )
        self.gas = gas
        self._occupied = [int(site) for site in occupied]
        self._empty = [int(site) for site in np.setdiff1d(np.arange(len(gas.site_energies)), occupied)]
        self._potential = gas.site_energies + gas.pair_energies[:, occupied].sum(axis=1)
        self._blocked = gas.excluded[:, occupied].sum(axis=1)

    @property
    def occupied(self) -> IntArray:
        """Indices of the occupied sites, ascending. Shape [n_ions]."""
        return np.array(sorted(self._occupied))

    def run(self, n_trials: int, temperature_K: float, generator: np.random.Generator) -> int:
        """Try ``n_trials`` moves of a random ion to a random empty site; returns how many were accepted."""
        if not self._empty or not self._occupied:
            return 0
        thermal_energy = units.kB * temperature_K
        ions = generator.integers(len(self._occupied), size=n_trials).tolist()
        holes = generator.integers(len(self._empty), size=n_trials).tolist()
        # exp(-ΔE/kT) > u as ΔE < -kT ln u, which cannot overflow.
        limits = (thermal_energy * generator.exponential(size=n_trials)).tolist()
        accepted = 0
        for ion, hole, limit in zip(ions, holes, limits, strict=True):
            source, target = self._occupied[ion], self._empty[hole]
            if self._blocked[target] > self.gas.excluded[source, target]:
                continue
            change = self._potential[target] - self._potential[source] - self.gas.pair_energies[source, target]
            if change >= limit:
                continue
            self._potential += self.gas.pair_energies[target] - self.gas.pair_energies[source]
            self._blocked += self.gas.excluded[target].astype(int) - self.gas.excluded[source]
            self._occupied[ion], self._empty[hole] = target, source
            accepted += 1
        return accepted


def sample_distributions(
    atoms: Atoms, mobile: str, charges: Mapping[str, float], settings: MonteCarloSettings, seed: int
) -> list[Atoms]:
    """Distinct low-energy distributions of the mobile ions over crystal sites and holes of the framework.

    Each distribution is the end of its own chain, annealed from the crystal with its own stream of random
    numbers: the first ten of forty are the ten that a count of ten gives.

    Parameters
    ----------
    atoms
        The crystal, periodic in three directions.
    mobile
        Symbol of the mobile ion.
    charges
        e, by species; formal charges, as the energies are divided by the screening.
    settings
        Count, temperatures, exclusion and screening.
    seed
        Of the random numbers, ≥ 0.

    Returns
    -------
    ``settings.count`` copies of ``atoms`` in the same order of atoms, with the mobile ions moved, without
    calculator; ``info`` holds ``monte_carlo_energy_eV`` (screened, relative to the given structure),
    ``monte_carlo_seed`` and ``monte_carlo_stream``.

    Raises
    ------
    InputError
        For a species without a charge, a crystal without mobile ions, or one whose ions start
        closer together than the minimum separation.
    IonloopError
        Where the sites do not offer that many distinct distributions.
    """

    from .structures.sites import candidate_sites

    sites = candidate_sites(atoms, mobile)
    gas = lattice_gas(atoms, mobile, charges, sites, settings)
    start = np.arange(sites.n_crystal)
    start_energy = gas.energy(start)
    seen: set[bytes] = set()
    structures: list[Atoms] = []
    for stream in range(settings.count):
        occupied = _unseen_distribution(gas, start, settings, (seed, stream), seen)
        seen.add(occupied.tobytes())
        structure = _occupied_structure(atoms, mobile, sites, occupied)
        structure.info = {
            "monte_carlo_energy_eV": gas.energy(occupied) - start_energy,
            "monte_carlo_seed": seed,
            "monte_carlo_stream": stream,
        }
        structures.append(structure)
    return structures


def _unseen_distribution(
    gas: LatticeGas,
    start: IntArray,
    settings: MonteCarloSettings,
    seed_and_stream: tuple[int, int],
    seen: set[bytes],
) -> IntArray:
    seed, stream = seed_and_stream
    for attempt in range(_MAX_ATTEMPTS):
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, attempt)))
        chain = Chain(gas, start)
        for temperature in settings.temperatures():
            chain.run(settings.sweeps * len(start), float(temperature), generator)
        if chain.occupied.tobytes() not in seen:
            return chain.occupied
    combinations = math.comb(len(gas.site_energies), len(start))
    raise IonloopError(
        f"The Monte Carlo found {len(seen)} distinct distributions of {len(start)} ions over "
        f"{len(gas.site_energies)} sites ({combinations:.3g} combinations), of {settings.count} asked for; "
        f"{_MAX_ATTEMPTS} more chains ended in known ones. Lower the count, raise end_temperature_K, or take "
        "a larger supercell."
    )


def _occupied_structure(atoms: Atoms, mobile: str, sites: CandidateSites, occupied: IntArray) -> Atoms:
    """The crystal with its mobile ions on these sites; an ion whose own site is still occupied stays on it."""
    ions = np.flatnonzero(np.asarray(atoms.symbols == mobile))
    stays = np.isin(np.arange(sites.n_crystal), occupied)
    structure = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    structure.positions[ions[~stays]] = sites.positions[occupied[occupied >= sites.n_crystal]]
    return structure
