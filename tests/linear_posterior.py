"""A model whose posterior is known: pair potentials, Gaussian bumps whose heights are drawn from a Gaussian."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from ionloop.fitting.pair_lists import periodic_pairs
from ionloop.fitting.posterior.base import ModelPosterior

CUTOFF_A = 5.0
CENTRES_A = np.linspace(1.5, 4.5, 7)
WIDTH_A = 0.6


@functools.cache
def _features(positions: bytes, cell: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return what each weight adds to the energy, [n_weights], and to the forces, [n_atoms, 3, n_weights]."""
    places = np.frombuffer(positions).reshape(-1, 3)
    pairs = periodic_pairs(places, np.frombuffer(cell).reshape(3, 3), CUTOFF_A)
    bumps, slopes = _bumps(pairs.distances)
    pull = (pairs.weights / pairs.distances)[:, None, None] * slopes[:, None, :] * pairs.vectors[:, :, None]
    forces = np.zeros((len(places), 3, len(CENTRES_A)))
    np.add.at(forces, pairs.first, pull)
    np.add.at(forces, pairs.second, -pull)
    return pairs.weights @ bumps, forces


def energy_features(atoms: Atoms) -> np.ndarray:
    """Return what each weight adds to the energy, [n_weights]."""
    return _features(atoms.positions.tobytes(), atoms.cell.array.tobytes())[0]


def force_features(atoms: Atoms) -> np.ndarray:
    """Return what each weight adds to the forces, [n_atoms, 3, n_weights]."""
    return _features(atoms.positions.tobytes(), atoms.cell.array.tobytes())[1]


def _bumps(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    away = distances[:, None] - CENTRES_A
    fade, slope = (1 - distances / CUTOFF_A) ** 2, -2 * (1 - distances / CUTOFF_A) / CUTOFF_A
    bump = np.exp(-0.5 * (away / WIDTH_A) ** 2)
    return bump * fade[:, None], bump * (slope[:, None] - away / WIDTH_A**2 * fade[:, None])


class PairSum(Calculator):
    """Energy and forces for given weights (eV)."""

    implemented_properties: ClassVar = ["energy", "forces"]

    def __init__(self, weights: np.ndarray) -> None:
        super().__init__()
        self.weights = weights

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {
            "energy": float(energy_features(self.atoms) @ self.weights),
            "forces": force_features(self.atoms) @ self.weights,
        }


class LinearPosterior(ModelPosterior):
    """Weights are ``mean``, with a covariance whose root is ``root`` [n_weights, k]."""

    def __init__(self, mean: np.ndarray, root: np.ndarray, degrees_of_freedom: int = 30) -> None:
        self.mean, self.root = mean, root
        self.degrees_of_freedom = degrees_of_freedom

    @property
    def calculator(self) -> PairSum:
        return PairSum(self.mean)

    def energy_vectors(self, structures: Sequence[Atoms]) -> np.ndarray:
        return np.array([energy_features(one) for one in structures]) @ self.root

    def label_vectors(self, atoms: Atoms) -> np.ndarray:
        raise NotImplementedError("nobody asks this model what labels would tell")

    def force_stds(self, atoms: Atoms) -> np.ndarray:
        return np.linalg.norm(force_features(atoms) @ self.root, axis=-1)

    def sampled_calculator(self, seed: int) -> PairSum:
        normal = np.random.default_rng(seed).standard_normal(self.root.shape[1])
        return PairSum(self.mean + self.root @ normal)


def pair_posterior(deviation_eV: float = 0.02, seed: int = 0) -> LinearPosterior:
    """Return a model that binds atoms near 2.6 Å, every weight uncertain by about ``deviation_eV``."""
    repulsion = 8.0 * np.exp(-(CENTRES_A - 1.5) / 0.35) - 0.9 * np.exp(-0.5 * ((CENTRES_A - 2.9) / 0.5) ** 2)
    root = np.random.default_rng(seed).normal(0.0, deviation_eV / np.sqrt(3), (len(CENTRES_A), 3))
    return LinearPosterior(repulsion, root)
