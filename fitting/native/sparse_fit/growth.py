"""Sparse points that join those of an earlier fit: how many, and which.

Points of the earlier fit stay, so that its rows stay valid; new ones stand for what the earlier ones do not
cover. The covariance that k(x, x') - k_xM K_MM⁻¹ k_Mx' leaves says what that is: its diagonal is the prior variance
of an environment's energy, given the energies of all points so far. New points are drawn with probabilities in
proportion to it, which is updated after every draw (randomly pivoted Cholesky; Chen, Epperly, Tropp, Webber,
Comm. Pure Appl. Math. 2025, 78, 995, 10.1002/cpa.22234), and only as long as it exceeds the noise: what is known
better than the labels needs no point.

The number in the settings is that of a first fit. Later ones add at most half of what is left to one and a half
times it, so that a potential's cost stays bounded, however many generations there are, and every generation has
a share. An element that had too few environments for a first fit is filled up at once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ....core.arrays import FloatArray, IntArray

Covariance = Callable[[FloatArray, FloatArray], FloatArray]
"""Covariances (eV²) of descriptors [n, n_dimensions] with others [m, n_dimensions]: [n, m]."""

_JITTERS = 10.0
"""Kept points themselves have about one jitter left: they are not to be taken again."""
_LIMIT_NUMERATOR, _LIMIT_DENOMINATOR = 3, 2


def growth_limit(count: int) -> int:
    """Return how many points a coordinate ends with at most, when its first fit has ``count``."""
    return count * _LIMIT_NUMERATOR // _LIMIT_DENOMINATOR


def most_new_points(n_kept: int, count: int) -> int:
    """Return how many points a fit adds at most to those it keeps.

    Parameters
    ----------
    n_kept
        Points of the earlier fit.
    count
        Points of a first fit; an earlier fit has fewer if it had too few environments.
    """
    left = max(growth_limit(count) - n_kept, 0)
    return max(count - n_kept, (left + 1) // 2)


def uncovered_points(
    candidates: FloatArray,
    kept: FloatArray,
    most: int,
    covariance: Covariance,
    limits_eV2: tuple[float, float],
    random: np.random.Generator,
) -> IntArray:
    """Return the indices of candidates that join kept points, in ascending order.

    Parameters
    ----------
    candidates
        Descriptors of the data. Shape [n_candidates, n_dimensions].
    kept
        Points of the earlier fit. Shape [n_kept, n_dimensions].
    most
        How many at most; fewer are returned where the kept ones cover the rest.
    covariance
        Of the coordinate.
    limits_eV2
        Jitter on the points' covariances, and the variance below which a candidate counts as covered.
    random
        Draws the points.

    Raises
    ------
    SingularFitError
        If the covariance of the kept points is not positive definite.
    """

    from scipy.linalg import LinAlgError, cholesky, solve_triangular

    from .solve import SingularFitError

    jitter, noise = limits_eV2
    noise = max(noise, _JITTERS * jitter)
    try:
        factor = cholesky(covariance(kept, kept) + jitter * np.eye(len(kept)), lower=True)
    except LinAlgError:
        raise SingularFitError(
            "the covariance of the earlier model's sparse points is not positive definite; fit without an earlier model"
        ) from None
    mixed = solve_triangular(factor, covariance(kept, candidates), lower=True)
    left = _variances(candidates, covariance) - np.einsum("ij,ij->j", mixed, mixed)
    uncovered = np.flatnonzero(left > noise)
    candidates, left = candidates[uncovered], left[uncovered]
    # Rows of the partial Cholesky factor, one per point so far.
    known = np.concatenate([mixed[:, uncovered], np.empty((most, len(uncovered)))])
    chosen: list[int] = []
    for n_known in range(len(kept), len(known)):
        total = np.cumsum(np.where(left > noise, left, 0.0))
        if len(total) == 0 or total[-1] <= 0.0:
            break
        index = int(np.searchsorted(total, random.uniform() * total[-1], side="right"))
        row = covariance(candidates[index : index + 1], candidates)[0] - known[:n_known, index] @ known[:n_known]
        known[n_known] = row / np.sqrt(left[index] + jitter)
        left -= known[n_known] ** 2
        left[index] = 0.0
        chosen.append(index)
    return uncovered[np.sort(np.array(chosen, dtype=np.int64))]


def _variances(candidates: FloatArray, covariance: Covariance) -> FloatArray:
    """Return the diagonal of the candidates' covariance."""
    if len(candidates) == 0:
        return np.zeros(0)
    return np.concatenate(
        [np.diag(covariance(part, part)) for part in np.array_split(candidates, -(-len(candidates) // 256))]
    )
