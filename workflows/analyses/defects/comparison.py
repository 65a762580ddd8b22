"""Defects beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from ....analysis.defects.figures import FieldCurve, SeparationPoints, compared_fields_figure, separation_figure
from ....analysis.figures import Look, model_look
from ....store.connection import Store
from ....store.records import ResultRecord
from ....tasks.values.defects import FRENKEL, FRENKEL_IN_FIELD
from ..comparison import Comparison
from ..sections import FigureBlock
from .report import field_curve, separation_points

MOST_PAIRS: Final = 4
"""Defect pairs that are followed through fields, of each result."""


def _fields(store: Store, record: ResultRecord, look: Look | None) -> list[FieldCurve]:
    shown = look or model_look(str(record.model_kind))
    return [
        replace(field_curve(axis, points), look=shown)
        for pair in FRENKEL_IN_FIELD.read(record).pairs[:MOST_PAIRS]
        for axis, points in pair.axes.items()
    ]


def _draw_fields(series: Sequence[list[FieldCurve]]) -> Iterator[FigureBlock]:
    caption = (
        "Formation energy against the field, a line per pair. Crosses: the pair recombines; open: an ion hopped, or a "
        f"relaxation did not converge. At most {MOST_PAIRS} pairs of each result."
    )
    yield FigureBlock("field", compared_fields_figure([curve for curves in series for curve in curves]), caption)


def _pairs(store: Store, record: ResultRecord, look: Look | None) -> SeparationPoints:
    return replace(separation_points(str(record.model_kind), FRENKEL.read(record)), look=look)


def _draw_pairs(series: Sequence[SeparationPoints]) -> Iterator[FigureBlock]:
    caption = "Formation energies without a field against the distance at which the pair was made."
    yield FigureBlock("separation", separation_figure(series), caption)


COMPARISONS: Final[Mapping[str, Comparison]] = MappingProxyType(
    {FRENKEL.name: Comparison(_pairs, _draw_pairs), FRENKEL_IN_FIELD.name: Comparison(_fields, _draw_fields)}
)
