"""Radial functions of the SOAP expansion, tabulated without their cutoff function.

A neighbour at distance r with a Gaussian of width σ on it contributes G_ln(r) Y_lm to the coefficient of radial
function n. What is tabulated is h_ln(r) = G_ln(r) / r^l, smooth down to r = 0, to be multiplied by regular solid
harmonics. (Bartók, Kondor, Csányi, Phys. Rev. B 2013, 87, 184115, 10.1103/PhysRevB.87.184115, section IV.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.linalg import cholesky, qr, solve_triangular
from scipy.special import erf, gammainc, gammaln, ive

from ...core.arrays import FloatArray
from ...core.errors import IonloopError
from .descriptor_strings import RadialBasis, SoapDescriptor

_PIECES_PER_SIGMA = 20
"""Pieces of the table per width σ of the Gaussians: the interpolation error of forces stays near 1e-10 eV/Å."""
_DEGREE = 5
# Fine grid points per radial function that QUIP fits the GTO and POLY bases on.
_GRID_FACTOR = 3
_GTO_EDGE_VALUE = 0.001
_SERIES_LIMIT = 2.0
_SERIES_TERMS = 26


@dataclass(frozen=True)
class RadialTable:
    """h_ln(r) as polynomials of degree 5 on equal pieces of [0, cutoff].

    Attributes
    ----------
    pieces_per_A
        Number of pieces per Å.
    coefficients
        Of t^k, t = position inside the piece from 0 to 1, the function index (l n_max + n)
        fastest. Shape [n_pieces, 6, (l_max + 1) n_max].
    central
        What the central atom adds to the radial functions with l = 0, before its weight and the
        factor 1/sqrt(4π). Shape [n_max].
    """

    pieces_per_A: float
    coefficients: FloatArray
    central: FloatArray


def radial_table(descriptor: SoapDescriptor) -> RadialTable:
    """Tabulate the radial functions of a descriptor; equal parameters share one table.

    Raises
    ------
    IonloopError
        If the basis is numerically linearly dependent.
    """
    return _radial_table(
        descriptor.radial_basis,
        descriptor.n_max,
        descriptor.l_max,
        descriptor.cutoff_A,
        descriptor.atom_sigma_A,
        descriptor.basis_error_exponent,
    )


@lru_cache(maxsize=32)
def _radial_table(
    kind: RadialBasis, n_max: int, l_max: int, cutoff_A: float, sigma_A: float, error_exponent: float
) -> RadialTable:
    reach = cutoff_A + sigma_A * math.sqrt(2 * error_exponent * math.log(10))
    n_grid = n_max * (1 if kind == "EQUISPACED_GAUSS" else _GRID_FACTOR)
    grid = reach * np.arange(n_grid) / n_grid
    width = 1 / (2 * sigma_A**2)
    try:
        projections, central = _projections(kind, grid, n_max, l_max, width, reach)
    except np.linalg.LinAlgError as error:
        raise IonloopError(
            f"the radial basis {kind} with n_max={n_max}, cutoff {cutoff_A:g} Å and atom_sigma {sigma_A:g} Å is "
            f"numerically linearly dependent ({error}): it cannot be evaluated"
        ) from error
    n_pieces = max(8, math.ceil(cutoff_A / sigma_A * _PIECES_PER_SIGMA))
    if n_pieces * _DEGREE * n_grid * (l_max + 1) > 50_000_000:
        raise IonloopError(f"an atom_sigma of {sigma_A:g} Å is too small for a cutoff of {cutoff_A:g} Å")
    nodes = 0.5 * (1 - np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1)))
    radii = (np.arange(n_pieces)[:, None] + nodes) * (cutoff_A / n_pieces)
    density = _reduced_density(radii.ravel(), grid, width, l_max)
    values = np.einsum("lrq,lqn->rln", density, projections, optimize=True)
    values = values.reshape(n_pieces, _DEGREE + 1, (l_max + 1) * n_max)
    monomials = np.linalg.inv(np.vander(nodes, increasing=True))
    coefficients = np.ascontiguousarray(np.einsum("kj,pjf->pkf", monomials, values))
    return RadialTable(n_pieces / cutoff_A, coefficients, np.ascontiguousarray(central))


def _reduced_density(radii: FloatArray, grid: FloatArray, width: float, l_max: int) -> FloatArray:
    """F_lq(r) / r^l = exp(-a (r² + g²)) i_l(2 a r g) / r^l. Shape [l_max + 1, n_radii, n_grid]."""
    gaussian = np.exp(-width * (radii[:, None] - grid) ** 2)
    arguments = 2 * width * radii[:, None] * grid
    return np.stack(
        [gaussian * (2 * width * grid) ** degree * _reduced_bessel(degree, arguments) for degree in range(l_max + 1)]
    )


def _reduced_bessel(degree: int, x: FloatArray) -> FloatArray:
    """exp(-x) i_l(x) / x^l of the modified spherical Bessel function of the first kind."""
    small = x < _SERIES_LIMIT
    result = np.empty_like(x)
    argument = x[~small]
    result[~small] = np.sqrt(np.pi / 2) * ive(degree + 0.5, argument) * argument ** (-degree - 0.5)
    argument = x[small]
    term = np.full_like(argument, 1 / math.prod(range(1, 2 * degree + 2, 2)))
    total = term.copy()
    for k in range(1, _SERIES_TERMS):
        term = term * argument**2 / (2 * k * (2 * k + 2 * degree + 1))
        total += term
    result[small] = np.exp(-argument) * total
    return result


def _projections(
    kind: RadialBasis, grid: FloatArray, n_max: int, l_max: int, width: float, reach: float
) -> tuple[FloatArray, FloatArray]:
    """Matrices [l_max + 1, n_grid, n_max] from densities on the grid to radial functions; the central atom's."""
    if kind == "EQUISPACED_GAUSS":
        overlap = _gaussian_overlap(grid, width)
        lower = cholesky(overlap, lower=True)
        values = np.exp(-width * (grid[:, None] - grid) ** 2)
        projection = np.linalg.solve(values, lower)
        return np.repeat(projection[None], l_max + 1, axis=0), lower[0].copy()
    matrices = []
    for degree in range(l_max + 1):
        basis, overlap = (_gto if kind == "GTO" else _poly)(grid, n_max, degree, reach)
        lower = cholesky(overlap, lower=True)
        orthonormal = solve_triangular(lower, basis.T, lower=True).T
        rotation, triangle = qr(orthonormal, mode="economic")
        matrices.append(solve_triangular(triangle, rotation.T).T)
    return np.stack(matrices), np.exp(-width * grid**2) @ matrices[0]


