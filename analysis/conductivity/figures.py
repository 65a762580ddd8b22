"""Figures of transport: displacement against time, conductivity against length, diffusivity against temperature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import plotly.graph_objects as go

from ...core.arrays import BoolArray, FloatArray
from ...core.looks import Look
from ..figures import NEUTRAL_COLOUR, new_figure
from ..looks import model_look
from .arrhenius import ArrheniusResult
from .diffusion import Estimate

_BAND_OPACITY = 0.18
_LINE_POINTS = 50


@dataclass(frozen=True)
class DisplacementSeries:
    """Displacements with one potential at one temperature, [n_lags] (ps, Å²), and the fitted window (ps).

    A ``look``, here and below, is for series of one potential that are compared.
    """

    kind: str
    lags_ps: FloatArray
    tracer_A2: FloatArray
    collective_A2: FloatArray
    window_ps: tuple[float, float]
    look: Look | None = None


@dataclass(frozen=True)
class LengthSeries:
    """Conductivities with one potential, [n_lengths] (ps, mS/cm).

    ``reliable`` tells which are more than an upper bound.
    """

    kind: str
    lengths_ps: FloatArray
    values_mS_per_cm: FloatArray
    low_mS_per_cm: FloatArray
    high_mS_per_cm: FloatArray
    reliable: BoolArray
    look: Look | None = None


@dataclass(frozen=True)
class ArrheniusSeries:
    """Diffusivities with one potential, one per temperature (K, Å²/ps), and the line through them."""

    kind: str
    temperatures_K: tuple[float, ...]
    diffusivities_A2_per_ps: tuple[Estimate, ...]
    fit: ArrheniusResult | None
    look: Look | None = None


def displacement_figure(series: Sequence[DisplacementSeries]) -> go.Figure:
    """Return mean squared displacements on logarithmic axes: ions solid, charge dashed, fitted lags drawn strong."""
    figure = new_figure()
    for one in series:
        look = one.look or model_look(one.kind)
        fitted = (one.lags_ps >= one.window_ps[0]) & (one.lags_ps <= one.window_ps[1])
        for values, label, dash in ((one.tracer_A2, "ions", "solid"), (one.collective_A2, "charge", "dash")):
            shown = values > 0
            # Of several results each has one name; what is dashed, the caption says.
            group = look.label if one.look else f"{look.label} {label}"
            figure.add_scatter(
                x=one.lags_ps[shown].tolist(),
                y=values[shown].tolist(),
                mode="lines",
                name=f"{look.label}, {label}",
                legendgroup=group,
                showlegend=one.look is None or dash == "solid",
                line={"color": look.colour, "width": 1.2, "dash": dash},
                hovertemplate="%{x:.4g} ps<br>%{y:.4g} Å²",
            )
            figure.add_scatter(
                x=one.lags_ps[shown & fitted].tolist(),
                y=values[shown & fitted].tolist(),
                mode="lines",
                name=f"{look.label}, {label}, fitted",
                legendgroup=group,
                showlegend=False,
                line={"color": look.colour, "width": 3.5, "dash": dash},
                hoverinfo="skip",
            )
    _add_slope_one(figure, series)
    figure.update_xaxes(title_text="Time (ps)", type="log")
    figure.update_yaxes(title_text="Mean squared displacement (Å²)", type="log")
    return figure


def _add_slope_one(figure: go.Figure, series: Sequence[DisplacementSeries]) -> None:
    """Add a line of slope 1 as a guide, through the end of the first fitted window."""
    if not series or not np.any(series[0].tracer_A2 > 0):
        return
    first = series[0]
    start, end = first.window_ps
    height = 0.5 * float(np.interp(start, first.lags_ps, first.tracer_A2))
    figure.add_scatter(
        x=[start, end],
        y=[height, height * end / start],
        mode="lines",
        name="slope 1",
        line={"color": NEUTRAL_COLOUR, "width": 1, "dash": "dot"},
        hoverinfo="skip",
    )


def conductivity_length_figure(series: Sequence[LengthSeries]) -> go.Figure:
    """Return conductivity against the length of trajectories with its 95 % band; open symbols are upper bounds."""
    figure = new_figure()
    for one in series:
        look = one.look or model_look(one.kind)
        figure.add_scatter(
            x=[*one.lengths_ps.tolist(), *one.lengths_ps[::-1].tolist()],
            y=[*one.low_mS_per_cm.tolist(), *one.high_mS_per_cm[::-1].tolist()],
            mode="lines",
            fill="toself",
            fillcolor=look.colour,
            opacity=_BAND_OPACITY,
            line={"width": 0},
            name=f"{look.label}, 95 % band",
            legendgroup=look.label,
            showlegend=False,
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=one.lengths_ps.tolist(),
            y=one.values_mS_per_cm.tolist(),
            mode="lines+markers",
            name=look.label,
            legendgroup=look.label,
            line={"color": look.colour, "width": 2},
            marker={
                "color": look.colour,
                "size": 8,
                "symbol": [look.symbol if sure else f"{look.symbol}-open" for sure in one.reliable.tolist()],
            },
            customdata=np.stack([one.low_mS_per_cm, one.high_mS_per_cm], axis=1).tolist(),
            hovertemplate="%{x:.4g} ps<br>%{y:.4g} mS/cm (%{customdata[0]:.3g} to %{customdata[1]:.3g})",
        )
    figure.update_xaxes(title_text="Length of each trajectory (ps)", type="log")
    figure.update_yaxes(title_text="Ionic conductivity (mS/cm)", rangemode="tozero")
    return figure


def arrhenius_figure(series: Sequence[ArrheniusSeries]) -> go.Figure:
    """Return diffusivities against inverse temperature with 95 % intervals, and lines to the extrapolated value."""
    figure = new_figure()
    for one in series:
        look = one.look or model_look(one.kind)
        points = zip(one.temperatures_K, one.diffusivities_A2_per_ps, strict=True)
        add_diffusivities(figure, look, [point for point in points if point[1].value > 0])
        if one.fit is not None:
            add_line(figure, look, one.fit)
    return with_arrhenius_axes(figure)


class Line(Protocol):
    """A line of diffusivities against temperature, and what it says at another one."""

    @property
    def temperatures_K(self) -> tuple[float, ...]:
        """Temperatures of its points (K)."""

    @property
    def extrapolated_temperature_K(self) -> float:
        """Temperature that is extrapolated to (K)."""

    @property
    def extrapolated_diffusivity_A2_per_ps(self) -> Estimate:
        """Diffusivity there (Å²/ps)."""

    def diffusivity_A2_per_ps(self, temperature_K: float) -> float:
        """Return the diffusivity at a temperature (Å²/ps)."""


def with_arrhenius_axes(figure: go.Figure) -> go.Figure:
    """Return a figure with axes for diffusivities against inverse temperature."""
    figure.update_xaxes(title_text="1000 K / T")
    figure.update_yaxes(title_text="Diffusivity (Å²/ps)", type="log")
    return figure


def add_diffusivities(figure: go.Figure, look: Look, points: Sequence[tuple[float, Estimate]]) -> None:
    """Add diffusivities (Å²/ps) with their temperatures (K) to an Arrhenius figure."""
    figure.add_scatter(
        x=[1000.0 / temperature_K for temperature_K, _ in points],
        y=[estimate.value for _, estimate in points],
        error_y={
            "type": "data",
            "array": [estimate.high - estimate.value for _, estimate in points],
            # A logarithmic axis has no place for a bar down to zero.
            "arrayminus": [estimate.value - max(estimate.low, 0.05 * estimate.value) for _, estimate in points],
            "color": look.colour,
        },
        mode="markers",
        name=look.label,
        legendgroup=look.label,
        marker={"color": look.colour, "size": 9, "symbol": look.symbol},
        hovertemplate="1000 K/T = %{x:.4g}<br>%{y:.3g} Å²/ps",
    )


def add_line(figure: go.Figure, look: Look, line: Line) -> None:
    """Add a line, and what it says at the temperature that it is extrapolated to."""
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
