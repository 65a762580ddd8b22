"""Figures of force errors by the magnitude of the reference force."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import plotly.graph_objects as go

from ..figures import ELEMENT_COLOURS, PARITY_HEIGHT_PX, new_figure
from ..looks import model_look
from .model_errors import ForceBin

_MAGNITUDE_TITLE = "Magnitude of the reference force (eV/Å)"
_MILLI = 1e3


def magnitude_errors(bins: Mapping[str, Sequence[ForceBin]]) -> go.Figure:
    """Return force errors of each kind of model against the magnitude of the reference force.

    Parameters
    ----------
    bins
        By kind of model; a range that one kind lacks leaves a gap in its line. Hovering tells the relative error
        and how many components there are.
    """
    figure = new_figure()
    labels = _labels(bins.values())
    for kind, ranges in bins.items():
        by_label = {one.label: one for one in ranges}
        look = model_look(kind)
        figure.add_scatter(
            x=labels,
            y=[_MILLI * by_label[label].errors.rmse if label in by_label else None for label in labels],
            customdata=[
                [by_label[label].relative_error, by_label[label].errors.count] if label in by_label else [None, 0]
                for label in labels
            ],
            mode="lines+markers",
            name=look.label,
            line={"color": look.colour, "width": 2.5},
            marker={"color": look.colour, "size": 9, "symbol": look.symbol},
            hovertemplate="%{x} eV/Å<br>%{y:.4g} meV/Å, %{customdata[0]:.1%}<br>%{customdata[1]} components",
        )
    _set_axes(figure, labels)
    return figure


def element_and_magnitude_errors(bins: Sequence[ForceBin]) -> go.Figure:
    """Return one model's force errors against the magnitude of the reference force, a group of bars per element."""
    figure = new_figure(PARITY_HEIGHT_PX)
    labels = _labels([bins])
    elements = sorted({element for one in bins for element in one.by_element})
    for index, element in enumerate(elements):
        present = {one.label: one.by_element[element] for one in bins if element in one.by_element}
        figure.add_bar(
            x=labels,
            y=[_MILLI * present[label].rmse if label in present else None for label in labels],
            customdata=[present[label].count if label in present else 0 for label in labels],
            name=element,
            marker={"color": ELEMENT_COLOURS[index % len(ELEMENT_COLOURS)]},
            hovertemplate=f"{element}, %{{x}} eV/Å<br>%{{y:.4g}} meV/Å<br>%{{customdata}} components",
        )
    figure.update_layout(barmode="group", bargap=0.3, bargroupgap=0.06)
    _set_axes(figure, labels)
    return figure


def _labels(series: Iterable[Sequence[ForceBin]]) -> list[str]:
    """Ranges that any of the series has, in ascending order."""
    lowest = {one.label: one.lower_eV_per_A for ranges in series for one in ranges}
    return sorted(lowest, key=lowest.__getitem__)


def _set_axes(figure: go.Figure, labels: Sequence[str]) -> None:
    figure.update_xaxes(title_text=_MAGNITUDE_TITLE, type="category", categoryarray=list(labels), showgrid=False)
    figure.update_yaxes(title_text="Force RMSE (meV/Å)", rangemode="tozero")
