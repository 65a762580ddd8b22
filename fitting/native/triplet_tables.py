"""Functions of three numbers as tensor products of quintic B-splines, evaluated with their derivatives.

The energy of a triplet is a sum over sparse points of products of three Gaussians, with permutations divided by a norm.
With fixed weights it is one smooth function of three numbers, and a table costs the same however many sparse points and
permutations there are: 216 coefficients per triplet (as in Glielmo, Zeni, De Vita, Phys. Rev. B 2018, 97, 184307,
10.1103/PhysRevB.97.184307; Xie, Rupp, Hennig, npj Comput. Mater. 2023, 9, 162, 10.1038/s41524-023-01092-7).
Interpolation by quintic splines errs in the derivatives by some 1e-4 h⁵ times the sixth derivative.
"""
# mypy cannot see through numba's decorator, and the arguments of kernels are arrays throughout.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import spline_filter

FloatArray = NDArray[np.float64]

_DEGREE = 5
# The influence of the ends falls by 0.43 per node: beyond this many it is below 1e-9.
_PADDING = 24


@dataclass(frozen=True, eq=False)
class TripletTable:
    """A function on a box.

    Attributes:
        coefficients: of the B-splines. Shape [n1 + 5, n2 + 5, n3 + 5] for n pieces.
        lowest: corner of the box. Shape [3].
        pieces_per_unit: shape [3].
    """

    coefficients: FloatArray
    lowest: FloatArray
    pieces_per_unit: FloatArray

    @property
    def arrays(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """As :func:`look_up` takes them."""
        return self.coefficients, self.lowest, self.pieces_per_unit


#: A function's values on the grid of three axes [n1], [n2], [n3]: an array [n1, n2, n3].
GridFunction = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]


def tabulate(function: GridFunction, box: FloatArray, steps: FloatArray) -> TripletTable:
    """Return a table of a function.

    Args:
        function: smooth, also somewhat outside of the box.
        box: lowest and highest arguments. Shape [3, 2].
        steps: longest distances of the nodes. Shape [3].
    """
    n_pieces = pieces(box, steps)
    width = (box[:, 1] - box[:, 0]) / n_pieces
    axes = [
        low + step * np.arange(-_PADDING, count + 1 + _PADDING)
        for low, step, count in zip(box[:, 0], width, n_pieces, strict=True)
    ]
    filtered = spline_filter(function(*axes), order=_DEGREE, output=np.float64, mode="mirror")
    inner = tuple(slice(_PADDING - 2, _PADDING + count + 3) for count in n_pieces.tolist())
    return TripletTable(np.ascontiguousarray(filtered[inner]), box[:, 0].copy(), 1.0 / width)


def pieces(box: FloatArray, steps: FloatArray) -> NDArray[np.int64]:
    """Return how many pieces each axis has."""
    return np.maximum(np.ceil((box[:, 1] - box[:, 0]) / steps), 1).astype(np.int64)


@numba.njit(cache=True, nogil=True, fastmath={"contract"}, inline="always")
def _splines(t, values, slopes):
    """Fill the six quintic B-splines of a piece at t in [0, 1], and their derivatives."""
    values[0] = (1.0 + t * (-5.0 + t * (10.0 + t * (-10.0 + t * (5.0 - t))))) / 120.0
    values[1] = (26.0 + t * (-50.0 + t * (20.0 + t * (20.0 + t * (-20.0 + t * 5.0))))) / 120.0
    values[2] = (66.0 + t * t * (-60.0 + t * t * (30.0 - 10.0 * t))) / 120.0
    values[3] = (26.0 + t * (50.0 + t * (20.0 + t * (-20.0 + t * (-20.0 + t * 10.0))))) / 120.0
    values[4] = (1.0 + t * (5.0 + t * (10.0 + t * (10.0 + t * (5.0 - 5.0 * t))))) / 120.0
    values[5] = t**5 / 120.0
    slopes[0] = (-5.0 + t * (20.0 + t * (-30.0 + t * (20.0 - 5.0 * t)))) / 120.0
    slopes[1] = (-50.0 + t * (40.0 + t * (60.0 + t * (-80.0 + t * 25.0)))) / 120.0
    slopes[2] = t * (-120.0 + t * t * (120.0 - 50.0 * t)) / 120.0
    slopes[3] = (50.0 + t * (40.0 + t * (-60.0 + t * (-80.0 + t * 50.0)))) / 120.0
    slopes[4] = (5.0 + t * (20.0 + t * (30.0 + t * (20.0 - 25.0 * t)))) / 120.0
    slopes[5] = t**4 / 24.0


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def look_up(points, coefficients, lowest, pieces_per_unit, values, slopes):
    """Fill the function's values [n] and derivatives [n, 3] at points [n, 3].

    Returns how many of them lie outside of the box, whose values are NaN.
    """
    n_outside = 0
    n1, n2, n3 = coefficients.shape[0] - 5, coefficients.shape[1] - 5, coefficients.shape[2] - 5
    x_values, x_slopes = np.empty(6), np.empty(6)
    y_values, y_slopes = np.empty(6), np.empty(6)
    z_values, z_slopes = np.empty(6), np.empty(6)
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
        value, slope_x, slope_y, slope_z = 0.0, 0.0, 0.0, 0.0
        for a in range(6):
            plain, along_y, along_z = 0.0, 0.0, 0.0
            for b in range(6):
                row = coefficients[i + a, j + b, k : k + 6]
                sum_z = (
                    row[0] * z_values[0] + row[1] * z_values[1] + row[2] * z_values[2]
                    + row[3] * z_values[3] + row[4] * z_values[4] + row[5] * z_values[5]
                )  # fmt: skip
                slope = (
                    row[0] * z_slopes[0] + row[1] * z_slopes[1] + row[2] * z_slopes[2]
                    + row[3] * z_slopes[3] + row[4] * z_slopes[4] + row[5] * z_slopes[5]
                )  # fmt: skip
                plain += sum_z * y_values[b]
                along_y += sum_z * y_slopes[b]
                along_z += slope * y_values[b]
            value += plain * x_values[a]
            slope_x += plain * x_slopes[a]
            slope_y += along_y * x_values[a]
            slope_z += along_z * x_values[a]
        values[index] = value
        slopes[index, 0] = slope_x * pieces_per_unit[0]
        slopes[index, 1] = slope_y * pieces_per_unit[1]
        slopes[index, 2] = slope_z * pieces_per_unit[2]
    return n_outside
