"""Paths beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from ....analysis.barriers.figures import PathEnergies, barrier_figure
from ....analysis.figures import Look
from ....store.connection import Store
from ....store.records import ResultRecord
from ....tasks.values.barriers import BARRIERS
from ..comparison import Comparison
from ..sections import FigureBlock
from .report import path_energies


def _paths(store: Store, record: ResultRecord, look: Look | None) -> list[PathEnergies]:
    energies = path_energies(str(record.model_kind), BARRIERS.read(record))
    return [replace(path, look=look) for path in energies.values()]


def _draw_paths(series: Sequence[list[PathEnergies]]) -> Iterator[FigureBlock]:
    caption = (
        "Energies along each path, every potential counted from its own first image. Solid: the potential whose path "
        "it is; dashed: single points of the others; bars: 95 % model intervals."
    )
    yield FigureBlock("path", barrier_figure([path for paths in series for path in paths]), caption)


COMPARISONS: Final[Mapping[str, Comparison]] = MappingProxyType(
    {
        BARRIERS.name: Comparison(_paths, _draw_paths),
    }
)
