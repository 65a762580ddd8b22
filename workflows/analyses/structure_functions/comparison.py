"""Structure functions of several trajectories beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from ....core.looks import Look
from ....store.connection import Store
from ....store.records import ResultRecord
from ....tasks.values.structure_functions import STRUCTURE_FUNCTIONS
from ..comparison import Comparison
from ..sections import FigureBlock
from .blocks import Shown, total_figures
from .report import shown


def _read(store: Store, record: ResultRecord, look: Look | None) -> Shown:
    return shown(store, record, look)


def _draw(series: Sequence[Shown]) -> Iterator[FigureBlock]:
    yield from total_figures(series)


COMPARISONS: Final[Mapping[str, Comparison]] = MappingProxyType({STRUCTURE_FUNCTIONS.name: Comparison(_read, _draw)})
