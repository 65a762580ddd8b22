"""The kinds of selection that there are."""

from __future__ import annotations

from typing import Annotated, Any

from ...core.kinds import Registry, SettingsOf
from .base import CommonSelectionSettings, SelectionKind

SELECTIONS: Registry[SelectionKind[Any]] = Registry("ionloop.selections", "selection", SelectionKind)
DEFAULT_SELECTION = "farthest-point"

SelectionSettings = Annotated[
    CommonSelectionSettings, SettingsOf(lambda: SELECTIONS, "method", default=DEFAULT_SELECTION)
]
"""What the campaign file's ``selection`` holds; ``method`` names the kind, farthest-point where it is left out."""
