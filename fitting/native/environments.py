"""SOAP density coefficients of atoms and their gradients, laid out for the rows of a fit.

c_{sn,lm} = sum over neighbours of element s of f(r) G_ln(r) Y_lm, with real spherical harmonics, so that
G_ln Y_lm = h_ln(r) R_lm with R_lm = r^l Y_lm the regular solid harmonics, polynomials of the coordinates (Bartók,
Kondor, Csányi, Phys. Rev. B 2013, 87, 184115, 10.1103/PhysRevB.87.184115).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from ...core.arrays import FloatArray, IntArray
from ..compiler import numba
from .descriptor_strings import SoapDescriptor
from .neighbours import NeighbourPairs, neighbour_pairs
from .radial_bases import radial_table


@dataclass(frozen=True, eq=False)
class Environments:
    """Some atoms of one element with their neighbours, sorted by central atom, then by the neighbour's element.

    Attributes
    ----------
    centres
        Indices of the central atoms [n_centres].
    coefficients
        c [n_centres, n_angular, n_channels], n_angular = (l_max + 1)².
    starts
        First neighbour of each element, and the end [n_centres, n_elements + 1].
    neighbours
        Indices of the neighbouring atoms [n_neighbours].
    vectors
        From the central atom to the neighbour, Å [n_neighbours, 3].
    gradients
        dc/dr of the neighbour in the channels of its element, 1/Å
        [n_neighbours, 3, n_angular, n_max]; without rows if not wanted.
    """

    centres: IntArray
    coefficients: FloatArray
    starts: IntArray
    neighbours: IntArray
    vectors: FloatArray
    gradients: FloatArray


@dataclass(frozen=True, eq=False)
class ElementPairs:
    """All ordered pairs of a structure, sorted by central atom and element of the neighbour.

    ``starts``: first pair of each central atom and element [n_atoms, n_elements + 1]; ``second``: index of the
    neighbour [n_pairs]; ``vectors``: to it, Å [n_pairs, 3]; ``distances``: Å [n_pairs].
    """

    starts: IntArray
    second: IntArray
    vectors: FloatArray
    distances: FloatArray


def find_pairs(atoms: Atoms, cutoff_A: float) -> NeighbourPairs:
    """Return all ordered pairs of a structure within a cutoff."""
    return neighbour_pairs(atoms.positions, atoms.cell.array, atoms.pbc, cutoff_A)


def sort_by_element(
    pairs: NeighbourPairs, numbers: IntArray, species: tuple[int, ...], cutoff_A: float
) -> ElementPairs:
    """Return the pairs within a cutoff, which may be below the list's, sorted by central atom and element."""
    inside = np.flatnonzero(pairs.distances < cutoff_A)
    first, second = pairs.first[inside], pairs.second[inside]
    group = first * len(species) + np.searchsorted(np.array(species), numbers)[second]
    order = np.argsort(group, kind="stable")
    bounds = np.searchsorted(group[order], np.arange(len(numbers) * len(species) + 1))
    starts = np.column_stack([bounds[:-1].reshape(-1, len(species)), bounds[len(species) :: len(species)]])
    taken = inside[order]
    return ElementPairs(starts, second[order], pairs.vectors[taken], pairs.distances[taken])


