"""Locality tests beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from ....analysis.figures import Look
from ....analysis.locality.curves import LocalityResult
from ....analysis.locality.figures import LocalitySeries, compared_localities_figure, locality_figure
from ....store.connection import Store
from ....store.records import ResultRecord
from ....tasks.values.locality import LOCALITIES
from ..comparison import Comparison
from ..sections import FigureBlock


def _locality(store: Store, record: ResultRecord, look: Look | None) -> tuple[LocalityResult, Look | None]:
    return LOCALITIES.read(record), look


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


COMPARISONS: Final[Mapping[str, Comparison]] = MappingProxyType(
    {LOCALITIES.name: Comparison(_locality, _draw_localities)}
)
