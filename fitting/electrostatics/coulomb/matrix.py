"""The Coulomb energy of a small structure as a matrix, with its derivatives: what fits of charges are made of.

E = ½ qᵀA q with the clouds' interaction with themselves on the diagonal, so that A is positive definite among neutral
charges. Memory and time grow as the square of the number of atoms: for training cells, not for dynamics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from ....core.arrays import FloatArray, IntArray
from ....core.errors import InputError
from ...pair_lists import Pairs, open_pairs, periodic_pairs
from .clouds import CloudTable
from .ewald import COULOMB_CONSTANT_EV_A, MATRIX_COSTS, ReciprocalLattice, Splitting, checked_cell, choose_splitting
from .slabs import Surroundings, add_slab_matrix, surroundings
from .summation import POINT_CHARGES, SHARE, TAIL_SHARE, charged_cell_of, check_distances, pair_potential

VOIGT = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
"""Components of a strain derivative in the order of a fit's rows: xx, xy, xz, yy, yz, zz."""


@dataclass(frozen=True, eq=False)
class CoulombMatrix:
    """A and its derivatives.

    Attributes
    ----------
    values
        A (eV/e²). Shape [n_atoms, n_atoms].
    gradients
        dA_ij/dr_i (eV/Å/e²); dA_ij/dr_j is its negative. Shape [n_atoms, n_atoms, 3].
    strains
        dA_ij/dε in the order of `VOIGT` (eV/e²); zeros in open space. Shape [n_atoms, n_atoms, 6].
    """

    values: FloatArray
    gradients: FloatArray
    strains: FloatArray

    def potentials(self, charges: FloatArray) -> FloatArray:
        """Return φ = A q (V) [n_atoms]."""
        return self.values @ charges

    def energy_derivative(self, charges: FloatArray) -> FloatArray:
        """Return d(½ qᵀA q) at fixed q by positions and strain (eV/Å, eV). Shape [3 n_atoms + 6]."""
        by_position = charges[:, None] * np.einsum("ijx,j->ix", self.gradients, charges)
        return np.concatenate([by_position.ravel(), 0.5 * np.einsum("i,ijv,j->v", charges, self.strains, charges)])

    def potential_derivative(self, charges: FloatArray) -> FloatArray:
        """Return dφ at fixed q by positions and strain (V/Å, V). Shape [n_atoms, 3 n_atoms + 6]."""
        return product_derivative(self.gradients, self.strains, charges)


def product_derivative(gradients: FloatArray, strains: FloatArray, vector: FloatArray) -> FloatArray:
    """Return d(M x) at fixed x of a matrix of pairs, by positions and strain. Shape [n_atoms, 3 n_atoms + 6].

    Parameters
    ----------
    gradients, strains
        dM_ij/dr_i and dM_ij/dε as in `CoulombMatrix`.
    vector
        x. Shape [n_atoms].
    """
    n_atoms = len(vector)
    by_position = -gradients * vector[None, :, None]
    diagonal = np.arange(n_atoms)
    by_position[diagonal, diagonal] += np.einsum("ijx,j->ix", gradients, vector)
    by_strain = np.einsum("ijv,j->iv", strains, vector)
    return np.concatenate([by_position.reshape(n_atoms, -1), by_strain], axis=1)


