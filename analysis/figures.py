"""Every figure of the reports: arrays in, plotly figures out.

A figure carries its data, axes with units and the colours of its traces; it has neither title (the page that
shows it has a heading and a caption) nor background, so that it fits a light and a dark page alike. Colours
follow Okabe and Ito's palette, which people with any kind of colour vision can tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from ase.data import chemical_symbols
from numpy.typing import ArrayLike

from ..core.arrays import FloatArray, IntArray
from ..core.looks import Look
from ..core.names import AUDIT, NEW
from .looks import model_look as model_look
from .looks import model_name as model_name
from .looks import model_place as model_place

STATE_COLOURS: Mapping[str, str] = {
    "finished": "#009e73",
    "unconverged": "#e69f00",
    "rejected": "#cc79a7",
    "killed": "#9b6bc4",
    "failed": "#c8322b",
    "cancelled": "#7a828a",
    "none": "#b4bac0",
}
ELEMENT_COLOURS = ("#8558ad", "#b98900", "#009e73", "#c4547f", "#4b7f96", "#83872f", "#7a828a")
NEUTRAL_COLOUR = "#7a828a"

DARK_COLOURS: Mapping[str, str] = {
    "#0072b2": "#5bb2ee",
    "#d55e00": "#ff8a4c",
    "#009e73": "#35c798",
    "#9b6bc4": "#b894dc",
    "#8558ad": "#b590dc",
    "#b98900": "#e0b33c",
    "#c4547f": "#e6849f",
    "#4b7f96": "#7db3cb",
    "#83872f": "#b5ba5c",
    "#c8322b": "#f0685f",
    "#7a828a": "#9aa3ac",
    "#3d444b": "#d5dade",
    "#b4bac0": "#59616a",
    "#7f5539": "#bd8b68",
    "#6a4c93": "#a98bd0",
}
"""What a colour becomes on a dark page, where it would be too dim."""
_DARKEST = 0.30
"""Relative luminance below which a colour is too dim for a dark page."""

MAX_PARITY_POINTS = 3000
MIN_BINS, MAX_BINS = 8, 60
HEIGHT_PX = 340
PARITY_HEIGHT_PX = 420
PANEL_HEIGHT_PX = 300
_PANEL_TITLE_PX = 14

COMPARED_COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#8558ad",
    "#b98900",
    "#c4547f",
    "#4b7f96",
    "#83872f",
    "#3d444b",
    "#7a828a",
)
"""Of results that are compared, in their order: as many as can be told apart."""
WITH_BASELINE_COLOUR, WITHOUT_BASELINE_COLOUR = COMPARED_COLOURS[:2]
_HIGHEST_LEGEND_PX = 800
_DASHES = {NEW: "solid", AUDIT: "dot"}


@dataclass(frozen=True)
class ErrorSeries:
    """Errors of one model, generation by generation.

    Attributes
    ----------
    model_kind
        The model's name.
    subset
        What the configurations were to the model: ``new``, ``audit`` or ``training``.
    generations, errors
        Shape [n_generations]; the unit is the figure's.
    look
        Where several of one kind are compared.
    """

    model_kind: str
    subset: str
    generations: tuple[int, ...]
    errors: tuple[float, ...]
    look: Look | None = None


def dark_colour(colour: str) -> str:
    """Return what a colour (#rrggbb) becomes on a dark page: of kinds that others bring, a lighter one if it is dim."""
    if colour in DARK_COLOURS:
        return DARK_COLOURS[colour]
    parts = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255.0
    luminance = float(parts**2.2 @ (0.2126, 0.7152, 0.0722))
    if luminance >= _DARKEST:
        return colour
    lighter = 1.0 - (1.0 - parts) * (1.0 - _DARKEST) / (1.0 - luminance)
    return "#" + "".join(f"{round(255 * part):02x}" for part in lighter)


def compared_look(name: str, kind: str, place: int) -> Look:
    """Return the look of one of several series that are compared: a colour by its place, the symbol of its model."""
    return Look(plain_name(name), COMPARED_COLOURS[place % len(COMPARED_COLOURS)], model_look(kind).symbol)


def plain_name(name: str) -> str:
    """Return a name without what plotly would take for mark-up: campaigns are called as their owners like."""
    return name.replace("<", "‹").replace(">", "›")


def learning_curve(series: Sequence[ErrorSeries], quantity: str, unit: str) -> go.Figure:
    """Return errors against generation: solid on new configurations, dotted on the audit set, dashed on the training
    set.
    """
    figure = new_figure()
    for one in series:
        new = one.subset == NEW
        look = one.look or model_look(one.model_kind)
        figure.add_scatter(
            x=list(one.generations),
            y=list(one.errors),
            mode="lines+markers",
            name=f"{look.label}, {one.subset}",
            line={"color": look.colour, "width": 2.5 if new else 1.5, "dash": _DASHES.get(one.subset, "dash")},
            marker={
                "color": look.colour,
                "size": 9 if new else 6,
                "symbol": look.symbol + ("" if new else "-open"),
            },
            hovertemplate=f"generation %{{x}}<br>%{{y:.4g}} {unit}",
        )
    figure.update_xaxes(title_text="Generation", dtick=_generation_step(series))
    figure.update_yaxes(title_text=f"{quantity} ({unit})", rangemode="tozero")
    return figure


def _generation_step(series: Sequence[ErrorSeries]) -> int:
    generations = [generation for one in series for generation in one.generations]
    return max(1, (max(generations) - min(generations)) // 10) if generations else 1


def element_errors(
    errors: Mapping[str, Mapping[str, float]], unit: str = "eV/Å", looks: Mapping[str, Look] | None = None
) -> go.Figure:
    """Return force errors by element as groups of bars, one bar per kind of model.

    Parameters
    ----------
    errors
        Root-mean-square error (``unit``) by kind of model and element.
    looks
        By the keys of ``errors``, where they are not kinds of models.
    """
    figure = new_figure(PARITY_HEIGHT_PX)
    elements = sorted({element for by_element in errors.values() for element in by_element})
    for kind, by_element in errors.items():
        look = (looks or {}).get(kind) or model_look(kind)
        figure.add_bar(
            x=elements,
            y=[by_element.get(element) for element in elements],
            name=look.label,
            marker={"color": look.colour},
            hovertemplate=f"%{{x}}<br>%{{y:.4g}} {unit}",
        )
    figure.update_layout(barmode="group", bargap=0.45, bargroupgap=0.08)
    figure.update_xaxes(title_text="Element", type="category", showgrid=False)
    figure.update_yaxes(title_text=f"Force error ({unit})", rangemode="tozero")
    return figure


def parity(reference: ArrayLike, predicted: ArrayLike, groups: ArrayLike, *, quantity: str, unit: str) -> go.Figure:
    """Return predicted against reference values, with the line on which they would agree.

    Parameters
    ----------
    reference, predicted
        Shape [n_values] (``unit``).
    groups
        Group of each value (its element, or the kind of model), shape [n_values]: one colour each.
    """
    x, y = np.asarray(reference, dtype=float), np.asarray(predicted, dtype=float)
    names = np.asarray(groups, dtype=str)
    chosen = thinned(len(x), MAX_PARITY_POINTS)
    figure = new_figure(PARITY_HEIGHT_PX)
    if len(x):
        low, high = _common_range(x, y)
        figure.add_scatter(
            x=[low, high],
            y=[low, high],
            mode="lines",
            line={"color": NEUTRAL_COLOUR, "width": 1},
            hoverinfo="skip",
            showlegend=False,
        )
        figure.update_xaxes(range=[low, high])
        figure.update_yaxes(range=[low, high])
    for index, name in enumerate(np.unique(names)):
        here = chosen[names[chosen] == name]
        look = model_look(str(name))
        colour = ELEMENT_COLOURS[index % len(ELEMENT_COLOURS)] if name in chemical_symbols else look.colour
        figure.add_scatter(
            x=x[here].tolist(),
            y=y[here].tolist(),
            mode="markers",
            name=look.label,
            marker={"color": colour, "size": 5, "opacity": 0.55},
            hovertemplate=f"reference %{{x:.4g}}<br>model %{{y:.4g}} {unit}",
        )
    figure.update_xaxes(title_text=f"Reference {quantity} ({unit})", zeroline=False)
    figure.update_yaxes(title_text=f"Predicted {quantity} ({unit})", zeroline=False, scaleanchor="x")
    return figure


def thinned(count: int, most: int) -> IntArray:
    """Return evenly spread indices of at most ``most`` of ``count`` values, shape [min(count, most)]."""
    if count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).round().astype(np.int64)


def _common_range(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    margin = 0.04 * (high - low) or 0.5
    return low - margin, high + margin


def force_distribution(forces: ArrayLike, elements: ArrayLike) -> go.Figure:
    """Return the distribution of force magnitudes by element, as densities that enclose the area 1.

    Parameters
    ----------
    forces
        Shape [n_atoms, 3] (eV/Å).
    elements
        Chemical symbols, shape [n_atoms].
    """
    magnitudes = np.linalg.norm(np.asarray(forces, dtype=float).reshape(-1, 3), axis=1)
    symbols = np.asarray(elements, dtype=str)
    figure = new_figure()
    # As many bins as the rarest element can fill.
    rarest = min((int(np.sum(symbols == symbol)) for symbol in np.unique(symbols)), default=0)
    bins = int(np.clip(4.0 * rarest ** (1 / 3), MIN_BINS, MAX_BINS))
    edges = np.linspace(0.0, float(magnitudes.max(initial=0.0)) or 1.0, bins + 1)
    centres = 0.5 * (edges[:-1] + edges[1:])
    for index, symbol in enumerate(np.unique(symbols)):
        density, _ = np.histogram(magnitudes[symbols == symbol], bins=edges, density=True)
        figure.add_scatter(
            x=centres.tolist(),
            y=density.tolist(),
            mode="lines",
            name=str(symbol),
            line={"color": ELEMENT_COLOURS[index % len(ELEMENT_COLOURS)], "width": 2, "shape": "hvh"},
            hovertemplate="%{x:.2f} eV/Å<br>%{y:.3g} Å/eV",
        )
    figure.update_xaxes(title_text="Reference force (eV/Å)", rangemode="tozero")
    figure.update_yaxes(title_text="Density (Å/eV)", rangemode="tozero")
    return figure


def label_states(counts: Mapping[int, Mapping[str, int]]) -> go.Figure:
    """Return the numbers of labels by generation, stacked by state.

    Parameters
    ----------
    counts
        Number of configurations by generation and state of their label (``none``: not labelled yet).
    """
    figure = new_figure()
    generations = sorted(counts)
    for state, colour in STATE_COLOURS.items():
        numbers = [counts[generation].get(state, 0) for generation in generations]
        if any(numbers):
            figure.add_bar(
                x=generations,
                y=numbers,
                name="not labelled" if state == "none" else state,
                marker={"color": colour},
                hovertemplate=f"generation %{{x}}<br>%{{y}} {state}",
            )
    figure.update_layout(barmode="stack", bargap=0.45)
    figure.update_xaxes(title_text="Generation", dtick=1 if len(generations) < 16 else None, showgrid=False)
    figure.update_yaxes(title_text="Configurations", rangemode="tozero")
    return figure


def interval_bars(half_widths: Sequence[float | None], colour: str) -> dict[str, Any]:
    """Return vertical bars of intervals about the points of a trace; None: no bar; no half-widths: none at all."""
    return {
        "array": list(half_widths),
        "visible": any(one is not None for one in half_widths),
        "color": colour,
        "thickness": 1,
        "width": 3,
    }


def panels(titles: Sequence[str]) -> go.Figure:
    """Return an empty figure with a panel for each title, beside each other with common scales."""
    figure = new_figure(PANEL_HEIGHT_PX)
    axis = figure.layout.xaxis.to_plotly_json()
    figure.set_subplots(
        1, len(titles), shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=[f"<b>{one}</b>" for one in titles]
    )
    figure.update_xaxes(**axis, matches="x")
    figure.update_yaxes(**axis)
    figure.update_annotations(font={"size": _PANEL_TITLE_PX})
    figure.update_layout(legend={"y": 1.12}, margin={"t": 64})
    return figure


def new_figure(height_px: int = HEIGHT_PX) -> go.Figure:
    """Return an empty figure in the style of all others."""
    axis: dict[str, Any] = {
        "gridcolor": "rgba(128,136,144,0.22)",
        "linecolor": "rgba(128,136,144,0.55)",
        "showline": True,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": "rgba(128,136,144,0.55)",
        "ticklen": 4,
        "automargin": True,
        "title_standoff": 10,
    }
    return go.Figure(
        layout={
            "template": None,
            "height": height_px,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 13},
            "margin": {"l": 62, "r": 12, "t": 36, "b": 52},
            "legend": {
                "orientation": "h",
                "x": 0,
                "y": 1.02,
                "yanchor": "bottom",
                "title_text": "",
                # Long names, or a phone, make many lines: they must all be seen, also in a saved image.
                "maxheight": _HIGHEST_LEGEND_PX,
            },
            "hoverlabel": {"align": "left"},
            "xaxis": axis,
            "yaxis": axis,
        }
    )
