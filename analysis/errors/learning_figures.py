"""Figures of learning on the fly: measured errors, labels and alarms along the simulated time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from ..figures import ELEMENT_COLOURS, NEUTRAL_COLOUR, WITH_BASELINE_COLOUR, WITHOUT_BASELINE_COLOUR, new_figure

_TIME_TITLE = "Simulated time of all walkers (ps)"
_MILLI = 1e3
_BAND = "rgba(0,114,178,0.18)"
KIND_COLOURS: Mapping[str, str] = {
    "audit": WITH_BASELINE_COLOUR,
    "alarm": WITHOUT_BASELINE_COLOUR,
    "rewind": ELEMENT_COLOURS[3],
}
"""Of frames by why they were labelled."""
_SYMBOLS = {"audit": "circle", "alarm": "triangle-up", "rewind": "x"}


@dataclass(frozen=True)
class AuditedCurve:
    """What audits said of the error of forces, update by update.

    Attributes
    ----------
    time_ps
        Simulated time of all walkers. Shape [n].
    rmse, low, high
        Error and the ends of its 95 % interval (eV/Å). Shape [n].
    """

    time_ps: Sequence[float]
    rmse: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def audited_errors(
    curve: AuditedCurve,
    frames: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    tolerance_eV_per_A: float,
    generations_ps: Sequence[float] = (),
) -> go.Figure:
    """Return the errors of labelled frames and what audits say of all, against the simulated time.

    Parameters
    ----------
    curve
        What audits say, with its interval.
    frames
        By why they were labelled: times (ps) and errors (eV/Å) of single frames.
    tolerance_eV_per_A
        What is to be reached.
    generations_ps
        Times at which full fits were made.
    """
    figure = new_figure()
    if curve.time_ps:
        # Intervals of very few audits would hide all else.
        top = 3.0 * max(
            [*curve.rmse, tolerance_eV_per_A, *(error for _, errors in frames.values() for error in errors)]
        )
        high = [_MILLI * min(value, top) for value in curve.high]
        figure.add_scatter(
            x=[*curve.time_ps, *reversed(curve.time_ps)],
            y=[*high, *(_MILLI * value for value in reversed(curve.low))],
            fill="toself",
            fillcolor=_BAND,
            line={"width": 0},
            mode="lines",
            name="audits, 95 %",
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=list(curve.time_ps),
            y=[_MILLI * value for value in curve.rmse],
            mode="lines",
            name="audits so far",
            line={"color": WITH_BASELINE_COLOUR, "width": 2.5},
            hovertemplate="%{x:.3g} ps<br>%{y:.4g} meV/Å",
        )
    _add_frames(figure, frames, "%{x:.3g} ps")
    figure.add_hline(y=_MILLI * tolerance_eV_per_A, line={"color": NEUTRAL_COLOUR, "dash": "dash", "width": 1.5})
    _mark_generations(figure, generations_ps)
    figure.update_xaxes(title_text=_TIME_TITLE, rangemode="tozero")
    figure.update_yaxes(title_text="Force RMSE (meV/Å)", rangemode="tozero")
    return figure


def labels_and_alarms(
    time_ps: Sequence[float],
    labels: Mapping[str, Sequence[int]],
    alarms_per_ps: Sequence[float],
    generations_ps: Sequence[float] = (),
) -> go.Figure:
    """Return labels so far by why they were asked for, and alarms per simulated time, against the simulated time.

    Parameters
    ----------
    time_ps
        Ends of the rounds. Shape [n].
    labels
        Labels so far, by why. Shape [n] each.
    alarms_per_ps
        Looks with an alarm per simulated time of each round (1/ps). Shape [n].
    generations_ps
        Times at which full fits were made.
    """
    figure = new_figure()
    for kind, counts in labels.items():
        figure.add_scatter(
            x=list(time_ps),
            y=list(counts),
            mode="lines",
            line={"color": KIND_COLOURS.get(kind, NEUTRAL_COLOUR), "width": 2.5, "shape": "hv"},
            name=f"labels of {kind}s",
            hovertemplate="%{x:.3g} ps<br>%{y} labels",
        )
    figure.add_scatter(
        x=list(time_ps),
        y=list(alarms_per_ps),
        mode="lines+markers",
        line={"color": NEUTRAL_COLOUR, "width": 1.5, "dash": "dot"},
        marker={"color": NEUTRAL_COLOUR, "size": 5},
        name="alarms per ps",
        yaxis="y2",
        hovertemplate="%{x:.3g} ps<br>%{y:.3g} alarms per ps",
    )
    _mark_generations(figure, generations_ps)
    figure.update_xaxes(title_text=_TIME_TITLE, rangemode="tozero")
    figure.update_yaxes(title_text="Labels so far", rangemode="tozero")
    figure.update_layout(
        margin={"r": 56},
        yaxis2={
            "title": {"text": "Alarms (1/ps)"},
            "overlaying": "y",
            "side": "right",
            "rangemode": "tozero",
            "showgrid": False,
            "zeroline": False,
            "automargin": True,
        },
    )
    return figure


def novelty_and_error(frames: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> go.Figure:
    """Return the largest force error of labelled frames against their novelty.

    Parameters
    ----------
    frames
        By why they were labelled: largest novelty over its threshold, and largest error of the force on an atom (eV/Å).
    """
    figure = new_figure()
    _add_frames(figure, frames, "novelty %{x:.3g}")
    figure.add_vline(x=1.0, line={"color": NEUTRAL_COLOUR, "dash": "dash", "width": 1.5})
    figure.update_xaxes(title_text="Largest novelty over its threshold", rangemode="tozero")
    figure.update_yaxes(title_text="Largest force error (meV/Å)", rangemode="tozero")
    return figure


def _mark_generations(figure: go.Figure, generations_ps: Sequence[float]) -> None:
    for time_ps in generations_ps:
        figure.add_vline(x=time_ps, line={"color": NEUTRAL_COLOUR, "dash": "dot", "width": 1})


def _add_frames(figure: go.Figure, frames: Mapping[str, tuple[Sequence[float], Sequence[float]]], place: str) -> None:
    """Add force errors (eV/Å) of labelled frames by why they were labelled; ``place`` tells where one stands."""
    for kind, (places, errors) in frames.items():
        figure.add_scatter(
            x=list(places),
            y=[_MILLI * value for value in errors],
            mode="markers",
            name=f"{kind}s",
            marker={"color": KIND_COLOURS.get(kind, NEUTRAL_COLOUR), "size": 8, "symbol": _SYMBOLS.get(kind, "circle")},
            hovertemplate=f"{kind}<br>{place}<br>%{{y:.4g}} meV/Å",
        )
