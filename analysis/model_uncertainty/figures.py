"""The figure of predicted against observed errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from ...core.looks import Look
from ..figures import ELEMENT_COLOURS, NEUTRAL_COLOUR, PARITY_HEIGHT_PX, new_figure
from .coverage import DeviationBin

_ROOM = 1.3


def predicted_against_observed(
    series: Mapping[str, Sequence[DeviationBin]], unit: str, looks: Mapping[str, Look] | None = None
) -> go.Figure:
    """Return errors against their predicted deviations, root mean squares of bins; on the diagonal both are the same.

    Parameters
    ----------
    series
        Bins by name: of an element, or of a model.
    unit
        Of the quantity.
    looks
        Of the series, where they are models.
    """
    figure = new_figure(PARITY_HEIGHT_PX)
    shown = {name: bins for name, bins in series.items() if bins}
    ends = [value for bins in shown.values() for one in bins for value in (one.predicted, one.observed) if value > 0]
    limits = [min(ends, default=1.0) / _ROOM, max(ends, default=1.0) * _ROOM]
    figure.add_scatter(
        x=limits,
        y=limits,
        mode="lines",
        name="as predicted",
        line={"color": NEUTRAL_COLOUR, "width": 1, "dash": "dot"},
        hoverinfo="skip",
    )
    for place, (name, bins) in enumerate(shown.items()):
        look = (looks or {}).get(name, Look(name, ELEMENT_COLOURS[place % len(ELEMENT_COLOURS)], "circle"))
        figure.add_scatter(
            x=[one.predicted for one in bins],
            y=[one.observed for one in bins],
            customdata=[one.count for one in bins],
            mode="lines+markers",
            name=look.label,
            line={"color": look.colour, "width": 1},
            marker={"color": look.colour, "size": 8, "symbol": look.symbol},
            hovertemplate=f"predicted %{{x:.3g}} {unit}<br>observed %{{y:.3g}} {unit}<br>%{{customdata}} errors",
        )
    figure.update_xaxes(title_text=f"Predicted deviation ({unit})", type="log")
    figure.update_yaxes(title_text=f"Observed error ({unit})", type="log")
    return figure
