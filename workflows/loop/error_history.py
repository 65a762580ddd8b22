"""The errors that the stop rule looks at and that a campaign's state shows."""

from __future__ import annotations

from ...core.names import ERRORS, NEW
from ...store.connection import Store
from ...tasks.values.loop import MODEL_ERRORS, ErrorValues
from .stop_rule import GenerationErrors


def error_history(store: Store, campaign: str) -> list[GenerationErrors]:
    """Return the errors on new configurations, generation by generation."""
    by_generation: dict[int, dict[str, ErrorValues]] = {}
    for result in store.results.find({"campaign": campaign, "kind": ERRORS, "values.subset": NEW}):
        by_generation.setdefault(result.generation, {})[str(result.model_kind)] = MODEL_ERRORS.read(result)
    return [
        GenerationErrors(
            generation=generation,
            energy={kind: errors.energy_eV_per_atom.rmse for kind, errors in results.items()},
            force={kind: errors.forces.rmse for kind, errors in results.items()},
        )
        for generation, results in sorted(by_generation.items())
    ]
