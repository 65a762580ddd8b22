"""The figure of a screening: diffusivities and upper bounds against temperature, and the line through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from ...core.looks import Look
from ..conductivity.diffusion import Estimate
from ..conductivity.figures import add_diffusivities, add_line, with_arrhenius_axes
from ..figures import new_figure
from ..looks import model_look
from .censored_arrhenius import CensoredLine


@dataclass(frozen=True)
class ScreeningSeries:
    """A screening with one potential.

    Attributes
    ----------
    temperatures_K, diffusivities_A2_per_ps
        What is measured, one per temperature.
    bounds
        Temperature and upper bound of what is not (K, Å²/ps).
    line
        The line; None without.
    look
        Where several are compared.
    """

    kind: str
    temperatures_K: tuple[float, ...]
    diffusivities_A2_per_ps: tuple[Estimate, ...]
    bounds: tuple[tuple[float, float], ...] = ()
    line: CensoredLine | None = None
    look: Look | None = None


def screening_figure(series: Sequence[ScreeningSeries]) -> go.Figure:
    """Return diffusivities against inverse temperature; bounds are arrows that point down."""
    figure = new_figure()
    for one in series:
        look = one.look or model_look(one.kind)
        points = list(zip(one.temperatures_K, one.diffusivities_A2_per_ps, strict=True))
        add_diffusivities(figure, look, points)
        if one.bounds:
            figure.add_scatter(
                x=[1000.0 / temperature for temperature, _ in one.bounds],
                y=[bound for _, bound in one.bounds],
                mode="markers",
                name=f"{look.label}, upper bound",
                legendgroup=look.label,
                showlegend=False,
                marker={"color": look.colour, "size": 12, "symbol": "arrow-down-open"},
                hovertemplate="1000 K/T = %{x:.4g}<br>at most %{y:.3g} Å²/ps",
            )
        if one.line is not None:
            add_line(figure, look, one.line)
    return with_arrhenius_axes(figure)