def environments(
    pairs: ElementPairs, centres: IntArray, element: int, descriptor: SoapDescriptor, *, with_gradients: bool
) -> Environments:
    """Return the density coefficients of atoms of one element.

    Parameters
    ----------
    pairs
        Of the structure.
    centres
        The atoms' indices [n_centres].
    element
        Their place among ``descriptor.species``, which are in ascending order.
    descriptor
        A plain SOAP of that element.
    with_gradients
        Whether gradients are wanted too.
    """
    own = pairs.starts[centres]
    counts = own[:, -1] - own[:, 0]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    taken = np.repeat(own[:, 0] - offsets[:-1], counts) + np.arange(offsets[-1])
    starts = own - (own[:, 0] - offsets[:-1])[:, None]
    vectors = pairs.vectors[taken]
    table = radial_table(descriptor)
    n_angular = (descriptor.l_max + 1) ** 2
    coefficients = np.zeros((len(centres), n_angular, descriptor.n_channels))
    own_channels = slice(element * descriptor.n_max, (element + 1) * descriptor.n_max)
    coefficients[:, 0, own_channels] = descriptor.central_weight * table.central / math.sqrt(4 * math.pi)
    gradients = np.empty((len(taken) if with_gradients else 0, 3, n_angular, descriptor.n_max))
    _expand(
        starts,
        vectors,
        pairs.distances[taken],
        table.coefficients,
        np.array([table.pieces_per_A, descriptor.cutoff_A, descriptor.transition_width_A]),
        _normalisations(descriptor.l_max),
        coefficients,
        gradients,
    )
    return Environments(centres, coefficients, starts, pairs.second[taken], vectors, gradients)


