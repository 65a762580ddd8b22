"""Figures of structure functions: g(r), S(q), T(r), bond angles, and measured curves beside computed ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from ...core.arrays import FloatArray
from ..figures import COMPARED_COLOURS, NEUTRAL_COLOUR, new_figure

_BAND_OPACITY = 0.18


@dataclass(frozen=True)
class Curve:
    """A curve of a figure, x and y of shape [n]; ``half_width`` is half of its 95 % interval, None without."""

    name: str
    x: FloatArray
    y: FloatArray
    half_width: FloatArray | None = None
    colour: str = ""
    measured: bool = False


def pair_figure(curves: Sequence[Curve]) -> go.Figure:
    """Return pair distribution functions against distance."""
    return _figure(curves, "r (Å)", "g(r)", "%{x:.2f} Å<br>%{y:.3g}", level=1.0)


def structure_factor_figure(curves: Sequence[Curve]) -> go.Figure:
    """Return structure factors against wave vector, measured ones as points."""
    return _figure(curves, "q (1/Å)", "S(q)", "%{x:.3f} 1/Å<br>%{y:.3g}", level=1.0)


def total_correlation_figure(curves: Sequence[Curve]) -> go.Figure:
    """Return total correlation functions against distance."""
    return _figure(curves, "r (Å)", "T(r) (1/Å²)", "%{x:.2f} Å<br>%{y:.3g} 1/Å²")


def measured_figure(curves: Sequence[Curve], axis: str, label: str) -> go.Figure:
    """Return a measured curve and the computed one at the points that were compared."""
    return _figure(curves, "q (1/Å)" if axis == "q" else "r (Å)", label, "%{x:.3f}<br>%{y:.3g}")


def angle_figure(curves: Sequence[Curve]) -> go.Figure:
    """Return probability densities of bond angles."""
    return _figure(curves, "Angle (degrees)", "Probability density (1/degree)", "%{x:.0f}°<br>%{y:.3g}")


def _figure(curves: Sequence[Curve], x: str, y: str, hover: str, level: float | None = None) -> go.Figure:
    figure = new_figure()
    for place, one in enumerate(curves):
        colour = one.colour or COMPARED_COLOURS[place % len(COMPARED_COLOURS)]
        if one.half_width is not None:
            low, high = one.y - one.half_width, one.y + one.half_width
            figure.add_scatter(
                x=[*one.x.tolist(), *one.x[::-1].tolist()],
                y=[*low.tolist(), *high[::-1].tolist()],
                mode="lines",
                fill="toself",
                fillcolor=colour,
                opacity=_BAND_OPACITY,
                line={"width": 0},
                name=f"{one.name}, 95 % band",
                legendgroup=one.name,
                showlegend=False,
                hoverinfo="skip",
            )
        figure.add_scatter(
            x=one.x.tolist(),
            y=one.y.tolist(),
            mode="markers" if one.measured else "lines",
            name=one.name,
            legendgroup=one.name,
            line={"color": colour, "width": 1.6},
            marker={"color": colour, "size": 4, "symbol": "circle-open"},
            hovertemplate=hover,
        )
    if level is not None:
        figure.add_hline(y=level, line={"color": NEUTRAL_COLOUR, "width": 1, "dash": "dot"})
    figure.update_xaxes(title_text=x)
    figure.update_yaxes(title_text=y)
    return figure
