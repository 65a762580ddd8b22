"""The figure of a screening: diffusivities and upper bounds against temperature, and the line through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from ...core.looks import Look
from ..conductivity.diffusion import Estimate
from ..figures import new_figure
from ..looks import model_look
from .censored_arrhenius import CensoredLine

_LINE_POINTS = 50
_SHORTEST_BAR = 0.05  # of the value: a logarithmic axis has no place for a bar down to zero


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
        figure.add_scatter(
            x=[1000.0 / temperature for temperature, _ in points],
            y=[estimate.value for _, estimate in points],
            error_y={
                "type": "data",
                "array": [estimate.high - estimate.value for _, estimate in points],
                "arrayminus": [
                    estimate.value - max(estimate.low, _SHORTEST_BAR * estimate.value) for _, estimate in points
                ],
                "color": look.colour,
            },
            mode="markers",
            name=look.label,
            legendgroup=look.label,
            marker={"color": look.colour, "size": 9, "symbol": look.symbol},
            hovertemplate="1000 K/T = %{x:.4g}<br>%{y:.3g} Å²/ps",
        )
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
            _add_line(figure, look, one.line)
    figure.update_xaxes(title_text="1000 K / T")
    figure.update_yaxes(title_text="Diffusivity (Å²/ps)", type="log")
    return figure


def _add_line(figure: go.Figure, look: Look, line: CensoredLine) -> None:
    ends = [*line.temperatures_K, line.extrapolated_temperature_K]
    inverse = np.linspace(1.0 / max(ends), 1.0 / min(ends), _LINE_POINTS)
    figure.add_scatter(
        x=(1000.0 * inverse).tolist(),
        y=[line.diffusivity_A2_per_ps(1.0 / float(value)) for value in inverse],
        mode="lines",
        name=f"{look.label}, fit",
        legendgroup=look.label,
        showlegend=False,
        line={"color": look.colour, "width": 1.5},
        hoverinfo="skip",
    )
    end = line.extrapolated_diffusivity_A2_per_ps
    figure.add_scatter(
        x=[1000.0 / line.extrapolated_temperature_K],
        y=[end.value],
        error_y={
            "type": "data",
            "array": [end.high - end.value],
            "arrayminus": [end.value - end.low],
            "color": look.colour,
        },
        mode="markers",
        name=f"{look.label}, extrapolated",
        legendgroup=look.label,
        showlegend=False,
        marker={"color": look.colour, "size": 9, "symbol": f"{look.symbol}-open"},
        hovertemplate=f"extrapolated to {line.extrapolated_temperature_K:g} K<br>%{{y:.3g}} Å²/ps",
    )
