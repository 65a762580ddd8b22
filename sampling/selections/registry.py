"""The kinds of selection that there are."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import TypeAdapter

from ...core.kinds import Registry, SettingsOf
from .base import CommonSelectionSettings, SelectionKind, UnknownSelectionSettings

SELECTIONS: Registry[SelectionKind[Any]] = Registry("ionloop.selections", "selection", SelectionKind)
DEFAULT_SELECTION = "farthest-point"

SelectionSettings = Annotated[
    CommonSelectionSettings, SettingsOf(lambda: SELECTIONS, "method", default=DEFAULT_SELECTION)
]
"""What the campaign file's ``selection`` holds; ``method`` names the kind, farthest-point where it is left out."""


def stored_selection(document: Mapping[str, Any]) -> CommonSelectionSettings:
    """Return the settings that a store holds, also of a kind that is not installed here: to be shown.

    Raises
    ------
    ValidationError
        If they are none.
    """
    if document.get("method", DEFAULT_SELECTION) in SELECTIONS:
        return _adapter().validate_python(document)
    return UnknownSelectionSettings.model_validate(document)


@functools.cache
def _adapter() -> TypeAdapter[CommonSelectionSettings]:
    return TypeAdapter(SelectionSettings)
