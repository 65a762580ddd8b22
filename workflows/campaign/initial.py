"""The configurations of a system before the first generation, as the campaign file asks for them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ...core.settings import FrozenSettings
from ...labelling.common_settings import CommonSettings
from ...sampling.guard import TrajectoryGuard
from ...sampling.lithium_monte_carlo_settings import MonteCarloSettings
from ...sampling.molecular_dynamics_settings import MolecularDynamicsSettings
from ...sampling.relaxation_settings import RelaxationSettings

MAX_TIMESTEP_FS = 5.0

Count = Annotated[int, Field(ge=0, le=100_000)]
Temperature = Annotated[float, Field(gt=0, le=20_000)]
Timestep = Annotated[float, Field(gt=0, le=MAX_TIMESTEP_FS)]
InitialKPoints = Literal["gamma", "reference"]


class InitialMolecularDynamics(FrozenSettings):
    """Initial configurations from a short Langevin trajectory with the reference engine."""

    count: Count = Field(40, description="Configurations taken from the trajectory (number)")
    temperature_K: Temperature = Field(800.0, description="Temperature of the thermostat (K)")
    timestep_fs: Timestep = Field(1.0, description="Time step (fs)")
    every: int = Field(10, ge=1, le=100_000, description="Steps between two configurations (number)")
    friction_per_ps: float = Field(10.0, gt=0, le=1000, description="Friction of the Langevin thermostat (1/ps)")
    k_points: InitialKPoints = Field(
        "gamma",
        description="Of a density-functional reference in this trajectory, whose frames are labelled with the "
        "reference's own k-points in any case: gamma, Γ alone; reference, its own (name)",
    )
    guard: TrajectoryGuard = Field(
        default_factory=TrajectoryGuard, description="Bounds beyond which the trajectory is stopped"
    )

    def engine(self, reference: CommonSettings) -> CommonSettings:
        """Return the settings of the reference engine in this trajectory."""
        return reference.at_gamma() if self.k_points == "gamma" else reference

    @property
    def steps(self) -> int:
        """Steps of the trajectory; its first frame, the crystal itself, is not among the configurations."""
        return self.count * self.every

    @property
    def dynamics(self) -> MolecularDynamicsSettings:
        """What the integrator needs."""
        return MolecularDynamicsSettings(
            temperature_K=self.temperature_K,
            timestep_fs=self.timestep_fs,
            steps=self.steps,
            write_every=self.every,
            friction_per_ps=self.friction_per_ps,
            guard=self.guard,
        )


class InitialLithiumMonteCarlo(MonteCarloSettings):
    """Initial configurations from Monte Carlo over crystal and interstitial sites of the mobile ion."""

    count: Count = Field(40, description="Configurations, each from an annealing run of its own (number)")
    relaxation: RelaxationSettings = Field(
        default_factory=RelaxationSettings,
        description="Brief relaxation with the reference engine, then a rattle",
    )


class Initial(FrozenSettings):
    """The configurations that the first models are fitted to."""

    molecular_dynamics: InitialMolecularDynamics = Field(
        InitialMolecularDynamics(), description="Short molecular dynamics with the reference engine"
    )
    lithium_monte_carlo: InitialLithiumMonteCarlo = Field(
        InitialLithiumMonteCarlo(), description="Monte Carlo over sites of the mobile ion"
    )

    @property
    def count(self) -> int:
        """Configurations in all."""
        return self.molecular_dynamics.count + self.lithium_monte_carlo.count
