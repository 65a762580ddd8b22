"""What the charges of the baseline are worth: locality and the error of ES-GAP against their scale, in one figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from ...fitting.electrostatics.charge_errors import ErrorCurve
from ...fitting.electrostatics.charges import ScaleCurve
from ..figures import ELEMENT_COLOURS, NEUTRAL_COLOUR, WITH_BASELINE_COLOUR, WITHOUT_BASELINE_COLOUR, new_figure
from ..looks import REFERENCE_LOOK


@dataclass(frozen=True)
class ChargeEstimate:
    """Fitted charges.

    Attributes
    ----------
    charges, uncertainties
        With their standard deviations (e), by species.
    reached_eV_per_A
        The criterion with these charges, which need not be in the curve's proportions: the leave-out force error, or
        the root-mean-square induced force that remains.
    """

    charges: Mapping[str, float]
    uncertainties: Mapping[str, float]
    reached_eV_per_A: float


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
    GAP. Charges that were fitted to either criterion are stars, with their standard deviations as bars.

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
    error_colour, locality_colour = WITH_BASELINE_COLOUR, REFERENCE_LOOK.colour
    figure = new_figure()
    _add_errors(figure, errors, mobile, error_colour)
    if locality is not None:
        _add_locality(figure, locality, mobile, locality_colour)
    for estimate, name, colour, axis in (
        (by_error, "fitted to the error", error_colour, "y"),
        (by_locality, "fitted to locality", locality_colour, "y2"),
    ):
        if estimate is not None and (axis == "y" or locality is not None):
            _add_estimate(figure, estimate, mobile, name, {"color": colour}, axis)
    figure.update_xaxes(title_text=f"Charge of {mobile}, the others in proportion (e)")
    return figure


def _add_estimate(
    figure: go.Figure, estimate: ChargeEstimate, mobile: str, name: str, style: Mapping[str, str], axis: str
) -> None:
    text = ", ".join(f"{symbol} {charge:+.2f}" for symbol, charge in estimate.charges.items())
    figure.add_scatter(
        x=[estimate.charges[mobile]],
        y=[estimate.reached_eV_per_A],
        error_x={"array": [estimate.uncertainties[mobile]], "thickness": 1.5, "width": 4, **style},
        mode="markers",
        name=name,
        yaxis=axis,
        marker={"size": 13, "symbol": "star", **style},
        hovertemplate=f"{name}<br>{text} e<br>%{{y:.4f}} eV/Å",
    )


def _add_errors(figure: go.Figure, errors: ErrorCurve, mobile: str, colour: str) -> None:
    charges = [scale * errors.charges[mobile] for scale in errors.scales]
    figure.add_scatter(
        x=charges,
        y=list(errors.force_eV_per_A),
        mode="lines",
        name="leave-out error with the baseline",
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
    colour = WITHOUT_BASELINE_COLOUR
    figure.add_hline(
        y=_at_zero(errors),
        line={"color": colour, "width": 1, "dash": "dot"},
        annotation={"text": "no baseline", "font": {"color": colour}},
    )
    figure.update_yaxes(title_text="Leave-out force error, RMS (eV/Å)")


def _at_zero(errors: ErrorCurve) -> float:
    """Return the error without charge, that of the model without baseline (eV/Å)."""
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
            "tickmode": "auto",
            "ticks": "outside",
            "ticklen": 4,
            "showgrid": False,
            "zeroline": False,
            "automargin": True,
            "title": {"text": "Remaining induced force, RMS (eV/Å)", "standoff": 10},
            "tickcolor": NEUTRAL_COLOUR,
        },
    )
