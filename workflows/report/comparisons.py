"""Results of one kind in one figure: across models, generations and campaigns.

The figures are those of the report; here their series are called and coloured by the result that they come from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from numpy.typing import NDArray
from pydantic import ValidationError

from ...analysis.barriers.figures import PathEnergies, barrier_figure
from ...analysis.conductivity.arrhenius import ArrheniusResult
from ...analysis.conductivity.figures import (
    ArrheniusSeries,
    arrhenius_figure,
    conductivity_length_figure,
    displacement_figure,
)
from ...analysis.conductivity.transport import ConductivityResult
from ...analysis.defects.figures import FieldCurve, SeparationPoints, compared_fields_figure, separation_figure
from ...analysis.energy_volume.figures import EnergyVolumeCurve, energy_volume_figure
from ...analysis.figures import Look, compared_look, model_look, model_name
from ...analysis.locality.curves import LocalityResult
from ...analysis.locality.figures import LocalitySeries, compared_localities_figure, locality_figure
from ...core.errors import InputError, IonloopError
from ...store.connection import Store
from ...store.records import ResultRecord
from ...tasks.barriers import BARRIER_KIND
from ...tasks.conductivity import ARRHENIUS_KIND, CONDUCTIVITY_KIND, result_from_values
from ...tasks.defect_results import FRENKEL_FIELD_KIND, FRENKEL_KIND
from ...tasks.energy_volume import CURVE_KIND
from ...tasks.locality import LOCALITY_KIND
from ...tasks.results import load_arrays
from ..analyses.barriers import path_energies
from ..analyses.conductivity import arrhenius_series, displacement_series, length_series
from ..analyses.defect_sections import field_curve
from ..analyses.energy_volume import energy_volume_curve
from ..analyses.locality import result_of
from ..analyses.sections import FigureBlock

MOST_PAIRS: Final = 4
"""Defect pairs that are followed through fields, of each result."""
TOLD_BY: Final = ("slot", "temperature_K", "subset", "protocol")
"""Values that tell results of one model apart."""
# What a damaged file raises, or a record of another version or hand.
_UNREADABLE: Final = (IonloopError, ValidationError, ValueError, KeyError, TypeError, AttributeError, OSError)


@dataclass(frozen=True)
class Comparison:
    """How results of one kind are shown together.

    Attributes
    ----------
    read
        The series of one result; its look is None where it is shown alone.
    draw
        The figures of the series of all.
    """

    read: Callable[[Store, ResultRecord, Look | None], Any]
    draw: Callable[[Sequence[Any]], Iterator[FigureBlock]]


def compare(store: Store, records: Sequence[ResultRecord]) -> tuple[list[FigureBlock], list[str]]:
    """Return the figures that show these results of one kind together, and what is wrong with those left out.

    Empty for a kind that is shown by its values alone.
    """
    comparison = COMPARISONS.get(records[0].kind) if records else None
    if comparison is None:
        return [], []
    series, problems = [], []
    for record, look in zip(records, looks(records), strict=True):
        try:
            if not all(map(store.artefacts.is_whole, record.artefacts.values())):
                raise InputError("one of its files is missing, or is not as it was recorded")
            series.append(comparison.read(store, record, look))
        except _UNREADABLE as error:
            problems.append(f"{record.id}: {error}")
    blocks = list(comparison.draw(series)) if series else []
    return blocks, problems


def looks(records: Sequence[ResultRecord]) -> list[Look | None]:
    """Return how each result is told from the others; None for one alone, which looks like its model."""
    if len(records) == 1:
        return [None]
    return [
        compared_look(name, str(record.model_kind), place)
        for place, (name, record) in enumerate(zip(series_names(records), records, strict=True))
    ]


def series_names(records: Sequence[ResultRecord]) -> list[str]:
    """Return a name for each result: campaign, model, generation, and whatever else tells it from the others."""
    telling = [key for key in TOLD_BY if len({str(record.values.get(key)) for record in records}) > 1]
    names = []
    for record in records:
        parts = [record.campaign, model_name(record.model_kind or ""), f"generation {record.generation}"]
        parts += [_said(key, record.values[key]) for key in telling if key in record.values]
        names.append(" · ".join(filter(None, parts)))
    often = Counter(names)
    return [f"{name} · {record.id}" if often[name] > 1 else name for name, record in zip(names, records, strict=True)]


def _said(key: str, value: Any) -> str:
    return f"{value:g} K" if key.endswith("_K") and isinstance(value, int | float) else str(value)


# -- locality ---------------------------------------------------------------------------------------------------------


def _locality(store: Store, record: ResultRecord, look: Look | None) -> tuple[LocalityResult, Look | None]:
    return result_of(record), look


def _draw_localities(series: Sequence[tuple[LocalityResult, Look | None]]) -> Iterator[FigureBlock]:
    compared = [LocalitySeries(result, look) for result, look in series if look is not None]
    if not compared:
        yield FigureBlock(
            "radius", locality_figure(series[0][0]), "Bands: standard deviation; bars: standard error of the mean."
        )
    for protocol in dict.fromkeys(one.result.protocol for one in compared):
        alike = [one for one in compared if one.result.protocol == protocol]
        caption = "Solid: as computed; dashed: without the baseline's part. Bars: standard error of the mean."
        yield FigureBlock(f"radius-{protocol}", compared_localities_figure(alike), caption)


# -- conductivity -----------------------------------------------------------------------------------------------------


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
    return _Conductivity(record, result_from_values(record.values), arrays, look)


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
    line = ArrheniusResult.model_validate({name: record.values[name] for name in ArrheniusResult.model_fields})
    points = store.results.get_many(record.inputs)
    series = arrhenius_series(kind, points, [result_from_values(one.values) for one in points], {kind: line})
    return replace(series, look=look)


def _draw_lines(series: Sequence[ArrheniusSeries]) -> Iterator[FigureBlock]:
    caption = "Tracer diffusivities with 95 % intervals; open: extrapolated."
    yield FigureBlock("arrhenius", arrhenius_figure(series), caption)


# -- barriers, defects, energies --------------------------------------------------------------------------------------


def _paths(store: Store, record: ResultRecord, look: Look | None) -> list[PathEnergies]:
    return [replace(path, look=look) for path in path_energies(record).values()]


def _draw_paths(series: Sequence[list[PathEnergies]]) -> Iterator[FigureBlock]:
    caption = (
        "Energies along each path, every potential counted from its own first image. Solid: the potential whose path "
        "it is; dashed: single points of the others."
    )
    yield FigureBlock("path", barrier_figure([path for paths in series for path in paths]), caption)


def _fields(store: Store, record: ResultRecord, look: Look | None) -> list[FieldCurve]:
    shown = look or model_look(str(record.model_kind))
    return [
        replace(field_curve(axis, points), look=shown)
        for pair in record.values["pairs"][:MOST_PAIRS]
        for axis, points in pair["axes"].items()
    ]


def _draw_fields(series: Sequence[list[FieldCurve]]) -> Iterator[FigureBlock]:
    caption = (
        "Formation energy against the field, a line per pair. Crosses: the pair recombines; open: an ion hopped, or a "
        f"relaxation did not converge. At most {MOST_PAIRS} pairs of each result."
    )
    yield FigureBlock("field", compared_fields_figure([curve for curves in series for curve in curves]), caption)


def _pairs(store: Store, record: ResultRecord, look: Look | None) -> SeparationPoints:
    pairs = [pair for pair in record.values["pairs"] if pair["formation_energy_eV"] is not None]
    return SeparationPoints(
        kind=str(record.model_kind),
        separations_A=tuple(pair["separation_A"] for pair in pairs),
        formation_energies_eV=tuple(pair["formation_energy_eV"] for pair in pairs),
        look=look,
    )


def _draw_pairs(series: Sequence[SeparationPoints]) -> Iterator[FigureBlock]:
    caption = "Formation energies without a field against the distance at which the pair was made."
    yield FigureBlock("separation", separation_figure(series), caption)


def _energies(store: Store, record: ResultRecord, look: Look | None) -> EnergyVolumeCurve:
    if not record.values["volumes_A3_per_atom"]:
        raise InputError("no cell of it has converged")
    return replace(energy_volume_curve(record), look=look)


def _draw_energies(series: Sequence[EnergyVolumeCurve]) -> Iterator[FigureBlock]:
    caption = "Energy of strained cells, each counted from its own minimum; lines: Birch's equation of state."
    yield FigureBlock("curves", energy_volume_figure(series), caption)


COMPARISONS: Final[Mapping[str, Comparison]] = MappingProxyType(
    {
        LOCALITY_KIND: Comparison(_locality, _draw_localities),
        CONDUCTIVITY_KIND: Comparison(_conductivity, _draw_conductivities),
        ARRHENIUS_KIND: Comparison(_arrhenius, _draw_lines),
        BARRIER_KIND: Comparison(_paths, _draw_paths),
        FRENKEL_KIND: Comparison(_pairs, _draw_pairs),
        FRENKEL_FIELD_KIND: Comparison(_fields, _draw_fields),
        CURVE_KIND: Comparison(_energies, _draw_energies),
    }
)
"""By kind of result, in the order of a page."""
