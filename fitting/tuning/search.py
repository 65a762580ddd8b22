"""The search for hyperparameters: along one axis after the other, as long as the left-out errors fall.

Nothing here depends on clocks: what a trial costs is counted in multiples of the first fit by the operations of its
rows and of its linear system, so that the same data, settings and budget give the same choice on every machine. Every
trial that was finished is in the journal, from which a search that was stopped goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...core.errors import InputError, IonloopError
from ..native.sparse_fit.fit_errors import FitErrors
from ..settings import GapSettings
from .axes import AXES, Axis, weighted_by_errors
from .settings import DEFAULT_BUDGET_FITS
from .trials import Journal, Trial

FORCE_WEIGHT = 0.9
"""Of the relative change of the force error in the score; the rest is the energy's: forces drive dynamics."""
LEAST_GAIN = 0.01
"""A step that lowers the score by less is none: it would be paid for in every evaluation."""
MOST_SWEEPS = 3


@dataclass(frozen=True)
class Measured:
    """What a fit gives to the search: its left-out errors and the processor time that it took (s)."""

    errors: FitErrors
    seconds: float


Measure = Callable[[GapSettings], Measured]
"""Fits with some settings; raises InputError or another IonloopError where there is no potential."""
Cost = Callable[[GapSettings, bool], float]
"""The operations of a fit with some settings, in any unit; of a system alone that has its rows already, if said so."""


@dataclass(frozen=True)
class Tuning:
    """What a search found.

    Attributes
    ----------
    best
        The trial with the lowest score.
    trials
        All of them, in their order; the first has the settings that the search began with.
    spent_fits
        What they cost together.
    gain_of_points, gain_of_data
        By which part twice the sparse points, and twice the data, would lower the force error, extrapolated; None
        where that was not measured.
    has_converged
        Whether no further step lowered the score; else the budget ended the search.
    budget_fits
        What might be spent.
    """

    best: Trial
    trials: tuple[Trial, ...]
    spent_fits: float
    gain_of_points: float | None
    gain_of_data: float | None
    has_converged: bool
    budget_fits: float

    def lines(self, budget: str = "--tune-budget") -> list[str]:
        """Return what is told of the search: what it chose, what that brings, and what would bring more.

        ``budget`` is where the budget is set.
        """
        first, best = self.trials[0], self.best
        chosen = ", ".join(differences(first.settings, best.settings))
        tried = f"{len(self.trials)} trial{'s' * (len(self.trials) > 1)} ({self.spent_fits:.1f} fits)"
        lines = [f"Chosen of {tried}: {chosen}", f"  {best.told}"]
        if best is first:
            lines = [f"Nothing lowered the left-out errors in {tried}"]
        elif best.force_eV_per_A is not None and first.force_eV_per_A:
            change = 1 - best.force_eV_per_A / first.force_eV_per_A
            lines.append(f"Left-out force error: {change:.0%} lower than with the settings as given")
        if not self.has_converged:
            lines.append(f"The budget ended the search: a larger one ({budget}) may find more")
        for gain, what in ((self.gain_of_points, "sparse points"), (self.gain_of_data, "data")):
            if gain is not None:
                lines.append(f"Twice the {what} would lower the force error by some {gain:.0%}")
        return lines


def score(trial: Trial, first: Trial) -> float:
    """Return the logarithm of errors as multiples of the first fit's, weighted; lower is better."""
    energy = math.log(max(trial.energy_eV_per_atom, 1e-12) / max(first.energy_eV_per_atom, 1e-12))
    if trial.force_eV_per_A is None or not first.force_eV_per_A:
        return energy
    return FORCE_WEIGHT * math.log(trial.force_eV_per_A / first.force_eV_per_A) + (1 - FORCE_WEIGHT) * energy


