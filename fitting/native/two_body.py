"""Pair terms (``distance_2b``): each sparse Gaussian process over a distance is a tabulated pair potential.

The covariance is summed over the sparse points once, in extended precision, because weights of a thousand and more
cancel; between the nodes quintic Hermite polynomials through value, slope and curvature take over. The cutoff
function is applied analytically.
"""
# mypy cannot see through numba's decorator, and the arguments of kernels are arrays throughout.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, solve_triangular

from ...core.arrays import FloatArray, IntArray
from ...core.errors import IonloopError
from ..compiler import numba
from .descriptor_strings import WITH_QUIPPY, Distance2bDescriptor
from .gap_xml import Coordinate
from .neighbours import NeighbourPairs
from .soap_kernels import cutoff_function

_NODES_PER_LENGTH_SCALE = 80
_LONGEST_STEP_A = 0.02
_MOST_NODES = 200_000


class PairTerm:
    """One ``distance_2b`` coordinate, ready for evaluation.

    Parameters
    ----------
    coordinate
        Whose descriptor is a distance.

    Raises
    ------
    IonloopError
        If its length scale is too short to tabulate.
    """

    def __init__(self, coordinate: Coordinate) -> None:
        if not isinstance(coordinate.descriptor, Distance2bDescriptor):
            raise TypeError(f"a pair term needs a distance_2b descriptor, not {coordinate.descriptor.kind}")
        self.coordinate = coordinate
        self.descriptor = coordinate.descriptor
        self.table, self.pieces_per_A = _tabulate(coordinate, self.descriptor)

    def add(self, pairs: NeighbourPairs, numbers: IntArray, energies: FloatArray, gradients: FloatArray) -> None:
        """Add the atoms' energies (eV) [n_atoms] and their gradients on the pairs (eV/Å) [n_pairs, 3]."""
        descriptor = self.descriptor
        _add_pairs(
            pairs.starts, pairs.second, pairs.vectors, pairs.distances, numbers, descriptor.numbers,
            (descriptor.cutoff_A, descriptor.transition_width_A),
            (descriptor.tail_exponent, descriptor.tail_range_per_A),
            self.pieces_per_A, self.table, energies, gradients,
        )  # fmt: skip

    def add_variance(
        self, pairs: NeighbourPairs, numbers: IntArray, regularisation: float, variances: FloatArray
    ) -> None:
        """Add the predicted variance of each atom's share, eV². ``variances`` has shape [n_atoms]."""
        descriptor, coordinate = self.descriptor, self.coordinate
        first = pairs.first
        low, high = sorted(descriptor.numbers)
        a, b = np.minimum(numbers[first], numbers[pairs.second]), np.maximum(numbers[first], numbers[pairs.second])
        matching = (a == low) & (b == high) if low else (a == high) | (b == high) | (high == 0)
        chosen = np.flatnonzero(matching & (pairs.distances < descriptor.cutoff_A))
        distances = pairs.distances[chosen]
        points = pair_components(descriptor, distances)
        covariance = pair_covariance(coordinate, points, coordinate.sparse_points) * coordinate.sparse_cutoffs
        own = pair_covariance(coordinate, coordinate.sparse_points, coordinate.sparse_points)
        own *= np.outer(coordinate.sparse_cutoffs, coordinate.sparse_cutoffs)
        own[np.diag_indices_from(own)] += regularisation**2
        lower, _ = cho_factor(own, lower=True)
        whitened = solve_triangular(lower, covariance.T, lower=True)
        prior = coordinate.delta**2 + coordinate.signal_mean**2 + regularisation**2
        variance = prior - np.einsum("sp,sp->p", whitened, whitened)
        weight = pair_cutoff(descriptor, distances) ** 2
        # Each instance gives half of its variance to each of its atoms; the list has every pair in both orders.
        variances += np.bincount(first[chosen], variance * weight, len(numbers)) * descriptor.instances_per_pair / 2


