"""Results of one kind in one figure: across models, generations and campaigns.

The figures are those of the report; here their series are called and coloured by the result that they come from.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from ...analysis.figures import compared_look, model_name
from ...core.errors import InputError, IonloopError
from ...core.looks import Look
from ...store.connection import Store
from ...store.records import ResultRecord
from ..analyses.comparison import Comparison
from ..analyses.registry import ANALYSES
from ..analyses.sections import FigureBlock

TOLD_BY: Final = ("slot", "temperature_K", "subset", "protocol")
"""Values that tell results of one model apart."""
# What a damaged file raises, or a record of another version or hand.
_UNREADABLE: Final = (IonloopError, ValidationError, ValueError, KeyError, TypeError, AttributeError, OSError)


@functools.cache
def comparisons() -> Mapping[str, Comparison]:
    """Return how results are shown together, by kind of result, in the order of a page."""
    return MappingProxyType({kind: one for analysis in ANALYSES.kinds for kind, one in analysis.comparisons().items()})


def compare(store: Store, records: Sequence[ResultRecord]) -> tuple[list[FigureBlock], list[str]]:
    """Return the figures that show these results of one kind together, and what is wrong with those left out.

    Empty for a kind that is shown by its values alone.
    """
    comparison = comparisons().get(records[0].kind) if records else None
    if comparison is None:
        return [], []
    series, problems = [], []
    for record, look in zip(records, looks(records), strict=True):
        try:
            if not all(map(store.artefacts.is_whole, record.artefacts.values())):
                raise InputError("one of its files is missing, or is not as it was recorded")
            series.append(comparison.read(store, record, look))
        except _UNREADABLE as error:
            problems.append(f"{record.id}: {error}")
    blocks = list(comparison.draw(series)) if series else []
    return blocks, problems


def looks(records: Sequence[ResultRecord]) -> list[Look | None]:
    """Return how each result is told from the others; None for one alone, which looks like its model."""
    if len(records) == 1:
        return [None]
    return [
        compared_look(name, str(record.model_kind), place)
        for place, (name, record) in enumerate(zip(series_names(records), records, strict=True))
    ]


def series_names(records: Sequence[ResultRecord]) -> list[str]:
    """Return a name for each result: campaign, model, generation, and whatever else tells it from the others."""
    telling = [key for key in TOLD_BY if len({str(record.values.get(key)) for record in records}) > 1]
    names = []
    for record in records:
        parts = [record.campaign, model_name(record.model_kind or ""), f"generation {record.generation}"]
        if record.system is not None:
            parts.append(record.system)
        parts += [_said(key, record.values[key]) for key in telling if key in record.values]
        names.append(" · ".join(filter(None, parts)))
    often = Counter(names)
    return [f"{name} · {record.id}" if often[name] > 1 else name for name, record in zip(names, records, strict=True)]


def _said(key: str, value: Any) -> str:
    return f"{value:g} K" if key.endswith("_K") and isinstance(value, int | float) else str(value)
