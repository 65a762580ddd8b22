"""Charge clouds: what a pair of them adds to the interaction of two point charges, and what one is to itself.

Slater clouds are in `.slater`. Gaussian ones, ρ(r) = (2πσ²)^(-3/2) exp(-r²/2σ²), have J(R) = erf(R/g)/R with
g² = 2 (σ_a² + σ_b²), and J(0) = 2/(g√π): 1/(σ√π) of a cloud with itself (Ghasemi, Hofstetter, Saha, Goedecker, Phys.
Rev. B 2015, 92, 045131, 10.1103/PhysRevB.92.045131, who write exp(-r²/α²) with α = √2 σ).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from ....core.arrays import FloatArray, IntArray
from ....core.errors import InputError
from .slater import SlaterPairTable

ERFC_RATE = 3.0
"""erfc(x) oscillates in its high derivatives like an exponential with some three times its rate."""
# exp(-x²) is below any double-precision target there.
_GAUSSIAN_REACH = 7.0


class CloudTable(Protocol):
    """Correction J(R) - 1/R for every pair of a few kinds of ion.

    Attributes
    ----------
    n_kinds
        Number of kinds.
    rate
        How fast the fastest correction decays (1/Å).
    self_interaction
        J of each kind's cloud with itself at R = 0 (1/Å), infinite for a point charge. Shape [n_kinds].
    """

    n_kinds: int

    @property
    def rate(self) -> float: ...  # noqa: D102

    @property
    def self_interaction(self) -> FloatArray: ...  # noqa: D102

    def pair_index(self, first_kinds: IntArray, second_kinds: IntArray) -> IntArray:
        """Row of the table for each pair of kinds. Shapes [n_pairs]."""

    def correction(self, pair_index: IntArray, distances: FloatArray) -> tuple[FloatArray, FloatArray]:
        """J - 1/R (1/Å) and J' + 1/R² (1/Å²) for distances (Å) above 0. Shapes [n_pairs]."""

    def cutoffs(self, strengths: FloatArray, threshold: float) -> FloatArray:
        """Distance (Å) beyond which the derivative of the scaled correction stays below a threshold.

        Shapes [n_kinds, n_kinds].
        """


class GaussianPairTable:
    """Correction of Gaussian clouds.

    Parameters
    ----------
    widths
        Standard deviation σ of each kind (Å), 0 for a point charge. Shape [n_kinds].
    """

    def __init__(self, widths: ArrayLike) -> None:
        self._widths = np.asarray(widths, dtype=np.float64)
        self.n_kinds = len(self._widths)
        squares = self._widths**2
        self._lengths = np.sqrt(2 * (squares[:, None] + squares)).ravel()

    @property
    def rate(self) -> float:
        """How fast the fastest correction decays (1/Å)."""
        lengths = self._lengths[self._lengths > 0]
        return ERFC_RATE / float(lengths.min()) if len(lengths) else 0.0

    @property
    def self_interaction(self) -> FloatArray:
        """J of each kind's cloud with itself at R = 0 (1/Å). Shape [n_kinds]."""
        with np.errstate(divide="ignore"):
            return np.asarray(1 / (self._widths * math.sqrt(math.pi)), dtype=np.float64)

    def pair_index(self, first_kinds: IntArray, second_kinds: IntArray) -> IntArray:
        """Row of the table for each pair of kinds. Shapes [n_pairs]."""
        return first_kinds * self.n_kinds + second_kinds

    def correction(self, pair_index: IntArray, distances: FloatArray) -> tuple[FloatArray, FloatArray]:
        """J - 1/R (1/Å) and J' + 1/R² (1/Å²) for distances (Å) above 0. Shapes [n_pairs]."""

        from scipy.special import erfc

        lengths = self._lengths[pair_index]
        # A point charge has no correction: its argument is beyond everything.
        inverse = np.divide(1.0, lengths, out=np.full_like(lengths, 1e6), where=lengths > 0)
        arguments = distances * inverse
        missing = erfc(arguments) / distances
        slope = (missing + 2 / math.sqrt(math.pi) * inverse * np.exp(-(arguments**2))) / distances
        return -missing, slope

    def cutoffs(self, strengths: FloatArray, threshold: float) -> FloatArray:
        """Distance (Å) beyond which the derivative of the scaled correction stays below a threshold.

        Shapes [n_kinds, n_kinds].
        """
        cutoffs = np.zeros(self.n_kinds**2)
        for row, (strength, length) in enumerate(zip(np.abs(strengths).ravel(), self._lengths, strict=True)):
            if strength == 0.0 or length == 0.0:
                continue
            grid = np.linspace(0.001, _GAUSSIAN_REACH, 4000) * length
            _, slope = self.correction(np.full(len(grid), row), grid)
            above = np.flatnonzero(strength * np.abs(slope) > threshold)
            if len(above):
                cutoffs[row] = grid[min(above[-1] + 1, len(grid) - 1)]
        return cutoffs.reshape(self.n_kinds, self.n_kinds)


def cloud_table(
    symbols: Sequence[str], exponents: Mapping[str, float], widths_A: Mapping[str, float] | None = None
) -> CloudTable:
    """Return the clouds of some species: Gaussian where widths are given, else Slater's.

    Raises
    ------
    InputError
        If widths are given for some species only.
    """
    if not widths_A:
        return SlaterPairTable([exponents.get(symbol, math.inf) for symbol in symbols])
    missing = [symbol for symbol in symbols if symbol not in widths_A]
    if missing:
        raise InputError(f"Gaussian charges need a width for every species: there is none for {', '.join(missing)}.")
    return GaussianPairTable([widths_A[symbol] for symbol in symbols])