def pair_components(descriptor: Distance2bDescriptor, distances: FloatArray) -> FloatArray:
    """The descriptor of distances (Å): their powers. Shape [n, n_dimensions]."""
    return distances[:, None] ** np.array(descriptor.exponents)


def pair_covariance(coordinate: Coordinate, left: FloatArray, right: FloatArray) -> FloatArray:
    """Covariance of descriptors [n, d] and [m, d], without cutoff functions, eV². Shape [n, m]."""
    if coordinate.theta is None:
        return coordinate.delta**2 * (left @ right.T) ** float(coordinate.zeta or 1.0)
    scaled = (left[:, None, :] - right[None, :, :]) / coordinate.theta
    return coordinate.delta**2 * np.exp(-0.5 * np.einsum("nmd,nmd->nm", scaled, scaled)) + coordinate.signal_mean**2


def pair_cutoff(descriptor: Distance2bDescriptor, distances: FloatArray) -> FloatArray:
    """Cutoff function with its tail at distances (Å). Shape as ``distances``."""
    phase = (distances - descriptor.cutoff_A) / descriptor.transition_width_A + 1
    smooth = 0.5 * (1 + np.cos(np.pi * np.clip(phase, 0, 1)))
    if descriptor.tail_exponent:
        tail = np.array([math.erf(descriptor.tail_range_per_A * r) / r for r in distances.tolist()])
        smooth = smooth * tail**descriptor.tail_exponent
    return smooth


def _tabulate(coordinate: Coordinate, descriptor: Distance2bDescriptor) -> tuple[FloatArray, float]:
    """Quintic pieces of g(r) = Σ_s α_s k(r, r_s) on [0, cutoff]; shape [n_pieces, 6], and pieces per Å."""
    finest = _LONGEST_STEP_A
    if coordinate.theta is not None:
        # A component r^e changes fastest, over the cutoff, by e r^(e-1) per Å; short distances are not met.
        rates = [abs(e) * max(1.0, descriptor.cutoff_A ** (e - 1)) for e in descriptor.exponents]
        scale = min(theta / max(rate, 1e-3) for theta, rate in zip(coordinate.theta.tolist(), rates, strict=True))
        finest = min(finest, scale / _NODES_PER_LENGTH_SCALE)
    n_pieces = math.ceil(descriptor.cutoff_A / finest)
    if n_pieces > _MOST_NODES:
        raise IonloopError(
            f"the coordinate {coordinate.label!r} has a length scale too short for its cutoff of "
            f"{descriptor.cutoff_A:g} Å: {WITH_QUIPPY}"
        )
    step = descriptor.cutoff_A / n_pieces
    radii = np.arange(n_pieces + 1, dtype=np.longdouble) * np.longdouble(descriptor.cutoff_A) / n_pieces
    value, slope, curvature = _sum_covariance(coordinate, descriptor, radii)
    slope, curvature = slope * step, curvature * step**2
    rise = value[1:] - value[:-1] - slope[:-1] - curvature[:-1] / 2
    slope_rise = slope[1:] - slope[:-1] - curvature[:-1]
    curvature_rise = curvature[1:] - curvature[:-1]
    pieces = np.stack(
        [
            value[:-1],
            slope[:-1],
            curvature[:-1] / 2,
            10 * rise - 4 * slope_rise + curvature_rise / 2,
            -15 * rise + 7 * slope_rise - curvature_rise,
            6 * rise - 3 * slope_rise + curvature_rise / 2,
        ],
        axis=1,
    )
    return np.ascontiguousarray(pieces, dtype=np.float64), n_pieces / descriptor.cutoff_A