@dataclass
class Search:
    """A search with its trials.

    Parameters
    ----------
    start
        Settings that it begins with.
    measure
        Fits.
    cost
        Counts operations.
    budget_fits
        What may be spent, in fits with the first settings, that one included.
    journal
        Keeps trials; those that it has are not made again.
    tell
        Called with every trial.
    """

    start: GapSettings
    measure: Measure
    cost: Cost
    budget_fits: float = DEFAULT_BUDGET_FITS
    journal: Journal = field(default_factory=Journal)
    tell: Callable[[Trial], None] = lambda _: None
    axes: Sequence[Axis] = AXES
    trials: list[Trial] = field(default_factory=list)

    def run(self) -> Tuning:
        """Search until nothing gets better or the budget is spent.

        Raises
        ------
        InputError
            If the budget does not hold a fit, or the first settings give no potential.
        """
        if self.budget_fits < 1:
            raise InputError(f"a budget of {self.budget_fits:g} fits does not hold the first one: give 1 or more")
        first = self._try(self.start, "", keeps_rows=False)
        if first is None or first.error:
            raise InputError(f"nothing to tune: {first.error if first else 'no budget'}")
        best, has_converged = first, False
        for _ in range(MOST_SWEEPS):
            before, complete = best, True
            for axis in self.axes:
                best, within_budget = self._along(axis, best, first)
                complete = complete and within_budget
            best, within_budget = self._weighted(best, first)
            if best is before:
                has_converged = complete and within_budget
                break
        return Tuning(
            best, tuple(self.trials), self.spent_fits, self._gain_of_points(best), None, has_converged, self.budget_fits
        )

    @property
    def spent_fits(self) -> float:
        """What all trials cost."""
        return sum(trial.cost_fits for trial in self.trials)

    def _along(self, axis: Axis, best: Trial, first: Trial) -> tuple[Trial, bool]:
        """Return the best trial along an axis, and whether the budget held all that were wanted."""
        for direction in (1, -1):
            moved = False
            while (settings := axis.step(best.settings, direction)) is not None:
                trial = self._try(settings, axis.name, keeps_rows=axis.keeps_rows, before=best)
                if trial is None:
                    return best, False
                if trial.error or score(trial, first) > score(best, first) - LEAST_GAIN:
                    break
                best, moved = trial, True
            if moved:
                break
        return best, True

    def _weighted(self, best: Trial, first: Trial) -> tuple[Trial, bool]:
        if best.left_out is None:
            return best, True
        for name, settings in weighted_by_errors(best.settings, best.left_out, best.left_out_by_type):
            trial = self._try(settings, name, keeps_rows=True, before=best)
            if trial is None:
                return best, False
            if not trial.error and score(trial, first) <= score(best, first) - LEAST_GAIN:
                best = trial
        return best, True

    def _try(self, settings: GapSettings, name: str, *, keeps_rows: bool, before: Trial | None = None) -> Trial | None:
        """Return the trial of some settings, None if the budget does not hold it; one that was made costs nothing."""
        made = next((one for one in self.trials if one.settings == settings), None)
        if made is not None:
            return made
        cost = self.cost(settings, keeps_rows) / self.cost(self.start, False)
        if self.spent_fits + cost > self.budget_fits:
            return None
        trial = self.journal.trial(settings) or self._measured(settings, _words(name, settings, before), cost)
        self.trials.append(trial)
        self.journal.keep(trial)
        self.tell(trial)
        return trial

    def _measured(self, settings: GapSettings, changed: str, cost: float) -> Trial:
        try:
            measured = self.measure(settings)
        except IonloopError as error:
            if not self.trials:
                raise
            # A value at the end of a ladder may leave a system that has no solution: it is no choice, and no end.
            return Trial(changed=changed, settings=settings, cost_fits=cost, seconds=0.0, error=str(error))
        return measured_trial(measured, settings, changed, cost)

    def _gain_of_points(self, best: Trial) -> float | None:
        """Return by which part twice the sparse points would lower the force error, from trials that differ in them."""
        others = [
            one
            for one in self.trials
            if not one.error
            and one.force_eV_per_A
            and one.settings.soap.sparse_points != best.settings.soap.sparse_points
            and _with_points(one.settings, best) == best.settings
        ]
        if not others or not best.force_eV_per_A:
            return None
        other = max(others, key=lambda one: one.settings.soap.sparse_points)
        return gain_of_twice(
            (other.settings.soap.sparse_points, float(other.force_eV_per_A or 0.0)),
            (best.settings.soap.sparse_points, best.force_eV_per_A),
        )


def measured_trial(measured: Measured, settings: GapSettings, changed: str, cost_fits: float) -> Trial:
    """Return the trial of a fit."""
    types = sorted({one.config_type for one in measured.errors.configurations})
    return Trial(
        changed=changed,
        settings=settings,
        left_out=measured.errors.summary(),
        left_out_by_type={name: measured.errors.summary(name) for name in types},
        cost_fits=cost_fits,
        seconds=measured.seconds,
    )


def gain_of_twice(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return by which part twice as much of something lowers an error, by a power law through two of its values.

    Parameters
    ----------
    one, other
        How much there was, and the error.
    """
    exponent = math.log(other[1] / one[1]) / math.log(other[0] / one[0])
    return 1 - 2.0 ** min(exponent, 0.0)


def differences(first: GapSettings, second: GapSettings) -> list[str]:
    """Return the keys of the section ``gap`` in which settings differ, with the values of the second ones."""

    def walk(one: Any, other: Any, key: str) -> list[str]:
        if isinstance(one, Mapping) and isinstance(other, Mapping) and one.keys() == other.keys():
            return [line for name in other for line in walk(one[name], other[name], f"{key}.{name}".removeprefix("."))]
        return [] if one == other else [f"{key} = {other}"]

    return walk(first.model_dump(mode="json"), second.model_dump(mode="json"), "")


def _with_points(settings: GapSettings, like: Trial) -> GapSettings:
    soap = settings.soap.model_copy(update={"sparse_points": like.settings.soap.sparse_points})
    return settings.model_copy(update={"soap": soap})


def _words(name: str, settings: GapSettings, before: Trial | None) -> str:
    """Return what a trial changes: the key and its new value."""
    if before is None:
        return "as given"
    if name == "soap.n_max, l_max":
        return f"{name} = {settings.soap.n_max}, {settings.soap.l_max}"
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part, None)
    return f"{name} = {value:g}" if isinstance(value, int | float) else f"{name} by left-out errors"
