"""From a data set to a GAP with charges that were fitted with it, and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from ase.data import chemical_symbols

from ....core.arrays import FloatArray
from ....core.errors import InputError
from ...cores import core_of, without_core
from ...native.sparse_fit.design import RowBuilder
from ...native.sparse_fit.fit import (
    NativeFit,
    calibration_of,
    errors_of,
    open_workshop,
    row_source,
    scaled_targets,
)
from ...native.sparse_fit.fit_errors import FitErrors
from ...native.sparse_fit.fit_inputs import FitInputs, FitResources, ProgressCallback
from ...native.sparse_fit.linear_system import Residuals, ScaledTargets, Workshop, factorise, residuals_of
from ...native.sparse_fit.row_store import RowStore
from ...native.sparse_fit.solve import StreamingLeastSquares
from ...preflight import check_data
from ..charges_file import ChargesFile, FitComparison, SpeciesCharges
from ..coulomb.clouds import cloud_table
from ..coulomb.summation import POINT_CHARGES
from .atom_row_store import AtomRowStore
from .charge_columns import ChargeColumns, Parameters
from .charge_models import ChargeModel
from .joint_fit import ChargePrior, JointFit, JointFitter
from .label_rows import LabelRows, LabelSigmas, label_rows, mean_charge_rows

CONTROL_SCREENING_A = 2.0
"""λ of the short-ranged control's interaction erfc(r/λ)/r."""
_ATOM_ROWS_ON_DISK_BYTES = 2e9


@dataclass(frozen=True, eq=False)
class ChargedFitSettings:
    """What determines the charges' part of a fit.

    Attributes
    ----------
    kind
        Name of the baseline's kind.
    model_of
        Returns what turns the local quantity into charges, for species in an order (symbols).
    charges_e
        Of the species, by symbol.
    exponents_per_A, widths_A
        Of Slater or Gaussian clouds, by symbol.
    accuracy
        Truncation error of a force component (eV/Å).
    prior
        Of the charges; its constants follow from ``charges_e``.
    has_control
        Whether the short-ranged control is fitted too.
    sigmas
        Of charges and dipoles that are labels.
    mean_std_e
        Prior standard deviation of the species' mean charges about ``charges_e``; None: only parameters have a prior.
    """

    kind: str
    model_of: Callable[[Sequence[str]], ChargeModel]
    charges_e: Mapping[str, float]
    exponents_per_A: Mapping[str, float]
    widths_A: Mapping[str, float]
    accuracy: float
    prior: ChargePrior
    has_control: bool
    sigmas: LabelSigmas = field(default_factory=LabelSigmas)
    mean_std_e: float | None = None


