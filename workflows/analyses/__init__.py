"""The analyses that a campaign ends with, one module each: graph, cost, problems and report section."""

from __future__ import annotations

from collections.abc import Iterator

from ..campaign import Campaign
from .base import Analysis

ANALYSES: tuple[Analysis, ...] = ()


def chosen_analyses(campaign: Campaign) -> Iterator[Analysis]:
    """Yield the analyses that the campaign asks for."""
    for analysis in ANALYSES:
        if getattr(campaign.analyses, analysis.name) is not None:
            yield analysis
