"""The figure of the energy-volume curves: energies of all potentials against the volume of the cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from ...core.looks import Look
from ..figures import interval_bars, new_figure
from ..looks import model_look
from .curves import BirchMurnaghanFit

CURVE_POINTS = 101


@dataclass(frozen=True)
class EnergyVolumeCurve:
    """The points of one potential and the equation of state through them.

    Attributes
    ----------
    kind
        What computed the energies: a model's name, or reference.
    volumes_A3_per_atom, energies_eV_per_atom
        Shape [n_points].
    fit
        None where none goes through the points.
    look
        Where curves of one potential are compared.
    model_half_widths_eV_per_atom
        Half-widths of the model intervals of the energies against that of the lowest cell, none without intervals.
    """

    kind: str
    volumes_A3_per_atom: tuple[float, ...]
    energies_eV_per_atom: tuple[float, ...]
    fit: BirchMurnaghanFit | None
    look: Look | None = None
    model_half_widths_eV_per_atom: tuple[float, ...] = ()

    @property
    def zero_eV_per_atom(self) -> float:
        """The energy that the curve counts from: the minimum of the fit, else the lowest point (eV/atom)."""
        return min(self.energies_eV_per_atom) if self.fit is None else self.fit.energy_eV_per_atom


def energy_volume_figure(curves: Sequence[EnergyVolumeCurve]) -> go.Figure:
    """Return energies against volume, each potential counted from its own minimum; lines are the fits.

    Bars are 95 % model intervals against the lowest cell.
    """
    figure = new_figure()
    for curve in curves:
        look = curve.look or model_look(curve.kind)
        volumes = np.array(curve.volumes_A3_per_atom)
        energies = 1000 * (np.array(curve.energies_eV_per_atom) - curve.zero_eV_per_atom)
        if curve.fit is not None:
            smooth = np.linspace(volumes.min(), volumes.max(), CURVE_POINTS)
            fitted = 1000 * (curve.fit.energies_eV_per_atom(smooth) - curve.zero_eV_per_atom)
            figure.add_scatter(
                x=smooth.tolist(),
                y=fitted.tolist(),
                mode="lines",
                name=f"{look.label}, fit",
                legendgroup=look.label,
                showlegend=False,
                line={"color": look.colour, "width": 2},
                hoverinfo="skip",
            )
        figure.add_scatter(
            x=volumes.tolist(),
            y=energies.tolist(),
            mode="markers",
            name=look.label,
            legendgroup=look.label,
            marker={"color": look.colour, "size": 8, "symbol": look.symbol},
            error_y=interval_bars([1000 * one for one in curve.model_half_widths_eV_per_atom], look.colour),
            hovertemplate="%{x:.3f} Å³/atom<br>%{y:.2f} meV/atom",
        )
    figure.update_xaxes(title_text="Volume (Å³/atom)")
    figure.update_yaxes(title_text="Energy above the minimum (meV/atom)", rangemode="tozero")
    return figure
