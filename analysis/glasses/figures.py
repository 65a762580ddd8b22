"""Figures of glasses: density on the way down, density and anions of every glass with the spread between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from ...core.looks import Look
from ..figures import COMPARED_COLOURS, new_figure
from ..looks import model_look
from .groups import GlassGroup, MadeGlass, sound
from .quench import QuenchCurves

_BINS = 60
MOST_CURVES = 40
"""Quenches that one figure shows; more hide each other."""


@dataclass(frozen=True)
class GlassSeries:
    """Glasses of one potential.

    ``curves`` are those of ``glasses``, as far as they are shown; ``look`` is for several that are compared.
    """

    kind: str
    glasses: tuple[MadeGlass, ...]
    groups: tuple[GlassGroup, ...]
    curves: tuple[QuenchCurves, ...] = ()
    look: Look | None = None


def density_figure(series: Sequence[GlassSeries]) -> go.Figure:
    """Return densities at rest against the rate: every glass a point, means with their 95 % intervals."""
    figure = new_figure()
    for one in series:
        look = one.look or model_look(one.kind)
        whole = [glass for glass in sound(one.glasses) if glass.density_g_per_cm3 is not None]
        figure.add_scatter(
            x=[glass.quench_K_per_ps for glass in whole],
            y=[glass.density_g_per_cm3 for glass in whole],
            mode="markers",
            name=f"{look.label}, glasses",
            legendgroup=look.label,
            marker={"color": look.colour, "size": 6, "symbol": "circle-open"},
            text=[glass.name for glass in whole],
            hovertemplate="%{text}<br>%{y:.4f} g/cm³",
        )
        means = [(group, group.density_g_per_cm3) for group in one.groups if group.density_g_per_cm3 is not None]
        figure.add_scatter(
            x=[group.quench_K_per_ps for group, _ in means],
            y=[spread.mean for _, spread in means],
            mode="markers",
            name=f"{look.label}, mean",
            legendgroup=look.label,
            marker={"color": look.colour, "size": 10, "symbol": look.symbol},
            error_y={
                "type": "data",
                "array": [0.0 if spread.high is None else spread.high - spread.mean for _, spread in means],
                "color": look.colour,
            },
            text=[f"{group.size}, {spread.glasses} glasses" for group, spread in means],
            hovertemplate="%{text}<br>%{x:g} K/ps<br>%{y:.4f} g/cm³",
        )
    figure.update_xaxes(title_text="Rate (K/ps)", type="log")
    figure.update_yaxes(title_text="Density at rest (g/cm³)")
    return figure


def quench_figure(series: Sequence[GlassSeries]) -> go.Figure:
    """Return densities against temperature on the way down, one line for every glass, means over temperature bins."""
    figure = new_figure()
    shown = [(one, glass, curves) for one in series for glass, curves in zip(one.glasses, one.curves, strict=False)]
    rates = sorted({glass.quench_K_per_ps for _, glass, _ in shown})
    told: set[str] = set()
    for one, glass, curves in shown[:MOST_CURVES]:
        look = one.look or model_look(one.kind)
        name = f"{look.label}, {glass.quench_K_per_ps:g} K/ps"
        temperature, density = binned(curves)
        colour = COMPARED_COLOURS[rates.index(glass.quench_K_per_ps) % len(COMPARED_COLOURS)]
        figure.add_scatter(
            x=temperature.tolist(),
            y=density.tolist(),
            mode="lines",
            name=name,
            legendgroup=name,
            showlegend=name not in told,
            line={"color": colour, "width": 1.5},
            hovertemplate=f"{glass.name}<br>%{{x:.0f}} K<br>%{{y:.3f}} g/cm³",
        )
        told.add(name)
    figure.update_xaxes(title_text="Temperature of the thermostat (K)")
    figure.update_yaxes(title_text="Density (g/cm³)")
    return figure


def binned(curves: QuenchCurves) -> tuple[np.ndarray, np.ndarray]:
    """Return mean temperature (K) and density (g/cm³) by temperature of the thermostat; a hold is one point."""
    low, high = float(curves.thermostat_K.min()), float(curves.thermostat_K.max())
    if high <= low:
        return np.array([low]), np.array([curves.density_g_per_cm3.mean()])
    place = np.minimum((_BINS * (curves.thermostat_K - low) / (high - low)).astype(int), _BINS - 1)
    counts = np.bincount(place, minlength=_BINS)
    full = counts > 0
    return tuple(  # type: ignore[return-value]
        np.bincount(place, weights=values, minlength=_BINS)[full] / counts[full]
        for values in (curves.thermostat_K, curves.density_g_per_cm3)
    )


def anions_figure(series: Sequence[GlassSeries]) -> go.Figure:
    """Return the part of centres in each anion, a bar for each size and rate, with 95 % intervals between glasses."""
    figure = new_figure()
    names = sorted({name for one in series for group in one.groups for name in group.centres_percent})
    for one in series:
        look = one.look or model_look(one.kind)
        for place, group in enumerate(group for group in one.groups if group.centres_percent):
            spreads = [group.centres_percent.get(name) for name in names]
            figure.add_bar(
                x=names,
                y=[0.0 if spread is None else spread.mean for spread in spreads],
                name=f"{look.label}, {group.size}, {group.quench_K_per_ps:g} K/ps",
                marker={"color": look.colour, "opacity": max(0.3, 1.0 - 0.2 * place)},
                error_y={
                    "type": "data",
                    "array": [
                        0.0 if spread is None or spread.high is None else spread.high - spread.mean
                        for spread in spreads
                    ],
                },
                hovertemplate="%{x}<br>%{y:.1f} %",
            )
    figure.update_layout(barmode="group")
    figure.update_xaxes(title_text="Anion", type="category", showgrid=False)
    figure.update_yaxes(title_text="Part of the centres (%)", rangemode="tozero")
    return figure