def power_spectra(coefficients: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return normalised power spectra in QUIP's order, without the appended constant, and their norms.

    Parameters
    ----------
    coefficients
        c [n_centres, n_angular, n_channels].

    Returns
    -------
    p̂ [n_centres, n_channels (n_channels + 1) / 2 * (l_max + 1)] and |p| [n_centres].
    """
    n_centres, n_angular, n_channels = coefficients.shape
    l_max = math.isqrt(n_angular) - 1
    lower = np.tril_indices(n_channels)
    factor = np.where(lower[0] == lower[1], 1.0, math.sqrt(2.0))
    spectra = np.empty((n_centres, len(factor), l_max + 1))
    for l_value in range(l_max + 1):
        part = coefficients[:, l_value**2 : (l_value + 1) ** 2]
        overlaps = part.transpose(0, 2, 1) @ part
        spectra[:, :, l_value] = overlaps[:, lower[0], lower[1]] * (factor / math.sqrt(2 * l_value + 1))
    flat = spectra.reshape(n_centres, len(factor) * (l_max + 1))
    norms = np.sqrt(np.einsum("ij,ij->i", flat, flat))
    flat /= norms[:, None]
    return flat, norms


def chunks(atoms: Atoms, number: int, size: int) -> Iterator[IntArray]:
    """Yield the indices of the atoms of one element, at most ``size`` at a time."""
    indices = np.flatnonzero(atoms.numbers == number)
    for start in range(0, len(indices), size):
        yield indices[start : start + size]


def _normalisations(l_max: int) -> FloatArray:
    """Factors of the orthonormal real spherical harmonics. Shape [l_max + 1, l_max + 1], by l and |m|."""
    factors = np.zeros((l_max + 1, l_max + 1))
    for degree in range(l_max + 1):
        for order in range(degree + 1):
            ratio = math.factorial(degree - order) / math.factorial(degree + order)
            factors[degree, order] = math.sqrt((2 * degree + 1) / (4 * math.pi) * (2 if order else 1) * ratio)
    return factors


@numba.njit(cache=True, nogil=True)
def _solid_harmonics(
    vector: FloatArray, factors: FloatArray, work: FloatArray, values: FloatArray, slopes: FloatArray
) -> None:
    """Fill R_lm [n_angular] at l² + l + m and its gradient [3, n_angular]; the Legendre parts go into ``work``."""
    l_max = factors.shape[0] - 1
    x, y, z = vector[0], vector[1], vector[2]
    square = x * x + y * y + z * z
    diagonal = 1.0
    for order in range(l_max + 1):
        work[order, order] = diagonal
        diagonal *= 2 * order + 1
        if order < l_max:
            work[order + 1, order] = (2 * order + 1) * z * work[order, order]
        for degree in range(order + 2, l_max + 1):
            upper = (2 * degree - 1) * z * work[degree - 1, order]
            lower = (degree + order - 1) * square * work[degree - 2, order]
            work[degree, order] = (upper - lower) / (degree - order)
    cosine, sine, cosine_before, sine_before = 1.0, 0.0, 0.0, 0.0
    for order in range(l_max + 1):
        for degree in range(order, l_max + 1):
            factor = factors[degree, order]
            legendre = work[degree, order]
            # dQ_lm/dz = (l + m) Q_(l-1)m and dQ_lm/dx = -x Q_(l-1)(m+1).
            along = (degree + order) * work[degree - 1, order] if degree > order else 0.0
            across = -work[degree - 1, order + 1] if degree > order + 1 else 0.0
            place = degree * degree + degree + order
            values[place] = factor * legendre * cosine
            slopes[0, place] = factor * (across * x * cosine + legendre * order * cosine_before)
            slopes[1, place] = factor * (across * y * cosine - legendre * order * sine_before)
            slopes[2, place] = factor * along * cosine
            if order:
                place = degree * degree + degree - order
                values[place] = factor * legendre * sine
                slopes[0, place] = factor * (across * x * sine + legendre * order * sine_before)
                slopes[1, place] = factor * (across * y * sine + legendre * order * cosine_before)
                slopes[2, place] = factor * along * sine
        cosine_before, sine_before = cosine, sine
        cosine, sine = x * cosine_before - y * sine_before, x * sine_before + y * cosine_before


@numba.njit(cache=True, nogil=True)
def _radial_functions(
    distance: float, table: FloatArray, limits: FloatArray, values: FloatArray, slopes: FloatArray
) -> None:
    """Fill f h_ln and its derivative at a distance, each [(l_max + 1) n_max]."""
    pieces_per_A, cutoff, width = limits
    place = distance * pieces_per_A
    piece = min(int(place), len(table) - 1)
    part = place - piece
    switch, switch_slope = 1.0, 0.0
    if distance > cutoff - width:
        angle = math.pi * (distance - cutoff + width) / width
        switch = 0.5 * (1.0 + math.cos(angle))
        switch_slope = -0.5 * math.pi / width * math.sin(angle)
    highest = table.shape[1] - 1
    for function in range(len(values)):
        value, slope = table[piece, highest, function], 0.0
        for power in range(highest - 1, -1, -1):
            slope = slope * part + value
            value = value * part + table[piece, power, function]
        values[function] = switch * value
        slopes[function] = switch * slope * pieces_per_A + switch_slope * value


@numba.njit(cache=True, nogil=True)
def _expand(
    starts: IntArray,
    vectors: FloatArray,
    distances: FloatArray,
    table: FloatArray,
    limits: FloatArray,
    factors: FloatArray,
    coefficients: FloatArray,
    gradients: FloatArray,
) -> None:
    """Add all neighbours to the coefficients [n_centres, n_angular, n_channels]; fill gradients that have rows."""
    l_max = factors.shape[0] - 1
    n_max = table.shape[2] // (l_max + 1)
    n_angular = (l_max + 1) ** 2
    harmonics, slopes = np.empty(n_angular), np.empty((3, n_angular))
    radial, radial_slopes = np.empty(table.shape[2]), np.empty(table.shape[2])
    work = np.zeros((l_max + 1, l_max + 1))
    for centre in range(len(starts)):
        for element in range(starts.shape[1] - 1):
            channel = element * n_max
            for pair in range(starts[centre, element], starts[centre, element + 1]):
                _radial_functions(distances[pair], table, limits, radial, radial_slopes)
                _solid_harmonics(vectors[pair], factors, work, harmonics, slopes)
                place = 0
                for degree in range(l_max + 1):
                    for _ in range(2 * degree + 1):
                        value = harmonics[place]
                        for n in range(n_max):
                            coefficients[centre, place, channel + n] += radial[degree * n_max + n] * value
                        place += 1
                if len(gradients) == 0:
                    continue
                for axis in range(3):
                    direction = vectors[pair, axis] / distances[pair]
                    place = 0
                    for degree in range(l_max + 1):
                        for _ in range(2 * degree + 1):
                            along, slope = direction * harmonics[place], slopes[axis, place]
                            for n in range(n_max):
                                function = degree * n_max + n
                                gradients[pair, axis, place, n] = (
                                    radial[function] * slope + radial_slopes[function] * along
                                )
                            place += 1
