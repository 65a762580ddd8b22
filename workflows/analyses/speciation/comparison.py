"""Species with several potentials or of several campaigns beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from ....analysis.speciation.figures import SHARES_CAPTION, SpeciesSeries, shares_figure
from ....tasks.values.speciation import SPECIATIONS
from ..comparison import Comparison
from ..sections import FigureBlock
from .report import series_of


def _draw(series: Sequence[SpeciesSeries]) -> Iterator[FigureBlock]:
    yield FigureBlock("shares", shares_figure(series), SHARES_CAPTION)


COMPARISONS: Final[Mapping[str, Comparison]] = MappingProxyType({SPECIATIONS.name: Comparison(series_of, _draw)})
