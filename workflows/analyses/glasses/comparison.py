"""Glasses of several campaigns or potentials beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from ....analysis.glasses.figures import GlassSeries, anions_figure, density_figure
from ....core.looks import Look
from ....store.connection import Store
from ....store.records import ResultRecord
from ....tasks.values.glasses import GLASSES
from ..comparison import Comparison
from ..sections import FigureBlock
from .report import series_of


def _glasses(store: Store, record: ResultRecord, look: Look | None) -> GlassSeries:
    return series_of(store, record, look, curves=False)


def _draw(series: Sequence[GlassSeries]) -> Iterator[FigureBlock]:
    yield FigureBlock("density", density_figure(series), "Density at rest: every glass, means with 95 % intervals.")
    if any(group.centres_percent for one in series for group in one.groups):
        yield FigureBlock("anions", anions_figure(series), "Centres by anion, with 95 % intervals between glasses.")


COMPARISONS: Final[Mapping[str, Comparison]] = MappingProxyType({GLASSES.name: Comparison(_glasses, _draw)})
