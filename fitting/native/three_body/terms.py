"""Three-body terms (``distance_Nb`` of order 3, ``angle_3b``): a table where it is exact enough, else the sum."""
# mypy cannot see through numba's decorator, and the arguments of kernels are arrays throughout.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from ....core.arrays import FloatArray, IntArray
from ....core.errors import IonloopError
from ...compiler import numba
from ..descriptor_strings import WITH_QUIPPY, TripletDescriptor
from ..gap_xml import Coordinate
from ..neighbours import NeighbourPairs
from ..scratch import Scratch
from .triplet_kernel import TripletKernel, sum_kernels
from .triplet_tables import TripletTable, look_up, pieces, tabulate
from .triplets import (
    ANGLE,
    CLUSTERS,
    Triplets,
    components,
    distances_of_components,
    find_triplets,
    form_code,
    instances_of_triplets,
    triplet_cutoff,
    triplet_instances,
    weights_of_triplets,
)

TABLE_TOLERANCE_EV_A = 5e-10
"""Error of a table: that of the derivative of one triplet's energy along a distance, eV/Å, root mean square. Of an
atom's force it is some 15 times that, since a few hundred triplets err independently."""
_NODES_PER_LENGTH_SCALE = (5.0, 7.0, 9.0, 12.0, 16.0)
_MOST_NODES = 2_000_000
"""Numbers in the largest table (16 MB)."""
_TRIAL_TRIPLETS = 4000
_MARGIN_A = 0.5
"""How far below the shortest distance of the sparse points a table reaches, Å."""


