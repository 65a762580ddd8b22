"""Charges of the baseline from the errors of ES-GAP: the criterion is what the GAP part does not learn.

The rows of a GAP's linear system do not depend on the baseline, and what it is fitted to is bilinear in the charges,
y(q) = y_ref - Σ_{a≤b} q_a q_b y^{ab}. So are, by linearity, the residuals that every configuration would have had, had
it not been fitted: r(q) = r_ref - Σ q_a q_b r^{ab}. One fit with some right-hand sides gives the leave-out error of
ES-GAP for any charges, an exact quartic; neither a scan nor another fit is needed to find its minimum. (Leave-out
residuals of linear least squares: Cook, Weisberg, Residuals and Influence in Regression, 1982, section 3.2; ES-GAP:
Staacke et al., ACS Appl. Energy Mater. 2021, 4, 12562, 10.1021/acsaem.1c02363.)

Charges are written as q = B x with orthonormal directions B of neutral charges, and the right-hand sides are those of
x: tensors of charged cells are large and would cancel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from ...core.arrays import FloatArray
from ...core.errors import InputError
from ...core.settings import FrozenModel
from ..data_sets import LabelledConfiguration
from ..native.sparse_fit.fit_errors import ErrorSummary
from .charges import RESAMPLES

if TYPE_CHECKING:
    from ..native.sparse_fit.fit_inputs import FitInputs, FitResources, ProgressCallback
    from ..native.sparse_fit.linear_system import ScaledTargets
    from .charges import ChargeProblem, PairTensorEvaluator, PairTensors, QuadraticForm


DEFAULT_SCALES: tuple[float, ...] = tuple(round(0.05 * step, 2) for step in range(17))
"""Parts of the formal charges at which errors are shown."""
_NEUTRAL_e = 1e-6


@dataclass(frozen=True)
class ConfigurationResiduals:
    """Leave-out residuals (prediction minus target) of one configuration.

    Rows are its energy (eV), -∂E/∂r with the sign changed (eV/Å) and, where it has a stress, its virial (eV).

    Attributes
    ----------
    configuration
        The labelled configuration.
    reference
        Of a GAP without baseline, shape [n_rows].
    tensors
        Of the baseline's part for each pair of directions i ≤ j, shape [n_pairs, n_rows] (per e²).
    """

    configuration: LabelledConfiguration
    reference: FloatArray
    tensors: FloatArray

    def residuals(self, coordinates: ArrayLike) -> FloatArray:
        """Return r_ref - Σ x_i x_j r^{ij}, shape [n_rows]; ``coordinates``: x, shape [n_directions] (e)."""

        from .charges import charge_products

        found: FloatArray = self.reference - charge_products(coordinates) @ self.tensors
        return found


@dataclass(frozen=True)
class LeaveOutTensors:
    """Leave-out residuals of ES-GAP for any neutral charges, with exponents that do not change.

    Attributes
    ----------
    problem
        Which charges are allowed.
    exponents
        Slater exponent by species (1/Å).
    configurations
        Of the training set.
    """

    problem: ChargeProblem
    exponents: Mapping[str, float]
    configurations: tuple[ConfigurationResiduals, ...]

    def summary(self, charges: Mapping[str, float]) -> ErrorSummary:
        """Return the leave-out errors of an ES-GAP with some charges (e, by species).

        Raises
        ------
        InputError
            If the problem does not allow them: they are not neutral, or not in its proportions.
        """

        from ..native.sparse_fit.fit import errors_of
        from ..native.sparse_fit.fit_errors import FitErrors

        coordinates = self.coordinates(charges)
        return FitErrors(
            tuple(errors_of(one.configuration, one.residuals(coordinates)) for one in self.configurations)
        ).summary()

    def coordinates(self, charges: Mapping[str, float]) -> FloatArray:
        """Return x of q = B x, shape [n_directions] (e); errors as `summary`."""
        basis = self.problem.basis
        values = np.array([charges[symbol] for symbol in self.problem.species])
        found: FloatArray = basis.T @ values
        if np.abs(basis @ found - values).max() > _NEUTRAL_e:
            raise InputError(f"the charges {dict(charges)} are not among those that were fitted: {self.problem}")
        return found


class ErrorCurve(FrozenModel):
    """Leave-out errors of ES-GAP against the scale of given charges; all have one value per scale."""

    charges: dict[str, float] = Field(description="Charges at scale 1 (e)")
    scales: tuple[float, ...] = Field(description="Factors of those charges (no unit)")
    force_eV_per_A: tuple[float, ...] = Field(description="Root-mean-square error of force components (eV/Å)")
    force_by_element_eV_per_A: dict[str, tuple[float, ...]] = Field(description="The same by element (eV/Å)")
    energy_eV_per_atom: tuple[float, ...] = Field(description="Root-mean-square error of energies (eV/atom)")


class ChargesByError(FrozenModel):
    """Charges with which ES-GAP's leave-out force error is lowest."""

    charges: dict[str, float] = Field(description="Charge of each species (e)")
    uncertainties: dict[str, float] = Field(
        description="Standard deviation of each charge over bootstrap samples of the configurations (e)"
    )
    exponents: dict[str, float] = Field(description="Slater exponent of each species (1/Å)")
    transferable: bool = Field(description="Whether only the scale of given charges was fitted (yes or no)")
    without_baseline: ErrorSummary = Field(description="Leave-out errors of GAP (eV/atom, eV/Å)")
    with_baseline: ErrorSummary = Field(description="Leave-out errors of ES-GAP with these charges (eV/atom, eV/Å)")


