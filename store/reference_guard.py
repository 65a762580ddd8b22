"""One data set, one reference: labels of different engine settings are never frozen together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..fitting.consistency import MixedReferencesError, reference_name
from ..labelling.settings import EngineSettings, physics_of
from .records import LabelRecord

_SETTINGS: TypeAdapter[EngineSettings] = TypeAdapter(EngineSettings)


def check_one_setting(labels: Sequence[LabelRecord]) -> None:
    """Refuse labels of different engine settings.

    Raises
    ------
    MixedReferencesError
        Naming the settings, how many labels each has, and what differs between them where the records say so.
    """
    first_of: dict[str, LabelRecord] = {}
    counts: dict[str, int] = {}
    for label in labels:
        first_of.setdefault(label.settings_hash, label)
        counts[label.settings_hash] = counts.get(label.settings_hash, 0) + 1
    if len(first_of) < 2:
        return
    names = ", ".join(
        f"{reference_name(label.engine, found)} ({counts[found]} labels)" for found, label in first_of.items()
    )
    first, *others = first_of.values()
    differences = [line for other in others for line in differing_settings(_physics(first), _physics(other))]
    raise MixedReferencesError(
        f"labels of different reference settings must not join one data set: {names}"
        + "".join(f"\n  {line}" for line in dict.fromkeys(differences))
    )


def differing_settings(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return what differs between two sets of settings, one readable line per key."""
    absent = "not set"
    return [
        f"{key}: {one.get(key, absent)!r} and {other.get(key, absent)!r}"
        for key in sorted(one.keys() | other.keys())
        if one.get(key, absent) != other.get(key, absent)
    ]


def _physics(label: LabelRecord) -> dict[str, Any]:
    """Return the settings that a label was computed with, as far as its record says."""
    if not label.attempts:
        return {"engine": label.engine}
    try:
        return physics_of(_SETTINGS.validate_python(label.attempts[-1].get("settings")))
    except ValidationError:
        return {"engine": label.engine}
