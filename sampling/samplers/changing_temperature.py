"""Dynamics whose temperature changes on the way: ramps, melt and quench, simulated annealing."""

from __future__ import annotations

import itertools
from typing import Annotated, ClassVar, Literal, Self, TypeVar

import numpy as np
from pydantic import Field, model_validator

from ...core.citations import Citation
from ..barostat_settings import BarostatSettings
from ..molecular_dynamics_settings import MolecularDynamicsSettings, TemperatureStage
from .trajectories import (
    BAOAB,
    CELL_RESCALING,
    Length,
    Pressure,
    ReplicaSampler,
    Temperature,
    TrajectorySettings,
    number_of,
    pressure_words,
)

_PS = 1000.0
SIMULATED_ANNEALING = Citation(
    "Simulated annealing",
    "S. Kirkpatrick, C. D. Gelatt, M. P. Vecchi, Science 1983, 220, 671",
    "10.1126/science.220.4598.671",
)
ANNEALING_STAGES = 20
"""Straight pieces that stand for the geometric fall of one cooling; between them it is off by less than 1 %."""


class ChangingTemperatureSettings(TrajectorySettings):
    """Trajectories whose temperature changes, in the cell as it is or under a pressure."""

    pressure_GPa: Pressure | None = Field(
        None, description="Pressure that the cell follows; nothing: the cell stays as it is (GPa)"
    )
    barostat: BarostatSettings = Field(
        default_factory=BarostatSettings, description="How the cell follows pressure_GPa; unused without one"
    )


class RampSettings(ChangingTemperatureSettings):
    """Temperatures that are gone through evenly, one after the other."""

    kind: Literal["ramp"] = Field("ramp", description="Dynamics with linear temperature ramps (name)")
    temperatures_K: Annotated[tuple[Temperature, ...], Field(min_length=2, max_length=100)] = Field(
        (300.0, 1000.0), description="Temperatures between which it goes evenly, e.g. [300, 1000, 300] (K)"
    )
    length_ps: Length = Field(10.0, description="Length of each trajectory, divided evenly among its ramps (ps)")


class MeltQuenchSettings(ChangingTemperatureSettings):
    """A crystal is heated, held molten, cooled at a rate, and held as the glass that it became."""

    kind: Literal["melt-quench"] = Field("melt-quench", description="Dynamics that melts, then quenches (name)")
    temperature_K: Temperature = Field(300.0, description="Temperature before and after (K)")
    melt_temperature_K: Temperature = Field(2000.0, description="Temperature of the melt (K)")
    heat_ps: Length = Field(1.0, description="Time in which it is heated to that (ps)")
    melt_ps: Length = Field(5.0, description="Time for which it is held there (ps)")
    quench_K_per_ps: float = Field(200.0, gt=0, le=1e6, description="Rate at which it is cooled (K/ps)")
    hold_ps: Length = Field(2.0, description="Time for which it is held after that (ps)")

    @property
    def quench_ps(self) -> float:
        """Time that cooling takes, ps."""
        return (self.melt_temperature_K - self.temperature_K) / self.quench_K_per_ps

    @model_validator(mode="after")
    def _melts(self) -> Self:
        if self.melt_temperature_K <= self.temperature_K:
            raise ValueError(
                f"melt_temperature_K ({self.melt_temperature_K:g}) must be above temperature_K ({self.temperature_K:g})"
            )
        return self


class AnnealingSettings(ChangingTemperatureSettings):
    """Cooling in geometric progression, once or several times from the top."""

    kind: Literal["annealing"] = Field("annealing", description="Dynamics by simulated annealing (name)")
    start_temperature_K: Temperature = Field(1500.0, description="Temperature from which each cooling begins (K)")
    end_temperature_K: Temperature = Field(300.0, description="Temperature at which it ends (K)")
    length_ps: Length = Field(10.0, description="Length of each trajectory, divided evenly among its coolings (ps)")
    cycles: int = Field(1, ge=1, le=1000, description="Coolings, one after the other (number)")

    @model_validator(mode="after")
    def _cools(self) -> Self:
        if self.end_temperature_K >= self.start_temperature_K:
            raise ValueError(
                f"end_temperature_K ({self.end_temperature_K:g}) must be below start_temperature_K"
                f" ({self.start_temperature_K:g})"
            )
        return self


ChangingT = TypeVar("ChangingT", bound=ChangingTemperatureSettings)


