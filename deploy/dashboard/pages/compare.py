"""Results beside each other: a figure of each kind with a series per result, and the values in which they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flask import Blueprint, Response, abort, request, url_for

from ....analysis.figures import COMPARED_COLOURS
from ....core.names import ERRORS, NEW
from ....store.queries.record_tables import value_columns
from ....store.records import ResultRecord
from ....workflows.report.comparisons import TOLD_BY, comparisons, looks, series_names
from ..asking import text_of
from ..charts import Chart, compared_element_chart, compared_learning_charts
from ..snapshot import Snapshot
from .shared import missing, reader, show

pages = Blueprint("compare", __name__)

MOST_COMPARED: Final = len(COMPARED_COLOURS)
MOST_CAMPAIGNS: Final = 5
MOST_VALUES: Final = 60
ACROSS: Final = {"models": "models", "generations": "generations", "campaigns": "campaigns"}


@dataclass(frozen=True)
class Asked:
    """What is to be compared: results by name; those like one, across something; or all of some campaigns."""

    results: tuple[str, ...]
    campaigns: tuple[str, ...]
    like: str
    across: str


@dataclass(frozen=True)
class Member:
    """One of the results that are compared; ``place`` chooses its colour, ``without`` leads to the page without it."""

    record: ResultRecord
    name: str
    place: int
    without: str


@dataclass(frozen=True)
class ComparedKind:
    """The results of one kind beside each other.

    Attributes
    ----------
    left_out
        Number of results for which there is no room.
    values
        Name, unit and a text for each member, of the values in which they differ.
    alike
        Number of values in which they do not.
    """

    kind: str
    members: tuple[Member, ...]
    left_out: int
    charts: tuple[Chart, ...]
    problems: tuple[str, ...]
    values: tuple[tuple[str, str, tuple[str, ...]], ...]
    alike: int


@pages.get("/compare")
def compare() -> Response:
    """Show results beside each other."""
    asked = Asked(
        results=tuple(dict.fromkeys(request.args.getlist("result"))),
        campaigns=tuple(dict.fromkeys(request.args.getlist("campaign"))),
        like=request.args.get("like", ""),
        across=request.args.get("across", "campaigns"),
    )
    if asked.across not in ACROSS:
        abort(400, f"across is one of {', '.join(ACROSS)}")
    return show("compare.html", lambda snapshot: compare_page(snapshot, asked))


def compare_page(snapshot: Snapshot, asked: Asked) -> dict[str, Any]:
    """Return what the page shows, kind by kind."""
    chosen = chosen_results(snapshot, asked)
    groups = {kind: [one for one in chosen if one.kind == kind] for kind in _kinds_of(chosen)}
    return {
        "asked": asked,
        "most": MOST_COMPARED,
        "campaigns_left_out": max(0, len(asked.campaigns) - MOST_CAMPAIGNS),
        "missing": [name for name in asked.results if name not in snapshot.results],
        "kinds": [compared_kind(snapshot, kind, members, asked) for kind, members in groups.items()],
    }


def _kinds_of(records: Sequence[ResultRecord]) -> list[str]:
    """Return the kinds of these results: first those that have a figure, in the order of a page."""
    found = dict.fromkeys(one.kind for one in records)
    with_figure = [kind for kind in (ERRORS, *comparisons()) if kind in found]
    return list(dict.fromkeys([*with_figure, *found]))


def chosen_results(snapshot: Snapshot, asked: Asked) -> list[ResultRecord]:
    """Return the results that were asked for; a name that is unknown is refused where there is no other."""
    if asked.like:
        if asked.like not in snapshot.results:
            missing("result", asked.like)
        return results_like(snapshot, snapshot.results[asked.like], asked.across)
    found = [snapshot.results[name] for name in asked.results if name in snapshot.results]
    if asked.results and not found:
        missing("result", asked.results[0])
    for name in asked.campaigns[:MOST_CAMPAIGNS]:
        if name not in snapshot.campaigns:
            missing("campaign", name)
    found += in_turn([list(results_of_campaign(snapshot, name)) for name in asked.campaigns[:MOST_CAMPAIGNS]])
    return list({one.id: one for one in found}.values())


def in_turn(groups: Sequence[Sequence[ResultRecord]]) -> list[ResultRecord]:
    """Return the first of each group, then the second of each: where there is no room for all, each has its share."""
    longest = max(map(len, groups), default=0)
    return [group[place] for place in range(longest) for group in groups if place < len(group)]


def _told(record: ResultRecord) -> tuple[str, ...]:
    return tuple(str(record.values.get(key)) for key in TOLD_BY)


def _newest(
    records: Sequence[ResultRecord], alike: Callable[[ResultRecord], Any], age: Callable[[ResultRecord], Any]
) -> list[ResultRecord]:
    """Return the newest of all that are alike, in the order of the records."""
    newest: dict[Any, ResultRecord] = {}
    for one in records:
        known = newest.get(alike(one))
        if known is None or age(one) > age(known):
            newest[alike(one)] = one
    return list(newest.values())


def results_of_campaign(snapshot: Snapshot, name: str) -> Iterator[ResultRecord]:
    """Yield the last result of each kind and model that has a figure; of errors those on new configurations."""
    found = [
        one
        for one in snapshot.results_of.get(name, ())
        if one.kind in comparisons() or (one.kind == ERRORS and one.values.get("subset") == NEW)
    ]
    last = {kind: max(one.generation for one in found if one.kind == kind) for kind in {one.kind for one in found}}
    recent = [one for one in found if one.generation == last[one.kind]]
    newest = _newest(recent, lambda one: (one.kind, one.model_kind, _told(one)), lambda one: one.created)
    # The same order in every campaign: where there is no room for all, those that are shown have partners.
    yield from sorted(newest, key=lambda one: (one.kind, _told(one), str(one.model_kind)))


def results_like(snapshot: Snapshot, record: ResultRecord, across: str) -> list[ResultRecord]:
    """Return the results that differ from this one in their model, generation or campaign alone.

    Of several that differ in nothing the newest; of another campaign that of its last generation.
    """
    same = [one for one in snapshot.results.values() if one.kind == record.kind and _told(one) == _told(record)]
    if across == "models":
        same = [one for one in same if (one.campaign, one.generation) == (record.campaign, record.generation)]
        found = _newest(same, lambda one: one.model_kind, _created_or_last(record))
    elif across == "generations":
        same = [one for one in same if (one.campaign, one.model_kind) == (record.campaign, record.model_kind)]
        found = _newest(same, lambda one: one.generation, _created_or_last(record))
    else:
        same = [one for one in same if one.model_kind == record.model_kind]
        found = _newest(same, lambda one: one.campaign, _created_or_last(record))
    return found


def _created_or_last(record: ResultRecord) -> Callable[[ResultRecord], Any]:
    """Return an age by which the record itself is newest."""
    return lambda one: (one.id == record.id, one.generation, one.created)


def compared_kind(snapshot: Snapshot, kind: str, records: Sequence[ResultRecord], asked: Asked) -> ComparedKind:
    """Return the results of one kind beside each other."""
    shown = list(records[:MOST_COMPARED])
    blocks, problems = reader().comparison(shown)
    charts = [Chart(f"{kind}-{one.key}", one.figure, one.caption, one.caption) for one in blocks]
    if kind == ERRORS:
        charts += compared_learning_charts(snapshot, shown, looks(shown))
        elements = compared_element_chart(shown, looks(shown))
        charts += [] if elements is None else [elements]
    columns = [(column, tuple(text_of(column.value(one)) for one in shown)) for column in value_columns(shown)]
    differing = [(column.name, column.unit, cells) for column, cells in columns if len(set(cells)) > 1]
    return ComparedKind(
        kind=kind,
        members=tuple(
            Member(record, name, place, _without(asked, record))
            for place, (record, name) in enumerate(zip(shown, series_names(shown), strict=True))
        ),
        left_out=len(records) - len(shown),
        charts=tuple(charts),
        problems=tuple(problems),
        values=tuple(differing[:MOST_VALUES]),
        alike=len(columns) - len(differing),
    )


def _without(asked: Asked, record: ResultRecord) -> str:
    others = [name for name in asked.results if name != record.id]
    return url_for("compare.compare", result=others) if others and record.id in asked.results else ""


def comparisons_of(snapshot: Snapshot, record: ResultRecord) -> list[tuple[str, int, str]]:
    """Return across what a result can be compared, with how many others, and the page that does."""
    found = []
    for across in ACROSS:
        others = len(results_like(snapshot, record, across)) - 1
        if others > 0:
            found.append((across, others, url_for("compare.compare", like=record.id, across=across)))
    return found
