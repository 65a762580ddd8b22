"""Figures of properties against generation: what is known of them, and within what they shall be known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from .figures import ELEMENT_COLOURS, new_figure, plain_name

_BAND_OPACITY = 0.12


@dataclass(frozen=True)
class PropertySeries:
    """One number of a property, generation by generation.

    Attributes
    ----------
    generations, values, half_widths
        Shape [n_generations]; half-widths of the 95 % intervals, statistical and model error together; None: not
        known, drawn without an interval.
    tolerance
        Half-width within which it shall be known, in its own unit.
    """

    label: str
    unit: str
    generations: tuple[int, ...]
    values: tuple[float, ...]
    half_widths: tuple[float | None, ...]
    tolerance: float


def property_figure(series: Sequence[PropertySeries], name: str) -> go.Figure:
    """Return the numbers of a property against generation, each with the band of its tolerance around its last value.

    Series have one unit; one without a value is left out.
    """
    figure = new_figure()
    for place, one in enumerate(one for one in series if one.values):
        colour = ELEMENT_COLOURS[place % len(ELEMENT_COLOURS)]
        last = one.values[-1]
        figure.add_hrect(
            y0=last - one.tolerance,
            y1=last + one.tolerance,
            fillcolor=colour,
            opacity=_BAND_OPACITY,
            layer="below",
            line_width=0,
        )
        symbols = ["circle-open" if width is None else "circle" for width in one.half_widths]
        figure.add_scatter(
            x=list(one.generations),
            y=list(one.values),
            error_y={"type": "data", "array": [width or 0.0 for width in one.half_widths], "color": colour},
            mode="lines+markers",
            name=plain_name(one.label or name),
            line={"color": colour, "width": 1.5},
            marker={"color": colour, "size": 9, "symbol": symbols},
            customdata=[
                "not known" if width is None else f"± {width:.3g} {one.unit}".rstrip() for width in one.half_widths
            ],
            hovertemplate=f"generation %{{x}}<br>%{{y:.4g}} {one.unit} %{{customdata}}",
        )
    unit = f" ({series[0].unit})" if series and series[0].unit else ""
    figure.update_xaxes(title_text="Generation", dtick=1)
    figure.update_yaxes(title_text=f"{plain_name(name)}{unit}")
    return figure
