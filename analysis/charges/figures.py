"""Charges against what an atom is bonded to, as a figure."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from ..figures import ELEMENT_COLOURS, NEUTRAL_COLOUR, new_figure
from .environments import EnvironmentCharges

_ROW_PX = 30
_MARGINS_PX = 110


def environment_figure(rows: Sequence[EnvironmentCharges]) -> go.Figure:
    """Return the distribution of the charges of every species and environment, one row each.

    Whiskers reach from the least to the largest charge. Where the reference gave charges, diamonds are their means.
    """
    species = list(dict.fromkeys(row.species for row in rows))
    figure = new_figure(_MARGINS_PX + _ROW_PX * max(len(rows), 2))
    for row in rows:
        colour = ELEMENT_COLOURS[species.index(row.species) % len(ELEMENT_COLOURS)]
        figure.add_box(
            x=[float(f"{charge:.4g}") for charge in row.charges.tolist()],
            name=row.name,
            marker={"color": colour},
            line={"width": 1.5},
            width=0.6,
            boxpoints=False,
            hovertemplate="%{x:.3f} e",
            showlegend=False,
        )
    means = [(row.name, float(row.reference.mean())) for row in rows if row.reference is not None]
    if means:
        figure.add_scatter(
            x=[mean for _, mean in means],
            y=[name for name, _ in means],
            mode="markers",
            name="mean charge by the reference",
            marker={"color": NEUTRAL_COLOUR, "size": 9, "symbol": "diamond-open", "line": {"width": 2}},
            hovertemplate="reference %{x:.3f} e",
        )
    figure.update_xaxes(title_text="Charge (e)", zeroline=True, zerolinecolor=NEUTRAL_COLOUR)
    figure.update_yaxes(autorange="reversed", type="category")
    return figure
