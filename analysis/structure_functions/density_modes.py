"""Density modes ρ_a(q) = Σ_j exp(iq·r_j) at every reciprocal vector of a cell up to a length; their products in shells.

The sum is not taken term by term: that is 10⁵ vectors times 20,000 atoms in every frame. Each atom is spread onto a
grid of the cell by a narrow bump, the grid is Fourier transformed, and the transform is divided by that of the bump: a
non-uniform Fourier transform with the bump exp(β(√(1-z²) - 1)) of Barnett, Magland and af Klinteberg, SIAM J. Sci.
Comput. 2019, 41, C479, 10.1137/18M120885X. With the width and the grid chosen here it is the sum to less than 10⁻⁶ of
√N.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import fft

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError
from ...fitting.compiler import numba

_WIDTH = 10
"""Points of the grid onto which an atom is spread along each axis."""
_OVERSAMPLING = 1.5
_BETA = 0.98 * math.pi * _WIDTH * (1.0 - 0.5 / _OVERSAMPLING)
_QUADRATURE = 64
MOST_GRID_POINTS = 100_000_000
"""Of a grid of 0.8 GB; its transform is as large."""


@dataclass(frozen=True)
class ShellSums:
    """Products of density modes, added up in shells of equal width.

    Attributes
    ----------
    vectors
        Reciprocal vectors in each shell, one of q and -q, shape [n_shells].
    lengths_per_A
        Sum of their lengths, shape [n_shells] (1/Å).
    products
        Sum of Re ρ_a(q) ρ_b(q)*, shape [n_species, n_species, n_shells].
    """

    vectors: IntArray
    lengths_per_A: FloatArray
    products: FloatArray


def highest_orders(cell_A: FloatArray, q_max_per_A: float) -> IntArray:
    """Return the highest Miller index along each reciprocal vector that a wave vector of that length can have."""
    return np.floor(q_max_per_A * np.linalg.norm(cell_A, axis=1) / (2.0 * np.pi) + 1e-9).astype(np.int64)


def density_modes(positions_A: FloatArray, cell_A: FloatArray, q_max_per_A: float) -> FloatArray:
    """Return Σ_j exp(iq·r_j) of one species at every reciprocal vector with indices up to the highest orders.

    Parameters
    ----------
    positions_A
        Shape [n_atoms, 3] (Å).

    Returns
    -------
    Complex, shape [2 h + 1, 2 k + 1, l + 1] for highest orders h, k, l: indices -h to h, -k to k and 0 to l. That of -q
    is the complex conjugate.

    Raises
    ------
    InputError
        If there are more vectors than memory is asked for.
    """
    orders = highest_orders(cell_A, q_max_per_A)
    sizes = [
        int(fft.next_fast_len(max(math.ceil(_OVERSAMPLING * (2 * order + 1)), 2 * _WIDTH), real=True))
        for order in orders
    ]
    if math.prod(sizes) > MOST_GRID_POINTS:
        raise InputError(
            f"a cell of {abs(np.linalg.det(cell_A)):.3g} Å³ has too many reciprocal vectors up to {q_max_per_A:g} 1/Å; "
            "lower direct_q_max_per_A"
        )
    grid = np.zeros(sizes)
    _spread(positions_A @ np.linalg.inv(cell_A), grid)
    transformed = fft.rfftn(grid, overwrite_x=True)
    indices = [np.arange(-orders[0], orders[0] + 1), np.arange(-orders[1], orders[1] + 1), np.arange(orders[2] + 1)]
    factors = [1.0 / _transform_of_bump(each, size) for each, size in zip(indices, sizes, strict=True)]
    modes = transformed[np.ix_(*indices)]
    modes *= factors[0][:, None, None]
    modes *= factors[1][:, None]
    modes *= factors[2]
    # The transform has exp(-iq·r).
    return np.asarray(np.conj(modes))


def _transform_of_bump(orders: IntArray, size: int) -> FloatArray:
    """Return the Fourier transform of the bump that an atom is spread to, at each order."""
    nodes, weights = np.polynomial.legendre.leggauss(_QUADRATURE)
    bump = np.exp(_BETA * (np.sqrt(1.0 - nodes**2) - 1.0))
    phases = np.cos(2.0 * np.pi / size * orders[:, None] * (nodes * _WIDTH / 2.0))
    return np.asarray(phases @ (weights * bump) * (_WIDTH / 2.0))


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _spread(fractional: Any, grid: Any) -> None:
    sizes = grid.shape
    values = np.empty((3, _WIDTH))
    places = np.empty((3, _WIDTH), dtype=np.int64)
    for atom in range(len(fractional)):
        for axis in range(3):
            x = (fractional[atom, axis] - math.floor(fractional[atom, axis])) * sizes[axis]
            first = math.ceil(x - _WIDTH / 2.0)
            for step in range(_WIDTH):
                z = (first + step - x) * (2.0 / _WIDTH)
                values[axis, step] = math.exp(_BETA * (math.sqrt(max(0.0, 1.0 - z * z)) - 1.0))
                places[axis, step] = (first + step) % sizes[axis]
        for i in range(_WIDTH):
            for j in range(_WIDTH):
                row = values[0, i] * values[1, j]
                line = grid[places[0, i], places[1, j]]
                for k in range(_WIDTH):
                    line[places[2, k]] += row * values[2, k]


def shell_sums(
    positions_A: FloatArray, cell_A: FloatArray, species: IntArray, n_species: int, q_max_per_A: float, shells: int
) -> ShellSums:
    """Return products of the modes of all species, added up in equal shells from 0 to ``q_max_per_A``.

    Parameters
    ----------
    positions_A
        Shape [n_atoms, 3] (Å).
    cell_A
        Cell vectors as rows, shape [3, 3] (Å).
    species
        Of each atom, 0 to ``n_species`` - 1.
    """
    if not shells:
        return ShellSums(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros((n_species, n_species, 0)))
    modes = [density_modes(positions_A[species == one], cell_A, q_max_per_A) for one in range(n_species)]
    vectors, lengths = np.zeros(shells, dtype=np.int64), np.zeros(shells)
    products = np.zeros((n_species, n_species, shells))
    reciprocal = 2.0 * np.pi * np.linalg.inv(cell_A).T
    _add_up(np.stack(modes), reciprocal, q_max_per_A, vectors, lengths, products)
    return ShellSums(vectors, lengths, products)


@numba.njit(cache=True, nogil=True)
def _add_up(modes: Any, reciprocal: Any, q_max: float, vectors: Any, lengths: Any, products: Any) -> None:
    n, rows, columns, depth = modes.shape
    shells = len(vectors)
    for h in range(rows):
        for k in range(columns):
            for l in range(depth):  # noqa: E741 - Miller's letters
                miller_h, miller_k = h - rows // 2, k - columns // 2
                # One of q and -q.
                if l == 0 and (miller_h < 0 or (miller_h == 0 and miller_k <= 0)):
                    continue
                square = 0.0
                for axis in range(3):
                    q = miller_h * reciprocal[0, axis] + miller_k * reciprocal[1, axis] + l * reciprocal[2, axis]
                    square += q * q
                length = math.sqrt(square)
                shell = int(length / q_max * shells)
                if shell >= shells:
                    continue
                vectors[shell] += 1
                lengths[shell] += length
                for a in range(n):
                    for b in range(a, n):
                        one, other = modes[a, h, k, l], modes[b, h, k, l]
                        value = one.real * other.real + one.imag * other.imag
                        products[a, b, shell] += value
                        if a != b:
                            products[b, a, shell] += value
