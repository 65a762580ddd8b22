"""Fingerprints of frames as rows of numbers, and the distances between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from ..soap import SoapDescriptor

# Two fingerprints this close belong to the same structure: displacing the atoms of a 42-atom cell by 1e-5 Å
# already changes more, while translating, rotating or permuting them changes less than 1e-12.
SAME_FINGERPRINT = 1e-6


def fingerprints(structures: Sequence[Atoms], descriptor: SoapDescriptor) -> np.ndarray:
    """Return [n_structures, n_species * length]; no rows where there is no structure."""
    rows = [descriptor.fingerprint(atoms) for atoms in structures]
    return np.array(rows).reshape(len(rows), len(descriptor.species) * descriptor.length)


def distances(new: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the Euclidean distances of two sets of fingerprints, [n, d] and [m, d], as [n, m]."""
    squares = (new**2).sum(axis=1)[:, np.newaxis] + (known**2).sum(axis=1) - 2.0 * new @ known.T
    return np.sqrt(np.clip(squares, 0.0, None))


def most_central(rows: np.ndarray) -> int:
    """Return the index of the fingerprint nearest to the mean of all."""
    return int(np.argmin(distances(rows, rows.mean(axis=0, keepdims=True))))
