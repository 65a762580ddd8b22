"""Figures of defects: formation energy against field, one line per axis, and against separation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from .figures import MODEL_SYMBOLS, NEUTRAL_COLOUR, model_colour, model_name, new_figure

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
    """

    axis: str
    fields_V_per_A: tuple[float, ...]
    formation_energies_eV: tuple[float | None, ...]
    states: tuple[str, ...]

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
        colour = AXIS_COLOURS.get(curve.axis, NEUTRAL_COLOUR)
        figure.add_scatter(
            x=list(curve.fields_V_per_A),
            y=list(curve.formation_energies_eV),
            mode="lines+markers",
            name=f"along {curve.axis}",
            legendgroup=curve.axis,
            line={"color": colour, "width": 2},
            marker={
                "color": colour,
                "size": 8,
                "symbol": ["circle" if state in _STEADY_STATES else "circle-open" for state in curve.states],
            },
            text=list(curve.states),
            hovertemplate="%{x:g} V/Å<br>%{y:.3f} eV, %{text}",
        )
        gone = curve.recombinations
        if gone:
            figure.add_scatter(
                x=[field for field, _ in gone],
                y=[energy for _, energy in gone],
                mode="markers",
                name=f"along {curve.axis}: recombined",
                legendgroup=curve.axis,
                showlegend=False,
                marker={"color": colour, "size": 10, "symbol": RECOMBINED_SYMBOL},
                hovertemplate="recombined at %{x:g} V/Å",
            )
    figure.add_hline(y=0.0, line={"color": NEUTRAL_COLOUR, "width": 1, "dash": "dot"})
    figure.update_xaxes(title_text="Field (V/Å)")
    figure.update_yaxes(title_text="Formation energy (eV)")
    return figure


@dataclass(frozen=True)
class SeparationPoints:
    """Formation energies of one potential's pairs without a field: separations (Å) and energies (eV), [n_pairs]."""

    kind: str
    separations_A: tuple[float, ...]
    formation_energies_eV: tuple[float, ...]
    label: str = ""


def separation_figure(series: Sequence[SeparationPoints]) -> go.Figure:
    """Return formation energies of pairs against the distance between an ion and the site that it left."""
    figure = new_figure()
    for one in series:
        figure.add_scatter(
            x=list(one.separations_A),
            y=list(one.formation_energies_eV),
            mode="markers",
            name=one.label or model_name(one.kind),
            marker={
                "color": model_colour(one.kind),
                "size": 9,
                "symbol": MODEL_SYMBOLS.get(one.kind, "diamond") + ("-open" if one.label else ""),
            },
            hovertemplate="%{x:.2f} Å<br>%{y:.3f} eV",
        )
    figure.update_xaxes(title_text="Distance of the ion from its site (Å)")
    figure.update_yaxes(title_text="Formation energy (eV)")
    return figure
