"""The pages of results: the table with comparisons across models, generations and campaigns, and one result."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from flask import Blueprint, Response, request

from ....core.errors import InputError
from ....core.names import ERRORS
from ....store.queries.record_kinds import RECORD_KINDS, Column
from ....store.queries.record_tables import value_columns
from ....store.records import ResultRecord
from ..asking import Found, ask, plain, split_filters, text_of
from ..charts import Chart, comparison_chart
from ..scene import scene, scene_json
from ..snapshot import Snapshot
from .compare import MOST_COMPARED, comparisons_of
from .models import flattened
from .shared import missing, page_settings, reader, show, wanted, wanted_number

pages = Blueprint("results", __name__)

BASE_COLUMNS: Final = (
    Column("kind", lambda record: record.kind),
    Column("campaign", lambda record: record.campaign),
    Column("generation", lambda record: record.generation),
    Column("model_kind", lambda record: record.model_kind),
    Column("model", lambda record: record.model, shown=False),
    Column("id", lambda record: record.id, shown=False),
    Column("created", lambda record: record.created, shown=False),
)
MOST_VALUES: Final = 8
_LONGEST_VALUE: Final = 400
_X: Final = "generation"


@pages.get("/results")
def results() -> Response:
    """Show the table of results."""
    question = Question(
        text=request.args.get("filter", ""),
        sort=request.args.get("sort", ""),
        page=wanted_number("page", 1, lowest=1),
        x=request.args.get("x", "") or _X,
        y=request.args.get("y", ""),
    )
    return show("results.html", lambda snapshot: table_page(snapshot, question))


@dataclass(frozen=True)
class Question:
    """What is asked of the results: filters, order, page, and the columns of the comparison."""

    text: str
    sort: str
    page: int
    x: str
    y: str


def table_page(snapshot: Snapshot, question: Question) -> dict[str, Any]:
    """Return what the table shows."""
    settings = page_settings()
    problem = ""
    records = list(snapshot.results.values())
    found: Found[ResultRecord]
    try:
        filters = split_filters(question.text, settings.max_filters)
        # Values have a column once the records of one kind are chosen: those of all kinds would be hundreds.
        chosen = [one for one in filters if one.field in {column.name for column in BASE_COLUMNS}]
        kept = ask(records, BASE_COLUMNS, chosen, sort="", page=1, rows=settings.page_rows).matching
        values = value_columns(kept)
        columns = {column.name: column for column in (*values, *RECORD_KINDS["results"].columns, *BASE_COLUMNS)}
        found = ask(
            kept, list(columns.values()), filters, sort=question.sort, page=question.page, rows=settings.page_rows
        )
        comparison = compare(found.matching, columns, question)
    except InputError as error:
        problem, values, comparison = str(error), [], None
        found = ask([], BASE_COLUMNS, (), sort="", page=1, rows=settings.page_rows)
    numeric = numeric_names(values, found.matching)
    # What is compared stands first, then what differs: a table has no room for all values of a result.
    chosen_values = sorted(
        (one for one in values if one.name in numeric),
        key=lambda one: (one.name != question.y, len({one.value(record) for record in found.matching}) < 2),
    )
    alike = len({one.kind for one in found.matching}) == 1
    return {
        "question": question,
        "found": found,
        "all": len(records),
        "kinds": sorted(Counter(one.kind for one in records).items()),
        "columns": [
            *(column for column in BASE_COLUMNS if column.shown),
            *(chosen_values[:MOST_VALUES] if alike else []),
        ],
        "numeric": numeric,
        "problem": problem,
        "comparison": comparison,
        "most_compared": MOST_COMPARED,
        "text_of": lambda column, record: text_of(plain(column.value(record))),
    }


def numeric_names(columns: list[Column], records: list[ResultRecord]) -> list[str]:
    """Return the names of the columns that hold numbers."""
    return [
        column.name
        for column in columns
        if any(isinstance(value := column.value(one), int | float) and not isinstance(value, bool) for one in records)
    ]


def compare(records: list[ResultRecord], columns: dict[str, Column], question: Question) -> Chart | None:
    """Return one value against another, a line per campaign, model and, for errors, subset.

    Raises
    ------
    InputError
        If a column is unknown.
    """
    if not question.y:
        return None
    for name in (question.x, question.y):
        if name not in columns:
            raise InputError(f"column {name[:80]!r} is none of these results; choose the kind of result first")
    x, y = columns[question.x], columns[question.y]
    series: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        across, up = x.value(record), y.value(record)
        if isinstance(across, int | float) and isinstance(up, int | float):
            parts = [record.campaign, str(record.values.get("subset") or ""), record.model_kind or ""]
            series.setdefault(" · ".join(filter(None, parts)), []).append((float(across), float(up)))
    return comparison_chart(series, x.header, y.header, {record.model_kind for record in records if record.model_kind})


@pages.get("/result")
def result() -> Response:
    """Show one result."""
    name = wanted("id")
    return show("result.html", lambda snapshot: result_page(snapshot, name))


def result_page(snapshot: Snapshot, name: str) -> dict[str, Any]:
    """Return what the page of a result shows."""
    if name not in snapshot.results:
        missing("result", name)
    record = snapshot.results[name]
    sections, _ = reader().sections(snapshot, record.campaign) if record.campaign in snapshot.campaigns else ([], [])
    blocks, problems = reader().comparison([record])
    return {
        "result": record,
        "values": [
            (name, f"{text[:_LONGEST_VALUE]} …" if len(text) > _LONGEST_VALUE else text, record.unit(*name.split(".")))
            for name, text in flattened(record.values)
        ],
        "files": list(record.artefacts.items()),
        "scene": path_scene(record),
        "figures": [Chart(one.key, one.figure, one.caption, one.caption) for one in blocks],
        "problems": problems,
        "uncertainty": reader().uncertainty(record) if record.kind == ERRORS else None,
        "comparisons": comparisons_of(snapshot, record),
        "sections": [(one.key, one.title) for one in sections],
    }


def path_scene(record: ResultRecord) -> Any:
    """Return the images of a path (or one structure) for the viewer, None where the result has none."""
    for name in ("band", "structure", "cell"):
        arrays = reader().arrays(record.artefacts[name]) if name in record.artefacts else None
        if arrays is None or not {"numbers", "positions", "cell"} <= arrays.keys():
            continue
        positions = arrays["positions"]
        frames = positions if positions.ndim == 3 else positions[None]
        if frames.shape[1:] != (len(arrays["numbers"]), 3) or arrays["cell"].shape != (3, 3):
            continue
        energies = arrays.get("energies")
        relative = energies - energies[0] if energies is not None and energies.shape == (len(frames),) else None
        data = scene(
            arrays["numbers"], list(frames), arrays["cell"], energies=None if relative is None else relative.tolist()
        )
        return None if data is None else scene_json(data)
    return None
