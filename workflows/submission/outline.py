"""What a campaign will do, step by step, as a drawing of text: the loop, how it ends, the analyses."""

from __future__ import annotations

from dataclasses import dataclass

from ..campaign.samplers import exploring_samplers, initial_samplers
from ..campaign.settings import Campaign
from .cost import CampaignCost

_STEP_WIDTH = 10


@dataclass(frozen=True)
class Marks:
    """The characters of the drawing."""

    down: str
    begin: str
    side: str
    back: str
    branch: str
    last: str


LINES = Marks(down="│", begin="┌►", side="│ ", back="└─", branch="├ ", last="└ ")
ASCII = Marks(down="|", begin="+>", side="| ", back="+-", branch="+ ", last="+ ")
"""For terminals and logs that have no other characters."""


def outline(campaign: Campaign, cost: CampaignCost, marks: Marks = LINES) -> list[str]:
    """Return the lines of the drawing; numbers are those of a campaign that runs to its last generation."""
    models, generations = ", ".join(campaign.models), campaign.stop.max_generations
    down, inner = f"  {marks.down}", f"{marks.side}"
    lines = [
        _line("  ", "sample", _initial(campaign)),
        down,
        _line("  ", "label", f"{cost.initial_labels} with {campaign.reference.engine}, isolated atoms among them"),
        down,
        _line(marks.begin, "fit", f"{models}, to the same labels"),
        _line(inner, "explore", _exploring(campaign, cost)),
        _line(inner, "select", f"{cost.labels_per_generation} of the frames, by {campaign.selection.kind}"),
        _line(inner, "label", f"{cost.labels_per_generation} with {campaign.reference.engine}"),
        _line(
            marks.back, "assess", f"again while errors fall, {generations} generation{'s' * (generations > 1)} at most"
        ),
        down,
        _line("  ", "fit", f"{models}, to all labels ({cost.maximum_labels} at most)"),
    ]
    if cost.analyses:
        names = list(cost.analyses)
        lines += [down, *(f"  {marks.branch}{name}" for name in names[:-1]), f"  {marks.last}{names[-1]}"]
    return [*lines, down, _line("  ", "report", "with all numbers, their intervals and figures")]


def _line(mark: str, step: str, text: str) -> str:
    return f"{mark}{step:<{_STEP_WIDTH}}{text}"


def _initial(campaign: Campaign) -> str:
    kinds = dict.fromkeys(
        settings.sampler for name in campaign.all_systems for settings in initial_samplers(campaign.initial_of(name))
    )
    systems = len(campaign.all_systems)
    of = f" of {systems} systems" if systems > 1 else ""
    return f"first configurations{of}: {', '.join(kinds) or 'none'}"


def _exploring(campaign: Campaign, cost: CampaignCost) -> str:
    kinds = dict.fromkeys(one.sampler for one in exploring_samplers(campaign.explore, campaign.sampling))
    steps = cost.dynamics_steps_per_generation
    of = f", {steps:,} steps" if steps else ""
    return f"{', '.join(kinds)} with {campaign.driver}{of}"
