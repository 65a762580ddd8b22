"""The regularised least-squares problem of a sparse Gaussian process, its rows taken as they come.

Minimised is |Σ⁻¹(K α - y)|² + αᵀ K_MM α, whose normal equations are too ill-conditioned to be solved in double
precision. It is solved as the least-squares problem [Σ⁻¹ K; Lᵀ] α = [Σ⁻¹ y; 0] with K_MM = L Lᵀ by QR (Foster
et al., J. Mach. Learn. Res. 2009, 10, 857). Only the triangle is kept: each block of rows is merged into it, a
sequential tall-skinny QR (Demmel et al., SIAM J. Sci. Comput. 2012, 34, A206, 10.1137/080731992), so that
memory does not grow with the number of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.linalg.lapack import dtpqrt

from ....core.arrays import FloatArray, IntArray
from ....core.errors import IonloopError

_PANEL_COLUMNS = 32
_LARGEST_CONDITION = 1e15


class SingularFitError(IonloopError):
    """The linear system of a fit has no unique solution in double precision."""


@dataclass(frozen=True)
class PriorBlock:
    """Covariance among the sparse points of one coordinate.

    ``name`` is for messages; ``columns`` are its sparse points' columns in the system, ascending [n];
    ``covariance`` without jitter, eV² [n, n].
    """

    name: str
    columns: IntArray
    covariance: FloatArray


def prior_factor(blocks: Sequence[PriorBlock], n_columns: int, jitter: float) -> FloatArray:
    """Return the upper triangular Lᵀ of K_MM + jitter, shape [n_columns, n_columns], Fortran order.

    Raises
    ------
    SingularFitError
        If a block is not positive definite; the message names its coordinate.
    """
    factor = np.zeros((n_columns, n_columns), order="F")
    for block in blocks:
        covariance = block.covariance + jitter * np.eye(len(block.columns))
        try:
            part = cholesky(covariance, lower=False, check_finite=True)
        except (LinAlgError, ValueError):
            raise SingularFitError(
                f"the covariance of the sparse points of {block.name} is not positive definite: raise sparse_jitter "
                f"(now {jitter:g} eV²), use fewer sparse points, or remove near-duplicate structures"
            ) from None
        factor[np.ix_(block.columns, block.columns)] = part
    return factor


class StreamingLeastSquares:
    """Triangle of the QR decomposition of all rows seen so far, the right-hand sides as its last columns.

    Memory is one square of the number of columns, and the block that is being added.

    Parameters
    ----------
    factor
        Lᵀ, whose rows come first. Shape [n_columns, n_columns].
    n_sets
        right-hand sides.
    prior_targets
        Of the first rows; None: zeros. Shape [n_columns, n_sets].
    """

    def __init__(self, factor: FloatArray, n_sets: int = 1, prior_targets: FloatArray | None = None) -> None:
        self.n_columns = len(factor)
        self.n_rows = 0
        size = self.n_columns + n_sets
        self._triangle = np.zeros((size, size), order="F")
        self._triangle[: self.n_columns, : self.n_columns] = factor
        if prior_targets is not None:
            self._triangle[: self.n_columns, self.n_columns :] = prior_targets

    def add(self, block: FloatArray) -> None:
        """Merge rows with their targets as last columns, both divided by σ, into the triangle.

        Parameters
        ----------
        block
            Shape [n_rows, n_columns + n_sets], Fortran order; overwritten.

        Raises
        ------
        SingularFitError
            If a number is not finite.
        """
        if not np.isfinite(block).all():
            raise SingularFitError("rows of the fit are not finite numbers: check labels and regularisation")
        self._triangle, _, _, info = dtpqrt(
            0, min(_PANEL_COLUMNS, len(self._triangle)), self._triangle, block, overwrite_a=1, overwrite_b=1
        )
        if info != 0:
            raise SingularFitError(f"the QR decomposition failed in argument {-info}")
        self.n_rows += len(block)

    @property
    def triangle(self) -> FloatArray:
        """R, upper triangular with RᵀR = KᵀΣ⁻²K + K_MM. Shape [n_columns, n_columns]."""
        return self._triangle[: self.n_columns, : self.n_columns]

    @property
    def right(self) -> FloatArray:
        """Right-hand sides that belong to the triangle: R α = right at the minimum. Shape [n_columns, n_sets]."""
        return self._triangle[: self.n_columns, self.n_columns :]

    @property
    def objectives(self) -> FloatArray:
        """The minimum of |Σ⁻¹(K α - y)|² + αᵀ K_MM α for each right-hand side. Shape [n_sets]."""
        return np.square(self._triangle[self.n_columns :, self.n_columns :]).sum(axis=0)

    def solve(self) -> FloatArray:
        """Return the weights α. Shape [n_columns, n_sets].

        Raises
        ------
        SingularFitError
            If the triangle is singular to working precision.
        """
        diagonal = np.abs(np.diag(self.triangle))
        if diagonal.min(initial=np.inf) * _LARGEST_CONDITION <= diagonal.max(initial=0.0):
            raise SingularFitError(
                f"the linear system of the fit is singular (diagonal of R from {diagonal.min():.1e} to "
                f"{diagonal.max():.1e}): raise sparse_jitter or the regularisation, or use fewer sparse points"
            )
        return solve_triangular(self.triangle, self._triangle[: self.n_columns, self.n_columns :], check_finite=False)


@dataclass(frozen=True, eq=False)
class LeftOut:
    """What a fit without a group of rows would have said of them, divided by σ.

    ``residuals`` [n_rows, n_sets]: prediction minus label; ``deviations`` [n_rows]: standard deviations of the
    predictions, which is what the fit itself believes of its errors.
    """

    residuals: FloatArray
    deviations: FloatArray


def left_out(block: FloatArray, residuals: FloatArray, triangle: FloatArray) -> LeftOut:
    """Return what a fit without a group of rows would have said of them: exact, without a new fit.

    With H = B (RᵀR)⁻¹ Bᵀ the group's part of the hat matrix, residuals are (1 - H)⁻¹ times the fitted ones, and the
    predictions' covariance is (1 - H)⁻¹ - 1 (Cook, Weisberg, Residuals and Influence in Regression, 1982, section
    3.2; consequences of Woodbury's identity).

    Parameters
    ----------
    block
        The group's rows divided by σ. Shape [n_rows, n_columns].
    residuals
        B α - y of the fit to everything, divided by σ. Shape [n_rows, n_sets].
    triangle
        R. Shape [n_columns, n_columns].

    Raises
    ------
    SingularFitError
        If the group alone determines a weight.
    """
    whitened = solve_triangular(triangle, block.T, trans="T", check_finite=False)
    # Of a group with more rows than there are weights the other side is smaller: Woodbury's identity once more.
    by_rows = len(block) <= len(triangle)
    complement = np.eye(min(whitened.shape)) - (whitened.T @ whitened if by_rows else whitened @ whitened.T)
    try:
        factor = cholesky(complement, check_finite=False)
    except LinAlgError:
        # By rounding: a label is all but alone in telling a weight, and what the fit believes cannot be had.
        unknown = np.full(len(block), np.nan)
        return LeftOut(_without(complement, whitened, residuals, by_rows=by_rows), unknown)
    if by_rows:
        n_sets = residuals.shape[1]
        half = solve_triangular(factor, np.column_stack([residuals, np.eye(len(block))]), trans="T", check_finite=False)
        without = solve_triangular(factor, half[:, :n_sets], check_finite=False)
        return LeftOut(without, np.sqrt(np.maximum(np.square(half[:, n_sets:]).sum(axis=0) - 1, 0.0)))
    half = solve_triangular(factor, whitened, trans="T", check_finite=False)
    return LeftOut(residuals + half.T @ (half @ residuals), np.sqrt(np.square(half).sum(axis=0)))


def _without(complement: FloatArray, whitened: FloatArray, residuals: FloatArray, *, by_rows: bool) -> FloatArray:
    try:
        if by_rows:
            return np.asarray(np.linalg.solve(complement, residuals), dtype=np.float64)
        return np.asarray(residuals + whitened.T @ np.linalg.solve(complement, whitened @ residuals), dtype=np.float64)
    except np.linalg.LinAlgError:
        raise SingularFitError(
            "leave-out errors cannot be had: a configuration alone determines a weight; raise the regularisation"
        ) from None


def leave_out_residuals(block: FloatArray, residuals: FloatArray, triangle: FloatArray) -> FloatArray:
    """Return the residuals of `left_out` alone."""
    return left_out(block, residuals, triangle).residuals