def leave_out_tensors(
    task: FitInputs,
    problem: ChargeProblem,
    exponents: Sequence[Mapping[str, float]],
    resources: FitResources,
    *,
    progress: ProgressCallback | None = None,
    accuracy: float = 1e-6,
) -> list[LeaveOutTensors]:
    """Fit reference and baseline tensors together; the sets of exponents share the fit too.

    Parameters
    ----------
    task
        Data set without baseline taken off, settings, seed, sparse points: all of them as for a GAP.
    exponents
        Sets of Slater exponents by species (1/Å); a species without one is a point charge.
    accuracy
        Truncation error of a force component for unit charges (eV/Å).

    Raises
    ------
    InputError
        If a configuration is not neutral with the charges that the problem allows, or none has forces.
    IonloopError
        As `ionloop.fitting.native.sparse_fit.fit.run_fit`.
    """

    from ..cores import core_of, without_core
    from ..native.sparse_fit.fit import open_workshop, row_source
    from ..native.sparse_fit.linear_system import factorise, residuals_of
    from ..native.sparse_fit.row_store import RowStore
    from ..preflight import check_data
    from .charges import PairTensorEvaluator

    check_data(task.data_set, task.settings)
    task = replace(task, data_set=without_core(task.data_set, core_of(task.settings)))
    _check_neutral(task, problem)
    if not any(one.fitted_forces.any() for one in task.data_set):
        raise InputError("charges are fitted to errors of forces, and none of the configurations has any")
    evaluators = [PairTensorEvaluator(problem.species, one, accuracy) for one in exponents]
    targets = [_targets(item, task, evaluators, problem.basis) for item in task.data_set.fitted_configurations]
    n_sets = targets[0].values.shape[1]
    with open_workshop(resources, progress) as workshop:
        source, kept_bytes = row_source(task, resources, workshop, n_sets)
        with RowStore(kept_bytes) as store:
            system, _ = factorise(source, targets, task.settings.sparse_jitter, store, workshop)
            found = residuals_of(system, targets, store, workshop, leave_out=True)
        source.close()
    left_out = [one.left_out for one in found[: len(task.data_set)] if one.left_out is not None]
    parts = np.arange(1, n_sets).reshape(len(exponents), -1)
    return [
        LeaveOutTensors(
            problem,
            dict(one),
            tuple(
                ConfigurationResiduals(item, residuals[:, 0], residuals[:, columns].T)
                for item, residuals in zip(task.data_set, left_out, strict=True)
            ),
        )
        for one, columns in zip(exponents, parts, strict=True)
    ]


def _check_neutral(task: FitInputs, problem: ChargeProblem) -> None:
    symbols = np.array(problem.species)
    for index, configuration in enumerate(task.data_set):
        present = configuration.atoms.get_chemical_symbols()
        unknown = sorted(set(present) - set(problem.species))
        counts = np.array([present.count(symbol) for symbol in symbols], dtype=np.float64)
        if unknown or np.abs(counts @ problem.basis).max() > _NEUTRAL_e * len(present):
            name = configuration.identifier or f"number {index}"
            raise InputError(
                f"the configuration {name} ({configuration.atoms.get_chemical_formula()}) is not neutral with charges "
                f"that are neutral for {dict(problem.counts)}; fit the scale of formal charges (transferable: true), "
                "or fit to configurations of one composition"
            )


def _targets(
    configuration: LabelledConfiguration,
    task: FitInputs,
    evaluators: Sequence[PairTensorEvaluator],
    basis: FloatArray,
) -> ScaledTargets:
    """Return the reference's targets, then those of every pair of directions for each set of exponents."""

    from ..native.sparse_fit.fit import scaled_targets

    reference = scaled_targets(configuration, task.settings, task.data_set)
    isolated = task.data_set.isolated_atom_energies
    offset = sum(isolated[symbol] for symbol in configuration.atoms.get_chemical_symbols())
    columns = [reference.values]
    for evaluator in evaluators:
        tensors = _along(evaluator(configuration.atoms), basis)
        for index, energy in enumerate(tensors.energy):
            stress = None if tensors.stress is None else tensors.stress[index]
            part = replace(
                configuration,
                energy=float(energy) + offset,
                forces=None if configuration.forces is None else tensors.forces[index],
                stress=stress if configuration.stress is not None else None,
            )
            columns.append(scaled_targets(part, task.settings, task.data_set).values)
    return replace(reference, values=np.hstack(columns))


