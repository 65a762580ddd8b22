"""The last results of a campaign: one way to find them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import datetime
from typing import Any

from ..connection import Store
from ..records import ResultRecord


def age(record: ResultRecord) -> tuple[int, datetime]:
    """Return by what a result is later than another: its generation, then its time."""
    return record.generation, record.created


def latest_by(
    store: Store,
    campaign: str,
    kind: str,
    what: Callable[[ResultRecord], Hashable],
    system: str | None = None,
    **filters: Any,
) -> dict[Any, ResultRecord]:
    """Return the campaign's last result of that kind for everything that ``what`` tells apart.

    Parameters
    ----------
    system
        The system that results must be of; None: of none, as all are in a campaign with one structure.
    filters
        Values that results must have, by name.
    """
    query: dict[str, Any] = {"campaign": campaign, "kind": kind, "system": system}
    query |= {f"values.{name}": value for name, value in filters.items()}
    found: dict[Any, ResultRecord] = {}
    for record in store.results.find(query):
        key = what(record)
        if key not in found or age(record) > age(found[key]):
            found[key] = record
    return found


def latest(store: Store, campaign: str, kind: str, system: str | None = None, **filters: Any) -> ResultRecord | None:
    """Return the campaign's last result of that kind, None where there is none."""
    return latest_by(store, campaign, kind, lambda record: None, system, **filters).get(None)


def latest_by_model(
    store: Store, campaign: str, kind: str, system: str | None = None, **filters: Any
) -> dict[str, ResultRecord]:
    """Return the campaign's last result of that kind for every kind of model, by kind of model."""
    return latest_by(store, campaign, kind, lambda record: str(record.model_kind), system, **filters)


def of_last_generation(store: Store, campaign: str, kind: str, system: str | None = None) -> list[ResultRecord]:
    """Return the campaign's results of that kind of the last generation that has some, in the order of their times."""
    found = list(store.results.find({"campaign": campaign, "kind": kind, "system": system}))
    last = max((record.generation for record in found), default=0)
    return sorted((record for record in found if record.generation == last), key=lambda record: record.created)
