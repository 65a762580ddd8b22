"""Figures of species: the part of the centres in each, and how it changes with time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from ...core.arrays import FloatArray
from ...core.looks import Look
from ..figures import COMPARED_COLOURS, new_figure
from ..looks import model_look
from .results import Share, SpeciationResult

SHARES_CAPTION = "Part of the centres in each species, with 95 % intervals where frames allow them."
TIME_CAPTION = "The same against time, means over trajectories."


@dataclass(frozen=True)
class SpeciesSeries:
    """Species with one potential at one temperature, or of a file.

    Attributes
    ----------
    kind, name
        The potential, and what the legend says.
    result
        The numbers.
    times_ps, family_percent
        Shape [n] and [n_families, n]; empty without times.
    look
        Where several are compared.
    """

    kind: str
    name: str
    result: SpeciationResult
    times_ps: FloatArray
    family_percent: FloatArray
    look: Look | None = None


def shares_figure(series: Sequence[SpeciesSeries]) -> go.Figure:
    """Return the part of the centres in each family of species: a bar for each potential and temperature."""
    figure = new_figure()
    names = list(dict.fromkeys(one.name for item in series for one in item.result.families))
    for place, item in enumerate(series):
        look = item.look or model_look(item.kind)
        shares = {one.name: one for one in item.result.families}
        shown: list[Share | None] = [shares.get(name) for name in names]
        figure.add_bar(
            x=names,
            y=[0.0 if one is None else one.percent for one in shown],
            name=item.look.label if item.look else item.name,
            marker={"color": look.colour, "opacity": max(0.35, 1.0 - 0.2 * (0 if item.look else place))},
            error_y={"type": "data", "array": [0.0 if one is None else one.half_width or 0.0 for one in shown]},
            hovertemplate="%{x}<br>%{y:.1f} %",
        )
    figure.update_layout(barmode="group")
    figure.update_xaxes(title_text="Species", type="category", showgrid=False)
    figure.update_yaxes(title_text="Part of the centres (%)", rangemode="tozero")
    return figure


def time_figure(item: SpeciesSeries) -> go.Figure:
    """Return the part of the centres in each family against time."""
    figure = new_figure()
    for place, (share, curve) in enumerate(zip(item.result.families, item.family_percent, strict=True)):
        figure.add_scatter(
            x=item.times_ps.tolist(),
            y=curve.tolist(),
            mode="lines",
            name=share.name,
            line={"color": COMPARED_COLOURS[place % len(COMPARED_COLOURS)], "width": 1.6},
            hovertemplate="%{x:.3g} ps<br>%{y:.1f} %",
        )
    figure.update_xaxes(title_text="Time (ps)")
    figure.update_yaxes(title_text="Part of the centres (%)", rangemode="tozero")
    return figure
