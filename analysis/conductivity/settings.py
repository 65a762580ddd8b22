"""What a campaign's conductivity runs: temperatures, lengths, replicas, and how trajectories are analysed."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from ...core.settings import FrozenSettings
from ...sampling.guard import TrajectoryGuard
from ...sampling.molecular_dynamics_settings import MolecularDynamicsSettings, steps_for
from .model_spread_settings import FEWEST_SAMPLES
from .transport_settings import FEWEST_FRAMES, LARGEST_CHARGE, TransportSettings

MAX_STEPS = 1_000_000_000
Repetitions = Annotated[int, Field(ge=1, le=50)]


class ConductivitySettings(FrozenSettings):
    """Long molecular dynamics at constant volume with the final models, independent replicas at every temperature."""

    temperatures_K: tuple[Annotated[float, Field(gt=0, le=20_000)], ...] = Field(
        (800.0,), min_length=1, description="Temperatures; from three on, an activation energy is fitted (K)"
    )
    length_ps: float = Field(
        1000.0, gt=0, le=1e7, description="Length of every trajectory, equilibration not counted (ps)"
    )
    equilibration_ps: float = Field(10.0, ge=0, le=1e6, description="Time discarded at the start of each (ps)")
    timestep_fs: float = Field(2.0, gt=0, le=5, description="Time step (fs)")
    write_every: int = Field(50, ge=1, le=1_000_000, description="Steps between two frames on disk (number)")
    replicas: int = Field(5, ge=1, le=1000, description="Independent trajectories at every temperature (number)")
    model_samples: int = Field(
        0,
        ge=0,
        le=100,
        description="Models drawn from the posterior of each potential, one trajectory each at every temperature, for "
        "the model's part of the error; 0: it stays unknown (number)",
        json_schema_extra={"allowed": "0, or a whole number of at least 4"},
    )
    supercell: tuple[Repetitions, Repetitions, Repetitions] = Field(
        (1, 1, 1), description="Repetitions of the campaign's structure along its three axes (number)"
    )
    friction_per_ps: float = Field(
        1.0,
        gt=0,
        le=10,
        description="Friction of the Langevin thermostat; above 1 it slows diffusion down (1/ps)",
    )
    models: tuple[str, ...] = Field(
        (),
        description="Potentials that run; nothing: all models of the campaign (names)",
        json_schema_extra={"allowed": "a list, each a model of the campaign | reference"},
    )
    charge_e: float | None = Field(
        None,
        ge=-LARGEST_CHARGE,
        le=LARGEST_CHARGE,
        description="Formal charge of the mobile ion; nothing: that of its common ion (e)",
    )
    framework: tuple[str, ...] = Field(
        (),
        description="Species that hold the frame of reference; nothing: those that do not diffuse (chemical symbols)",
    )
    lengths: int = Field(10, ge=2, le=100, description="Points of the figure of conductivity against length (number)")
    guard: TrajectoryGuard = Field(
        default_factory=TrajectoryGuard, description="Bounds beyond which a trajectory is stopped"
    )
    transport: TransportSettings = Field(
        default_factory=TransportSettings, description="How diffusivities are taken from trajectories"
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        for name in ("temperatures_K", "models", "framework"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} names one twice: {', '.join(map(str, values))}")
        if 0 < self.model_samples < FEWEST_SAMPLES:
            raise ValueError(
                f"model_samples is {self.model_samples}: the scatter over fewer than {FEWEST_SAMPLES} models says "
                "nothing; give 0 for none"
            )
        if self.frames < FEWEST_FRAMES:
            raise ValueError(
                f"length_ps ({self.length_ps:g}) gives {self.frames} frames; {FEWEST_FRAMES} are needed: lower"
                " write_every or run longer"
            )
        if self.steps > MAX_STEPS:
            raise ValueError(f"length_ps makes {self.steps:,} steps; at most {MAX_STEPS:,} are allowed")
        return self

    @property
    def frame_interval_fs(self) -> float:
        """Time between two frames (fs)."""
        return self.timestep_fs * self.write_every

    @property
    def equilibration_frames(self) -> int:
        """Frames at the start that are discarded."""
        return steps_for(self.equilibration_ps, self.timestep_fs, self.write_every) // self.write_every

    @property
    def frames(self) -> int:
        """Frames of every trajectory after its equilibration, the first one included."""
        return steps_for(self.length_ps, self.timestep_fs, self.write_every) // self.write_every + 1

    @property
    def steps(self) -> int:
        """Steps of one trajectory."""
        return (self.equilibration_frames + self.frames - 1) * self.write_every

    def dynamics(self, temperature_K: float) -> MolecularDynamicsSettings:
        """Return what the integrator needs at that temperature."""
        return MolecularDynamicsSettings(
            temperature_K=temperature_K,
            timestep_fs=self.timestep_fs,
            steps=self.steps,
            write_every=self.write_every,
            friction_per_ps=self.friction_per_ps,
            guard=self.guard,
        )
