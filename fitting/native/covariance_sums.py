"""Sums of a SOAP coordinate's covariances over its sparse points, Σ_s a_s (p·x_s + c_s)^ζ, and their slopes.

However they are written, they are the same function of the descriptor p. With ζ = 1 all sparse points are one vector,
Σ_s a_s x_s, and the sum costs one scalar product; with ζ = 2 they are one quadratic form, Σ_s a_s x_s x_sᵀ, one
product with a square matrix where the points take two with a long one. Its eigenvectors would take two again: the
points of a fit are linearly independent far beyond rounding, so that there are as many of them as points.
"""
# mypy cannot see through numba's decorator, and the arguments of kernels are arrays throughout.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

import numpy as np
from llvmlite import binding  # type: ignore[import-untyped]  # ships no type information
from numpy.typing import NDArray

from ...core.arrays import FloatArray
from ..compiler import numba
from .narrow_products import NarrowProducts
from .point_products import PointProducts
from .scratch import Scratch, aligned_copy
from .soap_kernels import dot_product_covariance
from .wide_products import WideProducts

Precision = Literal["float64", "float32"]

_FAST = {"contract", "reassoc", "nsz"}


class CovarianceSum(ABC):
    """Σ_s a_s (p·x_s + c_s)^ζ of descriptors p, its derivative by p, and a second sum on the same covariances.

    Parameters
    ----------
    points
        x_s. Shape [n_points, n_components].
    constants, weights
        c_s and a_s (eV). Shape [n_points].
    """

    uses_blas: bool
    """Whether an evaluation calls BLAS, whose own threads must then rest."""

    def __init__(self, points: FloatArray, constants: FloatArray, weights: FloatArray) -> None:
        self.points = points
        self.constants = constants
        self.weights = weights

    @abstractmethod
    def evaluate(
        self, spectra: FloatArray, energies: FloatArray, products: FloatArray | None, scratch: Scratch
    ) -> FloatArray:
        """Fill the energies (eV) [n] and, if wanted, the products p·x_s [n, n_points]; return dE/dp.

        Rows and columns of what is returned beyond those of ``spectra`` mean nothing. Shape [≥ n, ≥ n_components], eV.
        """

    @abstractmethod
    def begin(self, spectra: FloatArray, second_weights: FloatArray, sums: FloatArray, scratch: Scratch) -> Any:
        """Fill both sums [2, n] of descriptors [n, n_components]; return what `finish` goes on from.

        The second sum has weights b of its own [n_points]. What is returned is valid until the scratch is used again.
        """

    @abstractmethod
    def finish(
        self,
        spectra: FloatArray,
        begun: Any,
        second_weights: FloatArray,
        factors: FloatArray,
        products: FloatArray | None,
        scratch: Scratch,
    ) -> FloatArray:
        """Return the derivative by p of the first sum and ``factors`` [n] times the second, as `evaluate` does."""


class PointSum(CovarianceSum):
    """By two products of BLAS with the points."""

    uses_blas = True

    def __init__(
        self,
        points: FloatArray,
        constants: FloatArray,
        weights: FloatArray,
        zeta: float,
        precision: Precision = "float64",
    ) -> None:
        super().__init__(points, constants, weights)
        self.zeta = zeta
        self._points = aligned_copy(points, precision)

    def evaluate(
        self, spectra: FloatArray, energies: FloatArray, products: FloatArray | None, scratch: Scratch
    ) -> FloatArray:
        covariances = _multiplied("products", spectra, self._points.T, scratch)
        if products is not None:
            products[:] = covariances
        slopes = scratch.array("covariance_slopes", covariances.shape)
        dot_product_covariance(covariances, self.constants, self.weights, self.zeta, slopes, energies)
        return _multiplied("spectrum_slopes", slopes, self._points, scratch)

    def begin(self, spectra: FloatArray, second_weights: FloatArray, sums: FloatArray, scratch: Scratch) -> FloatArray:
        products = _multiplied("products", spectra, self._points.T, scratch)
        covariances = (products + self.constants) ** self.zeta
        sums[0], sums[1] = covariances @ self.weights, covariances @ second_weights
        return products

    def finish(
        self,
        spectra: FloatArray,
        begun: FloatArray,
        second_weights: FloatArray,
        factors: FloatArray,
        products: FloatArray | None,
        scratch: Scratch,
    ) -> FloatArray:
        if products is not None:
            products[:] = begun
        powers = self.zeta * (begun + self.constants) ** (self.zeta - 1)
        mixed = powers * (self.weights + factors[:, None] * second_weights)
        return _multiplied("spectrum_slopes", mixed, self._points, scratch)


class RegisterSum(CovarianceSum):
    """By products of our own, which hold a block of both in registers."""

    uses_blas = False

    def __init__(
        self,
        points: FloatArray,
        constants: FloatArray,
        weights: FloatArray,
        zeta: float,
        products: type[PointProducts],
    ) -> None:
        super().__init__(points, constants, weights)
        self._products = products(points, constants, weights, zeta)

    def evaluate(
        self, spectra: FloatArray, energies: FloatArray, products: FloatArray | None, scratch: Scratch
    ) -> FloatArray:
        return self._products.evaluate(spectra, energies, scratch, products)

    def begin(self, spectra: FloatArray, second_weights: FloatArray, sums: FloatArray, scratch: Scratch) -> FloatArray:
        products = self._products.products(spectra, scratch)
        self._products.sums(products, second_weights, sums)
        return products

    def finish(
        self,
        spectra: FloatArray,
        begun: FloatArray,
        second_weights: FloatArray,
        factors: FloatArray,
        products: FloatArray | None,
        scratch: Scratch,
    ) -> FloatArray:
        if products is not None:
            products[:] = self._products.in_order(begun, len(spectra))
        return self._products.slopes(begun, second_weights, factors, spectra.shape[1], scratch)


