"""What both ways of multiplying descriptors with sparse points have in common."""
# mypy cannot see through numba's decorator, and the arguments of kernels are arrays throughout.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from ...core.arrays import FloatArray
from ..compiler import numba
from .scratch import Scratch


class PointProducts(ABC):
    """The covariance Σ_s a_s (p·x_s + c_s)^ζ with fixed sparse points x_s, and its derivative with respect to p.

    Parameters
    ----------
    points
        x_s. Shape [n_points, n_components].
    constants, weights
        c_s and a_s (eV). Shape [n_points].
    zeta
        ζ.
    """

    def __init__(self, points: FloatArray, constants: FloatArray, weights: FloatArray, zeta: float) -> None:
        self._points = self._packed(points)
        self._constants = np.array(constants, dtype=np.float64)
        self._weights = np.array(weights, dtype=np.float64)
        self._zeta = float(zeta)

    @staticmethod
    @abstractmethod
    def _packed(points: FloatArray) -> FloatArray:
        """Return sparse points in the order in which they are read, filled up with zeros.

        Shape [n_blocks, n_panels, n_groups, n_tiles, points of a group, components of a tile].
        """

    @abstractmethod
    def evaluate(
        self, spectra: FloatArray, energies: FloatArray, scratch: Scratch, products: FloatArray | None = None
    ) -> FloatArray:
        """Fill the energies (eV) [n] of descriptors p [n, n_components], and the products p·x_s if wanted.

        Parameters
        ----------
        products
            To be filled, without the constants. Shape [n, n_points].

        Returns
        -------
        dE/dp, eV; rows and columns beyond those of ``spectra`` mean nothing. Shape [≥ n, ≥ n_components].
        """

    @abstractmethod
    def products(self, spectra: FloatArray, scratch: Scratch) -> FloatArray:
        """Return the products p·x_s of descriptors p [n, n_components], laid out in blocks of sparse points.

        What `sums` and `slopes` take; valid until the scratch is used again.
        """

    @abstractmethod
    def in_order(self, products: FloatArray, n: int) -> FloatArray:
        """Return products as one array [n, n_points]."""

    @abstractmethod
    def sums(self, products: FloatArray, second_weights: FloatArray, sums: FloatArray) -> None:
        """Fill ``sums`` [2, n]: Σ_s a_s k_s^ζ (eV) and Σ_s b_s k_s^ζ with second weights b [n_points]."""

    @abstractmethod
    def slopes(
        self,
        products: FloatArray,
        second_weights: FloatArray,
        factors: FloatArray,
        n_components: int,
        scratch: Scratch,
    ) -> FloatArray:
        """Return Σ_s (a_s + f b_s) ζ k_s^(ζ-1) x_s of descriptors with factors f [n]; the products are used up.

        Rows and columns beyond those of the descriptors mean nothing. Shape [≥ n, ≥ n_components].
        """


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def power_below(base, zeta):
    """Return base^(ζ-1)."""
    whole = int(zeta)
    if whole != zeta:
        return base ** (zeta - 1.0)
    power = 1.0
    for _ in range(whole - 1):
        power *= base
    return power
