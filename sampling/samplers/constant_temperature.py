"""Dynamics at constant temperature: NVT, NPT, and the short trajectory that a first training set is cut from."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from ...core.citations import Citation
from ..barostat_settings import BarostatSettings
from ..molecular_dynamics_settings import MolecularDynamicsSettings
from .base import Count
from .trajectories import (
    BAOAB,
    CELL_RESCALING,
    DynamicsSettings,
    Length,
    Pressure,
    ReplicaSampler,
    Temperature,
    TrajectorySampler,
    TrajectorySettings,
    number_of,
    pressure_words,
)

Temperatures = Annotated[
    Annotated[Temperature, Tag("one")]
    | Annotated[tuple[Temperature, ...], Field(min_length=1, max_length=100), Tag("several")],
    Discriminator(lambda value: "several" if isinstance(value, list | tuple) else "one"),
]


class ConstantTemperatureSettings(TrajectorySettings):
    """Trajectories at one or several temperatures."""

    temperature_K: Temperatures = Field(
        800.0, description="Temperature of the thermostat; several in a list: replicas at each of them (K)"
    )
    length_ps: Length = Field(5.0, description="Length of each trajectory (ps)")

    @property
    def temperatures_K(self) -> tuple[float, ...]:
        """All temperatures, K."""
        return self.temperature_K if isinstance(self.temperature_K, tuple) else (self.temperature_K,)


class NVTSettings(ConstantTemperatureSettings):
    """Langevin dynamics in the cell as it is."""

    kind: Literal["nvt"] = Field("nvt", description="Langevin dynamics at constant volume (name)")


class NPTSettings(ConstantTemperatureSettings):
    """Langevin dynamics in a cell that follows a pressure."""

    kind: Literal["npt"] = Field("npt", description="Langevin dynamics at constant pressure (name)")
    pressure_GPa: Pressure = Field(0.0, description="Pressure that the cell follows (GPa)")
    barostat: BarostatSettings = Field(
        default_factory=BarostatSettings, description="How the cell follows the pressure"
    )


class NVT(ReplicaSampler[NVTSettings]):
    """Dynamics at constant volume: what the ions do in the crystal as it is."""

    name = "nvt"
    rank = 10.0
    settings_type = NVTSettings
    description = "Langevin dynamics at constant volume, at one or several temperatures"

    def variants(self, settings: NVTSettings) -> int:
        """One for each temperature."""
        return len(settings.temperatures_K)

    def dynamics(self, settings: NVTSettings, index: int) -> MolecularDynamicsSettings:
        """A trajectory at the temperature of the run."""
        temperature_K = settings.temperatures_K[self.variant(settings, index)]
        return self._langevin(settings, temperature_K, self._steps(settings, settings.length_ps))

    def temperature_K(self, settings: NVTSettings, index: int) -> float | None:
        """That of the thermostat."""
        return settings.temperatures_K[self.variant(settings, index)]

    def methods(self, settings: NVTSettings) -> str:
        """Return how many, how long, how warm."""
        return f"{_trajectories(settings)} ({self._integrator_words(settings)})"


class NPT(ReplicaSampler[NPTSettings]):
    """Dynamics at constant pressure: also cells that the ions would choose."""

    name = "npt"
    rank = 20.0
    settings_type = NPTSettings
    description = "Langevin dynamics at constant pressure, at one or several temperatures"
    citations: ClassVar[tuple[Citation, ...]] = (BAOAB, CELL_RESCALING)

    def variants(self, settings: NPTSettings) -> int:
        """One for each temperature."""
        return len(settings.temperatures_K)

    def dynamics(self, settings: NPTSettings, index: int) -> MolecularDynamicsSettings:
        """A trajectory at the temperature of the run."""
        return self._langevin(
            settings,
            settings.temperatures_K[self.variant(settings, index)],
            self._steps(settings, settings.length_ps),
            pressure_GPa=settings.pressure_GPa,
            barostat=settings.barostat,
        )

    def methods(self, settings: NPTSettings) -> str:
        """Return how many, how long, how warm, under which pressure."""
        pressure = pressure_words(settings.pressure_GPa, settings.barostat.cell)
        return f"{_trajectories(settings)}{pressure} ({self._integrator_words(settings)})"


class MolecularDynamicsSamplerSettings(DynamicsSettings):
    """Frames of one short trajectory."""

    kind: Literal["molecular-dynamics"] = Field(
        "molecular-dynamics", description="A number of frames of one trajectory at constant volume (name)"
    )
    count: Count = Field(40, description="Configurations taken from the trajectory (number)")
    temperature_K: Temperature = Field(800.0, description="Temperature of the thermostat (K)")


class MolecularDynamics(TrajectorySampler[MolecularDynamicsSamplerSettings]):
    """One trajectory, as long as the frames asked for need: each of them is a configuration."""

    name = "molecular-dynamics"
    rank = 30.0
    settings_type = MolecularDynamicsSamplerSettings
    description = "A number of frames of one short trajectory at constant volume"

    def runs(self, settings: MolecularDynamicsSamplerSettings) -> int:
        """One."""
        return 1

    def frames(self, settings: MolecularDynamicsSamplerSettings) -> int:
        """All that are written."""
        return settings.count

    def dynamics(self, settings: MolecularDynamicsSamplerSettings, index: int) -> MolecularDynamicsSettings:
        """A trajectory of so many frames."""
        return self._langevin(settings, settings.temperature_K, settings.count * settings.write_every)

    def temperature_K(self, settings: MolecularDynamicsSamplerSettings, index: int) -> float | None:
        """That of the thermostat."""
        return settings.temperature_K

    def methods(self, settings: MolecularDynamicsSamplerSettings) -> str:
        """Return how many, how far apart, how warm."""
        return (
            f"{number_of(settings.count, 'configuration')} of Langevin dynamics at {settings.temperature_K:g} K (time "
            f"step {settings.timestep_fs:g} fs, every {settings.write_every} steps)"
        )


def _trajectories(settings: ConstantTemperatureSettings) -> str:
    *others, last = (f"{temperature:g}" for temperature in settings.temperatures_K)
    temperatures = f"{', '.join(others)} and {last}" if others else last
    each = " each" if others else ""
    how_many = number_of(settings.replicas, "trajectory", "trajectories")
    return f"{how_many} of {settings.length_ps:g} ps{each} at {temperatures} K"


NVT_SAMPLER = NVT()
NPT_SAMPLER = NPT()
MOLECULAR_DYNAMICS = MolecularDynamics()