def run_charged_fit(
    task: FitInputs,
    settings: ChargedFitSettings,
    resources: FitResources,
    *,
    earlier: ChargesFile | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[NativeFit, ChargesFile]:
    """Fit a GAP and charges together; errors as `...native.sparse_fit.fit.run_fit`.

    ``earlier``: charges of the model that this one grows from, from which the fit starts.
    """
    check_data(task.data_set, task.settings)
    _check_clouds(task.data_set.elements, settings)
    with open_workshop(resources, progress) as workshop:
        return _fit(task, settings, resources, workshop, earlier)


def _check_clouds(elements: Sequence[str], settings: ChargedFitSettings) -> None:
    """Refuse point charges, whose interaction with themselves is infinite, before anything is computed."""
    table = cloud_table(elements, settings.exponents_per_A, settings.widths_A)
    points = [one for one, own in zip(elements, table.self_interaction, strict=True) if not np.isfinite(own)]
    if points:
        raise InputError(f"{POINT_CHARGES} There is none for {', '.join(points)}.")


def _fit(
    task: FitInputs,
    settings: ChargedFitSettings,
    resources: FitResources,
    workshop: Workshop,
    earlier: ChargesFile | None,
) -> tuple[NativeFit, ChargesFile]:
    core = core_of(task.settings)
    task = replace(task, data_set=without_core(task.data_set, core))
    source, kept_bytes = row_source(task, resources, workshop)
    targets = [scaled_targets(item, task.settings, task.data_set) for item in task.data_set.fitted_configurations]
    # Rows and matrices share what is left; what has no room waits on the disk.
    with RowStore(0.5 * kept_bytes) as rows:
        gap, counts = factorise(source, targets, task.settings.sparse_jitter, rows, workshop)
        without_charges = residuals_of(gap, targets, rows, workshop, leave_out=True)
        alone = _comparison(task, *_split(without_charges), gap.objectives[0])
        with AtomRowStore(
            source.builder, task.data_set.fitted_configurations, 0.25 * kept_bytes, _ATOM_ROWS_ON_DISK_BYTES
        ) as atom_rows:
            with workshop.timed("rows"):
                atom_rows.fill(workshop)
            bench = _Bench(task, settings, source.builder, targets, rows, gap, atom_rows, 0.25 * kept_bytes, workshop)
            joint, species = bench.fit(None, earlier)
            control = bench.fit(CONTROL_SCREENING_A)[0] if settings.has_control else None
    source.close()
    file = ChargesFile(
        kind=settings.kind,
        species=species,
        steps=joint.steps,
        has_converged=joint.has_converged,
        has_labels=settings.sigmas.are_wanted,
        fitted=_comparison_of(task, joint),
        without_charges=alone,
        short_range_control=None if control is None else _comparison_of(task, control),
    )
    isolated = {symbol: task.data_set.isolated_atom_energies[symbol] for symbol in task.data_set.elements}
    left_out = _errors(task, joint.leave_out)
    fit = NativeFit(
        model=replace(source.builder.model(joint.weights, isolated), core=core, lacks_charges=True),
        sparse_points=source.builder.sparse_points,
        training_errors=_errors(task, joint.residuals),
        leave_out_errors=left_out,
        objective=joint.objective,
        timings=dict(workshop.timings),
        rows_reused=counts.read,
        rows_computed=counts.computed,
        # Of the weights for the charges as they are; errors count those of the charges, too.
        triangle=gap.triangle,
        calibration=calibration_of(task, left_out.configurations, without_charges),
    )
    return fit, file


@dataclass(frozen=True, eq=False)
class _Bench:
    """A decomposed GAP, on top of which charges are fitted with one interaction or another."""

    task: FitInputs
    settings: ChargedFitSettings
    builder: RowBuilder
    targets: Sequence[ScaledTargets]
    rows: RowStore
    gap: StreamingLeastSquares
    atom_rows: AtomRowStore
    room_bytes: float
    workshop: Workshop

    def fit(
        self, screening_A: float | None, earlier: ChargesFile | None = None
    ) -> tuple[JointFit, dict[str, SpeciesCharges]]:
        """Return the fit with the whole interaction, or with one that is screened, and its charges by species."""
        settings, workshop = self.settings, self.workshop
        symbols = [chemical_symbols[number] for number in self.builder.descriptors.species]
        clouds = cloud_table(symbols, settings.exponents_per_A, settings.widths_A)
        charges_e, model = np.array([settings.charges_e[symbol] for symbol in symbols]), settings.model_of(symbols)
        configurations, jitter = self.task.data_set.fitted_configurations, self.task.settings.sparse_jitter
        with RowStore(self.room_bytes) as matrices:
            columns = ChargeColumns(
                self.builder, configurations, model, clouds, settings.accuracy, screening_A, matrices, self.atom_rows
            )
            with workshop.timed("charges"):
                indices = range(len(configurations))
                told = workshop.in_order("charges")
                for index, one in zip(indices, told(columns.precompute, indices), strict=True):
                    columns.keep(index, one)
            constants = model.starting_constants(charges_e, map(columns.structure, indices))
            prior = replace(settings.prior, constants=tuple(constants.tolist()))
            believed = []
            if settings.sigmas.are_wanted:
                believed.append(label_rows(columns, configurations, settings.sigmas))
            if settings.mean_std_e is not None:
                believed.append(mean_charge_rows(columns, charges_e, settings.mean_std_e))
            labels = LabelRows.together(believed)
            fitter = JointFitter(columns, self.targets, self.rows, self.gap, jitter, prior, workshop, labels)
            found = fitter.fit(None if earlier is None else _grown(earlier, columns, symbols))
            return found, _species(found, columns, symbols)


def _species(fit: JointFit, columns: ChargeColumns, symbols: Sequence[str]) -> dict[str, SpeciesCharges]:
    numbers = columns.builder.descriptors.species
    return {
        symbol: SpeciesCharges(
            constant=float(fit.parameters.constants[place]),
            coefficients=tuple(fit.parameters.coefficients[columns.coefficients_of(number)].tolist()),
            mean_e=own.mean_e,
            std_e=own.std_e,
            least_e=own.least_e,
            most_e=own.most_e,
            uncertainty_e=own.uncertainty_e,
        )
        for place, (symbol, number, own) in enumerate(zip(symbols, numbers, fit.statistics, strict=True))
    }


def _split(
    found: list[Residuals],
) -> tuple[list[FloatArray], list[FloatArray]]:
    return [one.fitted[:, 0] for one in found], [one.left_out[:, 0] for one in found if one.left_out is not None]


def _errors(task: FitInputs, residuals: list[FloatArray] | tuple[FloatArray, ...]) -> FitErrors:
    """Return errors of the configurations; isolated atoms, whose residuals are the last ones, would blur them."""
    return FitErrors(
        tuple(errors_of(item, own) for item, own in zip(task.data_set, residuals[: len(task.data_set)], strict=True))
    )


def _comparison(
    task: FitInputs, residuals: list[FloatArray], left_out: list[FloatArray], objective: float
) -> FitComparison:
    return FitComparison(
        training_errors=_errors(task, residuals).summary(),
        leave_out_errors=_errors(task, left_out).summary(),
        objective=float(objective),
    )


def _comparison_of(task: FitInputs, fit: JointFit) -> FitComparison:
    return _comparison(task, list(fit.residuals), list(fit.leave_out), fit.objective)


def _grown(earlier: ChargesFile, columns: ChargeColumns, symbols: list[str]) -> Parameters | None:
    """Return an earlier fit's charges for sparse points that have grown: new ones add nothing at first.

    None where an element is new.
    """
    if not set(symbols) <= set(earlier.species):
        return None
    coefficients = np.zeros(columns.n_coefficients)
    for symbol, number in zip(symbols, columns.builder.descriptors.species, strict=True):
        own, places = earlier.species[symbol].coefficients, columns.coefficients_of(number)
        if len(own) > len(places):
            return None
        coefficients[places[: len(own)]] = own
    return Parameters(np.array([earlier.species[symbol].constant for symbol in symbols]), coefficients)
