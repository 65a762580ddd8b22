"""The squared-exponential kernel of three numbers, summed over permutations and normalised.

k(x, s) = A(x, s) / sqrt(A(x, x) A(s, s)), A(x, s) = Σ_P exp(-1/2 Σ_q ((x_q - s_P(q)) / θ_P(q))²)

Permutations exchange components of equal θ only.
"""
# mypy cannot see through numba's decorator, and the arguments of kernels are arrays throughout.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False

from __future__ import annotations

import math

import numpy as np

from ....core.arrays import FloatArray, IntArray
from ...compiler import numba


class TripletKernel:
    """The kernel with given points.

    Parameters
    ----------
    points
        Shape [n_points, 3].
    length_scales
        θ, in units of the components. Shape [3].
    permutations
        Orders of the components; none for the components as they are.
    """

    def __init__(
        self, points: FloatArray, length_scales: FloatArray, permutations: tuple[tuple[int, ...], ...] = ()
    ) -> None:
        self.points = np.ascontiguousarray(points, dtype=np.float64)
        self.length_scales = np.ascontiguousarray(length_scales, dtype=np.float64)
        self.permutations = np.array(permutations or ((0, 1, 2),), dtype=np.int64)
        norms = np.array([_self_overlap(point, self.length_scales, self.permutations) for point in self.points])
        self._inverse_norms = 1.0 / np.sqrt(norms)

    @property
    def arrays(self) -> tuple[FloatArray, FloatArray, FloatArray, IntArray]:
        """Points, their inverse norms, length scales and permutations, as the compiled functions take them."""
        return self.points, self._inverse_norms, self.length_scales, self.permutations

    def matrix(self, descriptors: FloatArray) -> FloatArray:
        """Return the kernel of descriptors [n, 3] with the points. Shape [n, n_points]."""
        values = np.empty((len(descriptors), len(self.points)))
        _fill_matrix(*self.arrays, np.ascontiguousarray(descriptors), values)
        return values

    def sum_on_grid(self, weights: FloatArray, axes: tuple[FloatArray, FloatArray, FloatArray]) -> FloatArray:
        """Return Σ_s weight_s k(x, s) on the grid of three axes: Gaussians of one number each, and their products."""
        total = np.zeros(tuple(len(axis) for axis in axes))
        for order in self.permutations:
            factors = [
                np.exp(-0.5 * ((axis[:, None] - self.points[None, :, place]) / self.length_scales[place]) ** 2)
                for axis, place in zip(axes, order, strict=True)
            ]
            factors[1] = factors[1] * (weights * self._inverse_norms)
            for index, first in enumerate(factors[0]):
                total[index] += (factors[1] * first) @ factors[2].T
        if len(self.permutations) == 1:
            return total
        norm = np.zeros_like(total)
        for order in self.permutations:
            product = np.ones((1, 1, 1))
            for q, place in enumerate(order.tolist()):
                if place != q:
                    shape_q, shape_place = [1, 1, 1], [1, 1, 1]
                    shape_q[q], shape_place[place] = -1, -1
                    gap = (axes[q].reshape(shape_q) - axes[place].reshape(shape_place)) / self.length_scales[place]
                    product = product * np.exp(-0.5 * gap**2)
            norm += product
        return total / np.sqrt(norm)


@numba.njit(cache=True, nogil=True)
def _self_overlap(x, scales, permutations):
    total = 0.0
    for order in permutations:
        exponent = 0.0
        for q in range(3):
            exponent -= 0.5 * ((x[q] - x[order[q]]) / scales[order[q]]) ** 2
        total += math.exp(exponent)
    return total


@numba.njit(cache=True, nogil=True)
def _self_overlap_gradient(x, scales, permutations, gradient):
    """Return A(x, x) and fill its gradient [3]."""
    total = 0.0
    gradient[:] = 0.0
    for order in permutations:
        exponent = 0.0
        for q in range(3):
            exponent -= 0.5 * ((x[q] - x[order[q]]) / scales[order[q]]) ** 2
        value = math.exp(exponent)
        total += value
        for q in range(3):
            pull = value * (x[q] - x[order[q]]) / scales[order[q]] ** 2
            gradient[q] -= pull
            gradient[order[q]] += pull
    return total


@numba.njit(cache=True, nogil=True)
def kernel_row(points, inverse_norms, scales, permutations, x, norm_gradient, values, slopes):
    """Fill the kernel of x [3] with all points [n_points], and its derivatives along x [3, n_points]."""
    single = len(permutations) == 1
    norm = 1.0
    if not single:
        norm = _self_overlap_gradient(x, scales, permutations, norm_gradient)
    factor = 1.0 / math.sqrt(norm)
    for s in range(len(points)):
        total, d0, d1, d2 = 0.0, 0.0, 0.0, 0.0
        for order in permutations:
            g0 = (x[0] - points[s, order[0]]) / scales[order[0]]
            g1 = (x[1] - points[s, order[1]]) / scales[order[1]]
            g2 = (x[2] - points[s, order[2]]) / scales[order[2]]
            value = math.exp(-0.5 * (g0 * g0 + g1 * g1 + g2 * g2))
            total += value
            d0 -= value * g0 / scales[order[0]]
            d1 -= value * g1 / scales[order[1]]
            d2 -= value * g2 / scales[order[2]]
        own = factor * inverse_norms[s]
        values[s] = own * total
        if single:
            slopes[0, s], slopes[1, s], slopes[2, s] = own * d0, own * d1, own * d2
        else:
            half = 0.5 * total / norm
            slopes[0, s] = own * (d0 - half * norm_gradient[0])
            slopes[1, s] = own * (d1 - half * norm_gradient[1])
            slopes[2, s] = own * (d2 - half * norm_gradient[2])


@numba.njit(cache=True, nogil=True)
def _fill_matrix(points, inverse_norms, scales, permutations, descriptors, matrix):
    slopes, norm_gradient = np.empty((3, len(points))), np.empty(3)
    for index in range(len(descriptors)):
        x = descriptors[index]
        kernel_row(points, inverse_norms, scales, permutations, x, norm_gradient, matrix[index], slopes)


@numba.njit(cache=True, nogil=True)
def sum_kernels(points, inverse_norms, scales, permutations, weights, descriptors, values, slopes):
    """Fill Σ_s weight_s k(x, s) [n] and its derivatives [n, 3] of descriptors x [n, 3]."""
    row, row_slopes, norm_gradient = np.empty(len(points)), np.empty((3, len(points))), np.empty(3)
    for index in range(len(descriptors)):
        x = descriptors[index]
        kernel_row(points, inverse_norms, scales, permutations, x, norm_gradient, row, row_slopes)
        value, d0, d1, d2 = 0.0, 0.0, 0.0, 0.0
        for s in range(len(points)):
            value += weights[s] * row[s]
            d0 += weights[s] * row_slopes[0, s]
            d1 += weights[s] * row_slopes[1, s]
            d2 += weights[s] * row_slopes[2, s]
        values[index] = value
        slopes[index, 0], slopes[index, 1], slopes[index, 2] = d0, d1, d2