def _gaussian_overlap(centres: FloatArray, a: float) -> FloatArray:
    total = centres[:, None] + centres
    squares = centres[:, None] ** 2 + centres**2
    difference = centres[:, None] - centres
    first = math.sqrt(2) * a**1.5 * total * np.exp(-a * squares)
    second = a * math.sqrt(math.pi) * (1 + a * total**2) * np.exp(-a * difference**2 / 2)
    return (first + second * (1 + erf(math.sqrt(a / 2) * total))) / math.sqrt(128 * a**5)


def _gto(grid: FloatArray, n_max: int, degree: int, reach: float) -> tuple[FloatArray, FloatArray]:
    """Gaussian-type orbitals on the grid [n_grid, n_max] and their overlap."""
    edges = reach * np.arange(1, n_max + 1) / n_max
    exponents = -(math.log(_GTO_EDGE_VALUE) - degree * np.log(edges)) / edges**2
    if np.any(exponents <= 0):
        raise np.linalg.LinAlgError(f"its exponents for l = {degree} are not positive")
    basis = grid[:, None] ** degree * np.exp(-exponents * grid[:, None] ** 2)
    order = degree + 1.5
    u = (exponents[:, None] + exponents) * reach**2
    overlap = 0.5 * reach ** (2 * order) * u**-order * gammainc(order, u) * math.exp(gammaln(order))
    return basis, overlap


def _poly(grid: FloatArray, n_max: int, degree: int, reach: float) -> tuple[FloatArray, FloatArray]:
    """Normalised powers of (reach - r) on the grid [n_grid, n_max] and their overlap, alike for all degrees."""
    del degree
    n = np.arange(1, n_max + 1, dtype=np.float64)
    norms = np.sqrt(reach ** (2 * n + 7) / ((n + 3) * (2 * n + 5) * (2 * n + 7)))
    basis = (reach - grid[:, None]) ** (n + 2) / norms
    total = n[:, None] + n
    overlap = 2 * reach ** (total + 7) / ((5 + total) * (6 + total) * (7 + total) * norms[:, None] * norms)
    return basis, overlap