def _along(tensors: PairTensors, basis: FloatArray) -> PairTensors:
    """Return the tensors of x with q = B x: Σ q_a q_b T^{ab} = Σ x_i x_j T^{ij}."""

    from .charges import PairTensors

    first, second = np.triu_indices(len(basis))
    one, other = np.triu_indices(basis.shape[1])
    weights = basis[first][:, one] * basis[second][:, other]
    weights += np.where(one != other, basis[first][:, other] * basis[second][:, one], 0.0)
    return PairTensors(
        weights.T @ tensors.energy,
        np.einsum("pd,pnx->dnx", weights, tensors.forces),
        None if tensors.stress is None else weights.T @ tensors.stress,
    )


def charge_error_curve(tensors: LeaveOutTensors, charges: Mapping[str, float], scales: Sequence[float]) -> ErrorCurve:
    """Return ES-GAP's leave-out errors with each multiple of ``charges`` (e, by species).

    Raises
    ------
    InputError
        As `LeaveOutTensors.summary`.
    """
    found = [tensors.summary({symbol: scale * charge for symbol, charge in charges.items()}) for scale in scales]
    return ErrorCurve(
        charges=dict(charges),
        scales=tuple(scales),
        force_eV_per_A=tuple(one.force_rmse_eV_per_A for one in found),
        force_by_element_eV_per_A={
            symbol: tuple(one.force_by_element_eV_per_A[symbol] for one in found)
            for symbol in found[0].force_by_element_eV_per_A
        },
        energy_eV_per_atom=tuple(one.energy_eV_per_atom for one in found),
    )


def fit_charges_to_error(
    tensors: Sequence[LeaveOutTensors], *, seed: int = 0, resamples: int = RESAMPLES
) -> ChargesByError:
    """Minimise ES-GAP's mean squared leave-out force error over the charges, and over the sets of exponents.

    Uncertainties come from a bootstrap over the configurations, with the exponents that are best for all of them.

    Parameters
    ----------
    tensors
        For each set of exponents.
    seed
        Of the bootstrap.

    Returns
    -------
    ChargesByError
        All charges are zero where no baseline lowers the error.
    """
    forms = [[_force_form(item) for item in one.configurations] for one in tensors]
    lowest = [_lowest(own, one.problem) for own, one in zip(forms, tensors, strict=True)]
    errors = [
        one.summary(_by_species(charges, one.problem)).force_rmse_eV_per_A
        for one, charges in zip(tensors, lowest, strict=True)
    ]
    best = int(np.argmin(errors))
    chosen, own, problem = tensors[best], forms[best], tensors[best].problem
    charges = _by_species(lowest[best], problem)
    generator = np.random.default_rng(seed)
    resampled = [
        _lowest([own[index] for index in generator.integers(len(own), size=len(own))], problem)
        for _ in range(resamples)
    ]
    spread = np.std(resampled, axis=0) if resamples else np.zeros(len(problem.species))
    return ChargesByError(
        charges=charges,
        uncertainties=_by_species(spread, problem),
        exponents=dict(chosen.exponents),
        transferable=problem.proportions is not None,
        without_baseline=chosen.summary(dict.fromkeys(problem.species, 0.0)),
        with_baseline=chosen.summary(charges),
    )


def _force_form(item: ConfigurationResiduals) -> QuadraticForm:
    """Return the sum of squared force errors as a function of the products of x."""

    from .charges import QuadraticForm

    rows = slice(1, 1 + 3 * int(item.configuration.fitted_forces.sum()))
    reference, tensors = item.reference[rows], item.tensors[:, rows]
    return QuadraticForm(tensors @ tensors.T, tensors @ reference, float(reference @ reference), len(reference))


def _lowest(forms: Sequence[QuadraticForm], problem: ChargeProblem) -> FloatArray:
    """Return the charges of the lowest mean of some forms, shape [n_species] (e); the mobile ion's is not negative."""

    from .charges import QuadraticForm, lowest_charges

    basis = problem.basis
    charges: FloatArray = basis @ lowest_charges(QuadraticForm.mean(forms), np.eye(basis.shape[1]), 0)
    return -charges if charges[problem.species.index(problem.mobile)] < 0 else charges


def _by_species(charges: FloatArray, problem: ChargeProblem) -> dict[str, float]:
    return dict(zip(problem.species, charges.tolist(), strict=True))
