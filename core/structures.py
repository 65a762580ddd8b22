"""When two structures are the same: to a tolerance, for records and training sets, or to the last bit, for restarts.

Identifiers of records, folders and trajectories are made from these hashes: they must never change.
"""

from __future__ import annotations

import hashlib

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

SAME_STRUCTURE_DECIMALS = 8
"""Decimals (Å) to which the cells and the wrapped positions of two structures must agree to count as the same."""


def structure_hash(atoms: Atoms) -> str:
    """Return the SHA-256 (hexadecimal) of a structure: species in order, periodicity, cell and wrapped positions.

    Positions are wrapped into the cell along periodic axes and rounded to 1e-8 Å, so that neither a lattice
    translation of one atom nor a round trip through a file changes it.
    """
    positions = atoms.get_positions(wrap=bool(atoms.pbc.any()), eps=10.0**-SAME_STRUCTURE_DECIMALS)
    content = (atoms.numbers, atoms.pbc, atoms.cell.array, positions)
    return exact_hash(*(unsigned_zeros(np.round(values.astype(float), SAME_STRUCTURE_DECIMALS)) for values in content))


def exact_hash(*arrays: ArrayLike) -> str:
    """Return the SHA-256 (hexadecimal) of the bytes of arrays, which differs where one bit does."""
    hasher = hashlib.sha256()
    for array in arrays:
        hasher.update(np.ascontiguousarray(array).tobytes())
    return hasher.hexdigest()


def unsigned_zeros(array: np.ndarray) -> np.ndarray:
    """Return an array with 0.0 for -0.0, which are equal and have other bytes."""
    return array + 0.0
