"""Screenings of several crystals or potentials beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from ....analysis.screening.figures import ScreeningSeries, screening_figure
from ....core.looks import Look
from ....store.connection import Store
from ....store.records import ResultRecord
from ....tasks.values.screening import SCREENINGS
from ..comparison import Comparison
from ..sections import FigureBlock
from .report import runs_of, series_of


def _screening(store: Store, record: ResultRecord, look: Look | None) -> ScreeningSeries:
    return series_of(record, SCREENINGS.read(record), runs_of(store, record), look)


def _draw(series: Sequence[ScreeningSeries]) -> Iterator[FigureBlock]:
    caption = "Tracer diffusivities with 95 % intervals; arrows: upper bounds; open: extrapolated to 300 K."
    yield FigureBlock("arrhenius", screening_figure(series), caption)


COMPARISONS: Final[Mapping[str, Comparison]] = MappingProxyType({SCREENINGS.name: Comparison(_screening, _draw)})
