"""Figures of rotations: memory of orientations, rates against temperature, hops about rotations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ...core.arrays import FloatArray
from ...core.looks import Look
from ..figures import NEUTRAL_COLOUR, new_figure
from ..looks import model_look
from .coupling import Coupling
from .rotation import Rate

NAMES = ("C₁", "C₂", "C_T")
_DASHES = ("solid", "dash", "dot")


@dataclass(frozen=True)
class RotationSeries:
    """Rotation with one potential at one temperature.

    Attributes
    ----------
    lags_ps, curves
        C1, C2 and C_T, [n_lags] (ps) and [3, n_lags].
    rate_per_anion_per_ns, rotations
        How often, with its interval, and from how many events.
    coupling
        Hops about rotations; None without.
    look
        Where several are compared.
    """

    kind: str
    temperature_K: float
    lags_ps: FloatArray
    curves: FloatArray
    rate_per_anion_per_ns: Rate
    rotations: int
    coupling: Coupling | None = None
    look: Look | None = None


def correlation_figure(series: Sequence[RotationSeries]) -> go.Figure:
    """Return C1 (solid), C2 (dashed) and C_T (dotted) against the logarithm of time."""
    figure = new_figure()
    for one in series:
        look = one.look or model_look(one.kind)
        for curve, name, dash in zip(one.curves, NAMES, _DASHES, strict=True):
            shown = np.isfinite(curve) & (one.lags_ps > 0)
            if not shown.any():
                continue
            figure.add_scatter(
                x=one.lags_ps[shown].tolist(),
                y=curve[shown].tolist(),
                mode="lines",
                name=f"{look.label}, {name}",
                legendgroup=look.label,
                line={"color": look.colour, "width": 2, "dash": dash},
                hovertemplate=f"{name} %{{y:.3f}}<br>%{{x:.3g}} ps",
            )
    figure.update_xaxes(title_text="Time (ps)", type="log")
    figure.update_yaxes(title_text="Correlation")
    return figure


def rate_figure(series: Sequence[RotationSeries]) -> go.Figure:
    """Return rotations per anion and ns against inverse temperature; without an event an arrow at the upper bound."""
    figure = new_figure()
    groups = dict.fromkeys((one.kind, one.look.label if one.look else "") for one in series)
    for kind, label in groups:
        own = [one for one in series if (one.kind, one.look.label if one.look else "") == (kind, label)]
        look = own[0].look or model_look(kind)
        turned = sorted((one for one in own if one.rotations), key=lambda one: one.temperature_K)
        still = [one for one in own if not one.rotations]
        if turned:
            _add_rates(figure, look, turned)
        if still:
            figure.add_scatter(
                x=[1000.0 / one.temperature_K for one in still],
                y=[one.rate_per_anion_per_ns.high for one in still],
                mode="markers",
                name=f"{look.label}, upper bound",
                legendgroup=look.label,
                showlegend=not turned,
                marker={"color": look.colour, "size": 12, "symbol": "arrow-down-open"},
                hovertemplate="1000 K/T = %{x:.4g}<br>at most %{y:.3g} per ns",
            )
    figure.update_xaxes(title_text="1000 K / temperature")
    figure.update_yaxes(title_text="Rotations per anion and ns", type="log")
    return figure


def _add_rates(figure: go.Figure, look: Look, series: Sequence[RotationSeries]) -> None:
    rates = [one.rate_per_anion_per_ns for one in series]
    figure.add_scatter(
        x=[1000.0 / one.temperature_K for one in series],
        y=[rate.value for rate in rates],
        mode="lines+markers",
        name=look.label,
        legendgroup=look.label,
        line={"color": look.colour, "width": 1, "dash": "dot"},
        marker={"color": look.colour, "size": 9, "symbol": look.symbol},
        error_y=_bars(rates, look.colour),
        hovertemplate="1000 K/T = %{x:.4g}<br>%{y:.3g} per ns",
    )


def _bars(rates: Sequence[Rate], colour: str) -> dict[str, Any]:
    return {
        "array": [rate.high - rate.value for rate in rates],
        "arrayminus": [rate.value - rate.low for rate in rates],
        "color": colour,
        "thickness": 1,
        "width": 3,
    }


def coupling_figure(series: Sequence[RotationSeries]) -> go.Figure:
    """Return P(hop | rotation)/P(hop) against the window, with the band of 95 % of the surrogates."""
    figure = new_figure()
    for one in series:
        if one.coupling is None:
            continue
        windows = [window for window in one.coupling.windows if window.ratio is not None]
        if not windows:
            continue
        look = one.look or model_look(one.kind)
        x = [window.window_ps for window in windows]
        low, high = (
            [getattr(each, name) / each.by_chance for each in windows] for name in ("chance_low", "chance_high")
        )
        figure.add_scatter(
            x=[*x, *reversed(x)],
            y=[*high, *reversed(low)],
            fill="toself",
            mode="lines",
            line={"width": 0, "color": look.colour},
            opacity=0.18,
            legendgroup=look.label,
            showlegend=False,
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=x,
            y=[window.ratio for window in windows],
            mode="lines+markers",
            name=look.label,
            legendgroup=look.label,
            line={"color": look.colour, "width": 2},
            marker={"color": look.colour, "size": 8, "symbol": look.symbol},
            customdata=[window.p_value for window in windows],
            hovertemplate="±%{x:g} ps<br>%{y:.3g} times<br>p = %{customdata:.3g}",
        )
    figure.add_hline(y=1.0, line={"color": NEUTRAL_COLOUR, "width": 1})
    figure.update_xaxes(title_text="Time before and after a rotation (ps)", type="log")
    figure.update_yaxes(title_text="P(hop | rotation) / P(hop)", rangemode="tozero")
    return figure
