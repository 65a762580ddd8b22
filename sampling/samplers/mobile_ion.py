"""Monte Carlo of the mobile ion over its sites, each distribution relaxed briefly and rattled."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from ase import Atoms
from pydantic import Field, model_validator

from ...core.citations import Citation
from ..lithium_monte_carlo import sample_distributions
from ..lithium_monte_carlo_settings import MonteCarloSettings
from ..relaxation import relax_and_rattle
from ..relaxation_settings import RelaxationSettings
from .base import CommonSamplerSettings, Count, DrawingSampler, SamplerRequest
from .changing_temperature import SIMULATED_ANNEALING
from .potentials import PotentialChoice
from .trajectories import KPoints, Temperature, number_of

METROPOLIS = Citation(
    "Metropolis Monte Carlo",
    "N. Metropolis, A. W. Rosenbluth, M. N. Rosenbluth, A. H. Teller, E. Teller, J. Chem. Phys. 1953, 21, 1087",
    "10.1063/1.1699114",
)


class LithiumMonteCarloSettings(CommonSamplerSettings):
    """Distributions of the mobile ion over crystal and interstitial sites of the frozen framework."""

    kind: Literal["lithium-monte-carlo"] = Field(
        "lithium-monte-carlo", description="Monte Carlo of the mobile ion over its sites (name)"
    )
    count: Count = Field(40, description="Configurations, each from an annealing run of its own (number)")
    start_temperature_K: Temperature = Field(3000.0, description="Temperature at which annealing starts (K)")
    end_temperature_K: Temperature = Field(800.0, description="Temperature at which annealing ends (K)")
    temperature_steps: int = Field(
        20, ge=1, le=10_000, description="Temperatures on the way, in geometric progression (number)"
    )
    sweeps: int = Field(50, ge=1, le=100_000, description="Trial moves per ion at each temperature (number)")
    minimum_separation_A: float = Field(2.0, ge=0, le=20, description="Two mobile ions never come closer than this (Å)")
    screening: float = Field(
        4.0, ge=1, le=100, description="Dielectric constant that screens the formal charges (no unit)"
    )
    relaxation: RelaxationSettings = Field(
        default_factory=RelaxationSettings, description="Brief relaxation with the potential, then a rattle"
    )
    potential: PotentialChoice | None = Field(
        None,
        description="What relaxes: driver, the campaign's driving model; reference; a model of the campaign; "
        "{engine: ...}, any engine with its settings; {folder: ...}, a model's folder; nothing: the driver, and the "
        "reference before there is a model",
    )
    k_points: KPoints = Field(
        "reference",
        description="Of a density-functional engine that relaxes: gamma, Γ alone; reference, its own (name)",
    )

    @property
    def chosen_potential(self) -> PotentialChoice | None:
        """The potential that the file asks for."""
        return self.potential

    @property
    def at_gamma(self) -> bool:
        """Whether a density-functional engine that relaxes is to take Γ alone."""
        return self.k_points == "gamma"

    @property
    def monte_carlo(self) -> MonteCarloSettings:
        """What the annealing needs."""
        return MonteCarloSettings(
            count=self.count,
            start_temperature_K=self.start_temperature_K,
            end_temperature_K=self.end_temperature_K,
            temperature_steps=self.temperature_steps,
            sweeps=self.sweeps,
            minimum_separation_A=self.minimum_separation_A,
            screening=self.screening,
        )

    @model_validator(mode="after")
    def _cools(self) -> Self:
        if self.end_temperature_K > self.start_temperature_K:
            raise ValueError(
                f"end_temperature_K ({self.end_temperature_K:g}) must not be above start_temperature_K"
                f" ({self.start_temperature_K:g})"
            )
        return self


class LithiumMonteCarlo(DrawingSampler[LithiumMonteCarloSettings]):
    """All distributions are drawn together, each is relaxed in a run of its own."""

    name = "lithium-monte-carlo"
    rank = 70.0
    settings_type = LithiumMonteCarloSettings
    description = "Monte Carlo of the mobile ion over crystal and interstitial sites, relaxed briefly and rattled"
    prepares = True
    needs_charges = True
    citations: ClassVar[tuple[Citation, ...]] = (METROPOLIS, SIMULATED_ANNEALING)

    def runs(self, settings: LithiumMonteCarloSettings) -> int:
        """One for each distribution."""
        return settings.count

    def frames(self, settings: LithiumMonteCarloSettings) -> int:
        """One of each run."""
        return settings.count

    def needs_potential(self, settings: LithiumMonteCarloSettings) -> bool:
        """To relax."""
        return settings.relaxation.steps > 0

    def evaluations(self, settings: LithiumMonteCarloSettings) -> int:
        """Steps of the relaxations."""
        return settings.count * settings.relaxation.steps

    def prepare(self, request: SamplerRequest[LithiumMonteCarloSettings]) -> list[Atoms]:
        """Draw all distributions: seconds of work that the relaxations then share out."""
        return sample_distributions(
            request.atoms, request.mobile, request.charges, request.settings.monte_carlo, seed=request.seed
        )

    def draw(self, request: SamplerRequest[LithiumMonteCarloSettings]) -> list[Atoms]:
        """Relax one of them, and rattle it."""
        drawn = request.shared[request.index]
        calculator: Any = request.open_calculator() if self.needs_potential(request.settings) else None
        return [relax_and_rattle(drawn, calculator, settings=request.settings.relaxation, seed=request.seed)]

    def methods(self, settings: LithiumMonteCarloSettings) -> str:
        """Return how many, annealed from where to where, relaxed how far."""
        return (
            f"{number_of(settings.count, 'distribution')} of the mobile ion over crystal and interstitial sites, "
            f"annealed by Monte Carlo from {settings.start_temperature_K:g} to {settings.end_temperature_K:g} K, "
            f"relaxed for at most {settings.relaxation.steps} steps and rattled"
        )


LITHIUM_MONTE_CARLO = LithiumMonteCarlo()
