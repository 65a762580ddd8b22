"""Results in the order in which models are shown, and those of a plan's models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...analysis.figures import model_place
from ...store.connection import Store
from ...store.records import ResultRecord
from ...store.result_kinds import ResultKind

if TYPE_CHECKING:
    from .base import AnalysisPlan


def in_order_of_models(results: Mapping[str, ResultRecord]) -> list[ResultRecord]:
    """Return results by kind of model in the order of all figures and tables: models first, then the reference."""
    return [results[kind] for kind in sorted(results, key=model_place)]


def of_plan(store: Store, plan: AnalysisPlan, kind: ResultKind[Any]) -> list[ResultRecord]:
    """Return the results of a kind with a plan's models, of its system and generation, in the order of their times."""
    query = {
        "campaign": plan.campaign.name,
        "generation": plan.generation,
        "system": plan.system.name,
        "kind": kind.name,
        "model": {"$in": sorted(plan.models.values())},
    }
    return sorted(store.results.find(query), key=lambda record: record.created)


NO_MODEL_INTERVAL = "its model interval is not known"


def model_part(half_width: float | None, reason: str) -> dict[str, Any]:
    """Return the model's part of a `PropertyNumber`: a half-width, or why there is none."""
    return {"model": half_width, "reason": "" if half_width is not None else reason or NO_MODEL_INTERVAL}
