"""Surveys: the funnel, the conductivities, and where every crystal stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request

from ....store.records import SurveyRecord
from ....workflows.survey.facts import KINDS, CampaignFacts, facts_from
from ....workflows.survey.page import threshold_of
from ....workflows.survey.rows import Stage, SurveyRow, funnel, survey_rows
from ....workflows.survey.table import CAPTION, FUNNEL_CAPTION, cells_of, columns
from ..charts import Chart
from ..snapshot import Snapshot
from .shared import missing, show

pages = Blueprint("surveys", __name__)


@dataclass(frozen=True)
class ShownCrystal:
    """A crystal that was kept: its row of the table, and whether its campaign has a page."""

    row: SurveyRow
    cells: tuple[str, ...]
    has_page: bool


@pages.get("/survey")
def survey() -> Response:
    """Show a survey, the newest where none is named."""
    name = request.args.get("name", "")
    return show("survey.html", lambda snapshot: survey_page(snapshot, name))


def survey_page(snapshot: Snapshot, name: str) -> dict[str, Any]:
    """Return what the page shows; all of it is in memory, nothing is computed."""
    record = next(iter(snapshot.surveys.values()), None) if not name else snapshot.surveys.get(name)
    if record is None:
        if name:
            missing("survey", name)
        return {"record": None, "surveys": []}
    rows = survey_rows(record, _facts(snapshot, record))
    threshold = threshold_of(record)
    return {
        "record": record,
        "surveys": list(snapshot.surveys),
        "funnel": funnel(rows),
        "funnel_caption": FUNNEL_CAPTION,
        "chart": _chart(rows, threshold),
        "columns": columns(threshold),
        "caption": CAPTION,
        "crystals": [
            ShownCrystal(row, tuple(cells_of(row)), row.candidate.campaign in snapshot.campaigns)
            for row in rows
            if row.stage is not Stage.REFUSED
        ],
        "refused": [row for row in rows if row.stage is Stage.REFUSED],
    }


def _facts(snapshot: Snapshot, record: SurveyRecord) -> dict[str, CampaignFacts]:
    found = {}
    for name in record.campaigns:
        if name not in snapshot.campaigns:
            continue
        results = [one for one in snapshot.results_of.get(name, ()) if one.kind in KINDS]
        labels = max((one.labels for one in snapshot.data_sets.values() if one.campaign == name), default=0)
        found[name] = facts_from(snapshot.standing(name), snapshot.jobs_of.get(name, ()), results, labels, record.model)
    return found


def _chart(rows: list[SurveyRow], threshold: float) -> Chart | None:
    # What draws is heavy, and most surveys have nothing to draw yet.
    from ....workflows.survey.figure import CAPTION as FIGURE_CAPTION
    from ....workflows.survey.figure import survey_figure

    figure = survey_figure(rows, threshold)
    return None if figure is None else Chart("conductivities", figure, FIGURE_CAPTION, FIGURE_CAPTION)
