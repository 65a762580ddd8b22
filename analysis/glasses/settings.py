"""How glasses are made: how many, of which sizes, at which rates, from which melt."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Discriminator, Field, PositiveFloat, Tag, field_validator, model_validator

from ...core.settings import FrozenSettings
from ...sampling.barostat_settings import BarostatSettings
from ...sampling.guard import ContactGuard, TrajectoryGuard
from ...sampling.molecular_dynamics_settings import MolecularDynamicsSettings, TemperatureStage, steps_for
from ...sampling.networks.settings import NetworkSettings
from ...sampling.structures.packing_settings import (
    DENSEST_G_PER_CM3,
    POLYANIONS,
    UNBONDED,
    PolyanionUnits,
    known_polyanions,
)

_PS = 1000.0
MOST_STEPS = 1_000_000_000
MOST_GLASSES = 1000

Temperature = Annotated[float, Field(gt=0, le=20_000)]
Length = Annotated[float, Field(ge=0, le=1e6)]
Rate = Annotated[float, Field(gt=0, le=1e6)]
Repeats = Annotated[int, Field(ge=1, le=50)]
Size = Annotated[
    Annotated[int, Field(ge=2, le=20_000), Tag("atoms")] | Annotated[tuple[Repeats, Repeats, Repeats], Tag("repeats")],
    Discriminator(lambda value: "repeats" if isinstance(value, list | tuple) else "atoms"),
]


class GlassStart(FrozenSettings):
    """What is molten: a random packing of the system's atoms, or the structure as it is."""

    kind: Literal["packing", "structure"] = Field(
        "packing",
        description="packing: the system's atoms at random places, anew for each glass; structure: its structure, "
        "which the melt must forget (name)",
    )
    density_g_per_cm3: float | None = Field(
        None, gt=0, le=DENSEST_G_PER_CM3, description="Guess of the glass's density; nothing: the system's (g/cm³)"
    )
    density_fraction: float = Field(
        0.8, gt=0, le=1.5, description="Density of the packing over that guess: melts need room (no unit)"
    )
    covalent_fraction: float = Field(
        0.85,
        gt=0,
        le=1.5,
        description="Shortest distance of two atoms as a fraction of the sum of their covalent radii (no unit)",
    )
    minimum_distances_A: dict[str, PositiveFloat] = Field(
        default_factory=dict, description="Shortest distance by pair of elements, e.g. {Li-S: 2.2}; goes before all (Å)"
    )
    polyanions: dict[str, PolyanionUnits] = POLYANIONS
    unbonded_fraction: float = UNBONDED
    relaxation_steps: int = Field(
        200, ge=0, le=100_000, description="Steps in which atoms relax in the box before they move; 0: none (number)"
    )

    @field_validator("minimum_distances_A")
    @classmethod
    def _pairs_are_elements(cls, value: dict[str, float]) -> dict[str, float]:
        ContactGuard(minimum_distances_A=value)
        return value

    @field_validator("polyanions")
    @classmethod
    def _polyanions_are_known(cls, value: dict[str, int]) -> dict[str, int]:
        return known_polyanions(value)


class GlassRelaxation(FrozenSettings):
    """The structure at rest that a glass ends in."""

    steps: int = Field(
        2000, ge=0, le=100_000, description="Steps in which atoms and volume relax at the pressure; 0: none (number)"
    )
    force_eV_per_A: float = Field(
        0.01, gt=0, le=1, description="Force at which that has ended, stress times volume alike (eV/Å)"
    )


class PlannedGlass(NamedTuple):
    """One glass: its size, its rate, and its number among those of both, from 1."""

    size: int | tuple[int, int, int]
    quench_K_per_ps: float
    number: int

    @property
    def size_text(self) -> str:
        """The size in words that a key may hold."""
        return f"{self.size}-atoms" if isinstance(self.size, int) else "x".join(map(str, self.size))

    @property
    def text(self) -> str:
        """What tells it from the others."""
        return f"{self.size_text}/{self.quench_K_per_ps:g}K-per-ps/{self.number}"


