"""The analyses that are installed, and those that a campaign asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, cast

from ...core.kinds import Registry
from ..campaign.analyses import INSTALLED
from .base import Analysis

if TYPE_CHECKING:
    from ..campaign.settings import Campaign

ANALYSES: Final = cast(Registry[Analysis[Any]], INSTALLED)
"""In the order of a campaign file and of a report."""


def chosen_analyses(campaign: Campaign) -> Iterator[Analysis[Any]]:
    """Yield the analyses that the campaign asks for."""
    for analysis in ANALYSES.kinds:
        if analysis.chosen_settings(campaign) is not None:
            yield analysis
