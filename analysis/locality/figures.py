"""Figures of the locality tests: induced force against radius by species, and against the scale of the charges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from ...core.looks import Look
from ...fitting.electrostatics.charges import FittedCharges, ScaleCurve
from ..figures import (
    ELEMENT_COLOURS,
    NEUTRAL_COLOUR,
    WITH_BASELINE_COLOUR,
    WITHOUT_BASELINE_COLOUR,
    new_figure,
    panels,
)
from ..looks import model_look, model_name
from .curves import OVERALL, LocalityBound, LocalityCurve, LocalityResult

_BAND_OPACITY = 0.16
_HIGHEST = 1.8


def locality_figure(result: LocalityResult, cutoffs_A: Sequence[float] = ()) -> go.Figure:
    """Return induced force (or σ_f) against radius, one panel per species.

    Bands are standard deviations, error bars standard errors of the mean. What is left after the baseline is taken
    away has the colour of models with one, which have to describe it; what was there before that of models without.

    Parameters
    ----------
    cutoffs_A
        The models' cutoffs, marked by lines.
    """
    name = model_name(result.potential)
    return _species_panels(
        [
            _Curves(result, result.before, Look(name, WITHOUT_BASELINE_COLOUR, "circle")),
            _Curves(result, result.after or {}, Look(f"{name} minus baseline", WITH_BASELINE_COLOUR, "circle")),
        ],
        cutoffs_A,
        banded=True,
    )


@dataclass(frozen=True)
class LocalitySeries:
    """One of several tests of the same protocol."""

    result: LocalityResult
    look: Look


def compared_localities_figure(series: Sequence[LocalitySeries]) -> go.Figure:
    """Return induced force (or σ_f) against radius of several tests, one panel per species.

    Solid before and dashed after the baseline is taken away, with one name in the legend; bars are standard errors of
    the mean.
    """
    curves = []
    for one in series:
        left = Look(f"{one.look.label}, minus baseline", one.look.colour, f"{one.look.symbol}-open")
        curves.append(_Curves(one.result, one.result.before, one.look, group=one.look.label))
        curves.append(_Curves(one.result, one.result.after or {}, left, dash="dash", group=one.look.label))
    return _species_panels(curves)


@dataclass(frozen=True)
class _Curves:
    """The curves of one series by species."""

    result: LocalityResult
    by_species: Mapping[str, LocalityCurve]
    look: Look
    dash: str = "solid"
    group: str = ""


def _species_panels(series: Sequence[_Curves], cutoffs_A: Sequence[float] = (), *, banded: bool = False) -> go.Figure:
    species = sorted({symbol for one in series for symbol in one.by_species if symbol != OVERALL})
    figure = panels(species)
    displaced = all(one.result.protocol == "displacement" for one in series)
    named: set[str] = set()
    for column, symbol in enumerate(species, start=1):
        for one in series:
            if symbol in one.by_species:
                group = one.group or one.look.label
                _add_curve(figure, column, one, symbol, banded=banded, showlegend=group not in named)
                named.add(group)
        for cutoff_A in cutoffs_A:
            at = cutoff_A if displaced else 2 * cutoff_A
            figure.add_vline(x=at, line={"color": NEUTRAL_COLOUR, "width": 1, "dash": "dot"}, col=column, row=1)
    figure.update_xaxes(title_text="Radius r (Å)" if displaced else "Frozen radius 2 R<sub>cut</sub> (Å)")
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title_text="Induced force (eV/Å)" if displaced else "σ<sub>f</sub> (eV/Å)", col=1)
    return figure


def _add_curve(figure: go.Figure, column: int, one: _Curves, symbol: str, *, banded: bool, showlegend: bool) -> None:
    curve, look = one.by_species[symbol], one.look
    radii = np.array(one.result.radii_A)
    value, deviation = np.array(curve.value_eV_per_A), np.array(curve.deviation_eV_per_A)
    common = {"legendgroup": one.group or look.label, "row": 1, "col": column}
    if banded:
        figure.add_scatter(
            x=np.concatenate([radii, radii[::-1]]).tolist(),
            y=np.concatenate([value + deviation, np.maximum(value - deviation, 0)[::-1]]).tolist(),
            mode="lines",
            line={"width": 0, "color": look.colour},
            fill="toself",
            fillcolor=_translucent(look.colour),
            hoverinfo="skip",
            showlegend=False,
            name=f"{look.label}, standard deviation",
            **common,
        )
    figure.add_scatter(
        x=radii.tolist(),
        y=value.tolist(),
        mode="lines+markers",
        name=look.label,
        showlegend=showlegend,
        line={"color": look.colour, "width": 2.5, "dash": one.dash},
        marker={"color": look.colour, "size": 7, "symbol": look.symbol},
        error_y={"array": list(curve.error_eV_per_A), "color": look.colour, "thickness": 1.2, "width": 3},
        hovertemplate="%{x:.2f} Å<br>%{y:.3f} eV/Å",
        **common,
    )


def _translucent(colour: str) -> str:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{_BAND_OPACITY})"


def add_locality_bounds(figure: go.Figure, bounds: Mapping[str, LocalityBound], per_unit: float = 1.0) -> None:
    """Draw into a learning curve of force errors, as grey bands, what no model of each kind can fall below.

    Parameters
    ----------
    bounds
        By kind of model.
    per_unit
        Units of the figure's axis in one eV/Å: 1000 for meV/Å.
    """
    for kind, bound in bounds.items():
        height = per_unit * bound.force_eV_per_A
        figure.add_hrect(y0=0, y1=height, fillcolor=NEUTRAL_COLOUR, opacity=_BAND_OPACITY, layer="below", line_width=0)
        figure.add_hline(
            y=height,
            line={"color": model_look(kind).colour, "width": 1.5, "dash": "dot"},
            name=f"locality, {model_name(kind)}",
            showlegend=True,
        )


def charge_scale_figure(curve: ScaleCurve, mobile: str, fitted: FittedCharges | None = None) -> go.Figure:
    """Return the root-mean-square induced force that remains against the charge of the mobile ion, by species.

    All charges grow together. Where charges were fitted, a line stands at the mobile ion's, with its standard
    deviation as a band, and stars show what remains with all of the fitted charges.
    """
    figure = new_figure()
    charges = [scale * curve.charges[mobile] for scale in curve.scales]
    for index, symbol in enumerate(sorted(curve.rms_eV_per_A)):
        colour = ELEMENT_COLOURS[index % len(ELEMENT_COLOURS)]
        figure.add_scatter(
            x=charges,
            y=list(curve.rms_eV_per_A[symbol]),
            mode="lines",
            name=symbol,
            legendgroup=symbol,
            line={"color": colour, "width": 2.5},
            hovertemplate="%{x:.3f} e<br>%{y:.3f} eV/Å",
        )
        if fitted is not None:
            figure.add_scatter(
                x=[fitted.charges[mobile]],
                y=[fitted.after_eV_per_A[symbol]],
                mode="markers",
                name=f"{symbol}, fitted",
                legendgroup=symbol,
                showlegend=False,
                marker={"color": colour, "size": 11, "symbol": "star"},
                hovertemplate=f"fitted charges<br>{symbol} %{{y:.3f}} eV/Å",
            )
    all_species = np.sqrt(np.array(curve.criterion_eV2_per_A2) / len(curve.rms_eV_per_A))
    figure.add_scatter(
        x=charges,
        y=all_species.tolist(),
        mode="lines",
        name="all species alike",
        line={"color": NEUTRAL_COLOUR, "width": 2, "dash": "dash"},
        hovertemplate="%{x:.3f} e<br>%{y:.3f} eV/Å",
    )
    if fitted is not None:
        at, spread = fitted.charges[mobile], fitted.uncertainties[mobile]
        figure.add_vline(x=at, line={"color": NEUTRAL_COLOUR, "width": 1, "dash": "dot"})
        figure.add_vrect(x0=at - spread, x1=at + spread, fillcolor=NEUTRAL_COLOUR, opacity=0.15, line_width=0)
    figure.update_xaxes(title_text=f"Charge of {mobile}, the others in proportion (e)")
    # Strong charges make forces of any size; what matters is where they are smaller than without charges.
    highest = _HIGHEST * max(max(values[:1], default=0.0) for values in curve.rms_eV_per_A.values())
    figure.update_yaxes(title_text="Induced force that remains, RMS (eV/Å)", range=[0, highest] if highest else None)
    return figure
