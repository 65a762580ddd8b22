"""What the samplers of a campaign take, each for itself and together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...core.names import REFERENCE
from ...sampling.samplers.base import CommonSamplerSettings
from ...sampling.samplers.potentials import AnotherEngine
from ...sampling.samplers.registry import sampler_of
from ..campaign.samplers import Role, potential_choice, potential_name
from ..campaign.settings import Campaign
from ..graph.plan import PlannedSystem


@dataclass(frozen=True)
class SamplerCost:
    """What one sampler takes, in all of its runs of a generation.

    Attributes
    ----------
    system
        Name of the system, None where the only one has none.
    role, sampler
        "initial" or "explore", and its kind.
    potential
        What a person calls its potential; empty without one.
    by
        Whether its evaluations are the "reference"'s, of another "engine", or of a "model"; empty without a potential.
    runs, frames, evaluations
        Numbers; of evaluations at most.
    labels, most_labels
        Labels that it asks for by itself in a generation, and in all, at most: of what learns.
    """

    system: str | None
    role: Role
    sampler: str
    potential: str
    by: str
    runs: int
    frames: int
    evaluations: int
    labels: int = 0
    most_labels: int = 0

    @property
    def text(self) -> str:
        """What it takes, in words."""
        frames = "configurations" if self.role == "initial" else "candidates"
        parts = [f"{self.runs:,} {'run' if self.runs == 1 else 'runs'}", f"{self.frames:,} {frames}"]
        if self.evaluations:
            parts.append(f"{self.evaluations:,} evaluations with {self.potential}")
        if self.most_labels:
            parts.append(f"some {self.labels:,} labels in the first generation, {self.most_labels:,} in all, at most")
        return ", ".join(parts)


def sampler_costs(campaign: Campaign, systems: Iterable[PlannedSystem]) -> tuple[SamplerCost, ...]:
    """Return what the samplers of all systems take, those of the short forms too."""
    found = []
    for system in systems:
        lists: dict[Role, Sequence[CommonSamplerSettings]] = {
            "initial": system.initial_samplers,
            "explore": system.exploring_samplers,
        }
        for role, entries in lists.items():
            found += [_cost(campaign, system, role, settings) for settings in entries]
    return tuple(found)


def evaluations(costs: Iterable[SamplerCost], role: Role, by: str) -> int:
    """Return the evaluations of samplers of a role with one sort of potential."""
    return sum(one.evaluations for one in costs if (one.role, one.by) == (role, by))


def _cost(campaign: Campaign, system: PlannedSystem, role: Role, settings: CommonSamplerSettings) -> SamplerCost:
    kind = sampler_of(settings)
    choice = potential_choice(settings, role)
    by = "model"
    if choice is None:
        by = ""
    elif choice == REFERENCE:
        by = "reference"
    elif isinstance(choice, AnotherEngine):
        by = "engine"
    return SamplerCost(
        system=system.name,
        role=role,
        sampler=kind.name,
        potential=potential_name(settings, role, campaign.driver),
        by=by,
        runs=kind.runs(settings),
        frames=kind.frames(settings),
        evaluations=kind.evaluations(settings),
        labels=kind.labels_per_generation(settings) if role == "explore" else 0,
        most_labels=kind.most_labels(settings) if role == "explore" else 0,
    )
