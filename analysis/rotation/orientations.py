"""Orientations of polyanions: best rotations, angles between them, their mean.

The best rotation in the least-squares sense (Kabsch, Acta Cryst. A 1976, 32, 922, 10.1107/S0567739476001873) is the
orthogonal factor of Σ_k u_k v_kᵀ. It is found by Newton's iteration for the polar decomposition (Higham, SIAM J. Sci.
Stat. Comput. 1986, 7, 1160, 10.1137/0907079), which for thousands of frames at once is faster than their singular value
decompositions; these take over where the product is nearly singular or a reflection would fit better.
"""

from __future__ import annotations

import numpy as np

from ...core.arrays import FloatArray

_ITERATIONS = 30
_CONVERGED = 1e-12
# Determinant of the product over that of a perfect fit below which singular values are asked.
_NEARLY_SINGULAR = 0.05


def best_rotations(vectors: FloatArray, reference: FloatArray) -> FloatArray:
    """Return the proper rotations R that take reference vectors best to those of every frame, [n_frames, 3, 3].

    Parameters
    ----------
    vectors
        [n_frames, n_vectors, 3]; frame by frame R v_k is as near to u_k as it can be.
    reference
        v_k, [n_vectors, 3].
    """
    products = np.einsum("fki,kj->fij", vectors, reference)
    return proper_parts(products)


def proper_parts(products: FloatArray) -> FloatArray:
    """Return the nearest proper rotations of matrices [n, 3, 3]."""
    scales = np.sqrt(np.einsum("fij,fij->f", products, products) / 3.0)
    found = products / np.where(scales > 0, scales, 1.0)[:, None, None]
    doubtful = np.linalg.det(found) < _NEARLY_SINGULAR
    sound = np.moveaxis(found[~doubtful], 0, -1)
    for _ in range(_ITERATIONS):
        cofactors = _cofactors(sound)
        after = 0.5 * (sound + cofactors / np.einsum("jf,jf->f", sound[0], cofactors[0]))
        change = np.abs(after - sound).max(initial=0.0)
        sound = after
        if change < _CONVERGED:
            break
    found[~doubtful] = np.moveaxis(sound, -1, 0)
    if doubtful.any():
        found[doubtful] = _by_singular_values(found[doubtful])
    return found


def angles_degree(rotations: FloatArray, reference: FloatArray) -> FloatArray:
    """Return the angles of the rotations that take one orientation to others, [n] (degrees)."""
    cosine = 0.5 * (np.einsum("fij,ij->f", rotations, reference) - 1.0)
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def mean_rotation(rotations: FloatArray) -> FloatArray:
    """Return the rotation with the smallest sum of squared distances from all of [n, 3, 3], [3, 3]."""
    return proper_parts(rotations.sum(axis=0)[None])[0]


def _cofactors(matrices: FloatArray) -> FloatArray:
    """Return the transposed inverses times the determinants, matrices [3, 3, n]."""
    first, second, third = matrices
    return np.stack([_cross(second, third), _cross(third, first), _cross(first, second)])


def _cross(first: FloatArray, second: FloatArray) -> FloatArray:
    return np.stack([first[i - 2] * second[i - 1] - first[i - 1] * second[i - 2] for i in range(3)])


def _by_singular_values(products: FloatArray) -> FloatArray:
    left, _, right = np.linalg.svd(products)
    left[:, :, 2] *= np.sign(np.linalg.det(left @ right))[:, None]
    return np.asarray(left @ right)
