"""Which labels would tell most about what is asked for: greedy reduction of a posterior variance.

Variances left after labels are exact for a linear model and do not depend on what the labels will say. The gain of one
label more falls with every one chosen before (submodular, nearly always), so that the greedy choice is close to the
best one, and few gains have to be computed again (Krause, Singh, Guestrin, J. Mach. Learn. Res. 2008, 9, 235; Minoux,
Optimization Techniques, Lecture Notes in Control and Information Sciences 1978, 7, 234, 10.1007/BFb0006528).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from ...core.arrays import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

    from .base import ModelPosterior


@dataclass(frozen=True)
class Choice:
    """A candidate, and the part of the targets' summed variance that is left once it and those before are labelled."""

    candidate: int
    remaining: float


def choose_informative(
    posterior: ModelPosterior, targets: FloatArray, candidates: Sequence[Atoms], count: int
) -> list[Choice]:
    """Return the candidates whose labels lower the summed variance of some targets most, each given those before it.

    Parameters
    ----------
    posterior
        Of the model that is to learn.
    targets
        Differences of its ``energy_vectors`` that are to be known [n_targets, n_dimensions].
    candidates
        Structures that may be labelled.
    count
        How many are wanted; fewer where no other tells anything.
    """
    vectors = [posterior.label_vectors(atoms) for atoms in candidates]
    before = float(np.square(targets).sum())
    if not before or not vectors:
        return []
    precision = np.eye(targets.shape[1])
    factor = precision.copy()
    gains = [(-_gain(factor, targets.T, own), place) for place, own in enumerate(vectors)]
    heapq.heapify(gains)
    chosen: list[Choice] = []
    left = before
    while gains and len(chosen) < count:
        _, place = heapq.heappop(gains)
        gain = _gain(factor, targets.T, vectors[place])
        if gains and gain < -gains[0][0]:
            # Another may be better now; gains only fall.
            heapq.heappush(gains, (-gain, place))
            continue
        if gain <= 0:
            break
        left -= gain
        chosen.append(Choice(place, max(left, 0.0) / before))
        precision += vectors[place] @ vectors[place].T
        factor = cholesky(precision, lower=True, check_finite=False)
    return chosen


def _gain(factor: FloatArray, targets: FloatArray, vectors: FloatArray) -> float:
    """Return by how much a label's rows V lower Σ tᵀA⁻¹t, A = L Lᵀ: |(1 + VᵀA⁻¹V)^-1/2 VᵀA⁻¹t|²."""
    whitened = solve_triangular(factor, vectors, lower=True, check_finite=False)
    wanted = solve_triangular(factor, targets, lower=True, check_finite=False)
    inner = cholesky(np.eye(vectors.shape[1]) + whitened.T @ whitened, lower=True, check_finite=False)
    return float(np.square(solve_triangular(inner, whitened.T @ wanted, lower=True, check_finite=False)).sum())
