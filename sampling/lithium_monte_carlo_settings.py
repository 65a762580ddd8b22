"""How distributions of the mobile ions are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from ..core.settings import FrozenSettings

if TYPE_CHECKING:
    from ..core.arrays import FloatArray


class MonteCarloSettings(FrozenSettings):
    """How distributions of the mobile ions are drawn."""

    count: int = Field(default=40, ge=1, description="Number of distinct distributions.")
    start_temperature_K: float = Field(default=3000.0, gt=0, description="First temperature (K).")
    end_temperature_K: float = Field(default=800.0, gt=0, description="Last temperature (K).")
    temperature_steps: int = Field(default=20, ge=1, description="Temperatures, in geometric progression.")
    sweeps: int = Field(default=50, ge=1, description="Trial moves per ion at each temperature.")
    minimum_separation_A: float = Field(
        default=2.0, ge=0, description="Two mobile ions never come closer than this (Å)."
    )
    screening: float = Field(
        default=4.0,
        gt=0,
        description="Dielectric constant that electrostatic energies are divided by (3 to 5).",
    )

    @model_validator(mode="after")
    def _cooling(self) -> MonteCarloSettings:
        if self.end_temperature_K > self.start_temperature_K:
            raise ValueError(
                f"end_temperature_K ({self.end_temperature_K:g}) is above start_temperature_K "
                f"({self.start_temperature_K:g}): annealing cools."
            )
        return self

    def temperatures(self) -> FloatArray:
        """The schedule, K. Shape [temperature_steps]."""
        import numpy as np

        return np.geomspace(self.start_temperature_K, self.end_temperature_K, self.temperature_steps)
