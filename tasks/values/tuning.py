"""What the results of searches for hyperparameters hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ...core.names import TUNING
from ...core.settings import FrozenModel
from ...store.result_kinds import ResultKind, ResultValues

if TYPE_CHECKING:
    # Compiled code, which those who only read results need not load.
    from ...fitting.native.sparse_fit.fit_errors import ErrorSummary


class LeftOutErrors(FrozenModel):
    """Root-mean-square errors with each configuration left out of the fit in its turn."""

    energy_eV_per_atom: float = Field(description="Of energies (eV/atom)")
    force_eV_per_A: float | None = Field(description="Of force components; null without forces (eV/Å)")
    virial_eV_per_atom: float | None = Field(description="Of virial components; null without stresses (eV/atom)")
    force_by_element_eV_per_A: dict[str, float] = Field(description="Of force components on each element (eV/Å)")

    @classmethod
    def of(cls, errors: ErrorSummary) -> LeftOutErrors:
        """Return the errors of a fit."""
        return cls(**vars(errors))


class TypeErrors(FrozenModel):
    """Errors of the configurations of one type, with the first and with the chosen settings."""

    config_type: str = Field(description="Type of the configurations, in campaigns their sampler (name)")
    before: LeftOutErrors = Field(description="With the settings that the search began with")
    after: LeftOutErrors = Field(description="With those that it chose")


class TrialValues(FrozenModel):
    """One fit of a search."""

    changed: str = Field(description="What differs from the best settings before it (text)")
    force_eV_per_A: float | None = Field(description="Left-out error of force components (eV/Å)")
    energy_eV_per_atom: float | None = Field(description="Left-out error of energies (eV/atom)")
    cost_fits: float = Field(description="What it cost, in fits with the first settings (number)")
    error: str = Field(description="Why there is no potential with these settings (text)")


class TuningValues(ResultValues):
    """What a search for the hyperparameters of a model tried and chose."""

    reason: str = Field(description="What came out (text)")
    configurations: int = Field(description="Configurations of the training data (number)")
    given: dict[str, Any] = Field(description="Hyperparameters that the campaign gives (names)")
    start: dict[str, Any] = Field(description="Those that the search began with (names)")
    chosen: dict[str, Any] = Field(description="Those that it chose (names)")
    changed: tuple[str, ...] = Field(description="Keys in which the chosen differ from the first, with values (names)")
    before: LeftOutErrors = Field(description="Errors with the settings that the search began with")
    after: LeftOutErrors = Field(description="Errors with those that it chose")
    by_type: tuple[TypeErrors, ...] = Field(description="The same of the configurations of each type")
    trials: tuple[TrialValues, ...] = Field(description="What was tried, in its order")
    spent_fits: float = Field(description="What all trials cost, in fits with the first settings (number)")
    budget_fits: float = Field(description="What they might cost (number)")
    has_converged: bool = Field(description="Whether no further step lowered the errors (yes or no)")
    gain_of_points: float | None = Field(
        description="By which part twice the sparse points would lower the force error, extrapolated (no unit)"
    )
    gain_of_data: float | None = Field(description="By which part twice the data would (no unit)")


TUNINGS = ResultKind(TUNING, TuningValues)
