"""Triplets of atoms as QUIP counts them for ``distance_Nb`` of order 3 and ``angle_3b``, and how they weigh.

All are found from a central atom c and two neighbours a and b within the cutoff, a and b in the order of the pair
list: by index, then by image. Established by experiment with quippy-ase 0.10.3; docs/evaluation.md has the formulas.
"""
# mypy cannot see through numba's decorator, and the arguments of kernels are arrays throughout.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from ....core.arrays import FloatArray, IntArray
from ...compiler import numba
from ..descriptor_strings import TripletDescriptor, TripletForm
from ..neighbours import NeighbourPairs
from ..scratch import Scratch
from ..soap_kernels import cutoff_function

COMPACT, CLUSTERS, ANGLE = 0, 1, 2
_CODES: Mapping[TripletForm, int] = {"compact": COMPACT, "clusters": CLUSTERS, "angle": ANGLE}
_FIRST_CAPACITY_PER_ATOM = 32


@dataclass(frozen=True, eq=False)
class Triplets:
    """Triplets of one descriptor.

    Attributes
    ----------
    form
        `COMPACT`, `CLUSTERS` or `ANGLE`.
    centres
        Index of the central atom c. Shape [n].
    pairs
        Indices of the pairs (c, a) and (c, b) in the pair list. Shape [n, 2].
    distances
        c to a, c to b, a to b, Å. Shape [n, 3].
    places
        Which component each distance is, where components are distances. Shape [n, 3].
    """

    form: int
    centres: IntArray
    pairs: IntArray
    distances: FloatArray
    places: IntArray

    def __len__(self) -> int:
        return len(self.centres)


def form_code(descriptor: TripletDescriptor) -> int:
    """Return the number by which kernels know a descriptor's way to count triplets."""
    return _CODES[descriptor.form]


def triplet_keys(numbers: Sequence[int], *, central: bool) -> list[tuple[int, int, int]]:
    """Return all triplets of some atomic numbers in ascending order, or with a central atom first if wanted."""
    if central:
        pairs = combinations_with_replacement(sorted(numbers), 2)
        return sorted((centre, first, second) for first, second in pairs for centre in numbers)
    return list(combinations_with_replacement(sorted(numbers), 3))


def find_triplets(
    descriptor: TripletDescriptor,
    pairs: NeighbourPairs,
    numbers: IntArray,
    atoms: IntArray,
    scratch: Scratch | None = None,
) -> Triplets:
    """Return the triplets with some central atoms.

    Parameters
    ----------
    descriptor
        Which triplets count.
    pairs
        All pairs within the descriptor's cutoff or a larger one.
    numbers
        Atomic numbers. Shape [n_atoms].
    atoms
        The central atoms' indices.
    scratch
        Where the arrays lie, valid until they are asked for again; None makes new ones.
    """
    scratch = scratch or Scratch()
    form = form_code(descriptor)
    capacity = _FIRST_CAPACITY_PER_ATOM * max(len(atoms), 1)
    while True:
        centres = scratch.array("triplet_centres", (capacity,), np.int64)
        found = scratch.array("triplet_pairs", (capacity, 2), np.int64)
        distances = scratch.array("triplet_distances", (capacity, 3))
        places = scratch.array("triplet_places", (capacity, 3), np.int64)
        n_found = _find(
            pairs.starts, pairs.second, pairs.vectors, pairs.distances, numbers, atoms, descriptor.numbers, form,
            descriptor.cutoff_A, centres, found, distances, places,
        )  # fmt: skip
        if n_found <= capacity:
            return Triplets(form, centres[:n_found], found[:n_found], distances[:n_found], places[:n_found])
        capacity = n_found


def components(triplets: Triplets) -> FloatArray:
    """Return the descriptors of triplets. Shape [n, 3]."""
    r = triplets.distances
    if triplets.form == ANGLE:
        return np.column_stack([r[:, 0] + r[:, 1], (r[:, 0] - r[:, 1]) ** 2, r[:, 2]])
    found = np.empty_like(r)
    np.put_along_axis(found, triplets.places, r, axis=1)
    return found


def distances_of_components(descriptor: TripletDescriptor, points: FloatArray) -> FloatArray:
    """Return the three distances (Å) behind descriptors [n, 3], in any order where components are distances."""
    distances = np.array(points, dtype=np.float64)
    if form_code(descriptor) == ANGLE:
        difference = np.sqrt(np.maximum(points[:, 1], 0.0))
        distances[:, 0], distances[:, 1] = 0.5 * (points[:, 0] + difference), 0.5 * (points[:, 0] - difference)
    return distances


def cutoffs_of_components(descriptor: TripletDescriptor, points: FloatArray) -> FloatArray:
    """Return the cutoff function at descriptors [n, 3]: 0 to 1. Shape [n]."""
    limits = form_code(descriptor), descriptor.cutoff_A, descriptor.transition_width_A
    return np.asarray(weights_of_triplets(distances_of_components(descriptor, points), *limits))


