"""Which atoms are neighbours: pairs below the cut-offs of their species."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from ase.data import atomic_numbers, covalent_radii

from ...core.arrays import FloatArray, IntArray
from ...fitting.native.neighbours import NeighbourPairs, neighbour_pairs
from .frames import StructureFrames
from .settings import pair_key

BOND_FACTOR = 1.25
"""Two elements are bonded whose first peak lies within so many sums of their covalent radii."""
IONS = frozenset({"Li", "Na", "K", "Rb", "Cs", "Ag"})
"""Elements that are no part of a network although they are near."""


def bonds_in(frames: StructureFrames, frame: int, cutoffs_A: Mapping[str, float]) -> NeighbourPairs:
    """Return all ordered pairs of neighbours in a frame, images included.

    Parameters
    ----------
    cutoffs_A
        By pair (`settings.pair_key`); pairs that are not there are no neighbours (Å).
    """
    longest = max(cutoffs_A.values(), default=0.5)
    every = np.ones(3, dtype=bool)
    found = neighbour_pairs(frames.positions_A[frame], frames.cell_A(frame), every, longest)
    limits = np.array(
        [[cutoffs_A.get(pair_key(one, other), 0.0) for other in frames.species] for one in frames.species]
    )
    species, first = frames.species_of_atoms, found.first
    near = found.distances < limits[species[first], species[found.second]]
    starts = np.concatenate([[0], np.cumsum(np.bincount(first[near], minlength=len(species)))])
    return NeighbourPairs(starts, found.second[near], found.vectors[near], found.distances[near], found.shifts[near])


def coordination_counts(
    frames: StructureFrames, chosen: Sequence[int], cutoffs_A: Mapping[str, float]
) -> dict[tuple[str, str], FloatArray]:
    """Return for each ordered pair of species with a cut-off the part of atoms with 0, 1, 2, ... such neighbours."""
    found: dict[tuple[str, str], IntArray] = {}
    species = frames.species_of_atoms
    for frame in chosen if cutoffs_A else ():
        bonds = bonds_in(frames, frame, cutoffs_A)
        for name in cutoffs_A:
            one, other = name.split("-")
            for centre, around in {(one, other), (other, one)}:
                a, b = frames.species.index(centre), frames.species.index(around)
                theirs = (species[bonds.first] == a) & (species[bonds.second] == b)
                each = np.bincount(bonds.first[theirs], minlength=len(species))[species == a]
                counted = np.bincount(each)
                known = found.get((centre, around), np.zeros(0, dtype=np.int64))
                size = max(len(counted), len(known))
                found[centre, around] = np.pad(counted, (0, size - len(counted))) + np.pad(
                    known, (0, size - len(known))
                )
    return {key: counts / counts.sum() for key, counts in found.items()}


def covalent_length_A(one: str, other: str) -> float:
    """Return the distance up to which the first peak of two elements is that of a bond (Å)."""
    return BOND_FACTOR * float(covalent_radii[atomic_numbers[one]] + covalent_radii[atomic_numbers[other]])
