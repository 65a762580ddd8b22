"""What a Langevin trajectory asks for: NVE, NVT or NPT, its temperatures, its length, its barostat and its guard."""

from __future__ import annotations

import math
from typing import Any, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ..core.settings import FrozenSettings
from .barostat_settings import BarostatSettings
from .guard import TrajectoryGuard


class TemperatureStage(FrozenSettings):
    """A part of a trajectory in which the temperature goes evenly from one value to another."""

    steps: int = Field(ge=1, description="Number of steps (number)")
    start_K: float = Field(gt=0, description="Temperature at its begin (K)")
    end_K: float = Field(gt=0, description="Temperature at its end (K)")


class MolecularDynamicsSettings(FrozenSettings):
    """A Langevin trajectory (NVT); ``friction_per_ps: 0`` makes it NVE, ``pressure_GPa`` NPT."""

    temperature_K: float = Field(gt=0, description="Temperature of the thermostat and of the initial velocities (K)")
    timestep_fs: float = Field(default=1.0, gt=0, le=10, description="Length of one step (fs)")
    steps: int = Field(ge=0, description="Number of steps, a multiple of write_every (number)")
    write_every: int = Field(default=10, ge=1, description="Steps between two written frames (number)")
    friction_per_ps: float = Field(
        default=10.0,
        ge=0,
        description="Friction of the thermostat (1/ps). 10 thermalises within 0.1 ps, right for sampling;"
        " use 1 or less where diffusion is measured; 0 switches the thermostat off.",
    )
    pressure_GPa: float | None = Field(
        default=None, description="Pressure that the cell follows (GPa). None keeps the cell as it is."
    )
    barostat: BarostatSettings = Field(
        default_factory=BarostatSettings, description="How the cell follows pressure_GPa; unused where that is None."
    )
    guard: TrajectoryGuard = Field(
        default_factory=TrajectoryGuard, description="Bounds beyond which the trajectory is stopped."
    )
    schedule: tuple[TemperatureStage, ...] = Field(
        default=(),
        description="Temperatures that the trajectory begins with, one after the other; temperature_K holds from their"
        " end on. Each block of write_every steps has that of its middle.",
    )

    def temperature_at(self, step: float) -> float:
        """Return the temperature of the thermostat at a step, K."""
        begin = 0
        for stage in self.schedule:
            if step < begin + stage.steps:
                return stage.start_K + (stage.end_K - stage.start_K) * (step - begin) / stage.steps
            begin += stage.steps
        return self.temperature_K

    @property
    def highest_temperature_K(self) -> float:
        """The highest temperature that the thermostat ever has, K."""
        return max([self.temperature_K, *(limit for one in self.schedule for limit in (one.start_K, one.end_K))])

    @model_serializer(mode="wrap")
    def _schedule_only_where_there_is_one(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Identifiers rest on what is written here, also those from before there were schedules.
        values: dict[str, Any] = handler(self)
        if not self.schedule:
            values.pop("schedule", None)
        return values

    @model_validator(mode="after")
    def _steps_fill_whole_blocks(self) -> Self:
        if self.steps % self.write_every:
            raise ValueError(
                f"steps ({self.steps}) must be a multiple of write_every ({self.write_every});"
                " steps_for(length_ps, timestep_fs, write_every) rounds up to one"
            )
        return self

    @model_validator(mode="after")
    def _pressure_needs_a_thermostat(self) -> Self:
        if self.pressure_GPa is not None and self.friction_per_ps == 0:
            raise ValueError("pressure_GPa needs a thermostat: set friction_per_ps above 0, or pressure_GPa to None")
        return self


def steps_for(length_ps: float, timestep_fs: float, write_every: int = 1) -> int:
    """Return the smallest multiple of ``write_every`` steps that covers ``length_ps``."""
    # A length given in decimal, such as 0.3 ps at 0.1 fs, must not gain a step by rounding upwards.
    blocks = length_ps * 1000.0 / (timestep_fs * write_every)
    return math.ceil(round(blocks, 9)) * write_every
