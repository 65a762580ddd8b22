"""What a report shows of the properties that a campaign asks for: each with its interval, generation by generation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ...analysis.property_figures import PropertySeries, property_figure
from ...core.words import three_digits
from ...store.connection import Store
from ...store.records import CampaignRecord
from ...tasks.values.properties import PropertyNumber, PropertyValues
from ..analyses.sections import Block, FigureBlock, ReportSection, TableBlock
from ..campaign.properties import Tolerance, read_tolerances
from ..loop.error_history import properties_by_generation
from ..loop.property_rule import is_known

MOST_NUMBERS = 6
"""Numbers of a property in one figure."""

History = Mapping[str, Mapping[int, PropertyValues]]
"""By property and generation."""


def property_section(store: Store, record: CampaignRecord) -> ReportSection | None:
    """Return the section on the properties that a campaign asks for, None where there are none, or none yet."""
    asked = read_tolerances(record.settings.get("stop", {}).get("properties") or {})
    history = _history(store, record.id)
    if not asked or not history:
        return None
    blocks: list[Block] = [
        FigureBlock(
            name.replace("_", "-"),
            property_figure(list(_series(of_generation, asked[name])), _called(name)),
            f"{_called(name)} against generation with its 95 % interval, statistical and model error together; open "
            f"symbols: not known. Band: within {asked[name].text} of the last.",
        )
        for name, of_generation in history.items()
        if name in asked and any(number.value is not None for one in of_generation.values() for number in one.numbers)
    ]
    columns = ("property", "generation", "number", "value", "± statistical", "± model", "unit", "error", "asked for")
    rows = [row for name in asked if name in history for row in _rows(name, history[name], asked[name])]
    blocks.append(
        TableBlock(
            columns,
            rows,
            "After each generation, with the driver fitted to all labels until then. Half-widths of 95 % intervals; "
            "the error is both in quadrature, in the unit of the tolerance.",
        )
    )
    return ReportSection("properties", "Properties asked for", _summary(history, asked), tuple(blocks))


def _history(store: Store, campaign: str) -> History:
    found: dict[str, dict[int, PropertyValues]] = {}
    for generation, of_name in properties_by_generation(store, campaign).items():
        for name, values in of_name.items():
            found.setdefault(name, {})[generation] = values
    return found


def _series(of_generation: Mapping[int, PropertyValues], asked: Tolerance) -> Iterator[PropertySeries]:
    labels = list(dict.fromkeys(number.label for one in of_generation.values() for number in one.numbers))
    for label in labels[:MOST_NUMBERS]:
        points = [
            (generation, number)
            for generation, one in of_generation.items()
            for number in one.numbers
            if number.label == label and number.value is not None
        ]
        values = tuple(number.value for _, number in points if number.value is not None)
        if values:
            yield PropertySeries(
                label,
                points[-1][1].unit,
                tuple(generation for generation, _ in points),
                values,
                tuple(number.half_width() for _, number in points),
                asked.value if asked.unit == "eV" else asked.value / 100.0 * abs(values[-1]),
            )


def _rows(name: str, of_generation: Mapping[int, PropertyValues], asked: Tolerance) -> Iterator[tuple[str, ...]]:
    for generation, one in of_generation.items():
        for number in one.numbers:
            yield (
                _called(name),
                str(generation),
                number.label,
                three_digits(number.value),
                three_digits(number.statistical),
                three_digits(number.model),
                number.unit,
                _error(number, one),
                asked.text,
            )


def _error(number: PropertyNumber, values: PropertyValues) -> str:
    error = number.error(values.unit)
    return f"not known: {number.reason}" if error is None else f"{error:.3g} {values.unit}"


def _summary(history: History, asked: Mapping[str, Tolerance]) -> str:
    told = []
    for name, tolerance in asked.items():
        if name not in history:
            told.append(f"{_called(name)} was not looked at.")
            continue
        last = max(history[name])
        values = history[name][last]
        state = "within" if is_known(values.error, tolerance) else "not within"
        known = values.text if values.error is not None else f"not known: {values.text}"
        told.append(f"{_called(name)} after generation {last}: {known}, {state} the {tolerance.text} asked for.")
    return " ".join(told)


def _called(name: str) -> str:
    text = name.replace("_", " ")
    return text[:1].upper() + text[1:]
