"""Figures of defects: formation energy against field, one line per axis, and against separation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from ...core.looks import Look
from ..figures import NEUTRAL_COLOUR, interval_bars, new_figure, panels
from ..looks import model_look

AXIS_COLOURS: Mapping[str, str] = {"x": "#0072b2", "y": "#d55e00", "z": "#009e73"}
RECOMBINED_SYMBOL = "x"
_STEADY_STATES = frozenset({"intact", "recombined"})


@dataclass(frozen=True)
class FieldCurve:
    """Formation energy of one pair along one axis.

    Attributes
    ----------
    axis
        x, y or z.
    fields_V_per_A
        Signed strengths, ascending, shape [n_fields].
    formation_energies_eV
        None where the pair is gone or was not computed, shape [n_fields].
    states
        What became of the pair: intact, hopped, recombined, ..., shape [n_fields].
    look
        Where pairs of several results are compared.
    model_half_widths_eV
        Of the model intervals; None, or none at all, where there are none.
    """

    axis: str
    fields_V_per_A: tuple[float, ...]
    formation_energies_eV: tuple[float | None, ...]
    states: tuple[str, ...]
    look: Look | None = None
    model_half_widths_eV: tuple[float | None, ...] = ()

    @property
    def recombinations(self) -> list[tuple[float, float]]:
        """Field at which the pair recombines, with the energy it had at the field before (V/Å, eV)."""
        found = []
        for number, state in enumerate(self.states):
            if state == "recombined":
                nearer = number - 1 if self.fields_V_per_A[number] > 0 else number + 1
                found.append((self.fields_V_per_A[number], self.formation_energies_eV[nearer] or 0.0))
        return found


def field_figure(curves: Sequence[FieldCurve]) -> go.Figure:
    """Return formation energies of one pair against the field, one line per axis.

    A cross, drawn at the energy of the field before, marks where the pair recombines; open markers are fields at which
    an ion hopped or a relaxation did not converge.
    """
    figure = new_figure()
    for curve in curves:
        look = Look(f"along {curve.axis}", AXIS_COLOURS.get(curve.axis, NEUTRAL_COLOUR), "circle")
        _add_curve(figure, curve, look)
    return _with_field_axes(figure)


def compared_fields_figure(curves: Sequence[FieldCurve]) -> go.Figure:
    """Return formation energies of the pairs of several results, a panel per axis of the field, a line per pair.

    Markers mean what they mean in `field_figure`.
    """
    axes = sorted({curve.axis for curve in curves})
    figure = panels([f"along {axis}" for axis in axes])
    named: set[Look] = set()
    for curve in curves:
        look = curve.look or Look("pairs", AXIS_COLOURS.get(curve.axis, NEUTRAL_COLOUR), "circle")
        place = {"row": 1, "col": axes.index(curve.axis) + 1}
        _add_curve(figure, curve, look, showlegend=look not in named, **place)
        named.add(look)
    return _with_field_axes(figure)


def _with_field_axes(figure: go.Figure) -> go.Figure:
    figure.add_hline(y=0.0, line={"color": NEUTRAL_COLOUR, "width": 1, "dash": "dot"})
    figure.update_xaxes(title_text="Field (V/Å)")
    # The first axis alone: panels beside each other share it.
    figure.layout.yaxis.title.text = "Formation energy (eV)"
    return figure


def _add_curve(figure: go.Figure, curve: FieldCurve, look: Look, *, showlegend: bool = True, **place: int) -> None:
    figure.add_scatter(
        x=list(curve.fields_V_per_A),
        y=list(curve.formation_energies_eV),
        mode="lines+markers",
        name=look.label,
        legendgroup=look.label,
        showlegend=showlegend,
        line={"color": look.colour, "width": 2},
        marker={
            "color": look.colour,
            "size": 8,
            "symbol": [look.symbol if state in _STEADY_STATES else f"{look.symbol}-open" for state in curve.states],
        },
        error_y=interval_bars(curve.model_half_widths_eV, look.colour),
        text=list(curve.states),
        hovertemplate="%{x:g} V/Å<br>%{y:.3f} eV, %{text}",
        **place,
    )
    gone = curve.recombinations
    if gone:
        figure.add_scatter(
            x=[field for field, _ in gone],
            y=[energy for _, energy in gone],
            mode="markers",
            name=f"{look.label}: recombined",
            legendgroup=look.label,
            showlegend=False,
            marker={"color": look.colour, "size": 10, "symbol": RECOMBINED_SYMBOL},
            hovertemplate="recombined at %{x:g} V/Å",
            **place,
        )


@dataclass(frozen=True)
class SeparationPoints:
    """Formation energies of one potential's pairs without a field: separations (Å) and energies (eV), [n_pairs].

    With half-widths of the model intervals, where there are some.
    """

    kind: str
    separations_A: tuple[float, ...]
    formation_energies_eV: tuple[float, ...]
    label: str = ""
    look: Look | None = None
    model_half_widths_eV: tuple[float | None, ...] = ()


def separation_figure(series: Sequence[SeparationPoints]) -> go.Figure:
    """Return formation energies of pairs against the distance between an ion and the site that it left."""
    figure = new_figure()
    for one in series:
        look = one.look or model_look(one.kind)
        figure.add_scatter(
            x=list(one.separations_A),
            y=list(one.formation_energies_eV),
            mode="markers",
            name=look.label if one.look else one.label or look.label,
            marker={"color": look.colour, "size": 9, "symbol": look.symbol + ("-open" if one.label else "")},
            error_y=interval_bars(one.model_half_widths_eV, look.colour),
            hovertemplate="%{x:.2f} Å<br>%{y:.3f} eV",
        )
    figure.update_xaxes(title_text="Distance of the ion from its site (Å)")
    figure.update_yaxes(title_text="Formation energy (eV)")
    return figure
