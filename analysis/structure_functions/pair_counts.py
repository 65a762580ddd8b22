"""Counts of pairs by distance, by a compiled cell list.

Cells may be triclinic and smaller than the largest distance: images are counted as what they are, other atoms. Boxes
are parallelepipeds of the cell; those of a row along the last axis lie behind each other in memory.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core.arrays import FloatArray, IntArray
from ...fitting.compiler import numba
from .frames import widths_A

_BOXES_PER_DISTANCE = 3.0
_MOST_BOXES_PER_ATOM = 2.0


def pair_counts(
    positions_A: FloatArray, cell_A: FloatArray, species: IntArray, n_species: int, r_max_A: float, bins: int
) -> IntArray:
    """Return how many pairs there are at each distance.

    Parameters
    ----------
    positions_A
        Shape [n_atoms, 3] (Å).
    cell_A
        Cell vectors as rows, shape [3, 3] (Å).
    species
        Of each atom, 0 to ``n_species`` - 1.
    r_max_A, bins
        Distances from 0 to below ``r_max_A`` are counted in so many equal bins.

    Returns
    -------
    Number of ordered pairs (of an atom of the first species, the atoms of the second around it, images included), shape
    [n_species, n_species, bins]; an atom is no pair with itself, but with its images.
    """
    boxes, reach = _boxes(cell_A, len(positions_A), r_max_A)
    fractional = positions_A @ np.linalg.inv(cell_A)
    fractional -= np.floor(fractional)
    fractional[fractional >= 1.0] = 0.0
    place = np.minimum((fractional * boxes).astype(np.int64), boxes - 1)
    box = (place[:, 0] * boxes[1] + place[:, 1]) * boxes[2] + place[:, 2]
    order = np.argsort(box, kind="stable")
    starts = np.searchsorted(box[order], np.arange(int(boxes.prod()) + 1))
    found = np.zeros((n_species * n_species, bins), dtype=np.int32)  # of half of the pairs of one frame
    _count(
        np.ascontiguousarray((fractional @ cell_A)[order].T),
        species[order],
        starts,
        boxes,
        _neighbour_rows(boxes, reach, cell_A, r_max_A),
        cell_A,
        n_species,
        r_max_A,
        found,
    )
    once = found.reshape(n_species, n_species, bins).astype(np.int64)
    return once + once.transpose(1, 0, 2)


def _boxes(cell_A: FloatArray, atoms: int, r_max_A: float) -> tuple[IntArray, IntArray]:
    """Return the number of boxes along each vector, and how many of them a distance reaches across."""
    widths = widths_A(cell_A)
    boxes = np.maximum(1, np.floor(_BOXES_PER_DISTANCE * widths / r_max_A)).astype(np.int64)
    while boxes.prod() > max(1.0, _MOST_BOXES_PER_ATOM * atoms) and boxes.max() > 1:
        boxes[boxes.argmax()] = max(1, boxes.max() // 2)
    return boxes, np.ceil(r_max_A * boxes / widths - 1e-9).astype(np.int64)


def _neighbour_rows(boxes: IntArray, reach: IntArray, cell_A: FloatArray, r_max_A: float) -> IntArray:
    """Return rows of boxes around a box: offsets along two vectors, first and last along the third, shape [n_rows, 4].

    Of two opposite offsets one is there; the box itself is left to the counting. Rows that are too far away are left
    out: a sphere around each box, not its corners, is what decides, so that some remain that hold nothing near.
    """
    edges = cell_A / boxes[:, None]
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) @ edges
    diagonal = max(float(np.linalg.norm(one - other)) for one in corners for other in corners)
    along = np.arange(-reach[2], reach[2] + 1)
    rows = []
    for first in range(reach[0] + 1):
        for second in range(-reach[1], reach[1] + 1):
            if first == 0 and second < 0:
                continue
            third = along[along > 0] if first == second == 0 else along
            offsets = np.column_stack([np.full(len(third), first), np.full(len(third), second), third])
            near = third[np.linalg.norm(offsets @ edges, axis=1) < r_max_A + diagonal]
            if len(near):
                rows.append((first, second, near.min(), near.max()))
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _add(
    positions: Any, species: Any, i: int, first: int, last: int, shift: Any, n: int, r_max: float, found: Any
) -> None:
    bins = found.shape[1]
    scale, farthest = bins / r_max, r_max * r_max
    x, y, z = positions[0, i] - shift[0], positions[1, i] - shift[1], positions[2, i] - shift[2]
    row = species[i] * n
    for j in range(first, last):
        dx, dy, dz = positions[0, j] - x, positions[1, j] - y, positions[2, j] - z
        square = dx * dx + dy * dy + dz * dz
        if square < farthest:
            place = int(math.sqrt(square) * scale)
            if place < bins:
                found[row + species[j], place] += 1


@numba.njit(cache=True, nogil=True)
def _count(
    positions: Any, species: Any, starts: Any, boxes: Any, rows: Any, cell: Any, n: int, r_max: float, found: Any
) -> None:
    nothing = np.zeros(3)
    shift = np.zeros(3)
    for a in range(boxes[0]):
        for b in range(boxes[1]):
            for c in range(boxes[2]):
                box = (a * boxes[1] + b) * boxes[2] + c
                begin, end = starts[box], starts[box + 1]
                if begin == end:
                    continue
                for i in range(begin, end):
                    _add(positions, species, i, i + 1, end, nothing, n, r_max, found)
                for row in range(len(rows)):
                    whole_a = (a + rows[row, 0]) // boxes[0]
                    whole_b = (b + rows[row, 1]) // boxes[1]
                    other_a = a + rows[row, 0] - whole_a * boxes[0]
                    other_b = b + rows[row, 1] - whole_b * boxes[1]
                    base = (other_a * boxes[1] + other_b) * boxes[2]
                    # The row in pieces that lie within one cell.
                    at, until = c + rows[row, 2], c + rows[row, 3]
                    while at <= until:
                        whole_c = at // boxes[2]
                        stop = min(until, whole_c * boxes[2] + boxes[2] - 1)
                        first = starts[base + at - whole_c * boxes[2]]
                        last = starts[base + stop - whole_c * boxes[2] + 1]
                        for axis in range(3):
                            shift[axis] = whole_a * cell[0, axis] + whole_b * cell[1, axis] + whole_c * cell[2, axis]
                        for i in range(begin, end):
                            _add(positions, species, i, first, last, shift, n, r_max, found)
                        at = stop + 1