class GlassSettings(FrozenSettings):
    """Glasses of final models: melts at constant volume, cooled at constant pressure, each from a seed of its own."""

    models: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (),
        description="Potentials that make glasses; nothing: all models of the campaign (names)",
        json_schema_extra={"allowed": "a list, each a model of the campaign | reference"},
    )
    glasses: int = Field(
        4, ge=1, le=MOST_GLASSES, description="Glasses of each rate and size, all of them independent (number)"
    )
    quench_K_per_ps: Annotated[tuple[Rate, ...], Field(min_length=1, max_length=20)] = Field(
        (10.0,), description="Rates at which melts are cooled, e.g. [1, 10, 100] (K/ps)"
    )
    sizes: Annotated[tuple[Size, ...], Field(min_length=1, max_length=20)] = Field(
        ((1, 1, 1),),
        description="Sizes: repetitions of the system, e.g. [2, 2, 2], or atoms, about: as many of its smallest units "
        "as come nearest, for packings (number)",
    )
    start: GlassStart = Field(default_factory=GlassStart, description="What is molten")
    melt_temperature_K: Temperature = Field(1500.0, description="Temperature of the melt, at constant volume (K)")
    melt_ps: Annotated[float, Field(gt=0, le=1e6)] = Field(20.0, description="Time for which it is held there (ps)")
    hold_temperature_K: Temperature = Field(
        1000.0, description="Temperature at which the melt finds its volume, and from which it is cooled (K)"
    )
    hold_ps: Length = Field(50.0, description="Time for which it is held there, at constant pressure (ps)")
    temperature_K: Temperature = Field(300.0, description="Temperature of the glass (K)")
    glass_ps: Annotated[float, Field(gt=0, le=1e6)] = Field(
        100.0, description="Time for which it is held there; volume and energy at that temperature are its means (ps)"
    )
    glass_equilibration: float = Field(
        0.2, ge=0, le=0.9, description="Part of that at its begin that means leave out (no unit)"
    )
    pressure_GPa: float = Field(0.0, ge=-10, le=100, description="Pressure that the cell follows after melting (GPa)")
    barostat: BarostatSettings = Field(default_factory=BarostatSettings, description="How the cell follows it")
    relaxation: GlassRelaxation = Field(
        default_factory=GlassRelaxation, description="The glass at rest, at that pressure"
    )
    network: NetworkSettings = Field(
        default_factory=NetworkSettings, description="Which atoms form anions; without such atoms none are counted"
    )
    timestep_fs: float = Field(1.0, gt=0, le=5, description="Time step (fs)")
    write_every: int = Field(100, ge=1, le=1_000_000, description="Steps between two frames on disk (number)")
    friction_per_ps: float = Field(2.0, gt=0, le=100, description="Friction of the Langevin thermostat (1/ps)")
    guard: TrajectoryGuard = Field(
        default_factory=TrajectoryGuard, description="Bounds beyond which a glass counts as broken"
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        for name in ("models", "quench_K_per_ps", "sizes"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} names one twice: {', '.join(map(str, values))}")
        if self.hold_temperature_K <= self.temperature_K:
            raise ValueError(
                f"hold_temperature_K ({self.hold_temperature_K:g}) must be above temperature_K ({self.temperature_K:g})"
            )
        if len(self.planned) > MOST_GLASSES:
            raise ValueError(f"{len(self.planned)} glasses of all rates and sizes; at most {MOST_GLASSES} are allowed")
        if self.start.kind == "structure" and any(isinstance(size, int) for size in self.sizes):
            raise ValueError(
                "sizes in atoms are for packings: give repetitions such as [2, 2, 2] with start: structure"
            )
        if max(map(self.steps, self.quench_K_per_ps)) > MOST_STEPS:
            raise ValueError(f"a glass takes more than {MOST_STEPS:,} steps: cool faster")
        if self.glass_frames - self.left_out_frames < 1:
            raise ValueError("glass_ps gives no frame after glass_equilibration: make it longer or lower write_every")
        return self

    @property
    def planned(self) -> list[PlannedGlass]:
        """Every glass that a potential makes: of every size and rate so many, numbers first."""
        return [
            PlannedGlass(size, rate, number)
            for number in range(1, self.glasses + 1)
            for size in self.sizes
            for rate in self.quench_K_per_ps
        ]

    def quench_ps(self, quench_K_per_ps: float) -> float:
        """Return the time that cooling takes: (T1 - T2)/rate, ps."""
        return (self.hold_temperature_K - self.temperature_K) / quench_K_per_ps

    def steps(self, quench_K_per_ps: float) -> int:
        """Return the steps of one glass."""
        return self.melt.steps + self.quench(quench_K_per_ps).steps + self.glass.steps

    @property
    def melt(self) -> MolecularDynamicsSettings:
        """The melt: constant volume."""
        return self._dynamics(self.melt_temperature_K, self._blocks(self.melt_ps))

    def quench(self, quench_K_per_ps: float) -> MolecularDynamicsSettings:
        """Return what follows, at constant pressure: the melt is held, then cooled evenly."""
        hot, cold = self.hold_temperature_K, self.temperature_K
        hold = self._whole_steps(self.hold_ps)
        cooling = max(1, self._whole_steps(self.quench_ps(quench_K_per_ps)))
        stages = [TemperatureStage(steps=cooling, start_K=hot, end_K=cold)]
        if hold:
            stages.insert(0, TemperatureStage(steps=hold, start_K=hot, end_K=hot))
        # Frames are whole blocks: what the last one has too much is at the temperature of the glass.
        total = -(-(hold + cooling) // self.write_every) * self.write_every
        return self._dynamics(cold, total, self.pressure_GPa, tuple(stages))

    @property
    def glass(self) -> MolecularDynamicsSettings:
        """The glass at its temperature: constant pressure."""
        return self._dynamics(self.temperature_K, self._blocks(self.glass_ps), self.pressure_GPa)

    def _dynamics(
        self,
        temperature_K: float,
        steps: int,
        pressure_GPa: float | None = None,
        schedule: tuple[TemperatureStage, ...] = (),
    ) -> MolecularDynamicsSettings:
        # A fresh glass sets heat free, and is never hotter for that than what it was cooled from.
        hotter = self.hold_temperature_K / self.temperature_K
        factor = max(self.guard.maximum_temperature_factor, 1.0 if pressure_GPa is None else hotter)
        return MolecularDynamicsSettings(
            temperature_K=temperature_K,
            timestep_fs=self.timestep_fs,
            steps=steps,
            write_every=self.write_every,
            friction_per_ps=self.friction_per_ps,
            pressure_GPa=pressure_GPa,
            barostat=self.barostat if pressure_GPa is not None else BarostatSettings(),
            guard=self.guard.model_copy(update={"maximum_temperature_factor": factor}),
            schedule=schedule,
        )

    @property
    def glass_frames(self) -> int:
        """Frames of the glass's time, as planned."""
        return self._blocks(self.glass_ps) // self.write_every

    @property
    def left_out_frames(self) -> int:
        """Frames at its begin that means leave out."""
        return int(self.glass_equilibration * self.glass_frames)

    @property
    def first_glass_frame(self) -> int:
        """The first frame of the glass's trajectory that means are taken from; frame 0 is its start."""
        return self.left_out_frames + 1

    def _blocks(self, length_ps: float) -> int:
        return steps_for(length_ps, self.timestep_fs, self.write_every)

    def _whole_steps(self, length_ps: float) -> int:
        return round(length_ps * _PS / self.timestep_fs)
