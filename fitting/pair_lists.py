"""Pairs of atoms within a cutoff, each pair once, in any cell: history-free, without loops over pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..core.arrays import FloatArray, IntArray

# Measured: up to this size all images of all pairs beat matscipy's cell lists (5 times at 42 to 336 atoms).
_DENSE_ATOMS = 1500
_BLOCK_PAIRS = 1_000_000


@dataclass(frozen=True)
class Pairs:
    """Pairs of atoms, each unordered pair of an atom and an image once.

    ``first``, ``second``: indices [n_pairs]; ``vectors``: from first to second, Å [n_pairs, 3];
    ``distances``: Å [n_pairs]; ``weights``: 1, or 1/2 for an atom and its own image, which occur both ways.
    """

    first: IntArray
    second: IntArray
    vectors: FloatArray
    distances: FloatArray
    weights: FloatArray


def lattice_translations(cell: FloatArray, radius: float) -> FloatArray:
    """All lattice vectors no longer than ``radius`` (Å), the zero vector included. Shape [n, 3]."""
    # The distance between lattice planes bounds how many cells a sphere can reach along each axis.
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    reach = np.floor(radius / heights).astype(int)
    axes = [np.arange(-n, n + 1) for n in reach]
    indices = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    translations = indices @ cell
    return translations[np.einsum("nx,nx->n", translations, translations) <= radius**2]


def periodic_pairs(positions: FloatArray, cell: FloatArray, cutoff: float) -> Pairs:
    """All pairs within ``cutoff`` in a cell periodic in three directions.

    Parameters
    ----------
    positions
        Å, wrapped or not. Shape [n_atoms, 3].
    cell
        Rows are lattice vectors, Å; any triclinic cell, also smaller than the cutoff. Shape [3, 3].
    cutoff
        Å.
    """
    if len(positions) <= _DENSE_ATOMS:
        return _dense_pairs(positions, cell, cutoff)
    # A campaign file names what computes with these: to read it takes no search of neighbours.
    from matscipy.neighbours import neighbour_list

    first, second, vectors, distances = neighbour_list(
        "ijDd", positions=positions, cell=cell, pbc=[True] * 3, cutoff=cutoff
    )
    kept = first <= second
    first, second = first[kept].astype(np.int64), second[kept].astype(np.int64)
    return Pairs(first, second, vectors[kept], distances[kept], np.where(first == second, 0.5, 1.0))


def _dense_pairs(positions: FloatArray, cell: FloatArray, cutoff: float) -> Pairs:
    """All images of all pairs, cut at the distance; in blocks that bound the memory."""
    first, second = np.triu_indices(len(positions))
    separations = positions[second] - positions[first]
    separations -= np.round(separations @ np.linalg.inv(cell)) @ cell
    squares = np.einsum("nx,nx->n", separations, separations)
    reach = cutoff + float(np.sqrt(np.max(squares, initial=0.0)))
    translations = lattice_translations(cell, reach)
    image_squares = np.einsum("tx,tx->t", translations, translations)
    is_zero = image_squares == 0
    # The expanded square loses some digits: take a little more, then cut with the exact distance.
    limit = cutoff**2 + 1e-9 * reach**2
    pair_blocks, vector_blocks = [], []
    size = max(1, _BLOCK_PAIRS // len(translations))
    for start in range(0, len(first), size):
        block = slice(start, start + size)
        image_distances = 2 * separations[block] @ translations.T
        image_distances += squares[block, None] + image_squares
        pair, image = np.nonzero(image_distances <= limit)
        pair += start
        vectors = separations[pair] + translations[image]
        kept = ~(is_zero[image] & (first[pair] == second[pair]))
        pair_blocks.append(pair[kept])
        vector_blocks.append(vectors[kept])
    pair, vectors = np.concatenate(pair_blocks), np.concatenate(vector_blocks)
    distances = np.sqrt(np.einsum("nx,nx->n", vectors, vectors))
    kept = distances <= cutoff
    pair = pair[kept]
    weights = np.where(first[pair] == second[pair], 0.5, 1.0)
    return Pairs(first[pair], second[pair], vectors[kept], distances[kept], weights)


def open_pairs(positions: FloatArray) -> Iterator[Pairs]:
    """All pairs of a system without periodic boundaries, in blocks that bound the memory."""
    n_atoms = len(positions)
    rows_per_block = max(1, _BLOCK_PAIRS // max(n_atoms, 1))
    for start in range(0, n_atoms, rows_per_block):
        rows = np.arange(start, min(start + rows_per_block, n_atoms))
        row, second = np.nonzero(np.arange(n_atoms)[None, :] > rows[:, None])
        first = rows[row]
        vectors = positions[second] - positions[first]
        distances = np.sqrt(np.einsum("nx,nx->n", vectors, vectors))
        yield Pairs(first, second, vectors, distances, np.ones(len(first)))
