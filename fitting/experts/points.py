"""Sparse points of a combined model: all of them, or those that are not combinations of the others.

A partial Cholesky factorisation of K_MM with pivots takes, one after the other, the point whose energy the points so
far leave most uncertain, and stops when none is left with a variance above the threshold (LAPACK's dpstrf).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import dpstrf

from ...core.arrays import FloatArray, IntArray
from ..data_sets import LabelledConfiguration
from ..native.sparse_fit.design import Descriptors, RowBuilder, covariance
from ..native.sparse_fit.sparse_points import CoordinateKey, SparseLayer, SparsePoints, distinct_rows
from ..settings import GapSettings
from .expert import Expert

PointsByCoordinate = Mapping[CoordinateKey, FloatArray]
_JITTERS = 10.0
"""What a point leaves of itself is about one jitter: a system with more points like it has no unique solution."""


def joined_points(parts: Sequence[PointsByCoordinate]) -> dict[CoordinateKey, FloatArray]:
    """Return the points of all parts by coordinate, equal ones once."""
    keys = sorted({key for part in parts for key in part}, key=lambda key: (-len(key), key))
    found = {}
    for key in keys:
        points = np.concatenate([part[key] for part in parts if len(part.get(key, ()))])
        found[key] = points[distinct_rows(points)]
    return found


def fused_points(
    experts: Sequence[Expert],
    elements: tuple[str, ...],
    settings: GapSettings,
    *,
    threshold: float | None = None,
    own: PointsByCoordinate | None = None,
) -> SparsePoints:
    """Return the sparse points of a fusion, or of a merging where there is a threshold.

    Parameters
    ----------
    experts
        Whose points they are.
    elements
        Of the combined model.
    settings
        Hyperparameters.
    threshold
        Variance that points may leave unexplained of each other, over δ²; None keeps all that a fit can tell apart.
    own
        Points beside those of the experts.
    """
    parts = [*([own] if own else []), *(expert.points_among(elements) for expert in experts)]
    layer = {key: thinned(points, key, settings, threshold) for key, points in joined_points(parts).items()}
    return SparsePoints((SparseLayer({key: points for key, points in layer.items() if len(points)}),))


def thinned(points: FloatArray, key: CoordinateKey, settings: GapSettings, threshold: float | None) -> FloatArray:
    """Return the points of a coordinate without those that the others explain, in their order."""
    matrix = covariance(settings, key, points, points)
    largest = float(matrix.diagonal().max(initial=0.0))
    if largest == 0.0:
        return points[:0]
    least = _JITTERS * settings.sparse_jitter
    delta_squared = prior_variance(settings, key)
    limit = least if threshold is None else max(threshold * delta_squared, least)
    return points[pivots(matrix, limit)]


def prior_variance(settings: GapSettings, key: CoordinateKey) -> float:
    """Return δ² of a coordinate (eV²)."""
    part = (settings.soap, settings.two_body, settings.three_body)[len(key) - 1]
    assert part is not None
    return part.delta_eV**2


def pivots(matrix: FloatArray, limit: float) -> IntArray:
    """Return the indices of rows of a covariance that leave every other one a variance of ``limit`` at most.

    Parameters
    ----------
    matrix
        Positive semidefinite. Shape [n, n].
    limit
        In the matrix's unit.

    Returns
    -------
    In ascending order.
    """
    # LAPACK takes the first pivot whatever it is.
    if matrix.diagonal().max(initial=0.0) <= limit:
        return np.zeros(0, dtype=np.int64)
    _, order, rank, _ = dpstrf(matrix, lower=1, tol=limit)
    return np.sort(order[: int(rank)] - 1).astype(np.int64)


def distinct_configurations(
    configurations: Sequence[LabelledConfiguration],
    descriptors: Descriptors,
    points: SparsePoints,
    threshold: float,
) -> IntArray:
    """Return the places of configurations that the others do not explain, in ascending order.

    The covariance of two configurations' energies, given the points, over both priors: what it leaves of a
    configuration's one is compared with the threshold.

    Parameters
    ----------
    configurations
        All of them.
    descriptors
        Of the fit.
    points
        Of the fit.
    threshold
        Share of a configuration's variance that may be left (no unit).
    """
    builder = RowBuilder(descriptors, points)
    rows = np.array([builder.energy_row(one.atoms) for one in configurations])
    prior = np.zeros((builder.n_columns,) * 2)
    for block in builder.prior_blocks():
        prior[np.ix_(block.columns, block.columns)] = block.covariance
    factor = cho_factor(prior + _JITTERS * descriptors.settings.sparse_jitter * np.eye(len(prior)))
    matrix = rows @ cho_solve(factor, rows.T)
    scales = np.sqrt(np.maximum(matrix.diagonal(), np.finfo(float).tiny))
    return pivots(matrix / np.outer(scales, scales), threshold)