@numba.njit(cache=True, nogil=True)
def _find(
    starts, second, vectors, pair_distances, numbers, atoms, wanted, form, cutoff, centres, found, distances, places
):
    first_number, second_number, third_number = wanted
    any_number = form != ANGLE and (first_number == 0 or second_number == 0 or third_number == 0)
    near = np.empty(0, np.int64)
    n_found = 0
    for c in atoms:
        own = numbers[c]
        if form == ANGLE:
            if first_number != 0 and own != first_number:
                continue
            low, high = second_number, third_number
        else:
            # The numbers of the other two: those wanted, without the central atom's.
            if own == first_number:
                low, high = second_number, third_number
            elif own == second_number:
                low, high = first_number, third_number
            else:
                low, high = first_number, second_number
            if not any_number and own not in (first_number, second_number, third_number):
                continue
        if len(near) < starts[c + 1] - starts[c]:
            near = np.empty(2 * (starts[c + 1] - starts[c]), np.int64)
        n_near = 0
        for p in range(starts[c], starts[c + 1]):
            number = numbers[second[p]]
            if pair_distances[p] < cutoff and (any_number or low == 0 or high == 0 or number in (low, high)):
                near[n_near] = p
                n_near += 1
        for index in range(n_near):
            p = near[index]
            a = numbers[second[p]]
            for other in range(index + 1, n_near):
                q = near[other]
                b = numbers[second[q]]
                if not any_number:
                    forward = (low == 0 or low == a) and (high == 0 or high == b)
                    backward = (low == 0 or low == b) and (high == 0 or high == a)
                    if not forward and not backward:
                        continue
                if n_found < len(centres):
                    centres[n_found] = c
                    left, right = (p, q) if a <= b else (q, p)
                    found[n_found, 0], found[n_found, 1] = left, right
                    distances[n_found, 0], distances[n_found, 1] = pair_distances[left], pair_distances[right]
                    square = 0.0
                    for axis in range(3):
                        square += (vectors[right, axis] - vectors[left, axis]) ** 2
                    distances[n_found, 2] = np.sqrt(square)
                    # Ranks of the three atoms; the distance between the first and the second is the first component.
                    rank_c, rank_a, rank_b = 0, 1, 2
                    if form == CLUSTERS:
                        lower, higher = min(a, b), max(a, b)
                        rank_c = (1 if lower < own else 0) + (1 if higher < own else 0)
                        rank_a = 0 if rank_c > 0 else 1
                        rank_b = 1 if rank_c > 1 else 2
                    places[n_found, 0] = rank_c + rank_a - 1
                    places[n_found, 1] = rank_c + rank_b - 1
                    places[n_found, 2] = rank_a + rank_b - 1
                n_found += 1
    return n_found


@numba.njit(cache=True, nogil=True)
def triplet_cutoff(r1, r2, r3, form, cutoff, width):
    """The cutoff function of a triplet and its derivatives along the three distances."""
    f1, d1 = cutoff_function(r1, cutoff, width)
    f2, d2 = cutoff_function(r2, cutoff, width)
    if form != CLUSTERS:
        return f1 * f2, d1 * f2, f1 * d2, 0.0
    f3, d3 = cutoff_function(r3, cutoff, width)
    # That three atoms are connected, were each f the chance of a bond.
    value = f1 * f2 + f1 * f3 + f2 * f3 - 2.0 * f1 * f2 * f3
    return (
        value,
        d1 * (f2 + f3 - 2.0 * f2 * f3),
        d2 * (f1 + f3 - 2.0 * f1 * f3),
        d3 * (f1 + f2 - 2.0 * f1 * f2),
    )


@numba.njit(cache=True, nogil=True)
def triplet_instances(r3, form, cutoff):
    """How many of QUIP's instances one found triplet stands for."""
    if form == ANGLE:
        return 2.0
    # A triangle of short sides is found from each of its corners, and counts once.
    return 1.0 / 3.0 if form == CLUSTERS and r3 < cutoff else 1.0


@numba.njit(cache=True, nogil=True)
def weights_of_triplets(distances, form, cutoff, width):
    """The cutoff function of triplets with distances [n, 3]. Shape [n]."""
    weights = np.zeros(len(distances))
    for index in range(len(distances)):
        r1, r2, r3 = distances[index]
        weights[index] = triplet_cutoff(r1, r2, r3, form, cutoff, width)[0]
    return weights


@numba.njit(cache=True, nogil=True)
def instances_of_triplets(distances, form, cutoff):
    """How many instances triplets with distances [n, 3] stand for. Shape [n]."""
    return np.array([triplet_instances(r3, form, cutoff) for r3 in distances[:, 2]])
