"""GAP and charges fitted together to energies, forces and virials, without a single charge as a label.

E = E_GAP(α) + E_ES(θ), θ the coefficients of the charges and the constants of the species. The problem is linear in α
and not in θ: Gauss and Newton's method makes it a sequence of the sparse least squares that a GAP is fitted by, with
more columns. Steps are damped (Levenberg, Q. Appl. Math. 1944, 2, 164, 10.1090/qam/10666; Marquardt, J. Soc. Ind.
Appl. Math. 1963, 11, 431, 10.1137/0111030): undamped ones overshoot. α is solved for exactly after every step, so that
what is minimised depends on θ alone (variable projection; Golub, Pereyra, SIAM J. Numer. Anal. 1973, 10, 413,
10.1137/0710036). That charges can be learned from energies and forces alone: arXiv 2412.15455.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import qr, solve_triangular

from ....core.arrays import FloatArray
from ...native.sparse_fit.design import RowBuilder, covariance
from ...native.sparse_fit.fit_inputs import FitProgress
from ...native.sparse_fit.linear_system import ScaledTargets, Workshop, blocks_of
from ...native.sparse_fit.row_store import RowStore
from ...native.sparse_fit.solve import (
    PriorBlock,
    StreamingLeastSquares,
    leave_out_residuals,
    prior_factor,
)
from .charge_columns import ChargeColumns, Parameters
from .label_rows import LabelRows

_FIRST_DAMPING = 10.0
_DAMPING_AFTER_SUCCESS = 0.25
_DAMPING_AFTER_FAILURE = 6.0
_MOST_TRIALS = 6
_STEPS_PER_START = 2


@dataclass(frozen=True)
class ChargePrior:
    """What is believed of the charges before the fit, and how the fit goes about it.

    Attributes
    ----------
    constants
        c of each species, in the builder's order, in the charge model's unit.
    spread
        Standard deviation of what the environment adds to them.
    constant_std
        Standard deviation of the constants; 0 holds them.
    starts
        Factors of the constants that fits start from, where those are not held; the one of the lowest objective after a
        few steps goes on.
    most_steps
        After which the fit ends, converged or not.
    tolerance
        Relative fall of the objective below which it has converged.
    """

    constants: tuple[float, ...]
    spread: float
    constant_std: float
    starts: tuple[float, ...]
    most_steps: int
    tolerance: float


@dataclass(frozen=True)
class ChargeStatistics:
    """Charges of one species on the training data; ``uncertainty_e``: posterior standard deviation of their mean."""

    mean_e: float
    std_e: float
    least_e: float
    most_e: float
    uncertainty_e: float


@dataclass(frozen=True, eq=False)
class JointFit:
    """What a joint fit found.

    Attributes
    ----------
    weights
        α of the GAP. Shape [n_columns].
    parameters
        Of the charges.
    residuals, leave_out
        Prediction minus target of every configuration, and the same had it not been fitted, to first order.
    objective
        |Σ⁻¹(prediction - target)|² of all labels plus both priors' terms.
    steps
        Steps that were taken.
    has_converged
        Whether the last step brought less than the tolerance.
    statistics
        Of the charges, by species in the builder's order.
    """

    weights: FloatArray
    parameters: Parameters
    residuals: tuple[FloatArray, ...]
    leave_out: tuple[FloatArray, ...]
    objective: float
    steps: int
    has_converged: bool
    statistics: tuple[ChargeStatistics, ...]


@dataclass(frozen=True, eq=False)
class _Point:
    """Parameters with everything that a step from them needs to be judged by."""

    theta: FloatArray
    values: tuple[FloatArray, ...]
    weights: FloatArray
    objective: float


class JointFitter:
    """Fits charges on top of a GAP whose rows are in a store, and whose system is decomposed.

    Parameters
    ----------
    columns
        Of the charges, prepared.
    targets
        Of the configurations, as the GAP alone would be fitted to.
    rows
        The GAP's rows.
    gap
        The GAP's decomposed system, of which only the triangle is used.
    jitter
        Added to the diagonal of the sparse points' covariance (eV²).
    prior
        Of the charges.
    workshop
        Threads, clock and who is told.
    labels
        Rows of charges and dipoles that are labels, and of mean charges; None without.
    """

    def __init__(
        self,
        columns: ChargeColumns,
        targets: Sequence[ScaledTargets],
        rows: RowStore,
        gap: StreamingLeastSquares,
        jitter: float,
        prior: ChargePrior,
        workshop: Workshop,
        labels: LabelRows | None = None,
    ) -> None:
        self._labels = labels
        self._columns = columns
        self._targets = targets
        self._rows = rows
        self._triangle = np.asfortranarray(gap.triangle)
        self._jitter = jitter
        self._prior = prior
        self._workshop = workshop
        self._gap_factor = _gap_factor(columns.builder, jitter)
        self._mean = np.concatenate([np.zeros(columns.n_coefficients), prior.constants])
        self._free = np.arange(len(self._mean) if prior.constant_std > 0 else columns.n_coefficients)

    @cached_property
    def _factor(self) -> FloatArray:
        """Upper triangular factor of the inverse prior covariance of the free parameters. Shape [n_free, n_free]."""
        n_coefficients = self._columns.n_coefficients
        factor = np.zeros((len(self._free),) * 2, order="F")
        factor[:n_coefficients, :n_coefficients] = charge_prior_factor(self._columns, self._prior.spread, self._jitter)
        for place in range(n_coefficients, len(self._free)):
            factor[place, place] = 1 / self._prior.constant_std
        return factor

    @cached_property
    def _damping(self) -> FloatArray:
        damping = self._factor.copy()
        for place in range(self._columns.n_coefficients, len(self._free)):
            damping[place, place] = 1 / self._columns.model.constant_step
        return damping

    def fit(self, earlier: Parameters | None = None) -> JointFit:
        """Fit, from the parameters of an earlier fit or from the prior's constants.

        Raises
        ------
        SingularFitError
            If a linear system has no unique solution.
        """
        starts = [self._mean] if earlier is None else [np.concatenate([earlier.coefficients, earlier.constants])]
        if earlier is None and len(self._free) > self._columns.n_coefficients:
            starts = [factor * self._mean for factor in self._prior.starts]
        most = self._prior.most_steps
        tried = [self._descend(self._point(start), _STEPS_PER_START if len(starts) > 1 else most) for start in starts]
        point, steps, converged, damping = min(tried, key=lambda one: one[0].objective)
        if len(starts) > 1 and not converged:
            point, more, converged, _ = self._descend(point, most - steps, damping)
            steps += more
        return self._finish(point, steps, converged)

    def _descend(
        self, point: _Point, most_steps: int, damping: float = _FIRST_DAMPING
    ) -> tuple[_Point, int, bool, float]:
        """Take damped steps; return where they end, their number, whether it has converged, and the damping."""
        for step in range(most_steps):
            with self._workshop.timed("factorisation"):
                system = self._system(point)
            for _ in range(_MOST_TRIALS):
                trial = self._point(self._damped(system, point, damping))
                if trial.objective < point.objective:
                    break
                damping *= _DAMPING_AFTER_FAILURE
            else:
                return point, step, True, damping
            gain = 1 - trial.objective / point.objective
            point, damping = trial, damping * _DAMPING_AFTER_SUCCESS
            if gain < self._prior.tolerance:
                return point, step + 1, True, damping
        return point, most_steps, False, damping

    def _parameters(self, theta: FloatArray) -> Parameters:
        count = self._columns.n_coefficients
        return Parameters(theta[count:], theta[:count])

    def _point(self, theta: FloatArray) -> _Point:
        """Evaluate the charges at some parameters and solve for the GAP's weights."""
        parameters = self._parameters(theta)

        def values(index: int) -> FloatArray:
            return self._columns.linearise(index, parameters, with_columns=False).values

        with self._workshop.timed("charges"):
            found = tuple(self._mapped(values))
        weights, sum_of_squares = self._gap_weights(found)
        shift = self._factor @ (theta - self._mean)[self._free]
        if self._labels is not None:
            sum_of_squares += float(np.square(self._labels.residuals(theta)).sum())
        return _Point(theta, found, weights, sum_of_squares + float(shift @ shift))

    def _mapped(self, function: Callable[[int], FloatArray]) -> list[FloatArray]:
        return list(self._workshop.in_order("charges")(function, range(len(self._targets))))

    def _gap_weights(self, values: Sequence[FloatArray]) -> tuple[FloatArray, float]:
        """Return α for given charges, and its objective: the triangle serves all of them.

        By the corrected semi-normal equations (Björck, Linear Algebra Appl. 1987, 88/89, 31,
        10.1016/0024-3795(87)90101-7), in which one step of refinement makes up for the squared condition.
        """
        left = [scaled.values[:, 0] - self._of(index, found) for index, (scaled, found) in self._with_targets(values)]

        def solved(right: FloatArray) -> FloatArray:
            half = solve_triangular(self._triangle, right, trans="T", check_finite=False)
            return np.asarray(solve_triangular(self._triangle, half, check_finite=False), dtype=np.float64)

        weights = np.zeros(len(self._triangle))
        for _ in range(2):
            right = -(self._gap_factor.T @ (self._gap_factor @ weights))
            for index, scaled in enumerate(self._targets):
                rows = self._rows.read(index)
                right += rows.T @ ((left[index] - rows @ weights) / scaled.sigmas**2)
            weights = weights + solved(right)
        total = float(np.square(self._gap_factor @ weights).sum())
        for index, scaled in enumerate(self._targets):
            total += float(np.square((self._rows.read(index) @ weights - left[index]) / scaled.sigmas).sum())
        return weights, total

    def _with_targets(self, values: Sequence[FloatArray]) -> list[tuple[int, tuple[ScaledTargets, FloatArray]]]:
        return list(enumerate(zip(self._targets, values, strict=True)))

    def _of(self, index: int, values: FloatArray) -> FloatArray:
        """Return those of all values of a configuration that have a target."""
        return values[self._targets[index].rows]

    def _system(self, point: _Point, kept: RowStore | None = None) -> StreamingLeastSquares:
        """Return the decomposed system around a point: α first, then the free parameters.

        Targets are what α alone would have to fit there, so that the solution's last part is the undamped step.
        """
        n_gap, n_free = len(self._triangle), len(self._free)
        factor = np.zeros((n_gap + n_free,) * 2, order="F")
        factor[:n_gap, :n_gap], factor[n_gap:, n_gap:] = self._gap_factor, self._factor
        # The prior of the parameters counts from its mean, the system from the point.
        shift = -self._factor @ (point.theta - self._mean)[self._free]
        system = StreamingLeastSquares(factor, 1, np.concatenate([np.zeros(n_gap), shift])[:, None])
        parameters = self._parameters(point.theta)
        if self._labels is not None:
            matrix = np.zeros((len(self._labels.targets), n_gap + n_free + 1), order="F")
            matrix[:, n_gap:-1] = self._labels.matrix[:, self._free]
            matrix[:, -1] = -self._labels.residuals(point.theta)
            system.add(matrix)

        def columns(index: int) -> FloatArray:
            found = self._columns.linearise(index, parameters, with_columns=True).columns
            assert found is not None
            return found[self._targets[index].rows][:, self._free]

        for block in blocks_of(self._targets, n_gap + n_free):
            n_rows = sum(len(self._targets[index].values) for index in block)
            matrix = np.empty((n_rows, n_gap + n_free + 1), order="F")
            start = 0
            for index, found in zip(block, self._workshop.in_order("charges")(columns, block), strict=True):
                scaled = self._targets[index]
                stop = start + len(scaled.values)
                sigmas = scaled.sigmas[:, None]
                np.divide(self._rows.read(index), sigmas, out=matrix[start:stop, :n_gap])
                np.divide(found, sigmas, out=matrix[start:stop, n_gap:-1])
                left = scaled.values[:, 0] - self._of(index, point.values[index])
                matrix[start:stop, -1] = left / scaled.sigmas
                if kept is not None:
                    kept.keep(index, matrix[start:stop, :-1].copy())
                start = stop
            system.add(matrix)
        return system

    def _damped(self, system: StreamingLeastSquares, point: _Point, damping: float) -> FloatArray:
        """Return the parameters after a damped step; only the small block of the triangle is decomposed again."""
        n_gap, n_free = len(self._triangle), len(self._free)
        whole, right = system.triangle[n_gap:, n_gap:], system.right[n_gap:, 0]
        stacked = np.concatenate([whole, np.sqrt(damping) * self._damping])
        # Not on the orthogonal factor, which is not needed: the right-hand side goes through as a column.
        augmented = np.column_stack([stacked, np.concatenate([right, np.zeros(n_free)])])
        triangle = qr(augmented, mode="r", overwrite_a=True, check_finite=False)[0]
        step = solve_triangular(triangle[:n_free, :n_free], triangle[:n_free, n_free], check_finite=False)
        theta = point.theta.copy()
        theta[self._free] += step
        return theta

    def _finish(self, point: _Point, steps: int, converged: bool) -> JointFit:
        """Solve for the GAP exactly, and find leave-out errors and uncertainties by the linearised system."""
        n_gap = len(self._triangle)
        with RowStore(self._rows.left_bytes) as kept:
            with self._workshop.timed("factorisation"):
                system = self._system(point, kept)
            # With the parameters where they are: the step is zero, and the GAP's part of the triangle stands alone.
            weights = solve_triangular(system.triangle[:n_gap, :n_gap], system.right[:n_gap, 0], check_finite=False)
            residuals, left_out = [], []
            with self._workshop.timed("errors"):
                for index, (scaled, found) in self._with_targets(point.values):
                    left = scaled.values[:, 0] - self._of(index, found)
                    residual = self._rows.read(index) @ weights - left
                    block = kept.read(index)
                    without = leave_out_residuals(block, (residual / scaled.sigmas)[:, None], system.triangle)
                    residuals.append(residual)
                    self._workshop.progress(FitProgress("errors", len(residuals), len(self._targets)))
                    left_out.append(without[:, 0] * scaled.sigmas)
        return JointFit(
            weights,
            self._parameters(point.theta),
            tuple(residuals),
            tuple(left_out),
            point.objective,
            steps,
            converged,
            self._statistics(point.theta, system.triangle[n_gap:, n_gap:]),
        )

    def _statistics(self, theta: FloatArray, triangle: FloatArray) -> tuple[ChargeStatistics, ...]:
        indices = self._columns.together()
        parameters = self._parameters(theta)
        charges = np.concatenate([self._columns.charges(index, parameters) for index in indices])
        kinds = np.concatenate([self._columns.kinds(index) for index in indices])
        means = self._columns.mean_charge_columns(indices)[:, self._free]
        whitened = solve_triangular(triangle, means.T, trans="T", check_finite=False)
        found = []
        for place in range(len(means)):
            own = charges[kinds == place] if (kinds == place).any() else np.zeros(1)
            found.append(
                ChargeStatistics(
                    float(own.mean()),
                    float(own.std()),
                    float(own.min()),
                    float(own.max()),
                    float(np.linalg.norm(whitened[:, place])),
                )
            )
        return tuple(found)


def charge_prior_factor(columns: ChargeColumns, spread: float, jitter_eV2: float) -> FloatArray:
    """Return the upper triangular factor of βᵀK_MM β/δ_q², K_MM without δ². Shape [n_coefficients, n_coefficients]."""
    builder = columns.builder
    amplitude = builder.descriptors.settings.soap.delta_eV**2
    blocks = []
    for number in builder.descriptors.species:
        points, places = builder.sparse_points.of((number,)), columns.coefficients_of(number)
        if len(places):
            own = covariance(builder.descriptors.settings, (number,), points, points) / amplitude
            blocks.append(PriorBlock(f"the charges of element {number}", places, own))
    factor = prior_factor(blocks, columns.n_coefficients, jitter_eV2 / amplitude)
    return factor / spread


def _gap_factor(builder: RowBuilder, jitter: float) -> FloatArray:
    return prior_factor(builder.prior_blocks(), builder.n_columns, jitter)
