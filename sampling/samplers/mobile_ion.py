"""Monte Carlo of the mobile ion over its sites, each distribution relaxed briefly and rattled."""

from __future__ import annotations

from typing import ClassVar, Literal

from ase import Atoms
from pydantic import Field

from ...core.citations import Citation
from ..lithium_monte_carlo_settings import MonteCarloSettings
from .base import SamplerRequest
from .changing_temperature import SIMULATED_ANNEALING
from .relaxed import RelaxedSettings, RelaxingSampler
from .trajectories import number_of

METROPOLIS = Citation(
    "Metropolis Monte Carlo",
    "N. Metropolis, A. W. Rosenbluth, M. N. Rosenbluth, A. H. Teller, E. Teller, J. Chem. Phys. 1953, 21, 1087",
    "10.1063/1.1699114",
)


class LithiumMonteCarloSettings(MonteCarloSettings, RelaxedSettings):
    """Distributions of the mobile ion over crystal and interstitial sites of the frozen framework."""

    kind: Literal["lithium-monte-carlo"] = Field(
        "lithium-monte-carlo", description="Monte Carlo of the mobile ion over its sites (name)"
    )


class LithiumMonteCarlo(RelaxingSampler[LithiumMonteCarloSettings]):
    """All distributions are drawn together, each is relaxed in a run of its own."""

    name = "lithium-monte-carlo"
    rank = 70.0
    settings_type = LithiumMonteCarloSettings
    description = "Monte Carlo of the mobile ion over crystal and interstitial sites, relaxed briefly and rattled"
    prepares = True
    needs_charges = True
    citations: ClassVar[tuple[Citation, ...]] = (METROPOLIS, SIMULATED_ANNEALING)

    def prepare(self, request: SamplerRequest[LithiumMonteCarloSettings]) -> list[Atoms]:
        """Draw all distributions: seconds of work that the relaxations then share out."""

        from ..lithium_monte_carlo import sample_distributions

        return sample_distributions(request.atoms, request.mobile, request.charges, request.settings, seed=request.seed)

    def draw(self, request: SamplerRequest[LithiumMonteCarloSettings]) -> list[Atoms]:
        """Relax one of them, and rattle it."""
        return [self.relaxed(request, request.shared[request.index])]

    def methods(self, settings: LithiumMonteCarloSettings) -> str:
        """Return how many, annealed from where to where, relaxed how far."""
        return (
            f"{number_of(settings.count, 'distribution')} of the mobile ion over crystal and interstitial sites, "
            f"annealed by Monte Carlo from {settings.start_temperature_K:g} to {settings.end_temperature_K:g} K, "
            f"relaxed for at most {settings.relaxation.steps} steps and rattled"
        )


LITHIUM_MONTE_CARLO = LithiumMonteCarlo()
