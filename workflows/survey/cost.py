"""What a survey will cost at most, before it starts: the sum over its campaigns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...core.words import size_text
from ..submission.cost import CampaignCost, campaign_cost
from .expansion import Member


@dataclass(frozen=True)
class SurveyCost:
    """The cost of a survey if every campaign runs to its end and no label is shared.

    Attributes
    ----------
    by_campaign
        That of each campaign.
    """

    by_campaign: Mapping[str, CampaignCost]

    @property
    def labels(self) -> int:
        """Labels at most."""
        return sum(one.maximum_labels for one in self.by_campaign.values())

    @property
    def screening_steps(self) -> int:
        """Evaluations of models by the analyses, at most."""
        return sum(of.model_evaluations for one in self.by_campaign.values() for of in one.analyses.values())

    @property
    def learning_steps(self) -> int:
        """Steps of exploring dynamics, at most."""
        return sum(one.maximum_dynamics_steps for one in self.by_campaign.values())

    @property
    def disk_bytes(self) -> float:
        """Files, at most."""
        return sum(one.disk_bytes for one in self.by_campaign.values())

    @property
    def told(self) -> str:
        """The cost in a sentence."""
        return (
            f"At most, if nothing ends early: {self.labels:,} labels, {self.learning_steps:,} steps of exploring "
            f"dynamics, {self.screening_steps:,} evaluations for analyses, {size_text(self.disk_bytes)} on disk."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``--json``."""
        return {
            "labels": self.labels,
            "learning_steps": self.learning_steps,
            "analysis_evaluations": self.screening_steps,
            "disk_bytes": self.disk_bytes,
            "campaigns": {name: one.as_dict() for name, one in self.by_campaign.items()},
        }


def survey_cost(members: Iterable[Member]) -> SurveyCost:
    """Return the cost of the campaigns of a survey."""
    return SurveyCost(
        {
            one.campaign.name: campaign_cost(one.campaign, {None: one.atoms})
            for one in members
            if one.campaign is not None and one.atoms is not None
        }
    )
