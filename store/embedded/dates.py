"""Aggregation pipelines with ``$dateFromString``, which mongomock lacks and FireWorks sorts by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mongomock import aggregate
from mongomock.command_cursor import CommandCursor
from mongomock.filtering import NOTHING, resolve_key
from pymongo.errors import OperationFailure

_OPERATOR = "$dateFromString"


def process_pipeline(documents: list[Any], database: Any, pipeline: Sequence[Any], session: Any) -> CommandCursor:
    """Run a pipeline as mongomock does, and ``$dateFromString`` in ``$set`` and ``$addFields`` stages besides."""
    found: Any = documents
    pending: list[Any] = []
    for stage in pipeline:
        if not _has_dates(stage):
            pending.append(stage)
            continue
        found = list(aggregate.process_pipeline(found, database, pending, session))
        pending = []
        for options in stage.values():
            for field, expression in options.items():
                _set_date(found, field, expression)
    return aggregate.process_pipeline(found, database, pending, session)


def _has_dates(stage: Any) -> bool:
    return any(
        operator in ("$set", "$addFields")
        and isinstance(options, Mapping)
        and all(isinstance(value, Mapping) and set(value) == {_OPERATOR} for value in options.values())
        for operator, options in stage.items()
    )


def _set_date(documents: list[Any], field: str, expression: Mapping[str, Any]) -> None:
    options = expression[_OPERATOR]
    for document in documents:
        value = _date(document, options)
        if value is not NOTHING:
            document[field] = value


def _date(document: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    text = _value(document, options["dateString"])
    if text is None or text is NOTHING:
        return _value(document, options.get("onNull"))
    try:
        date = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        if "onError" not in options:
            raise OperationFailure(f"Error parsing date string {text!r}") from None
        return _value(document, options["onError"])
    return date.astimezone(UTC).replace(tzinfo=None) if date.tzinfo else date


def _value(document: Mapping[str, Any], expression: Any) -> Any:
    if isinstance(expression, str) and expression.startswith("$"):
        return resolve_key(expression[1:], document)
    return expression
