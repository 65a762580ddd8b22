"""The errors that the stop rule looks at and that a campaign's state shows, and whether they end the loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...core.names import ERRORS, NEW
from ...store.connection import Store
from .stop_rule import GenerationErrors, StopSettings, Verdict, stop_verdict

if TYPE_CHECKING:
    from ...analysis.errors.model_errors import ModelErrors
    from ...tasks.values.loop import ErrorValues
    from ..graph.plan import Plan


def error_history(store: Store, campaign: str) -> list[GenerationErrors]:
    """Return the errors on new configurations, generation by generation, of all systems and of each."""
    found = list(store.results.find({"campaign": campaign, "kind": ERRORS, "values.subset": NEW}))
    if not found:
        return []
    # Who looks before there are any need not wait for what they are made of.
    from ...tasks.values.loop import MODEL_ERRORS

    by_generation: dict[int, dict[str, ErrorValues]] = {}
    for result in found:
        by_generation.setdefault(result.generation, {})[str(result.model_kind)] = MODEL_ERRORS.read(result)
    return [generation_errors(generation, of_model) for generation, of_model in sorted(by_generation.items())]


def generation_errors(generation: int, of_model: Mapping[str, ErrorValues]) -> GenerationErrors:
    """Return the errors of a generation from those of every model, by its name."""
    common = set.intersection(*(set(one.by_system) for one in of_model.values()))
    systems = {
        name: _errors(generation, {kind: one.by_system[name] for kind, one in of_model.items()})
        for name in sorted(common)
    }
    return _errors(generation, of_model, systems)


def _errors(
    generation: int, of_model: Mapping[str, ModelErrors], systems: Mapping[str, GenerationErrors] | None = None
) -> GenerationErrors:
    return GenerationErrors(
        generation=generation,
        energy={kind: errors.energy_eV_per_atom.rmse for kind, errors in of_model.items()},
        force={kind: errors.forces.rmse for kind, errors in of_model.items()},
        systems=systems or {},
    )


def end_of_loop(store: Store, plan: Plan, generation: int) -> Verdict:
    """Return whether the loop ends after an assessed generation, by today's settings."""
    stop = plan.campaign.stop
    rule = StopSettings(
        patience=stop.patience,
        energy_tolerance=stop.energy_tolerance,
        force_tolerance=stop.force_tolerance,
        max_generations=stop.max_generations,
    )
    history = [errors for errors in error_history(store, plan.campaign.name) if errors.generation <= generation]
    return stop_verdict(history, rule, [system.name for system in plan.systems if system.name is not None])
