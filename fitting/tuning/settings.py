"""How hyperparameters are searched for: what that may cost, and when it is done again."""

from __future__ import annotations

from typing import Final

from pydantic import Field, PositiveFloat

from ...core.settings import FrozenSettings

DEFAULT_BUDGET_FITS: Final = 20.0


class TuneSettings(FrozenSettings):
    """A search for hyperparameters by left-out errors."""

    budget_fits: float = Field(
        DEFAULT_BUDGET_FITS,
        ge=1,
        le=10_000,
        description="What one search may cost, in fits with the settings that it begins with, counted by operations "
        "(number)",
    )
    budget_core_minutes: PositiveFloat | None = Field(
        None,
        description="The same in minutes of one core, counted by operations and not by clocks: those of a core with "
        "AVX-512; of both budgets the smaller holds, and the first fit is always done; nothing: no bound "
        "(min)",
    )
    again_at_growth: float = Field(
        2.0,
        ge=1.1,
        le=1000,
        description="Configurations of the training data, as a multiple of those of the last search, from which on "
        "there is another, which begins with the settings that hold by then (no unit)",
    )
    most_sparse_points: int = Field(
        2000,
        ge=1,
        le=100_000,
        description="Sparse points of SOAP per element that a search may choose at most, for the memory of fits and "
        "the time of evaluations; settings that have more keep them (number)",
    )
