"""The errors that the stop rule looks at and that a campaign's state shows."""

from __future__ import annotations

from collections.abc import Mapping

from ...analysis.errors.model_errors import ModelErrors
from ...core.names import ERRORS, NEW
from ...store.connection import Store
from ...tasks.values.loop import MODEL_ERRORS, ErrorValues
from .stop_rule import GenerationErrors


def error_history(store: Store, campaign: str) -> list[GenerationErrors]:
    """Return the errors on new configurations, generation by generation, of all systems and of each."""
    by_generation: dict[int, dict[str, ErrorValues]] = {}
    for result in store.results.find({"campaign": campaign, "kind": ERRORS, "values.subset": NEW}):
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
