"""Tuning of GAPs: the native fitter measures, the operations of its fits are counted."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..backends import native_resources
from ..correlation import correlated_groups
from ..data_sets import DataSet
from ..kinds.base import FitRequest
from ..native.sparse_fit.fit import run_fit
from ..native.sparse_fit.fit_inputs import FitInputs, FitResources
from ..preflight import estimate_cost
from ..settings import GapSettings
from .search import DEFAULT_BUDGET_FITS, Measured, Search, Trial, Tuning, gain_of_twice

# Measured: 20 cells of 84 atoms, 1,300 sparse points: 7 s for the rows, 3 s for the rest. Only their ratio counts.
_SECONDS_PER_ROW_TERM = 3e-11
_SECONDS_PER_SYSTEM_TERM = 3.3e-10


@dataclass(frozen=True)
class TuningRequest:
    """What a search is told beside the fit that it is for.

    ``budget_fits`` in fits with the first settings; ``journal`` keeps the trials, None keeps none; ``tell`` is called
    with every trial.
    """

    budget_fits: float = DEFAULT_BUDGET_FITS
    journal: Path | None = None
    tell: Callable[[Trial], None] = lambda _: None


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
    with tempfile.TemporaryDirectory() as folder:
        # Trials that differ in weights alone share the rows.
        kept = replace(resources, cache_folder=resources.cache_folder or Path(folder))
        measure = _measure(data, request.seed, kept)
        search = Search(settings, measure, _cost(data), tuning.budget_fits, tuning.journal, inputs, tuning.tell)
        found = search.run()
        return replace(found, gain_of_data=_gain_of_data(data, found, request.seed, kept))


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


def _gain_of_data(data: DataSet, found: Tuning, seed: int, resources: FitResources) -> float | None:
    """Return by which part twice the data would lower the force error, from a fit to every other configuration."""
    half = DataSet(data.configurations[::2], data.isolated_atom_energies)
    best = found.best.force_eV_per_A
    if len(half) < 2 or best is None or half.elements != data.elements:
        return None
    with_half = _measure(half, seed, resources)(found.best.settings).errors.summary().force_eV_per_A
    return None if with_half is None else gain_of_twice((len(half), with_half), (len(data), best))
