"""What the report says of the structure of trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....analysis.figures import model_name, model_place
from ....core.looks import Look
from ....store.connection import Store
from ....store.queries.latest import latest_by
from ....store.records import ResultRecord
from ....tasks.results import known_result, load_arrays
from ....tasks.values.structure_functions import STRUCTURE_FUNCTIONS, StructureFunctionsValues
from ..sections import Block, ReportSection, TextBlock
from .blocks import Shown, figures, measured_blocks, remarks, summary, tables


def structure_functions_section(store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
    """Return the section of the report: totals of all potentials at one temperature, partials of the first, tables."""
    records = _latest(store, campaign, system)
    if not records:
        return None
    values = [STRUCTURE_FUNCTIONS.read(record) for record in records]
    at_K = _shown_temperature([one.temperature_K for one in values])
    all_shown = [shown(store, record) for record in records]
    drawn = [one for one, value in zip(all_shown, values, strict=True) if value.temperature_K == at_K]
    blocks: list[Block] = [*measured_blocks(all_shown), *figures(drawn), *tables(all_shown)]
    blocks += [TextBlock(text) for one in all_shown for text in remarks(one)]
    blocks += [
        TextBlock(f"{one.name}: {value.missing_trajectories} trajectories failed or ended early and are left out.")
        for one, value in zip(all_shown, values, strict=True)
        if value.missing_trajectories
    ]
    return ReportSection("structure-functions", "Structure", summary(all_shown), tuple(blocks))


def shown(store: Store, record: ResultRecord, look: Look | None = None) -> Shown:
    """Return a result with its curves, as figures and tables show it."""
    values = STRUCTURE_FUNCTIONS.read(record)
    name = f"{model_name(str(record.model_kind))} at {values.temperature_K:g} K"
    return Shown(name, values.structure, load_arrays(store, record.artefacts["curves"]), look)


def _latest(store: Store, campaign: str, system: str | None) -> list[ResultRecord]:
    def place(record: ResultRecord) -> tuple[Any, float]:
        return model_place(str(record.model_kind)), _values(record).temperature_K

    found = sorted(latest_by(store, campaign, STRUCTURE_FUNCTIONS.name, place, system).values(), key=place)
    return [record for record in found if known_result(store, record.id)]


def _values(record: ResultRecord) -> StructureFunctionsValues:
    return STRUCTURE_FUNCTIONS.read(record)


def _shown_temperature(temperatures_K: Sequence[float]) -> float:
    """Return the temperature that most potentials have, the lowest of them: there structure is sharpest."""
    return min(set(temperatures_K), key=lambda one: (-temperatures_K.count(one), one))
