"""Which trajectories of a generation analyses can watch ions in."""

from __future__ import annotations

from ...sampling.samplers.registry import sampler_of
from .plan import Plan, PlannedSystem


def trajectories_in_equilibrium(plan: Plan, system: PlannedSystem, generation: int) -> dict[str, float]:
    """Return the trajectories of a generation at constant volume and temperature, each with its temperature (K)."""

    from ...tasks.sample import trajectory_identifier
    from ...tasks.samplers import run_name

    if system.explore is None:
        names = [f"replica-{number}" for number in range(system.sampling.replicas)]
        return {
            trajectory_identifier(plan.campaign.name, generation, name, system.name): system.sampling.temperature_K
            for name in names
        }
    found = {}
    for number, settings in enumerate(system.explore):
        kind = sampler_of(settings)
        for index in range(kind.runs(settings)):
            temperature_K = kind.temperature_K(settings, index)
            if temperature_K is not None:
                name = run_name("explore", number, settings.sampler, index)
                found[trajectory_identifier(plan.campaign.name, generation, name, system.name)] = temperature_K
    return found
