"""Bonds that fade with distance: over them charge passes from atom to atom, which conserves it bond by bond.

A pair has the weight f(r): 1 up to a distance, then a half-wave of the cosine down to 0 at another. Every image of an
atom is a neighbour of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from ....core.arrays import FloatArray
from ...native.neighbours import NeighbourPairs, neighbour_pairs
from ...pair_lists import Pairs
from ..coulomb.matrix import add_pairs, product_derivative


@dataclass(frozen=True, eq=False)
class Bonds:
    """Bonds of one structure: pairs with weight and slope f' (1/Å). Shapes [n_bonds]."""

    pairs: Pairs
    values: FloatArray
    slopes: FloatArray

    def passed(self, quantity: FloatArray) -> FloatArray:
        """Return Σ_j f_ij (x_j - x_i) of every atom. Shapes [n_atoms]."""
        pairs, n_atoms = self.pairs, len(quantity)
        flow = pairs.weights * self.values * (quantity[pairs.second] - quantity[pairs.first])
        return self.collected(flow, n_atoms)

    def collected(self, flow: FloatArray, n_atoms: int) -> FloatArray:
        """Return what atoms have of what each bond brings its first and takes from its second. Shape [n_atoms]."""
        into = np.bincount(self.pairs.first, flow, n_atoms) - np.bincount(self.pairs.second, flow, n_atoms)
        return np.asarray(into, dtype=np.float64)

    def voltages(self, field_V_per_A: FloatArray) -> FloatArray:
        """Return what a field [3] drives charge over each bond with, to its first atom (V). Shape [n_bonds]."""
        return np.asarray(-self.pairs.vectors @ field_V_per_A, dtype=np.float64)

    def dipole(self, passed: FloatArray) -> FloatArray:
        """Return the dipole (e Å) [3] of what each bond has brought its first from its second atom (e) [n_bonds]."""
        return np.asarray(-(self.pairs.weights * passed) @ self.pairs.vectors, dtype=np.float64)

    def matrix(self, n_atoms: int, *, with_derivatives: bool = True) -> BondMatrix:
        """Return them as a matrix; strains are those of a cell, and mean nothing in open space."""
        rows = n_atoms if with_derivatives else 0
        values = np.zeros((n_atoms, n_atoms))
        gradients, strains = np.zeros((rows, n_atoms, 3)), np.zeros((rows, n_atoms, 6))
        add_pairs(values, gradients, strains, self.pairs, self.values, self.slopes)
        return BondMatrix(values, gradients, strains)

    def forces(self, products: FloatArray, n_atoms: int) -> tuple[FloatArray, FloatArray]:
        """Return forces (eV/Å) [n_atoms, 3] and strain derivative (eV) [3, 3] of an energy Σ_b f_b g_b at fixed g.

        ``products``: g (eV) [n_bonds].
        """
        pairs = self.pairs
        pulls = (pairs.weights * products * self.slopes / pairs.distances)[:, None] * pairs.vectors
        forces = np.stack([self.collected(pulls[:, axis], n_atoms) for axis in range(3)], axis=1)
        return forces, pairs.vectors.T @ pulls


@dataclass(frozen=True, eq=False)
class BondMatrix:
    """Bonds of a small structure as a matrix F with derivatives, as in `..coulomb.matrix.CoulombMatrix`.

    Shapes [n_atoms, n_atoms], [n_atoms, n_atoms, 3] and [n_atoms, n_atoms, 6].
    """

    values: FloatArray
    gradients: FloatArray
    strains: FloatArray

    def laplacian(self) -> FloatArray:
        """Return L with (L x)_i = Σ_j f_ij (x_j - x_i). Shape [n_atoms, n_atoms]."""
        return self.values - np.diag(self.values.sum(axis=1))

    def laplacian_derivative(self, vector: FloatArray) -> FloatArray:
        """Return d(L x) at fixed x by positions and strain. Shape [n_atoms, 3 n_atoms + 6]."""
        of_ones = product_derivative(self.gradients, self.strains, np.ones(len(vector)))
        return product_derivative(self.gradients, self.strains, vector) - vector[:, None] * of_ones


@dataclass(frozen=True)
class BondSwitch:
    """How a bond fades: 1 up to ``onset_A``, 0 from ``cutoff_A`` on."""

    onset_A: float
    cutoff_A: float

    def weights(self, distances: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return f and its slope (1/Å) at distances (Å). Shapes [n]."""
        rate = np.pi / (self.cutoff_A - self.onset_A)
        phase = rate * np.clip(distances - self.onset_A, 0.0, self.cutoff_A - self.onset_A)
        return 0.5 * (1 + np.cos(phase)), -0.5 * rate * np.sin(phase)

    def bonds(self, pairs: Pairs) -> Bonds:
        """Return the bonds among pairs within the cutoff, each pair once."""
        values, slopes = self.weights(pairs.distances)
        return Bonds(pairs, values, slopes)

    def matrix(self, atoms: Atoms) -> BondMatrix:
        """Return the bonds of a structure as a matrix."""
        pairs = pairs_once(neighbour_pairs(atoms.positions, atoms.cell.array, atoms.pbc, self.cutoff_A))
        found = self.bonds(pairs).matrix(len(atoms))
        if not atoms.pbc.any():
            found.strains[:] = 0.0
        return found


def pairs_once(found: NeighbourPairs) -> Pairs:
    """Return ordered pairs once each, those of an atom and its own image both ways with half the weight."""
    first = found.first
    kept = np.flatnonzero(first <= found.second)
    first, second = first[kept], found.second[kept]
    weights = np.where(first == second, 0.5, 1.0)
    return Pairs(first, second, found.vectors[kept], found.distances[kept], weights)
