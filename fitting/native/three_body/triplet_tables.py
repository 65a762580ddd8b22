"""Functions of three numbers as tensor products of B-splines of degree seven, evaluated with their derivatives.

The energy of a triplet is a sum over sparse points of products of three Gaussians, with permutations divided by a norm.
With fixed weights it is one smooth function of three numbers, and a table costs the same however many sparse points and
permutations there are: 512 coefficients per triplet (as in Glielmo, Zeni, De Vita, Phys. Rev. B 2018, 97, 184307,
10.1103/PhysRevB.97.184307; Xie, Rupp, Hennig, npj Comput. Mater. 2023, 9, 162, 10.1038/s41524-023-01092-7).
Derivatives err in proportion to the seventh power of the step: degree seven needs an eighth of the memory of degree
five for the same error, and rows of eight numbers suit the processor.
"""
# mypy cannot see through numba's decorator, and the arguments of kernels are arrays throughout.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ....core.arrays import FloatArray, IntArray
from ...compiler import numba

_DEGREE = 7
_ORDER = _DEGREE + 1
# The error that the ends add falls by 0.54 per node.
_PADDING = 8


def _piece_polynomials() -> FloatArray:
    """The splines that are not zero on a piece, as polynomials of t in [0, 1]. Shape [power, spline]."""
    splines = [np.polynomial.Polynomial([1.0])]
    nothing = np.polynomial.Polynomial([0.0])
    for degree in range(1, _DEGREE + 1):
        padded = [nothing, *splines, nothing]
        splines = [
            np.polynomial.Polynomial([degree - k, 1.0]) * padded[k] / degree
            + np.polynomial.Polynomial([k + 1.0, -1.0]) * padded[k + 1] / degree
            for k in range(degree + 1)
        ]
    return np.array([np.pad(spline.coef, (0, _ORDER - len(spline.coef))) for spline in splines]).T.copy()


_POLYNOMIALS = _piece_polynomials()
_SLOPE_POLYNOMIALS = _POLYNOMIALS[1:] * np.arange(1, _ORDER)[:, None]


@dataclass(frozen=True, eq=False)
class TripletTable:
    """A function on a box.

    Attributes
    ----------
    coefficients
        Of the B-splines. Shape [n1 + 7, n2 + 7, n3 + 7] for n pieces.
    lowest
        Corner of the box. Shape [3].
    pieces_per_unit
        Shape [3].
    """

    coefficients: FloatArray
    lowest: FloatArray
    pieces_per_unit: FloatArray

    @property
    def arrays(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """As `look_up` takes them."""
        return self.coefficients, self.lowest, self.pieces_per_unit


GridFunction = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]
"""A function's values on the grid of three axes [n1], [n2], [n3]: an array [n1, n2, n3]."""


def tabulate(function: GridFunction, box: FloatArray, steps: FloatArray) -> TripletTable:
    """Return a table of a function.

    Parameters
    ----------
    function
        Smooth, also somewhat outside of the box.
    box
        Lowest and highest arguments. Shape [3, 2].
    steps
        Longest distances of the nodes. Shape [3].
    """
    n_pieces = pieces(box, steps)
    width = (box[:, 1] - box[:, 0]) / n_pieces
    axes = [
        low + step * np.arange(-_PADDING, count + 1 + _PADDING)
        for low, step, count in zip(box[:, 0], width, n_pieces, strict=True)
    ]
    values = function(*axes)
    first, second, third = (_interpolation(len(axis)) for axis in axes)
    coefficients = np.einsum("ai,ijk->ajk", first, values, optimize=True)
    coefficients = second @ (coefficients @ third.T)
    return TripletTable(np.ascontiguousarray(coefficients), box[:, 0].copy(), 1.0 / width)


