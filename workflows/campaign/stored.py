"""A campaign of a store as its settings were written, which may ask for analyses that are not installed here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .analyses import INSTALLED
from .settings import Campaign


def analyses_not_installed(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the analyses that a stored campaign asks for and that are not installed here."""
    asked = settings.get("analyses") or {}
    return tuple(name for name, given in asked.items() if given is not None and name not in INSTALLED)


def stored_campaign(settings: Mapping[str, Any]) -> Campaign:
    """Return a stored campaign, for those who read; what is not installed here is left out."""
    analyses = {name: given for name, given in (settings.get("analyses") or {}).items() if name in INSTALLED}
    return Campaign.model_validate({**settings, "analyses": analyses})


def installed_campaign(settings: Mapping[str, Any]) -> Campaign:
    """Return a stored campaign, for those who work on it.

    Raises
    ------
    UnknownKind
        If it asks for an analysis that is not installed here.
    """
    for name in analyses_not_installed(settings):
        INSTALLED.get(name)
    return stored_campaign(settings)