class LinearSum(CovarianceSum):
    """With ζ = 1, by one vector: (Σ_s a_s x_s)·p + Σ_s a_s c_s."""

    uses_blas = False

    def __init__(self, points: FloatArray, constants: FloatArray, weights: FloatArray) -> None:
        super().__init__(points, constants, weights)
        self._vector, self._constant = self._collapsed(weights)
        self._second: tuple[FloatArray, FloatArray, float] | None = None

    def _collapsed(self, weights: FloatArray) -> tuple[FloatArray, float]:
        # Weights reach thousands and cancel: the sum is made once, so it may be made well.
        wide = weights.astype(np.longdouble)
        vector = np.asarray(wide @ self.points.astype(np.longdouble), dtype=np.float64)
        return vector, float(wide @ self.constants.astype(np.longdouble))

    def _collapsed_second(self, weights: FloatArray) -> tuple[FloatArray, float]:
        # Kept with the array itself, which nobody else can then be mistaken for.
        if self._second is None or self._second[0] is not weights:
            self._second = (weights, *self._collapsed(weights))
        return self._second[1:]

    def evaluate(
        self, spectra: FloatArray, energies: FloatArray, products: FloatArray | None, scratch: Scratch
    ) -> FloatArray:
        if products is not None:
            np.matmul(spectra, self.points.T, out=products)
        slopes = scratch.array("spectrum_slopes", spectra.shape)
        _linear(spectra, self._vector, self._constant, energies)
        slopes[:] = self._vector
        return slopes

    def begin(self, spectra: FloatArray, second_weights: FloatArray, sums: FloatArray, scratch: Scratch) -> None:
        _linear(spectra, self._vector, self._constant, sums[0])
        _linear(spectra, *self._collapsed_second(second_weights), sums[1])

    def finish(
        self,
        spectra: FloatArray,
        begun: None,
        second_weights: FloatArray,
        factors: FloatArray,
        products: FloatArray | None,
        scratch: Scratch,
    ) -> FloatArray:
        if products is not None:
            np.matmul(spectra, self.points.T, out=products)
        slopes = scratch.array("spectrum_slopes", spectra.shape)
        np.multiply.outer(factors, self._collapsed_second(second_weights)[0], out=slopes)
        slopes += self._vector
        return slopes


class QuadraticSum(PointSum):
    """With ζ = 2, by one matrix: pᵀMp + v·p + e with M = Σ_s a_s x_s x_sᵀ; second sums by the points."""

    def __init__(self, points: FloatArray, constants: FloatArray, weights: FloatArray) -> None:
        super().__init__(points, constants, weights, 2.0)
        self._matrix = aligned_copy((points.T * weights) @ points)
        self._vector = 2 * (weights * constants) @ points
        self._constant = float(weights @ constants**2)

    def evaluate(
        self, spectra: FloatArray, energies: FloatArray, products: FloatArray | None, scratch: Scratch
    ) -> FloatArray:
        if products is not None:
            np.matmul(spectra, self.points.T, out=products)
        slopes = _multiplied("spectrum_slopes", spectra, self._matrix, scratch)
        _quadratic(spectra, self._vector, self._constant, slopes, energies)
        return slopes


def products_in_registers() -> type[PointProducts] | None:
    """Return the products that suit the registers of this processor, None where BLAS knows better."""
    features = binding.get_host_cpu_features()
    if numba.config.CPU_NAME or numba.config.DISABLE_JIT:
        return None
    if features.get("avx512f"):
        return WideProducts
    return NarrowProducts if features.get("avx2") and features.get("fma") else None


def covariance_sum(
    points: FloatArray, constants: FloatArray, weights: FloatArray, zeta: float, precision: Precision = "float64"
) -> CovarianceSum:
    """Return the cheapest way to a sum that is exact; products in single precision only where they are asked for."""
    n_points, n_components = points.shape
    if zeta == 1:
        return LinearSum(points, constants, weights)
    if precision == "float32":
        return PointSum(points, constants, weights, zeta, precision)
    if zeta == 2 and n_components < _QUADRATIC_PAYS * 2 * n_points:
        return QuadraticSum(points, constants, weights)
    in_registers = products_in_registers()
    if in_registers is not None:
        return RegisterSum(points, constants, weights, zeta, in_registers)
    return PointSum(points, constants, weights, zeta)


_QUADRATIC_PAYS = 0.8
"""BLAS multiplies slower than the products in registers."""


def _multiplied(name: str, left: FloatArray, right: NDArray[Any], scratch: Scratch) -> FloatArray:
    out = scratch.array(name, (left.shape[0], right.shape[1]), right.dtype)
    return np.matmul(left.astype(right.dtype, copy=False), right, out=out).astype(np.float64, copy=False)


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _linear(spectra, vector, constant, energies):
    for a in range(len(spectra)):
        total = 0.0
        for k in range(len(vector)):
            total += spectra[a, k] * vector[k]
        energies[a] = total + constant


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _quadratic(spectra, vector, constant, slopes, energies):
    """From M p in ``slopes`` to the energies, and to the slopes 2 M p + v."""
    for a in range(len(spectra)):
        total = 0.0
        for k in range(len(vector)):
            total += spectra[a, k] * (slopes[a, k] + vector[k])
        energies[a] = total + constant
        for k in range(len(vector)):
            slopes[a, k] = 2.0 * slopes[a, k] + vector[k]
