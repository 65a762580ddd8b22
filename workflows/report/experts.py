"""What a report shows of joint models: which models of other campaigns they were made of, generation by generation."""

from __future__ import annotations

from collections.abc import Sequence

from ...analysis.figures import model_name
from ...store.records import ResultRecord
from ...tasks.values.experts import EXPERTS
from ..analyses.sections import ReportSection, TableBlock


def experts_section(results: Sequence[ResultRecord]) -> ReportSection | None:
    """Return the section on the joint models of a campaign; None without one.

    Parameters
    ----------
    results
        Results of the campaign.
    """
    records = sorted((one for one in results if one.kind == EXPERTS.name), key=lambda one: one.generation)
    if not records:
        return None
    rows = [
        (
            model_name(name),
            str(record.generation + 1),
            ", ".join(f"{one} ({one.model})" for one in joint.experts) or "none",
            ", ".join(joint.missing) or "none",
        )
        for record in records
        for name, joint in EXPERTS.read(record).models.items()
    ]
    last = EXPERTS.read(records[-1]).models
    text = " ".join(f"{model_name(name)} is {joint.words}." for name, joint in last.items())
    columns = ("model", "before generation", "models of other campaigns", "named, and not there yet")
    return ReportSection("experts", "Joint models", text, [TableBlock(columns, rows, "Newest models before every fit")])
