"""Conductivities and their lines over temperature beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from numpy.typing import NDArray

from ....analysis.conductivity.figures import (
    ArrheniusSeries,
    arrhenius_figure,
    conductivity_length_figure,
    displacement_figure,
)
from ....analysis.conductivity.transport import ConductivityResult
from ....analysis.figures import Look, compared_look, model_name
from ....store.connection import Store
from ....store.records import ResultRecord
from ....tasks.results import load_arrays
from ....tasks.values.conductivity import ARRHENIUS_LINES, CONDUCTIVITIES
from ..comparison import Comparison
from ..sections import FigureBlock
from .report import arrhenius_series, displacement_series, length_series


@dataclass(frozen=True)
class _Conductivity:
    record: ResultRecord
    result: ConductivityResult
    arrays: Mapping[str, NDArray[Any]]
    look: Look | None

    @property
    def kind(self) -> str:
        return str(self.record.model_kind)

    @property
    def potential(self) -> tuple[str, int, str]:
        return self.record.campaign, self.record.generation, self.kind


def _conductivity(store: Store, record: ResultRecord, look: Look | None) -> _Conductivity:
    arrays = load_arrays(store, record.artefacts["curves"])
    return _Conductivity(record, CONDUCTIVITIES.read(record), arrays, look)


def _draw_conductivities(series: Sequence[_Conductivity]) -> Iterator[FigureBlock]:
    lengths = [replace(length_series(one.kind, dict(one.arrays)), look=one.look) for one in series]
    yield FigureBlock(
        "length",
        conductivity_length_figure(lengths),
        "Tracer conductivity against the length of the trajectories, with its 95 % band. Open symbols: ions have not "
        "moved far enough yet, only the upper end of the band counts.",
    )
    displacements = [
        replace(displacement_series(one.kind, one.result, dict(one.arrays)), look=one.look) for one in series
    ]
    yield FigureBlock(
        "displacement",
        displacement_figure(displacements),
        "Mean squared displacement of the ions (solid) and of their charge (dashed). Strong: the lags that are fitted.",
    )
    potentials = list(dict.fromkeys(one.potential for one in series))
    groups = [[one for one in series if one.potential == potential] for potential in potentials]
    if any(len({one.result.temperature_K for one in group}) > 1 for group in groups):
        lines = [_over_temperatures(group, place, len(groups)) for place, group in enumerate(groups)]
        yield FigureBlock("arrhenius", arrhenius_figure(lines), "Tracer diffusivities with 95 % intervals.")


def _over_temperatures(group: Sequence[_Conductivity], place: int, groups: int) -> ArrheniusSeries:
    """Return the diffusivities of one potential, whose name says no temperature."""
    first = group[0]
    name = " · ".join((first.record.campaign, model_name(first.kind), f"generation {first.record.generation}"))
    points = arrhenius_series(first.kind, [one.record for one in group], [one.result for one in group], {})
    return replace(points, look=compared_look(name, first.kind, place) if groups > 1 else None)


def _arrhenius(store: Store, record: ResultRecord, look: Look | None) -> ArrheniusSeries:
    kind = str(record.model_kind)
    line = ARRHENIUS_LINES.read(record)
    points = store.results.get_many(record.inputs)
    series = arrhenius_series(kind, points, [CONDUCTIVITIES.read(one) for one in points], {kind: line})
    return replace(series, look=look)


def _draw_lines(series: Sequence[ArrheniusSeries]) -> Iterator[FigureBlock]:
    caption = "Tracer diffusivities with 95 % intervals; open: extrapolated."
    yield FigureBlock("arrhenius", arrhenius_figure(series), caption)


COMPARISONS: Final[Mapping[str, Comparison]] = MappingProxyType(
    {
        CONDUCTIVITIES.name: Comparison(_conductivity, _draw_conductivities),
        ARRHENIUS_LINES.name: Comparison(_arrhenius, _draw_lines),
    }
)
