"""Results in the order in which models are shown."""

from __future__ import annotations

from collections.abc import Mapping

from ...analysis.figures import model_place
from ...store.records import ResultRecord


def in_order_of_models(results: Mapping[str, ResultRecord]) -> list[ResultRecord]:
    """Return results by kind of model in the order of all figures and tables: models first, then the reference."""
    return [results[kind] for kind in sorted(results, key=model_place)]
