"""Settings of models that are made of others."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field, PositiveFloat

from ..settings import GapSettings

How = Literal["foe", "moe", "poe"]
PRODUCT: Final[How] = "poe"
MERGING: Final[How] = "moe"
DEFAULT_THRESHOLD: Final = 0.02
NAME_PATTERN: Final = r"^[^\s/]+(/[^\s/]+)?$"


class FusionSettings(GapSettings):
    """Hyperparameters of a GAP of the data and the sparse points of other models, and which models these are."""

    of: tuple[str, ...] = Field(
        (),
        description="The models: CAMPAIGN, or CAMPAIGN/MODEL where a campaign of the store has several; in a model's "
        "folder their names (names)",
    )
    how: How = Field(
        "foe",
        description="foe: all rows and all sparse points in one fit (fusion of experts); moe: the points that the "
        "others do not explain (merging); poe: weights side by side without a fit, for comparisons only (name)",
    )
    threshold: PositiveFloat = Field(
        DEFAULT_THRESHOLD,
        lt=1,
        description="With moe: variance that sparse points may leave unexplained of each other, over the square of "
        "delta_eV (no unit)",
    )
    distinct_configurations: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Part of a configuration's prior variance that the others may leave unexplained before it is left "
        "out of the fit, as thinning of points does it; null keeps all (no unit)",
    )

    def identifying_values(self) -> dict[str, Any]:
        """Return the values that a model's identity is made of; names of models are none, their hashes stand beside."""
        values = super().identifying_values()
        return {name: value for name, value in values.items() if name != "of"}

    def as_gap(self) -> GapSettings:
        """Return the hyperparameters alone."""
        return GapSettings.model_validate({name: getattr(self, name) for name in GapSettings.model_fields})
