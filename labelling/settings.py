"""What of an engine's settings decides the numbers of a label, and its hash.

A field counts as physics, and so enters `settings_hash`, unless it is marked otherwise: limits, sanity
bounds and the path that the self-consistency takes to its answer do not change what a label means.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from .common_settings import CHANGES_RESULT, CommonSettings


def physics_of(settings: CommonSettings) -> dict[str, Any]:
    """Return the settings that decide what a label's numbers mean, as JSON values."""
    kind = type(settings)
    return {name: value for name, value in settings.model_dump(mode="json").items() if is_physics(kind, name)}


def is_physics(kind: type[CommonSettings], name: str) -> bool:
    """Return whether a field of an engine's settings decides what a label's numbers mean."""
    extra = kind.model_fields[name].json_schema_extra
    return not (isinstance(extra, dict) and extra.get(CHANGES_RESULT) is False)


def settings_hash(settings: CommonSettings) -> str:
    """Return the SHA-256 of everything in ``settings`` that changes the physics, and of nothing else.

    Two labels with equal hashes may join one data set; limits, bounds, mixing and cycles do not count.
    """
    text = json.dumps(physics_of(settings), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
