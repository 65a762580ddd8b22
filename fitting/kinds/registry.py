"""The kinds of models that there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...core.kinds import Registry
from .base import ModelKind

MODELS: Final[Registry[ModelKind]] = Registry("ionloop.models", "kind of model", ModelKind)


def settings_of_kind(kind: str | None, value: Any) -> Any:
    """Return plain data as settings of a kind; what is no plain data, or of no kind, as it is: for validators.

    Raises
    ------
    UnknownKind
        If the kind is not installed here.
    pydantic.ValidationError
        If they are no settings of it.
    """
    return MODELS.get(kind).settings_in(value) if kind is not None and isinstance(value, Mapping) else value
