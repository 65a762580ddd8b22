"""Tuning of GAPs: the native fitter measures, the operations of its fits are counted."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ...core.errors import IonloopError
from ..backends import native_resources
from ..correlation import correlated_groups
from ..data_sets import DataSet
from ..kinds.base import FitRequest
from ..native.sparse_fit.fit import run_fit
from ..native.sparse_fit.fit_inputs import FitInputs, FitResources
from ..preflight import estimate_cost
from ..settings import GapSettings
from .axes import AXES, axes_within
from .search import Measured, Search, Tuning, gain_of_twice, measured_trial
from .settings import DEFAULT_BUDGET_FITS
from .trials import Journal, Trial

# Measured on one core with AVX-512: 20 cells of 84 atoms, 1,300 sparse points: 7 s for the rows, 3 s for the rest. In
# comparisons of fits only their ratio counts; a budget in minutes is one of that core, wherever the search runs.
_SECONDS_PER_ROW_TERM = 3e-11
_SECONDS_PER_SYSTEM_TERM = 3.3e-10
_HALF = "every other configuration"


@dataclass(frozen=True)
class TuningRequest:
    """What a search is told beside the fit that it is for.

    ``budget_fits`` in fits with the first settings, ``budget_core_minutes`` in minutes of a core by the same count (the
    smaller one holds); ``journal`` keeps the trials, None keeps none; ``tell`` is called with every trial.
    """

    budget_fits: float = DEFAULT_BUDGET_FITS
    journal: Path | None = None
    tell: Callable[[Trial], None] = lambda _: None
    budget_core_minutes: float | None = None
    most_sparse_points: int | None = None


def tune_gap(request: FitRequest, settings: GapSettings, tuning: TuningRequest, inputs: str) -> Tuning:
    """Return the hyperparameters of a GAP with the lowest left-out errors, for what the baseline leaves.

    Frames that are nearly the same are left out together (`correlated_groups`).

    Parameters
    ----------
    request
        The fit that is to be tuned.
    settings
        Its settings.
    tuning
        Budget and journal.
    inputs
        Digest of all that the fit depends on.
    """
    data, resources = request.targets, native_resources(request.limits)
    journal = Journal.read(tuning.journal, inputs)
    with tempfile.TemporaryDirectory() as folder:
        # Trials that differ in weights alone share the rows.
        kept = replace(resources, cache_folder=resources.cache_folder or Path(folder))
        measure, cost = _measure(data, request.seed, kept), _cost(data)
        axes = AXES if tuning.most_sparse_points is None else axes_within(tuning.most_sparse_points)
        budget = _budget_fits(tuning, cost(settings, False))
        search = Search(settings, measure, cost, budget, journal, tuning.tell, axes)
        found = search.run()
        half = _half(data)
        if half is None or found.best.force_eV_per_A is None:
            return found
        cost_fits = _cost(half)(found.best.settings, False) / cost(settings, False)
        trial = journal.trial(found.best.settings, _HALF)
        if trial is None:
            trial = _trial_of_half(half, found.best.settings, request.seed, kept, cost_fits)
            journal.keep(trial, _HALF)
        gain = None
        if trial.force_eV_per_A is not None:
            gain = gain_of_twice((len(half), trial.force_eV_per_A), (len(data), found.best.force_eV_per_A))
        return replace(found, gain_of_data=gain, spent_fits=found.spent_fits + cost_fits)


def _budget_fits(tuning: TuningRequest, seconds_of_first: float) -> float:
    """Return the smaller budget in fits with the first settings, of which there is always one."""
    if tuning.budget_core_minutes is None:
        return tuning.budget_fits
    return min(tuning.budget_fits, max(1.0, 60.0 * tuning.budget_core_minutes / seconds_of_first))


def _measure(data: DataSet, seed: int, resources: FitResources) -> Callable[[GapSettings], Measured]:
    groups = correlated_groups([one.atoms for one in data.configurations])

    def measure(settings: GapSettings) -> Measured:
        started = time.process_time()
        fit = run_fit(FitInputs(data, settings, seed, left_out_together=groups), resources)
        assert fit.leave_out_errors is not None
        return Measured(fit.leave_out_errors, time.process_time() - started)

    return measure


def _cost(data: DataSet) -> Callable[[GapSettings, bool], float]:
    """Return what counts the operations of a fit: those of its rows, and those of its system and left-out errors."""

    def cost(settings: GapSettings, keeps_rows: bool) -> float:
        counted = estimate_cost(data, settings)
        columns = sum(one.sparse_points for one in counted.descriptors)
        system = (counted.targets.total + columns) * columns**2 * _SECONDS_PER_SYSTEM_TERM
        rows = sum(one.components * one.derivatives * one.sparse_points for one in counted.descriptors)
        return system if keeps_rows else system + rows * _SECONDS_PER_ROW_TERM

    return cost


def _half(data: DataSet) -> DataSet | None:
    """Return every other configuration, None where these hold too little to be fitted."""
    half = DataSet(data.configurations[::2], data.isolated_atom_energies)
    return None if len(half) < 2 or half.elements != data.elements else half


def _trial_of_half(half: DataSet, settings: GapSettings, seed: int, resources: FitResources, cost_fits: float) -> Trial:
    """Return the fit to half of the data; where it has no solution there is nothing to extrapolate from."""
    try:
        return measured_trial(_measure(half, seed, resources)(settings), settings, _HALF, cost_fits)
    except IonloopError as error:
        return Trial(changed=_HALF, settings=settings, cost_fits=cost_fits, seconds=0.0, error=str(error))
