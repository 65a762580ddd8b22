"""The analyses that are installed, and those that a campaign asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from ...core.kinds import Registry
from ..campaign.analyses import INSTALLED
from .base import Analysis

if TYPE_CHECKING:
    from ...store.connection import Store
    from ...store.records import CampaignRecord
    from ..campaign.settings import Campaign
    from .sections import ReportSection

ANALYSES: Final = cast(Registry[Analysis[Any]], INSTALLED)
"""In the order of a campaign file and of a report."""


def sections_of(store: Store, record: CampaignRecord, analysis: Analysis[Any]) -> list[ReportSection]:
    """Return what the report shows of an analysis: what is of no system alone, then what is of each."""
    # Systems come with the samplers' settings: who lists analyses needs neither.
    from ..campaign.systems import section_key

    found = [analysis.section(store, record.id)]
    for system in record.systems:
        section = analysis.section(store, record.id, system)
        if section is not None:
            key = f"{section.key}-{section_key(system)}"
            section = replace(section, key=key, title=f"{section.title}: {system}")
        found.append(section)
    return [section for section in found if section is not None]


def chosen_analyses(campaign: Campaign) -> Iterator[Analysis[Any]]:
    """Yield the analyses that the campaign asks for."""
    for analysis in ANALYSES.kinds:
        if analysis.chosen_settings(campaign) is not None:
            yield analysis