class TripletTerm:
    """One three-body coordinate, ready for evaluation.

    Parameters
    ----------
    coordinate
        Whose descriptor is one of triplets.

    Raises
    ------
    IonloopError
        For a covariance that is not supported.
    """

    def __init__(self, coordinate: Coordinate) -> None:
        if not isinstance(coordinate.descriptor, TripletDescriptor):
            raise TypeError(f"a three-body term needs a descriptor of triplets, not {coordinate.descriptor.kind}")
        if coordinate.theta is None:
            raise IonloopError(
                f"the coordinate {coordinate.label!r} combines {coordinate.descriptor.kind} with the covariance "
                f"{coordinate.covariance}, which is not supported (ard_se is): {WITH_QUIPPY}"
            )
        if any(not np.allclose(coordinate.theta[list(order)], coordinate.theta) for order in coordinate.permutations):
            raise IonloopError(
                f"the coordinate {coordinate.label!r} exchanges components whose length scales theta differ, which is "
                f"no covariance; gap_fit makes them equal: {WITH_QUIPPY}"
            )
        self.coordinate = coordinate
        self.descriptor = coordinate.descriptor
        self.kernel = TripletKernel(coordinate.sparse_points, coordinate.theta, coordinate.permutations)
        self._weights = coordinate.alphas * coordinate.sparse_cutoffs * coordinate.delta**2
        self._constant = float(coordinate.alphas @ coordinate.sparse_cutoffs) * coordinate.signal_mean**2
        self.table = self._accurate_table()

    def add(
        self,
        pairs: NeighbourPairs,
        numbers: IntArray,
        atoms: IntArray,
        energies: FloatArray,
        pair_energies: FloatArray,
        gradients: FloatArray,
        scratch: Scratch,
    ) -> None:
        """Add energies (eV) and gradients (eV/Å) of the triplets around some atoms.

        Parameters
        ----------
        pairs
            All pairs.
        numbers
            Atomic numbers. Shape [n_atoms].
        atoms
            The central atoms' indices.
        energies
            Shares of the central atoms. Shape [n_atoms].
        pair_energies
            Shares of the neighbours, by pair. Shape [n_pairs].
        gradients
            On the pairs. Shape [n_pairs, 3].
        scratch
            Of this thread.
        """
        found = find_triplets(self.descriptor, pairs, numbers, atoms, scratch)
        n_found = len(found)
        if not n_found:
            return
        points = scratch.array("triplet_points", (n_found, 3))
        _fill_components(found.distances, found.places, found.form, points)
        values, slopes = scratch.array("triplet_values", (n_found,)), scratch.array("triplet_slopes", (n_found, 3))
        self.evaluate(points, values, slopes)
        _accumulate(
            found.centres, found.pairs, found.distances, found.places, found.form, self.descriptor.cutoff_A,
            self.descriptor.transition_width_A, pairs.vectors, values, slopes, energies, pair_energies, gradients,
        )  # fmt: skip

    def evaluate(self, points: FloatArray, values: FloatArray, slopes: FloatArray) -> None:
        """Fill energies (eV) [n] and their derivatives [n, 3] of descriptors [n, 3], without cutoff functions."""
        if self.table is None:
            self._sum(points, values, slopes)
        elif look_up(points, *self.table.arrays, values, slopes):
            outside = np.flatnonzero(np.isnan(values))
            own_values, own_slopes = np.empty(len(outside)), np.empty((len(outside), 3))
            self._sum(points[outside], own_values, own_slopes)
            values[outside], slopes[outside] = own_values, own_slopes

    def _sum(self, points: FloatArray, values: FloatArray, slopes: FloatArray) -> None:
        sum_kernels(*self.kernel.arrays, self._weights, points, values, slopes)
        values += self._constant

    def _accurate_table(self) -> TripletTable | None:
        """A table that is exact enough at random triplets; None if it would be too large."""
        box, trial = self._box_and_trial()
        points = components(trial)
        values, slopes = np.empty(len(trial)), np.empty((len(trial), 3))
        self._sum(points, values, slopes)
        exact = self._forces(trial, values, slopes)
        for density in _NODES_PER_LENGTH_SCALE:
            steps = self.kernel.length_scales / density
            if np.prod(pieces(box, steps) + 7.0) > _MOST_NODES:
                return None
            table = tabulate(self._on_grid, box, steps)
            look_up(points, *table.arrays, values, slopes)
            error = self._forces(trial, values, slopes) - exact
            if np.sqrt(np.mean(error**2)) < TABLE_TOLERANCE_EV_A:
                return table
        return None

    def _box_and_trial(self) -> tuple[FloatArray, Triplets]:
        """Lowest and highest components that are tabulated [3, 2], and random triplets within them."""
        form, longest = form_code(self.descriptor), self.descriptor.cutoff_A
        sparse_distances = distances_of_components(self.descriptor, self.coordinate.sparse_points)
        # Shorter distances than in the data are rare; the sum takes over there.
        shortest = float(np.clip(sparse_distances.min() - _MARGIN_A, 0.0, 0.5 * longest))
        random = np.random.default_rng(0)
        r1, r2 = random.uniform(shortest, longest, (2, _TRIAL_TRIPLETS))
        r3 = np.sqrt(r1**2 + r2**2 - 2 * r1 * r2 * random.uniform(-1, 1, _TRIAL_TRIPLETS))
        distances = np.column_stack([r1, r2, np.maximum(r3, shortest)])
        places = np.tile([0, 1, 2], (_TRIAL_TRIPLETS, 1))
        far = (shortest, 2 * longest)
        box = np.array([far if form == CLUSTERS else (shortest, longest)] * 2 + [far])
        if form == CLUSTERS:
            places = random.permuted(places, axis=1)
        if form == ANGLE:
            box = np.array([(2 * shortest, 2 * longest), (0.0, (longest - shortest) ** 2), far])
        nothing = np.zeros((_TRIAL_TRIPLETS, 2), dtype=np.int64)
        return box, Triplets(form, nothing[:, 0], nothing, distances, places)

    def _forces(self, triplets: Triplets, values: FloatArray, slopes: FloatArray) -> FloatArray:
        """Derivatives of triplets' energies along their distances, eV/Å. Shape [n, 3]."""
        limits = triplets.form, self.descriptor.cutoff_A, self.descriptor.transition_width_A
        return np.asarray(_all_pulls(triplets.distances, triplets.places, *limits, values, slopes))

    def _on_grid(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        return self.kernel.sum_on_grid(self._weights, (x, y, z)) + self._constant

    def add_variance(
        self, pairs: NeighbourPairs, numbers: IntArray, regularisation: float, variances: FloatArray
    ) -> None:
        """Add the predicted variance of each atom's share, eV². ``variances`` has shape [n_atoms]."""
        coordinate, descriptor = self.coordinate, self.descriptor
        found = find_triplets(descriptor, pairs, numbers, np.arange(len(numbers)))
        if not len(found):
            return
        covariance = (
            coordinate.delta**2 * self.kernel.matrix(components(found)) + coordinate.signal_mean**2
        ) * coordinate.sparse_cutoffs
        whitened = solve_triangular(self._covariance_factor(regularisation), covariance.T, lower=True)
        prior = coordinate.delta**2 + coordinate.signal_mean**2 + regularisation**2
        variance = prior - np.einsum("sp,sp->p", whitened, whitened)
        cutoffs = (found.form, descriptor.cutoff_A)
        weight = weights_of_triplets(found.distances, *cutoffs, descriptor.transition_width_A) ** 2
        variance *= weight * instances_of_triplets(found.distances, *cutoffs)
        if found.form == ANGLE:
            variances += np.bincount(found.centres, variance, len(numbers))
            return
        for atoms in (found.centres, pairs.second[found.pairs[:, 0]], pairs.second[found.pairs[:, 1]]):
            variances += np.bincount(atoms, variance / 3.0, len(numbers))

    def _covariance_factor(self, regularisation: float) -> FloatArray:
        coordinate = self.coordinate
        own = coordinate.delta**2 * self._own_kernel + coordinate.signal_mean**2
        own = own * np.outer(coordinate.sparse_cutoffs, coordinate.sparse_cutoffs)
        own[np.diag_indices_from(own)] += regularisation**2
        try:
            return cholesky(own, lower=True)
        except LinAlgError as error:
            raise IonloopError(
                f"the sparse points of {coordinate.label!r} give no predicted variance: {error}"
            ) from error

    @cached_property
    def _own_kernel(self) -> FloatArray:
        return self.kernel.matrix(self.coordinate.sparse_points)


@numba.njit(cache=True, nogil=True)
def _fill_components(distances, places, form, points):
    for index in range(len(distances)):
        r1, r2, r3 = distances[index]
        if form == ANGLE:
            points[index, 0], points[index, 1], points[index, 2] = r1 + r2, (r1 - r2) ** 2, r3
        else:
            for axis in range(3):
                points[index, places[index, axis]] = distances[index, axis]


@numba.njit(cache=True, nogil=True)
def chain_rule(r1, r2, form, place, slopes):
    """Derivatives along the three distances, from those along the components."""
    if form == ANGLE:
        twice = 2.0 * (r1 - r2) * slopes[1]
        return slopes[0] + twice, slopes[0] - twice, slopes[2]
    return slopes[place[0]], slopes[place[1]], slopes[place[2]]


@numba.njit(cache=True, nogil=True)
def _pulls(r1, r2, r3, form, cutoff, width, place, value, slopes):
    """Energy of a triplet and its derivatives along the three distances, with the cutoff function."""
    f, df1, df2, df3 = triplet_cutoff(r1, r2, r3, form, cutoff, width)
    share = triplet_instances(r3, form, cutoff)
    d1, d2, d3 = chain_rule(r1, r2, form, place, slopes)
    return (
        share * f * value,
        share * (f * d1 + df1 * value),
        share * (f * d2 + df2 * value),
        share * (f * d3 + df3 * value),
    )


@numba.njit(cache=True, nogil=True)
def _all_pulls(distances, places, form, cutoff, width, values, slopes):
    found = np.empty((len(distances), 3))
    for index in range(len(distances)):
        r1, r2, r3 = distances[index]
        _, found[index, 0], found[index, 1], found[index, 2] = _pulls(
            r1, r2, r3, form, cutoff, width, places[index], values[index], slopes[index]
        )
    return found


@numba.njit(cache=True, nogil=True)
def _accumulate(
    centres, pairs, distances, places, form, cutoff, width, vectors, values, slopes, energies, pair_energies, gradients
):
    for index in range(len(centres)):
        r1, r2, r3 = distances[index]
        p, q = pairs[index]
        energy, pull1, pull2, pull3 = _pulls(
            r1, r2, r3, form, cutoff, width, places[index], values[index], slopes[index]
        )
        pull1, pull2, pull3 = pull1 / r1, pull2 / r2, pull3 / r3
        for axis in range(3):
            a, b = vectors[p, axis], vectors[q, axis]
            gradients[p, axis] += pull1 * a - pull3 * (b - a)
            gradients[q, axis] += pull2 * b + pull3 * (b - a)
        if form == ANGLE:
            energies[centres[index]] += energy
        else:
            third = energy / 3.0
            energies[centres[index]] += third
            pair_energies[p] += third
            pair_energies[q] += third