def _sum_covariance(
    coordinate: Coordinate, descriptor: Distance2bDescriptor, radii: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """g, g' and g'' in extended precision, where the platform has it."""
    wide = np.longdouble
    # Negative exponents diverge at zero, where no pair is: the first node moves off it.
    radii = np.maximum(radii, wide(1e-3)) if min(descriptor.exponents) < 1 else radii
    totals = [np.zeros(len(radii), wide) for _ in range(3)]
    powers = [
        (radii**e, e * radii ** (e - 1) if e != 1 else np.ones(len(radii), wide),
         e * (e - 1) * radii ** (e - 2) if e not in (0, 1) else np.zeros(len(radii), wide))
        for e in map(wide, descriptor.exponents)
    ]  # fmt: skip
    weights = coordinate.alphas.astype(wide) * coordinate.sparse_cutoffs.astype(wide)
    amplitude = wide(coordinate.delta) ** 2
    for weight, point in zip(weights, coordinate.sparse_points.astype(wide), strict=True):
        # Exponent (or base) u of the covariance, with its derivatives along r.
        u, du, ddu = (np.zeros(len(radii), wide) for _ in range(3))
        for q, (x, dx, ddx) in enumerate(powers):
            if coordinate.theta is None:
                u, du, ddu = u + x * point[q], du + dx * point[q], ddu + ddx * point[q]
            else:
                scale = wide(coordinate.theta[q])
                gap, rate = (x - point[q]) / scale, dx / scale
                u, du, ddu = u - gap * gap / 2, du - gap * rate, ddu - rate * rate - gap * ddx / scale
        if coordinate.theta is None:
            zeta = wide(coordinate.zeta or 1.0)
            value = u**zeta
            first = zeta * u ** (zeta - 1)
            second = zeta * (zeta - 1) * u ** (zeta - 2) if zeta != 1 else np.zeros(len(radii), wide)
        else:
            value = first = second = np.exp(u)
            totals[0] += weight * wide(coordinate.signal_mean) ** 2
        totals[0] += weight * amplitude * value
        totals[1] += weight * amplitude * first * du
        totals[2] += weight * amplitude * (second * du * du + first * ddu)
    # The table holds both orders of a pair; where a pair counts once, half of that.
    totals = [total * descriptor.instances_per_pair / 2 for total in totals]
    if not all(np.all(np.isfinite(total)) for total in totals):
        raise IonloopError(f"the coordinate {coordinate.label!r} is not finite at some distances")
    return totals[0], totals[1], totals[2]


@numba.njit(cache=True, nogil=True)
def _add_pairs(
    starts, second, vectors, distances, numbers, pair, cutoffs, tail, pieces_per_A, table, energies, gradients
):
    cutoff, width = cutoffs
    exponent, tail_range = tail
    first_number, second_number = pair
    for i in range(len(starts) - 1):
        a = numbers[i]
        forward = first_number == 0 or first_number == a
        backward = second_number == 0 or second_number == a
        if not forward and not backward:
            continue
        for p in range(starts[i], starts[i + 1]):
            r = distances[p]
            b = numbers[second[p]]
            matches = (forward and (second_number == 0 or second_number == b)) or (
                backward and (first_number == 0 or first_number == b)
            )
            if r >= cutoff or not matches:
                continue
            f, df = cutoff_function(r, cutoff, width)
            if exponent != 0.0:
                ratio = math.erf(tail_range * r) / r
                bell = 2.0 * tail_range / math.sqrt(math.pi) * math.exp(-((tail_range * r) ** 2))
                factor = ratio**exponent
                df = df * factor + f * exponent * factor / ratio * (bell - ratio) / r
                f *= factor
            place = r * pieces_per_A
            piece = min(int(place), len(table) - 1)
            t = place - piece
            c = table[piece]
            g = c[0] + t * (c[1] + t * (c[2] + t * (c[3] + t * (c[4] + t * c[5]))))
            dg = c[1] + t * (2.0 * c[2] + t * (3.0 * c[3] + t * (4.0 * c[4] + t * 5.0 * c[5])))
            # Both orders of a pair count, and each is shared by its two atoms: a whole one for every atom.
            energies[i] += f * g
            pull = (df * g + f * dg * pieces_per_A) / r
            for axis in range(3):
                gradients[p, axis] += pull * vectors[p, axis]
