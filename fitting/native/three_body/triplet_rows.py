"""What sparse points of a three-body coordinate add to a configuration's rows; their order is that of `rows`."""
# mypy cannot see through numba's decorator, and the arguments of kernels are arrays throughout.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....core.arrays import FloatArray, IntArray
from ...compiler import numba
from ..descriptor_strings import TripletDescriptor
from ..neighbours import NeighbourPairs
from .terms import chain_rule
from .triplet_kernel import TripletKernel, kernel_row
from .triplets import components, find_triplets, triplet_cutoff, triplet_instances


@dataclass(frozen=True, eq=False)
class TripletPoints:
    """Sparse points of one three-body coordinate.

    ``weights``: δ² times the cutoff function at each point, eV² [n_points].
    """

    descriptor: TripletDescriptor
    kernel: TripletKernel
    weights: FloatArray


def add_triplet_rows(rows: FloatArray, pairs: NeighbourPairs, numbers: IntArray, points: TripletPoints) -> None:
    """Add what the triplets of a structure contribute.

    Parameters
    ----------
    rows
        The columns of the points' coordinate. Shape [n_rows, n_points].
    pairs
        Of the structure.
    numbers
        Atomic numbers. Shape [n_atoms].
    points
        The sparse points.
    """
    descriptor = points.descriptor
    found = find_triplets(descriptor, pairs, numbers, np.arange(len(numbers)))
    _add_rows(
        rows, found.centres, pairs.second[found.pairs], found.distances, found.places, components(found),
        pairs.vectors[found.pairs], found.form, descriptor.cutoff_A, descriptor.transition_width_A,
        points.kernel.arrays, points.weights,
    )  # fmt: skip


@numba.njit(cache=True, nogil=True)
def _add_rows(rows, centres, neighbours, distances, places, descriptors, vectors, form, cutoff, width, kernel, weights):
    points, inverse_norms, scales, permutations = kernel
    n_points = len(points)
    first_virial = rows.shape[0] - 6
    values, slopes, norm_gradient = np.empty(n_points), np.empty((3, n_points)), np.empty(3)
    pulls, gradient_a, gradient_b = np.empty((3, n_points)), np.empty(n_points), np.empty(n_points)
    for index in range(len(centres)):
        r1, r2, r3 = distances[index]
        a, b = vectors[index, 0], vectors[index, 1]
        f, df1, df2, df3 = triplet_cutoff(r1, r2, r3, form, cutoff, width)
        share = triplet_instances(r3, form, cutoff)
        kernel_row(points, inverse_norms, scales, permutations, descriptors[index], norm_gradient, values, slopes)
        for s in range(n_points):
            weight = share * weights[s]
            d1, d2, d3 = chain_rule(r1, r2, form, places[index], slopes[:, s])
            rows[0, s] += weight * f * values[s]
            pulls[0, s] = weight * (f * d1 + df1 * values[s]) / r1
            pulls[1, s] = weight * (f * d2 + df2 * values[s]) / r2
            pulls[2, s] = weight * (f * d3 + df3 * values[s]) / r3
        for axis in range(3):
            own = rows[1 + 3 * centres[index] + axis]
            first = rows[1 + 3 * neighbours[index, 0] + axis]
            second = rows[1 + 3 * neighbours[index, 1] + axis]
            along_a, along_b, across = a[axis], b[axis], b[axis] - a[axis]
            for s in range(n_points):
                gradient_a[s] = pulls[0, s] * along_a - pulls[2, s] * across
                gradient_b[s] = pulls[1, s] * along_b + pulls[2, s] * across
            for s in range(n_points):
                first[s] += gradient_a[s]
            for s in range(n_points):
                second[s] += gradient_b[s]
            for s in range(n_points):
                own[s] -= gradient_a[s] + gradient_b[s]
            # xx, xy, xz, yy, yz, zz: r is the first factor.
            for row_axis in range(axis + 1):
                virial = rows[first_virial + row_axis * (5 - row_axis) // 2 + axis]
                for s in range(n_points):
                    virial[s] += a[row_axis] * gradient_a[s] + b[row_axis] * gradient_b[s]
