"""Energy-volume curves beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from ....analysis.energy_volume.figures import EnergyVolumeCurve, energy_volume_figure
from ....analysis.figures import Look
from ....core.errors import InputError
from ....store.connection import Store
from ....store.records import ResultRecord
from ....tasks.values.energy_volume import VOLUME_CURVES
from ..comparison import Comparison
from ..sections import FigureBlock
from .report import energy_volume_curve


def _energies(store: Store, record: ResultRecord, look: Look | None) -> EnergyVolumeCurve:
    if not VOLUME_CURVES.read(record).volumes_A3_per_atom:
        raise InputError("no cell of it has converged")
    return replace(energy_volume_curve(record), look=look)


def _draw_energies(series: Sequence[EnergyVolumeCurve]) -> Iterator[FigureBlock]:
    caption = "Energy of strained cells, each counted from its own minimum; lines: Birch's equation of state."
    yield FigureBlock("curves", energy_volume_figure(series), caption)


COMPARISONS: Final[Mapping[str, Comparison]] = MappingProxyType(
    {
        VOLUME_CURVES.name: Comparison(_energies, _draw_energies),
    }
)