def coulomb_matrix(
    positions: FloatArray,
    around: Surroundings,
    kinds: IntArray,
    clouds: CloudTable,
    accuracy: float = 1e-6,
    screening_A: float | None = None,
    *,
    with_derivatives: bool = True,
) -> CoulombMatrix:
    """Return the Coulomb matrix of a structure.

    Parameters
    ----------
    positions
        Of the atoms (Å). Shape [n_atoms, 3].
    around
        What the structure repeats in (`matrix_surroundings`).
    kinds
        Of the atoms among those of ``clouds``. Shape [n_atoms].
    clouds
        Charge clouds; none a point charge.
    accuracy
        As in `.summation.CoulombSum`, for unit charges (eV/Å).
    screening_A
        Keeps only the short-ranged part, erfc(r/λ)/r with this λ (Å); None keeps all.
    with_derivatives
        Whether gradients and strains are wanted; they are empty otherwise.

    Raises
    ------
    InputError
        If a kind that occurs is a point charge, whose interaction with itself is infinite, or as `CoulombSum`.
    """
    own = clouds.self_interaction[kinds]
    if not np.isfinite(own).all():
        raise InputError(POINT_CHARGES)
    n_atoms = len(positions)
    unit = np.full((clouds.n_kinds,) * 2, COULOMB_CONSTANT_EV_A)
    cutoffs = clouds.cutoffs(unit, TAIL_SHARE * accuracy)
    values = np.diag(own)
    rows = n_atoms if with_derivatives else 0
    gradients, strains = np.zeros((rows, n_atoms, 3)), np.zeros((rows, n_atoms, 6))
    reduced = None if around.cell is None else checked_cell(around.cell)
    splitting: Splitting | None = None
    if screening_A is not None:
        splitting = _screened(screening_A, accuracy)
    elif reduced is not None:
        counts = np.bincount(kinds, minlength=clouds.n_kinds)
        charged = charged_cell_of(reduced, counts, np.ones(clouds.n_kinds), cutoffs)
        share = SHARE * accuracy * around.truncation_share
        splitting = choose_splitting(charged, share, costs=MATRIX_COSTS)
    alpha = None if splitting is None else splitting.alpha
    if splitting is not None:
        cutoffs = np.maximum(cutoffs, splitting.real_cutoff)
        values -= 2 * splitting.alpha / math.sqrt(math.pi) * np.eye(n_atoms)
    blocks = open_pairs(positions) if reduced is None else [periodic_pairs(positions, reduced, float(cutoffs.max()))]
    for pairs in blocks:
        check_distances(pairs)
        value, slope = pair_potential(pairs, kinds, clouds, alpha, None if alpha is None else cutoffs)
        add_pairs(values, gradients, strains, pairs, value, slope)
    for each in (values, gradients, strains):
        each *= COULOMB_CONSTANT_EV_A
    if splitting is not None and reduced is not None and screening_A is None:
        _add_long_range(ReciprocalLattice.build(reduced, splitting), positions, values, gradients, strains)
        if around.normal is not None:
            add_slab_matrix(positions, around, values, gradients, strains)
    if around.cell is None:
        strains[:] = 0.0
    return CoulombMatrix(values, gradients, strains)


def matrix_surroundings(atoms: Atoms, accuracy: float = 1e-6) -> Surroundings:
    """Return what a structure repeats in, for a matrix of this accuracy, for unit charges (eV/Å).

    Raises
    ------
    InputError
        As `.slabs.surroundings`.
    """
    return surroundings(atoms.positions, atoms.cell.array, atoms.pbc, np.ones(len(atoms)), SHARE * accuracy)


def _add_long_range(
    reciprocal: ReciprocalLattice, positions: FloatArray, values: FloatArray, gradients: FloatArray, strains: FloatArray
) -> None:
    """Add the sum over the reciprocal lattice, less the background that its G = 0 leaves out; derivatives if wanted."""
    if len(gradients):
        reciprocal.add_to_matrix(positions, values, gradients, strains)
    else:
        values += reciprocal.pair_matrix(positions)
    background = COULOMB_CONSTANT_EV_A * math.pi / (reciprocal.volume * reciprocal.alpha**2)
    values -= background
    strains[:, :, [0, 3, 5]] += background


def _screened(screening_A: float, accuracy: float) -> Splitting:
    """Return the splitting whose short-ranged part is all that is kept."""
    # At this distance the screened force of unit charges is below what is aimed at.
    reach = math.sqrt(max(math.log(COULOMB_CONSTANT_EV_A / (SHARE * accuracy)), 1.0))
    return Splitting(1 / screening_A, reach * screening_A, 0.0)


def add_pairs(
    values: FloatArray, gradients: FloatArray, strains: FloatArray, pairs: Pairs, value: FloatArray, slope: FloatArray
) -> None:
    """Add values and slopes of pairs, each once, to both triangles; an atom's own images to the diagonal."""
    n_atoms = len(values)
    place = pairs.first * n_atoms + pairs.second
    value, slope = pairs.weights * value, pairs.weights * slope

    def summed(weights: FloatArray) -> FloatArray:
        return np.bincount(place, weights, minlength=n_atoms**2).astype(np.float64).reshape(n_atoms, n_atoms)

    half = summed(value)
    values += half + half.T
    if not len(gradients):
        return
    pulls = (slope / pairs.distances)[:, None] * pairs.vectors
    for axis in range(3):
        # The vector leads from the first to the second: dA/dr of the first is against it.
        half = summed(pulls[:, axis])
        gradients[:, :, axis] += half.T - half
    for component, (a, b) in enumerate(VOIGT):
        half = summed(pulls[:, a] * pairs.vectors[:, b])
        strains[:, :, component] += half + half.T
