"""The analyses that a campaign ends with, one module each: graph, cost, problems and report section."""

from __future__ import annotations

from collections.abc import Iterator

from ..campaign.settings import Campaign
from .barriers import BARRIERS
from .base import Analysis
from .conductivity import CONDUCTIVITY
from .defects import FRENKEL, VACANCY
from .energy_volume import ENERGY_VOLUME
from .locality import LOCALITY

ANALYSES: tuple[Analysis, ...] = (LOCALITY, CONDUCTIVITY, BARRIERS, FRENKEL, VACANCY, ENERGY_VOLUME)
"""In the order of a report."""


def chosen_analyses(campaign: Campaign) -> Iterator[Analysis]:
    """Yield the analyses that the campaign asks for."""
    for analysis in ANALYSES:
        if analysis.name in campaign.analyses.chosen:
            yield analysis
