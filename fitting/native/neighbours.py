"""All pairs of atoms within a cutoff, images included, by a compiled cell list.

Cells may be triclinic, periodic in any directions, and smaller than the cutoff; atoms may lie outside of the
cell. Pairs are sorted by first atom, second atom and image, so that sums over them do not depend on how the list
was found: a list kept between steps gives the same bits as a fresh one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...core.arrays import BoolArray, FloatArray, IntArray
from ...core.errors import AtomsCoincide, InputError
from ..compiler import numba

SHORTEST_DISTANCE_A = 1e-6
"""Atoms closer than this (Å) are one atom twice."""
# Bins are about half a cutoff wide: fewer candidates than with wider ones, fewer empty bins than with finer.
_BINS_PER_CUTOFF = 2.0
_LARGEST_BINS_PER_ATOM = 4.0
_LARGEST_IMAGE_COUNT = 10_000
# The search computes distances in wrapped coordinates: it reaches past their rounding, and one formula decides.
_SEARCH_MARGIN_A = 1e-6


@dataclass(frozen=True)
class NeighbourPairs:
    """Every ordered pair (i, j, image) closer than a cutoff.

    Attributes
    ----------
    starts
        Pairs of atom i are ``starts[i]:starts[i + 1]``. Shape [n_atoms + 1].
    second
        j of each pair. Shape [n_pairs].
    vectors
        From i to the image of j, Å. Shape [n_pairs, 3].
    distances
        Their lengths, Å. Shape [n_pairs].
    shifts
        Lattice vectors added to the position of j. Shape [n_pairs, 3].
    """

    starts: IntArray
    second: IntArray
    vectors: FloatArray
    distances: FloatArray
    shifts: IntArray

    @property
    def first(self) -> IntArray:
        """i of each pair. Shape [n_pairs]."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))


def neighbour_pairs(positions: FloatArray, cell: FloatArray, pbc: BoolArray, cutoff_A: float) -> NeighbourPairs:
    """All ordered pairs within a cutoff.

    Parameters
    ----------
    positions
        Å. Shape [n_atoms, 3].
    cell
        Rows are lattice vectors, Å; rows of directions that are not periodic are ignored. Shape [3, 3].
    pbc
        Periodic directions. Shape [3].
    cutoff_A
        Distances are strictly below it, Å.

    Raises
    ------
    InputError
        If positions are not finite, a periodic direction has no extent, or two atoms coincide.
    """
    return NeighbourList(cutoff_A, skin_A=0.0).update(positions, cell, pbc)


class NeighbourList:
    """Finds pairs, and finds them again cheaply while no atom has moved by half of a skin.

    Parameters
    ----------
    cutoff_A
        Distances are strictly below it, Å.
    skin_A
        How much farther the kept list reaches, Å; 0 keeps none.
    """

    def __init__(self, cutoff_A: float, skin_A: float = 0.0) -> None:
        self.cutoff_A = float(cutoff_A)
        self.skin_A = float(skin_A)
        self._kept: _KeptList | None = None

    def update(self, positions: FloatArray, cell: FloatArray, pbc: BoolArray) -> NeighbourPairs:
        """The pairs of a structure; arguments and errors as `neighbour_pairs`."""
        positions = np.ascontiguousarray(positions, dtype=np.float64)
        periodic = np.array(pbc, dtype=np.bool_)
        lattice = np.array(cell, dtype=np.float64)
        if self._kept is None or not self._kept.covers(positions, lattice, periodic, self.skin_A):
            # Written only once complete: after an error the next call starts afresh.
            self._kept = None
            reach = self.cutoff_A + self.skin_A + _SEARCH_MARGIN_A
            self._kept = _find_candidates(positions, lattice, periodic, reach)
        kept = self._kept
        starts, second, vectors, distances, shifts = _within(
            positions, kept.cell, kept.starts, kept.second, kept.shifts, self.cutoff_A
        )
        if len(distances) and distances.min() < SHORTEST_DISTANCE_A:
            worst = int(np.argmin(distances))
            first = int(np.searchsorted(starts, worst, side="right")) - 1
            raise AtomsCoincide(
                f"atoms {first} and {second[worst]} are at the same place ({distances[worst]:.1g} Å apart): is an "
                "atom there twice, or a periodic image included?"
            )
        return NeighbourPairs(starts, second, vectors, distances, shifts)


