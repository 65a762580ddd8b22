"""The errors that the stop rule looks at and that a campaign's state shows."""

from __future__ import annotations

from typing import Any

from ...core.names import ERRORS, NEW
from ...store.connection import Store
from .stop_rule import GenerationErrors


def error_history(store: Store, campaign: str) -> list[GenerationErrors]:
    """Return the errors on new configurations, generation by generation."""
    by_generation: dict[int, list[Any]] = {}
    for result in store.results.find({"campaign": campaign, "kind": ERRORS, "values.subset": NEW}):
        by_generation.setdefault(result.generation, []).append(result)
    return [
        GenerationErrors(
            generation=generation,
            energy={r.model_kind: r.values["energy_eV_per_atom"]["rmse"] for r in results},
            force={r.model_kind: r.values["force_eV_per_A"]["rmse"] for r in results},
        )
        for generation, results in sorted(by_generation.items())
    ]
