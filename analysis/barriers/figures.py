"""Figures of hops and barriers: energies along paths, the network of sites, lengths of jumps and stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from ...core.arrays import BoolArray, FloatArray, IntArray
from ...core.looks import Look
from ..figures import ELEMENT_COLOURS, NEUTRAL_COLOUR, interval_bars, new_figure
from ..looks import model_look

NETWORK_HEIGHT_PX = 420
_KNOWN_COLOUR, _FOUND_COLOUR = ELEMENT_COLOURS[2], ELEMENT_COLOURS[0]
_SMALLEST_MARKER_PX, _LARGEST_MARKER_PX = 4.0, 22.0
_WIDEST_LINE_PX = 6.0
_BINS = 30


@dataclass(frozen=True)
class PathEnergies:
    """Energies of one potential along a path, relative to its first image.

    Attributes
    ----------
    kind
        Whose energies: a model's name, or reference.
    own
        Whether the path is this potential's own; single points otherwise.
    coordinate_A, energies_eV
        Of the images.
    curve_coordinate_A, curve_energies_eV
        The fit through energies and slopes.
    look
        That of the path, where several paths are compared.
    energies_model_half_width_eV
        Half-widths of the model intervals of the energies, none where there are no intervals.
    """

    kind: str
    own: bool
    coordinate_A: Sequence[float]
    energies_eV: Sequence[float]
    curve_coordinate_A: Sequence[float]
    curve_energies_eV: Sequence[float]
    look: Look | None = None
    energies_model_half_width_eV: Sequence[float] = ()

    @property
    def shown_as(self) -> Look:
        """Name in the legend, colour and symbol: those of the potential, or of its path among others."""
        potential = model_look(self.kind)
        if self.look is None:
            return replace(potential, label=f"{potential.label}, {'its path' if self.own else 'single points'}")
        return self.look if self.own else replace(self.look, label=f"{self.look.label}: {potential.label} on its path")

    def followed_by(self, other: PathEnergies) -> PathEnergies:
        """Return the energies along this path and then along ``other``, which begins where this one ends."""
        far, high = self.coordinate_A[-1], self.energies_eV[-1]
        return PathEnergies(
            kind=self.kind,
            own=self.own,
            coordinate_A=[*self.coordinate_A, *(far + x for x in other.coordinate_A[1:])],
            energies_eV=[*self.energies_eV, *(high + e for e in other.energies_eV[1:])],
            curve_coordinate_A=[*self.curve_coordinate_A, *(far + x for x in other.curve_coordinate_A)],
            curve_energies_eV=[*self.curve_energies_eV, *(high + e for e in other.curve_energies_eV)],
        )


def barrier_figure(paths: Sequence[PathEnergies]) -> go.Figure:
    """Return energies along paths: solid for the potential whose path it is, dashed for single points.

    Bars are 95 % model intervals of the energies relative to the first image.
    """
    figure = new_figure()
    for path in paths:
        look = path.shown_as
        # Of several paths each has one name; what is dashed, the caption says.
        group = path.look.label if path.look else look.label
        figure.add_scatter(
            x=list(path.curve_coordinate_A),
            y=list(path.curve_energies_eV),
            mode="lines",
            name=f"{look.label}, fit",
            legendgroup=group,
            showlegend=False,
            line={"color": look.colour, "width": 2.5 if path.own else 1.5, "dash": "solid" if path.own else "dash"},
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=list(path.coordinate_A),
            y=list(path.energies_eV),
            mode="markers",
            name=look.label,
            legendgroup=group,
            showlegend=path.look is None or path.own,
            marker={
                "color": look.colour,
                "size": 9 if path.own else 7,
                "symbol": look.symbol + ("" if path.own else "-open"),
            },
            error_y=interval_bars(path.energies_model_half_width_eV, look.colour),
            hovertemplate="%{x:.2f} Å<br>%{y:.3f} eV",
        )
    figure.update_xaxes(title_text="Distance along the path (Å)")
    figure.update_yaxes(title_text="Energy above the first image (eV)")
    return figure


@dataclass(frozen=True)
class SiteNetwork:
    """Sites of a cell and the hops between them.

    Attributes
    ----------
    positions_A
        Shape [n_sites, 3].
    known
        Whether a site is one of the crystal, [n_sites].
    occupancy
        Mean number of ions, [n_sites].
    cell_A
        Rows are lattice vectors.
    from_site
        Of every hop, [n_hops].
    jumps_A
        Of every hop, from site to site, [n_hops, 3].
    """

    positions_A: FloatArray
    known: BoolArray
    occupancy: FloatArray
    cell_A: FloatArray
    from_site: IntArray
    jumps_A: FloatArray


def site_network(network: SiteNetwork, axes: tuple[int, int] = (0, 1)) -> go.Figure:
    """Return the sites and hops in the plane of two lattice vectors, seen along the third; more hops, wider lines."""
    first, second = network.cell_A[axes[0]], network.cell_A[axes[1]]
    across = first / np.linalg.norm(first)
    up = second - (second @ across) * across
    # Along the third lattice vector, so that what is inside the cell stays inside its outline.
    flat = np.array([[np.linalg.norm(first), 0.0], [second @ across, np.linalg.norm(up)]])
    to_plane = np.linalg.inv(network.cell_A)[:, list(axes)] @ flat
    places, jumps = network.positions_A @ to_plane, network.jumps_A @ to_plane
    figure = new_figure(NETWORK_HEIGHT_PX)
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) @ flat
    figure.add_scatter(
        x=corners[:, 0].tolist(),
        y=corners[:, 1].tolist(),
        mode="lines",
        line={"color": NEUTRAL_COLOUR, "width": 1},
        hoverinfo="skip",
        showlegend=False,
    )
    lines: dict[tuple[int, ...], tuple[FloatArray, FloatArray, int]] = {}
    for origin, jump in zip(network.from_site.tolist(), jumps, strict=True):
        start, end = places[origin], places[origin] + jump
        key = (origin, *np.rint(10 * jump).astype(int).tolist())
        lines[key] = (start, end, lines[key][2] + 1 if key in lines else 1)
    most = max((count for _, _, count in lines.values()), default=1)
    for start, end, count in lines.values():
        figure.add_scatter(
            x=[start[0], end[0]],
            y=[start[1], end[1]],
            mode="lines",
            opacity=0.45,
            line={"color": NEUTRAL_COLOUR, "width": max(1.0, _WIDEST_LINE_PX * count / most)},
            showlegend=False,
            hovertemplate=f"{count} hops<extra></extra>",
        )
    highest = float(network.occupancy.max(initial=0.0)) or 1.0
    sizes = _SMALLEST_MARKER_PX + (_LARGEST_MARKER_PX - _SMALLEST_MARKER_PX) * np.sqrt(network.occupancy / highest)
    for of_crystal, name, colour in (
        (True, "site of the crystal", _KNOWN_COLOUR),
        (False, "other site", _FOUND_COLOUR),
    ):
        here = network.known == of_crystal
        if here.any():
            figure.add_scatter(
                x=places[here, 0].tolist(),
                y=places[here, 1].tolist(),
                mode="markers",
                name=name,
                customdata=network.occupancy[here].tolist(),
                marker={"color": colour, "size": sizes[here].tolist(), "opacity": 0.8},
                hovertemplate="occupied %{customdata:.2f}",
            )
    figure.update_xaxes(title_text=f"Along {'abc'[axes[0]]} (Å)", showgrid=False)
    figure.update_yaxes(
        title_text=f"Across, towards {'abc'[axes[1]]} (Å)", showgrid=False, scaleanchor="x", scaleratio=1
    )
    return figure


def jump_lengths(lengths_A: ArrayLike) -> go.Figure:
    """Return how long jumps are: their number by distance from site to site."""
    return _histogram(lengths_A, "Distance from site to site (Å)", "Hops")


def residence_times(times_ps: ArrayLike) -> go.Figure:
    """Return how long ions stayed before they hopped."""
    return _histogram(times_ps, "Time at a site before a hop (ps)", "Hops")


def _histogram(values: ArrayLike, title: str, counted: str) -> go.Figure:
    numbers = np.asarray(values, dtype=float)
    counts, edges = np.histogram(numbers, bins=_BINS, range=(0.0, float(numbers.max(initial=0.0)) or 1.0))
    figure = new_figure()
    figure.add_bar(
        x=(0.5 * (edges[:-1] + edges[1:])).tolist(),
        y=counts.tolist(),
        width=np.diff(edges).tolist(),
        marker={"color": _KNOWN_COLOUR},
        showlegend=False,
        hovertemplate="%{x:.2f}<br>%{y}",
    )
    figure.update_xaxes(title_text=title, rangemode="tozero")
    figure.update_yaxes(title_text=counted, rangemode="tozero")
    return figure
