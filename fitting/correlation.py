"""Which configurations are nearly the same: left out one by one, each would be predicted by the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from ..core.arrays import FloatArray

CORRELATED_A = 0.15
"""Atoms of frames that are 25 fs apart at 800 K have moved by this (root mean square); of independent ones by 0.4 Å."""
_SAME_CELL = 0.02
"""Largest relative difference of lattice vectors."""
_MOST_OF_THE_DATA = 0.2
"""A group with more of the data is cut: what is left out would leave too little to predict it."""


def correlated_groups(frames: Sequence[Atoms]) -> tuple[tuple[int, ...], ...]:
    """Return groups of frames that follow each other closely in one trajectory, or are displaced from one structure.

    Frames of the same atoms in the same order and nearly the same cell belong together if atoms differ by less than
    `CORRELATED_A` without their common drift, or if both do from a third. Groups of one are left out.

    Parameters
    ----------
    frames
        In the order of the data.

    Returns
    -------
    Places in ``frames``, ascending.
    """
    alike: dict[bytes, list[int]] = {}
    for index, atoms in enumerate(frames):
        alike.setdefault(atoms.numbers.tobytes() + bytes(atoms.pbc.tolist()), []).append(index)
    groups: list[tuple[int, ...]] = []
    for places in alike.values():
        groups += _groups_of([frames[place] for place in places], places)
    largest = max(2, int(_MOST_OF_THE_DATA * len(frames)))
    cut = [part for group in groups for part in np.array_split(group, -(-len(group) // largest))]
    return tuple(sorted(tuple(int(place) for place in part) for part in cut if len(part) > 1))


def _groups_of(frames: Sequence[Atoms], places: Sequence[int]) -> list[tuple[int, ...]]:
    """Return groups of frames of the same atoms, by their places."""
    cells = np.array([atoms.cell.array for atoms in frames])
    positions = np.array([atoms.positions for atoms in frames])
    parent = list(range(len(frames)))

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for one in range(len(frames) - 1):
        moved_A = _displacements_A(positions[one + 1 :] - positions[one], cells[one], frames[one].pbc)
        size = max(float(np.linalg.norm(cells[one])), 1e-12)
        stretched = np.linalg.norm(cells[one + 1 :] - cells[one], axis=(1, 2)) / size
        for other in np.flatnonzero((moved_A < CORRELATED_A) & (stretched < _SAME_CELL)) + one + 1:
            parent[root(int(other))] = root(one)
    found: dict[int, list[int]] = {}
    for one, place in enumerate(places):
        found.setdefault(root(one), []).append(place)
    return [tuple(group) for group in found.values()]


def _displacements_A(differences: FloatArray, cell: FloatArray, pbc: FloatArray) -> FloatArray:
    """Return root-mean-square displacements [n_frames] of differences [n_frames, n_atoms, 3] without their drift."""
    if np.all(pbc) and abs(np.linalg.det(cell)) > 0:
        scaled = differences @ np.linalg.inv(cell)
        differences = (scaled - np.round(scaled)) @ cell
    differences = differences - differences.mean(axis=1, keepdims=True)
    return np.asarray(np.sqrt(np.mean(np.sum(differences**2, axis=2), axis=1)))
