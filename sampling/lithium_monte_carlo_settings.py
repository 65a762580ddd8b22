"""How distributions of the mobile ions are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, ValidationInfo, field_validator

from ..core.settings import FrozenSettings

if TYPE_CHECKING:
    from ..core.arrays import FloatArray


class MonteCarloSettings(FrozenSettings):
    """How distributions of the mobile ions are drawn."""

    count: int = Field(
        default=40, ge=1, le=100_000, description="Configurations, each from an annealing run of its own (number)"
    )
    start_temperature_K: float = Field(
        default=3000.0, gt=0, le=20_000, description="Temperature at which annealing starts (K)"
    )
    end_temperature_K: float = Field(
        default=800.0, gt=0, le=20_000, description="Temperature at which annealing ends (K)", validate_default=True
    )
    temperature_steps: int = Field(
        default=20, ge=1, le=10_000, description="Temperatures on the way, in geometric progression (number)"
    )
    sweeps: int = Field(default=50, ge=1, le=100_000, description="Trial moves per ion at each temperature (number)")
    minimum_separation_A: float = Field(
        default=2.0, ge=0, le=20, description="Two mobile ions never come closer than this (Å)"
    )
    screening: float = Field(
        default=4.0, ge=1, le=100, description="Dielectric constant that screens the formal charges (no unit)"
    )

    @field_validator("end_temperature_K")
    @classmethod
    def _cools_down(cls, value: float, info: ValidationInfo) -> float:
        start_K = info.data.get("start_temperature_K")
        if start_K is not None and value > start_K:
            raise ValueError(f"must not be above start_temperature_K ({start_K:g} K)")
        return value

    def temperatures(self) -> FloatArray:
        """The schedule, K. Shape [temperature_steps]."""
        import numpy as np

        return np.geomspace(self.start_temperature_K, self.end_temperature_K, self.temperature_steps)

    @property
    def monte_carlo(self) -> MonteCarloSettings:
        """What the annealing needs, of settings that say more."""
        return MonteCarloSettings(**{name: getattr(self, name) for name in MonteCarloSettings.model_fields})