class ScheduledSampler(ReplicaSampler[ChangingT]):
    """Replicas of one trajectory that goes through stages of temperature."""

    citations: ClassVar[tuple[Citation, ...]] = (BAOAB, CELL_RESCALING)

    def _scheduled(
        self,
        settings: ChangingT,
        stages: list[tuple[float, float, float]],
    ) -> MolecularDynamicsSettings:
        """Return a trajectory through stages of (length in ps, from K, to K); rounded to steps."""
        ends = np.rint(np.cumsum([length for length, _, _ in stages]) * _PS / settings.timestep_fs).astype(int)
        begins = (0, *ends[:-1].tolist())
        schedule = tuple(
            TemperatureStage(steps=int(end - begin), start_K=start_K, end_K=end_K)
            for begin, end, (_, start_K, end_K) in zip(begins, ends.tolist(), stages, strict=True)
            if end > begin
        )
        length_ps = sum(length for length, _, _ in stages)
        return self._langevin(
            settings,
            stages[-1][2],
            self._steps(settings, length_ps),
            schedule=schedule,
            pressure_GPa=settings.pressure_GPa,
            barostat=settings.barostat,
        )


class Ramp(ScheduledSampler[RampSettings]):
    """Linear ramps: every temperature between two is visited, and what happens on the way."""

    name = "ramp"
    rank = 40.0
    settings_type = RampSettings
    description = "Langevin dynamics with linear temperature ramps"

    def dynamics(self, settings: RampSettings, index: int) -> MolecularDynamicsSettings:
        """Equal times for all ramps."""
        pairs = list(itertools.pairwise(settings.temperatures_K))
        stages = [(settings.length_ps / len(pairs), start, end) for start, end in pairs]
        return self._scheduled(settings, stages)

    def methods(self, settings: RampSettings) -> str:
        """Return how many, how long, between which temperatures."""
        temperatures = " to ".join(f"{value:g}" for value in settings.temperatures_K)
        return (
            f"{number_of(settings.replicas, 'trajectory', 'trajectories')} of {settings.length_ps:g} ps with "
            f"temperature ramps from {temperatures} K{pressure_words(settings.pressure_GPa, settings.barostat.cell)} "
            f"({self._integrator_words(settings)})"
        )


class MeltQuench(ScheduledSampler[MeltQuenchSettings]):
    """A melt and the glass that it cools to: disorder that no crystal shows."""

    name = "melt-quench"
    rank = 50.0
    settings_type = MeltQuenchSettings
    description = "Langevin dynamics that melts the structure, quenches it and holds the glass"

    def dynamics(self, settings: MeltQuenchSettings, index: int) -> MolecularDynamicsSettings:
        """Heat, hold, cool, hold."""
        cold, hot = settings.temperature_K, settings.melt_temperature_K
        stages = [
            (settings.heat_ps, cold, hot),
            (settings.melt_ps, hot, hot),
            (settings.quench_ps, hot, cold),
            (settings.hold_ps, cold, cold),
        ]
        return self._scheduled(settings, stages)

    def methods(self, settings: MeltQuenchSettings) -> str:
        """Return how many, how hot, how long, how fast."""
        return (
            f"{number_of(settings.replicas, 'melt-quench trajectory', 'melt-quench trajectories')} "
            f"({settings.melt_ps:g} ps at {settings.melt_temperature_K:g} K, cooled at "
            f"{settings.quench_K_per_ps:g} K/ps, {settings.hold_ps:g} ps at {settings.temperature_K:g} K"
            f"{pressure_words(settings.pressure_GPa, settings.barostat.cell)}; {self._integrator_words(settings)})"
        )


class Annealing(ScheduledSampler[AnnealingSettings]):
    """Coolings in geometric progression: structures of low energy, and the way to them."""

    name = "annealing"
    rank = 60.0
    settings_type = AnnealingSettings
    description = "Langevin dynamics that cools in geometric progression, once or several times"
    citations: ClassVar[tuple[Citation, ...]] = (BAOAB, CELL_RESCALING, SIMULATED_ANNEALING)

    def dynamics(self, settings: AnnealingSettings, index: int) -> MolecularDynamicsSettings:
        """Straight pieces along a geometric fall, cycle after cycle."""
        falls = np.geomspace(settings.start_temperature_K, settings.end_temperature_K, ANNEALING_STAGES + 1)
        length_ps = settings.length_ps / settings.cycles / ANNEALING_STAGES
        pieces = [(length_ps, float(start), float(end)) for start, end in itertools.pairwise(falls)]
        return self._scheduled(settings, pieces * settings.cycles)

    def methods(self, settings: AnnealingSettings) -> str:
        """Return how many, from where to where, how often."""
        often = "once" if settings.cycles == 1 else f"{settings.cycles} times"
        return (
            f"{number_of(settings.replicas, 'trajectory', 'trajectories')} of {settings.length_ps:g} ps of simulated "
            f"annealing, {often} from {settings.start_temperature_K:g} to {settings.end_temperature_K:g} K in "
            f"geometric progression{pressure_words(settings.pressure_GPa, settings.barostat.cell)} "
            f"({self._integrator_words(settings)})"
        )


RAMP = Ramp()
MELT_QUENCH = MeltQuench()
ANNEALING = Annealing()