def _interpolation(n_nodes: int) -> FloatArray:
    """Return the matrix from values at nodes, padded, to the coefficients that inner pieces need."""
    half = _DEGREE // 2
    matrix = np.zeros((n_nodes + 2 * half, n_nodes + 2 * half))
    for node in range(n_nodes):
        matrix[half + node, node : node + _DEGREE] = _POLYNOMIALS[0, :_DEGREE]
    # Three more conditions at either end: there the coefficients are those of a polynomial of the splines' degree.
    difference = [math.comb(_ORDER, k) * (-1) ** k for k in range(_ORDER + 1)]
    for row in range(half):
        matrix[row, row : row + _ORDER + 1] = difference
        matrix[-1 - row, len(matrix) - _ORDER - 1 - row : len(matrix) - row] = difference
    inverse = np.linalg.inv(matrix)[_PADDING : len(matrix) - _PADDING]
    return np.ascontiguousarray(inverse[:, half : half + n_nodes])


def pieces(box: FloatArray, steps: FloatArray) -> IntArray:
    """Return how many pieces each axis has."""
    return np.maximum(np.ceil((box[:, 1] - box[:, 0]) / steps), 1).astype(np.int64)


@numba.njit(cache=True, nogil=True, fastmath={"contract"}, inline="always")
def _splines(t, values, slopes):
    """Fill the splines of a piece at t in [0, 1], and their derivatives."""
    for k in range(8):
        values[k] = _POLYNOMIALS[7, k] * t + _POLYNOMIALS[6, k]
        slopes[k] = _SLOPE_POLYNOMIALS[6, k]
    for power in range(5, -1, -1):
        for k in range(8):
            values[k] = values[k] * t + _POLYNOMIALS[power, k]
            slopes[k] = slopes[k] * t + _SLOPE_POLYNOMIALS[power, k]


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def look_up(points, coefficients, lowest, pieces_per_unit, values, slopes):
    """Fill the function's values [n] and derivatives [n, 3] at points [n, 3].

    Returns how many of them lie outside of the box, whose values are NaN.
    """
    n_outside = 0
    n1, n2, n3 = coefficients.shape[0] - 7, coefficients.shape[1] - 7, coefficients.shape[2] - 7
    x_values, x_slopes = np.empty(8), np.empty(8)
    y_values, y_slopes = np.empty(8), np.empty(8)
    z_values, z_slopes = np.empty(8), np.empty(8)
    plain, along_x, along_y = np.empty(8), np.empty(8), np.empty(8)
    line, line_slope = np.empty(8), np.empty(8)
    for index in range(len(points)):
        x = (points[index, 0] - lowest[0]) * pieces_per_unit[0]
        y = (points[index, 1] - lowest[1]) * pieces_per_unit[1]
        z = (points[index, 2] - lowest[2]) * pieces_per_unit[2]
        if not (0.0 <= x <= n1 and 0.0 <= y <= n2 and 0.0 <= z <= n3):
            values[index] = np.nan
            n_outside += 1
            continue
        i, j, k = min(int(x), n1 - 1), min(int(y), n2 - 1), min(int(z), n3 - 1)
        _splines(x - i, x_values, x_slopes)
        _splines(y - j, y_values, y_slopes)
        _splines(z - k, z_values, z_slopes)
        # Summed over the first two axes eight numbers at a time; the third comes last.
        for c in range(8):
            plain[c] = 0.0
            along_x[c] = 0.0
            along_y[c] = 0.0
        for a in range(8):
            for c in range(8):
                line[c] = 0.0
                line_slope[c] = 0.0
            for b in range(8):
                value, slope = y_values[b], y_slopes[b]
                for c in range(8):
                    coefficient = coefficients[i + a, j + b, k + c]
                    line[c] += coefficient * value
                    line_slope[c] += coefficient * slope
            value, slope = x_values[a], x_slopes[a]
            for c in range(8):
                plain[c] += line[c] * value
                along_x[c] += line[c] * slope
                along_y[c] += line_slope[c] * value
        total, slope_x, slope_y, slope_z = 0.0, 0.0, 0.0, 0.0
        for c in range(8):
            total += plain[c] * z_values[c]
            slope_x += along_x[c] * z_values[c]
            slope_y += along_y[c] * z_values[c]
            slope_z += plain[c] * z_slopes[c]
        values[index] = total
        slopes[index, 0] = slope_x * pieces_per_unit[0]
        slopes[index, 1] = slope_y * pieces_per_unit[1]
        slopes[index, 2] = slope_z * pieces_per_unit[2]
    return n_outside
