"""A repulsive Gaussian exp(-r²/4) between all atoms and their near images: smooth, with stress, microseconds."""

from __future__ import annotations

import numpy as np


def gaussian_pairs(positions, cell, pbc):
    """Energy (eV), forces (eV/Å), shape (n_atoms, 3), and stress (eV/Å³), shape (6,), or None."""
    shifts = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3), axis=-1).reshape(-1, 3)
    shifts = np.unique(shifts * np.asarray(pbc, dtype=int), axis=0)
    vectors = positions[None, :, None] - positions[:, None, None] + shifts @ cell
    gauss = np.exp(-np.einsum("ijsk,ijsk->ijs", vectors, vectors) / 4.0)
    forces = -np.einsum("ijs,ijsk->ik", gauss, vectors)
    if not np.all(pbc):
        return float(gauss.sum()), forces, None
    virial = -0.5 * np.einsum("ijs,ijsa,ijsb->ab", gauss, vectors, vectors)
    return float(gauss.sum()), forces, (virial / abs(np.linalg.det(cell))).flat[[0, 4, 8, 5, 2, 1]]
