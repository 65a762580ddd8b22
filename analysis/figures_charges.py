"""What the charges of the baseline are worth: locality and the error of ES-GAP against their scale, in one figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from ..fitting.charge_errors import ErrorCurve
from ..fitting.charges import ScaleCurve
from .figures import ELEMENT_COLOURS, MODEL_COLOURS, NEUTRAL_COLOUR, new_figure


@dataclass(frozen=True)
class ChargeEstimate:
    """Fitted charges and their standard deviations (e), by species."""

    charges: Mapping[str, float]
    uncertainties: Mapping[str, float]


def charge_trade_off_figure(
    errors: ErrorCurve,
    locality: ScaleCurve | None,
    mobile: str,
    *,
    by_error: ChargeEstimate | None = None,
    by_locality: ChargeEstimate | None = None,
) -> go.Figure:
    """Return ES-GAP's leave-out force error (left axis) and the induced force that remains (right axis).

    The charge of the mobile ion is the abscissa, all charges grow together. Without charge the error is that of
    GAP. The minima of both criteria have lines with their standard deviations as bands.

    Parameters
    ----------
    errors
        Leave-out errors.
    locality
        Induced forces of the reference method beyond a radius; None leaves the right axis out.
    mobile
        The mobile ion.
    by_error, by_locality
        Charges that were fitted to either.
    """
    error_colour, locality_colour = MODEL_COLOURS["es-gap"], MODEL_COLOURS["reference"]
    figure = new_figure()
    _add_errors(figure, errors, mobile, error_colour)
    if locality is not None:
        _add_locality(figure, locality, mobile, locality_colour)
    for estimate, name, colour in (
        (by_error, "lowest error", error_colour),
        (by_locality, "best locality", locality_colour),
    ):
        if estimate is not None:
            at, spread = estimate.charges[mobile], estimate.uncertainties[mobile]
            line = {"color": colour, "width": 1.5, "dash": "dot"}
            figure.add_vline(x=at, line=line, annotation_text=name, annotation_font_color=colour)
            figure.add_vrect(x0=at - spread, x1=at + spread, fillcolor=colour, opacity=0.12, line_width=0)
    figure.update_xaxes(title_text=f"Charge of {mobile}, the others in proportion (e)")
    return figure


def _add_errors(figure: go.Figure, errors: ErrorCurve, mobile: str, colour: str) -> None:
    charges = [scale * errors.charges[mobile] for scale in errors.scales]
    figure.add_scatter(
        x=charges,
        y=list(errors.force_eV_per_A),
        mode="lines",
        name="leave-out error of ES-GAP",
        line={"color": colour, "width": 2.5},
        hovertemplate="%{x:.3f} e<br>%{y:.4f} eV/Å",
    )
    for index, (symbol, values) in enumerate(sorted(errors.force_by_element_eV_per_A.items())):
        figure.add_scatter(
            x=charges,
            y=list(values),
            mode="lines",
            name=f"error, {symbol}",
            visible="legendonly",
            line={"color": ELEMENT_COLOURS[index % len(ELEMENT_COLOURS)], "width": 1.5},
            hovertemplate=f"{symbol}<br>%{{x:.3f}} e<br>%{{y:.4f}} eV/Å",
        )
    figure.add_hline(y=_at_zero(errors), line={"color": MODEL_COLOURS["gap"], "width": 1, "dash": "dash"})
    figure.update_yaxes(title_text="Leave-out force error, RMS (eV/Å)")


def _at_zero(errors: ErrorCurve) -> float:
    """Return the error without charge, the error of GAP (eV/Å)."""
    return errors.force_eV_per_A[int(np.argmin(np.abs(errors.scales)))]


def _add_locality(figure: go.Figure, locality: ScaleCurve, mobile: str, colour: str) -> None:
    remaining = np.sqrt(np.array(locality.criterion_eV2_per_A2) / len(locality.rms_eV_per_A))
    figure.add_scatter(
        x=[scale * locality.charges[mobile] for scale in locality.scales],
        y=remaining.tolist(),
        mode="lines",
        name="induced force that remains",
        yaxis="y2",
        line={"color": colour, "width": 2.5, "dash": "dash"},
        hovertemplate="%{x:.3f} e<br>%{y:.4f} eV/Å",
    )
    figure.update_layout(
        yaxis2={
            "overlaying": "y",
            "side": "right",
            "rangemode": "tozero",
            "showgrid": False,
            "title": {"text": "Induced force that remains, RMS (eV/Å)"},
            "linecolor": NEUTRAL_COLOUR,
        },
        margin={"r": 72},
    )