@dataclass(frozen=True)
class _KeptList:
    """Pairs within the cutoff and the skin, and the structure for which they were found."""

    positions: FloatArray
    cell: FloatArray
    pbc: BoolArray
    starts: IntArray
    second: IntArray
    shifts: IntArray

    def covers(self, positions: FloatArray, cell: FloatArray, pbc: BoolArray, skin_A: float) -> bool:
        if (
            skin_A <= 0
            or positions.shape != self.positions.shape
            or not np.array_equal(cell, self.cell)
            or not np.array_equal(pbc, self.pbc)
        ):
            return False
        moves = positions - self.positions
        # A NaN compares false, so that positions that are not numbers reach the check of a fresh search.
        return bool(np.einsum("ij,ij->i", moves, moves).max(initial=0.0) < (0.5 * skin_A) ** 2)


def _find_candidates(positions: FloatArray, cell: FloatArray, pbc: BoolArray, reach: float) -> _KeptList:
    if not np.all(np.isfinite(positions)) or not np.all(np.isfinite(cell)):
        raise InputError("the structure holds positions that are not finite numbers: has a trajectory exploded?")
    n_atoms = len(positions)
    lattice = _spanning_lattice(cell, pbc)
    inverse = np.linalg.inv(lattice)
    fractional = positions @ inverse
    low, high = (fractional.min(axis=0), fractional.max(axis=0)) if n_atoms else (np.zeros(3), np.ones(3))
    origins = np.where(pbc, 0.0, low)
    spans = np.where(pbc, 1.0, np.maximum(high - low, 1e-9))
    wraps = np.where(pbc, np.floor(fractional), 0.0)
    heights = spans / np.linalg.norm(inverse, axis=0)
    wanted = heights * _BINS_PER_CUTOFF / reach
    # Sparse structures would have many empty bins.
    excess = np.prod(np.maximum(wanted, 1.0)) / max(_LARGEST_BINS_PER_ATOM * n_atoms, 1.0)
    counts = np.clip(wanted / max(1.0, excess) ** (1 / 3), 1, 1000).astype(np.int64)
    spread = np.ceil(reach / heights * counts).astype(np.int64)
    spread = np.where(pbc, spread, np.minimum(spread, counts - 1))
    if np.any(spread // counts > _LARGEST_IMAGE_COUNT) or np.prod((2 * spread + 1).astype(float)) > 1e8:
        raise InputError(f"the cell is too flat for a cutoff of {reach:g} Å: is a cell vector wrong?")
    relative = (fractional - wraps - origins) / spans
    bins = np.minimum((relative * counts).astype(np.int64), counts - 1)
    flat = (bins[:, 0] * counts[1] + bins[:, 1]) * counts[2] + bins[:, 2]
    order = np.argsort(flat, kind="stable")
    bin_starts = np.searchsorted(flat[order], np.arange(np.prod(counts) + 1))
    wrapped = np.ascontiguousarray(positions - wraps @ lattice)
    starts, second, shifts = _search(
        wrapped, wraps.astype(np.int64), lattice, bins, order, bin_starts.astype(np.int64), counts, spread,
        np.array(pbc), reach,
    )  # fmt: skip
    n_pairs = starts[-1]
    return _KeptList(positions.copy(), cell, pbc, starts, second[:n_pairs].copy(), shifts[:n_pairs].copy())


def _spanning_lattice(cell: FloatArray, pbc: BoolArray) -> FloatArray:
    """Lattice vectors with those of directions that are not periodic replaced by unit normals."""
    lattice = np.zeros((3, 3))
    lattice[pbc] = cell[pbc]
    _, sizes, directions = np.linalg.svd(lattice[pbc]) if pbc.any() else (0, np.zeros(0), np.eye(3))
    if len(sizes) and sizes.min() < 1e-6 * max(sizes.max(), 1e-3):
        raise InputError(
            f"the cell {cell.tolist()} (Å) has no extent in a periodic direction (pbc={pbc.tolist()}): set the cell "
            "vectors, or atoms.pbc = False"
        )
    lattice[~pbc] = directions[len(sizes) :]
    return lattice


@numba.njit(cache=True, nogil=True)
def _grown(second, shifts, capacity):  # type: ignore[no-untyped-def]
    more = np.empty(capacity, np.int64)
    more_shifts = np.empty((capacity, 3), np.int64)
    for k in range(len(second)):
        more[k] = second[k]
        for axis in range(3):
            more_shifts[k, axis] = shifts[k, axis]
    return more, more_shifts


@numba.njit(cache=True, nogil=True)
def _insert(second, shifts, begin, end, j, s0, s1, s2):  # type: ignore[no-untyped-def]
    """Put a pair where it belongs among ``begin:end``, sorted by second atom and image."""
    k = end
    while k > begin:
        difference = second[k - 1] - j
        if difference == 0:
            difference = shifts[k - 1, 0] - s0
        if difference == 0:
            difference = shifts[k - 1, 1] - s1
        if difference == 0:
            difference = shifts[k - 1, 2] - s2
        if difference < 0:
            break
        second[k] = second[k - 1]
        for axis in range(3):
            shifts[k, axis] = shifts[k - 1, axis]
        k -= 1
    second[k] = j
    shifts[k, 0] = s0
    shifts[k, 1] = s1
    shifts[k, 2] = s2


@numba.njit(cache=True, nogil=True)
def _search(wrapped, wraps, lattice, bins, order, bin_starts, counts, spread, pbc, reach):  # type: ignore[no-untyped-def]
    n_atoms = len(wrapped)
    starts = np.zeros(n_atoms + 1, np.int64)
    capacity = max(64, 32 * n_atoms)
    second = np.empty(capacity, np.int64)
    shifts = np.empty((capacity, 3), np.int64)
    n_pairs = 0
    limit = reach * reach
    offset = np.empty(3, np.int64)
    image = np.empty(3, np.int64)
    for i in range(n_atoms):
        begin = n_pairs
        for a in range(-spread[0], spread[0] + 1):
            offset[0] = a
            for b in range(-spread[1], spread[1] + 1):
                offset[1] = b
                for c in range(-spread[2], spread[2] + 1):
                    offset[2] = c
                    inside = True
                    for axis in range(3):
                        place = bins[i, axis] + offset[axis]
                        image[axis] = place // counts[axis]
                        if not pbc[axis] and image[axis] != 0:
                            inside = False
                    if not inside:
                        continue
                    u = bins[i, 0] + a - image[0] * counts[0]
                    v = bins[i, 1] + b - image[1] * counts[1]
                    w = bins[i, 2] + c - image[2] * counts[2]
                    flat = (u * counts[1] + v) * counts[2] + w
                    dx = image[0] * lattice[0, 0] + image[1] * lattice[1, 0] + image[2] * lattice[2, 0] - wrapped[i, 0]
                    dy = image[0] * lattice[0, 1] + image[1] * lattice[1, 1] + image[2] * lattice[2, 1] - wrapped[i, 1]
                    dz = image[0] * lattice[0, 2] + image[1] * lattice[1, 2] + image[2] * lattice[2, 2] - wrapped[i, 2]
                    itself = image[0] == 0 and image[1] == 0 and image[2] == 0
                    for slot in range(bin_starts[flat], bin_starts[flat + 1]):
                        j = order[slot]
                        x, y, z = wrapped[j, 0] + dx, wrapped[j, 1] + dy, wrapped[j, 2] + dz
                        if x * x + y * y + z * z >= limit or (itself and j == i):
                            continue
                        if n_pairs == capacity:
                            capacity *= 2
                            second, shifts = _grown(second, shifts, capacity)
                        s0 = image[0] - wraps[j, 0] + wraps[i, 0]
                        s1 = image[1] - wraps[j, 1] + wraps[i, 1]
                        s2 = image[2] - wraps[j, 2] + wraps[i, 2]
                        _insert(second, shifts, begin, n_pairs, j, s0, s1, s2)
                        n_pairs += 1
        starts[i + 1] = n_pairs
    return starts, second, shifts


@numba.njit(cache=True, nogil=True)
def _within(positions, cell, starts, second, shifts, cutoff):  # type: ignore[no-untyped-def]
    n_atoms = len(positions)
    n_candidates = len(second)
    kept_starts = np.zeros(n_atoms + 1, np.int64)
    kept_second = np.empty(n_candidates, np.int64)
    vectors = np.empty((n_candidates, 3))
    distances = np.empty(n_candidates)
    kept_shifts = np.empty((n_candidates, 3), np.int64)
    n_kept = 0
    limit = cutoff * cutoff
    for i in range(n_atoms):
        for p in range(starts[i], starts[i + 1]):
            j = second[p]
            a, b, c = shifts[p, 0], shifts[p, 1], shifts[p, 2]
            x = positions[j, 0] + (a * cell[0, 0] + b * cell[1, 0] + c * cell[2, 0]) - positions[i, 0]
            y = positions[j, 1] + (a * cell[0, 1] + b * cell[1, 1] + c * cell[2, 1]) - positions[i, 1]
            z = positions[j, 2] + (a * cell[0, 2] + b * cell[1, 2] + c * cell[2, 2]) - positions[i, 2]
            square = x * x + y * y + z * z
            if square < limit:
                kept_second[n_kept] = j
                vectors[n_kept, 0], vectors[n_kept, 1], vectors[n_kept, 2] = x, y, z
                distances[n_kept] = math.sqrt(square)
                kept_shifts[n_kept, 0], kept_shifts[n_kept, 1], kept_shifts[n_kept, 2] = a, b, c
                n_kept += 1
        kept_starts[i + 1] = n_kept
    return (
        kept_starts,
        kept_second[:n_kept].copy(),
        vectors[:n_kept].copy(),
        distances[:n_kept].copy(),
        kept_shifts[:n_kept].copy(),
    )
