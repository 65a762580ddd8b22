"""What a screening runs: temperatures that are chosen on the way, lengths, and when a crystal counts as molten."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from ...core.settings import FrozenSettings
from ...sampling.barostat_settings import BarostatSettings
from ...sampling.guard import TrajectoryGuard
from ...sampling.molecular_dynamics_settings import MolecularDynamicsSettings, steps_for
from ..conductivity.transport_settings import FEWEST_FRAMES, LARGEST_CHARGE, TransportSettings

FEWEST_WINDOW_FRAMES = 2 * FEWEST_FRAMES
"""Frames of a window in which the host is looked at: slopes need some."""
MOST_STEPS = 1_000_000_000


class HostSettings(FrozenSettings):
    """When the host of the mobile ions counts as molten or decomposed."""

    window_ps: float = Field(10.0, gt=0, le=1e5, description="Time over which atoms' mean sites are taken (ps)")
    lindemann_ratio: float = Field(
        0.15,
        gt=0,
        le=1,
        description="Root-mean-square displacement about mean sites over the distance of neighbours, above which the "
        "centres of the host are no crystal (no unit)",
    )
    least_slope_A2_per_ps: float = Field(
        1e-3,
        gt=0,
        description="Slope of their mean squared displacement above which they diffuse, where it is above 0 at all "
        "(Å²/ps)",
    )
    least_similarity: float = Field(
        0.85,
        gt=0,
        le=1,
        description="Similarity of the environments to those at the start below which it is said; rejects nothing "
        "(no unit)",
    )
    bond_factor: float = Field(
        1.25, gt=1, le=1.6, description="Bonds of the crystal: up to this part of the sum of covalent radii (no unit)"
    )


class ScreeningSettings(FrozenSettings):
    """Molecular dynamics at constant pressure, hot first, colder only where the crystal lasts and its ions move."""

    start_temperature_K: float = Field(1000.0, gt=0, le=5000, description="Temperature of the first run (K)")
    temperature_factor: float = Field(
        0.8, gt=0.3, lt=0.98, description="The next lower temperature, as a part of the last (no unit)"
    )
    lowest_temperature_K: float = Field(400.0, gt=0, le=5000, description="Temperature below which nothing runs (K)")
    temperatures: int = Field(4, ge=1, le=20, description="Temperatures whose diffusivity is wanted (number)")
    most_runs: int = Field(
        7, ge=1, le=30, description="Runs of one potential at most, those that melt included (number)"
    )
    equilibration_ps: float = Field(5.0, ge=0, le=1e5, description="Time discarded at the start of each run (ps)")
    first_look_ps: float = Field(
        50.0, gt=0, le=1e6, description="Length after which a run is first looked at, equilibration not counted (ps)"
    )
    look_every_ps: float = Field(25.0, gt=0, le=1e6, description="Time between two further looks (ps)")
    length_ps: float = Field(200.0, gt=0, le=1e6, description="Longest length of a run (ps)")
    relative_error: float = Field(
        0.25,
        gt=0,
        le=10,
        description="Half of the 95 % interval of the diffusivity over its value, below which a run has ended "
        "(no unit)",
    )
    least_diffusivity_A2_per_ps: float = Field(
        1e-3,
        ge=0,
        description="Diffusivity below which the crystal is no conductor, at the highest temperature (Å²/ps)",
    )
    hops_per_ion: float = Field(
        5.0, ge=0, le=1e4, description="Hops of an ion below which the diffusivity is only an upper bound (number)"
    )
    hop_length_A: float = Field(2.0, gt=0, le=10, description="Distance from which on a move counts as a hop (Å)")
    pressure_GPa: float = Field(0.0, ge=-10, le=100, description="Pressure that the cell follows (GPa)")
    barostat: BarostatSettings = Field(
        default_factory=lambda: BarostatSettings(cell="flexible"), description="How the cell follows it"
    )
    timestep_fs: float = Field(2.0, gt=0, le=5, description="Time step (fs)")
    write_every: int = Field(50, ge=1, le=1_000_000, description="Steps between two frames on disk (number)")
    friction_per_ps: float = Field(1.0, gt=0, le=10, description="Friction of the Langevin thermostat (1/ps)")
    smallest_cell_A: float = Field(
        10.0, ge=0, le=100, description="Distance of opposite faces that the cell is repeated to (Å)"
    )
    mobile_ions: int = Field(16, ge=1, le=10_000, description="Mobile ions that the cell is repeated to (number)")
    relaxation_steps: int = Field(
        300, ge=0, le=100_000, description="Steps in which crystal and cell relax first; 0: they stay (number)"
    )
    relaxation_force_eV_per_A: float = Field(
        0.03, gt=0, le=1, description="Force at which that has ended, stresses times volume alike (eV/Å)"
    )
    charge_e: float | None = Field(
        None,
        ge=-LARGEST_CHARGE,
        le=LARGEST_CHARGE,
        description="Formal charge of the mobile ion; nothing: that of its common ion (e)",
    )
    models: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (),
        description="Potentials that run; nothing: all models of the campaign (names)",
        json_schema_extra={"allowed": "a list, each a model of the campaign | reference"},
    )
    conductivity_mS_per_cm: float = Field(
        1.0, gt=0, description="Conductivity at 300 K whose probability is told (mS/cm)"
    )
    host: HostSettings = Field(default_factory=HostSettings, description="When the crystal counts as molten")
    guard: TrajectoryGuard = Field(
        default_factory=TrajectoryGuard, description="Bounds beyond which a trajectory is stopped"
    )
    transport: TransportSettings = Field(
        default_factory=TransportSettings, description="How diffusivities are taken from trajectories"
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if len(set(self.models)) < len(self.models):
            raise ValueError(f"models names one twice: {', '.join(self.models)}")
        if self.lowest_temperature_K > self.start_temperature_K:
            raise ValueError(
                f"lowest_temperature_K ({self.lowest_temperature_K:g}) must not be above start_temperature_K "
                f"({self.start_temperature_K:g})"
            )
        if self.first_look_ps > self.length_ps:
            raise ValueError(f"first_look_ps ({self.first_look_ps:g}) must not be above length_ps ({self.length_ps:g})")
        if self.most_runs < self.temperatures:
            raise ValueError(f"most_runs ({self.most_runs}) must not be below temperatures ({self.temperatures})")
        for name, length_ps, fewest in (
            ("first_look_ps", self.first_look_ps, FEWEST_FRAMES),
            ("host.window_ps", self.host.window_ps, FEWEST_WINDOW_FRAMES),
        ):
            if (frames := round(length_ps / self.frame_ps)) < fewest:
                raise ValueError(
                    f"{name} ({length_ps:g}) gives {frames} frames; {fewest} are needed: lower write_every or make it "
                    "longer"
                )
        if self.looks[-1] > MOST_STEPS:
            raise ValueError(f"length_ps makes {self.looks[-1]:,} steps; at most {MOST_STEPS:,} are allowed")
        return self

    @property
    def frame_ps(self) -> float:
        """Time between two frames (ps)."""
        return self.timestep_fs * self.write_every / 1000.0

    @property
    def equilibration_frames(self) -> int:
        """Frames at the start that are discarded where diffusivities are taken."""
        return self._steps(self.equilibration_ps) // self.write_every

    @property
    def looks(self) -> tuple[int, ...]:
        """Steps after which a run is looked at, the last one its end."""
        lengths_ps = [self.first_look_ps]
        while lengths_ps[-1] < self.length_ps:
            lengths_ps.append(min(lengths_ps[-1] + self.look_every_ps, self.length_ps))
        start = self.equilibration_frames * self.write_every
        return tuple(dict.fromkeys(start + self._steps(one) for one in lengths_ps))

    def dynamics(self, temperature_K: float, steps: int) -> MolecularDynamicsSettings:
        """Return what the integrator needs for so many steps at a temperature."""
        return MolecularDynamicsSettings(
            temperature_K=temperature_K,
            timestep_fs=self.timestep_fs,
            steps=steps,
            write_every=self.write_every,
            friction_per_ps=self.friction_per_ps,
            pressure_GPa=self.pressure_GPa,
            barostat=self.barostat,
            guard=self.guard,
        )

    def _steps(self, length_ps: float) -> int:
        return steps_for(length_ps, self.timestep_fs, self.write_every)
