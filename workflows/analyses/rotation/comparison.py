"""Rotations with several potentials or of several campaigns beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from ....analysis.rotation.figures import RotationSeries, correlation_figure, coupling_figure, rate_figure
from ....tasks.values.rotation import ROTATIONS
from ..comparison import Comparison
from ..sections import FigureBlock
from .report import CORRELATIONS_CAPTION, COUPLING_CAPTION, RATES_CAPTION, series_of


def _draw(series: Sequence[RotationSeries]) -> Iterator[FigureBlock]:
    yield FigureBlock("rates", rate_figure(series), RATES_CAPTION)
    yield FigureBlock("correlations", correlation_figure(series), CORRELATIONS_CAPTION)
    if any(one.coupling is not None for one in series):
        yield FigureBlock("coupling", coupling_figure(series), COUPLING_CAPTION)


COMPARISONS: Final[Mapping[str, Comparison]] = MappingProxyType({ROTATIONS.name: Comparison(series_of, _draw)})
