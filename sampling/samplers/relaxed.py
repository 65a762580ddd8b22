"""What samplers share that draw structures and relax each briefly."""

from __future__ import annotations

from typing import Any, TypeVar

from ase import Atoms
from pydantic import Field

from ..relaxation import relax_and_rattle
from ..relaxation_settings import RelaxationSettings
from .base import Count, DrawingSampler, KPoints, PotentialSettings, SamplerRequest


class RelaxedSettings(PotentialSettings):
    """How many configurations, and what relaxes them."""

    count: Count = Field(40, description="Configurations, each from a run of its own (number)")
    relaxation: RelaxationSettings = Field(
        default_factory=RelaxationSettings, description="Brief relaxation with the potential, then a rattle"
    )
    k_points: KPoints = Field(
        "reference",
        description="Of a density-functional engine that relaxes: gamma, Γ alone; reference, its own (name)",
    )


RelaxedT = TypeVar("RelaxedT", bound=RelaxedSettings)


class RelaxingSampler(DrawingSampler[RelaxedT]):
    """A kind each of whose runs draws one structure and relaxes it."""

    def runs(self, settings: RelaxedT) -> int:
        """One for each configuration."""
        return settings.count

    def frames(self, settings: RelaxedT) -> int:
        """One of each run."""
        return settings.count

    def needs_potential(self, settings: RelaxedT) -> bool:
        """To relax."""
        return settings.relaxation.steps > 0

    def evaluations(self, settings: RelaxedT) -> int:
        """Steps of the relaxations."""
        return settings.count * settings.relaxation.steps

    def relaxed(self, request: SamplerRequest[RelaxedT], drawn: Atoms) -> Atoms:
        """Return a structure relaxed and rattled as the settings say."""
        calculator: Any = request.open_calculator() if self.needs_potential(request.settings) else None
        return relax_and_rattle(drawn, calculator, settings=request.settings.relaxation, seed=request.seed)
