"""Whether the host of the mobile ions is a crystal still: does it melt, does it decompose, do its anions turn.

A trajectory is looked at in windows of time, and as a whole, for

a. Lindemann's ratio √<u²>/d, u the displacement of atoms from their mean sites in the window and d the distance of
   neighbours among them (Lindemann, Phys. Z. 1910, 11, 609);
b. the slope of the mean squared displacement, by the regression that gives diffusivities;
c. the similarity of environments to those at the start (SOAP; Bartók, Kondor, Csányi, Phys. Rev. B 2013, 87, 184115,
   10.1103/PhysRevB.87.184115), for the reader;
d. the polyanions.

It is molten where the *centres* of polyanions and networks (all host atoms where there are none) pass both bounds of a
and b, and decomposed where polyanions became others. Anions that turn about their centre move themselves, but neither
the centres nor the centres of mass: that is said, and rejects nothing.

Positions are fractional coordinates times the mean cell: what the cell does is no motion of atoms in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from pydantic import Field

from ...core.arrays import FloatArray, IntArray
from ...core.settings import FrozenModel
from ..conductivity.diffusion import diffusion
from ..conductivity.displacement_scales import ScaleSlopes, scale_lags, squared_displacements
from ..conductivity.transport_settings import FEWEST_FRAMES, TransportSettings
from .polyanions import Host, change_of, polyanions_of
from .settings import HostSettings

_AXES = 3
# Frames of a window whose environments are compared: enough for a mean.
_COMPARED = 4
# How far the mean position of an anion moves that has left its site: less than half the distance of two of them.
_AWAY_A = 1.5
# Part of the largest move of mean sites from which on it has begun.
_BEGUN = 0.3


class HostMotion(FrozenModel):
    """What the host of the mobile ions does in a trajectory."""

    melted_at_ps: float | None = Field(default=None, description="Begin of the first window that is molten (ps)")
    decomposed_at_ps: float | None = Field(
        default=None, description="Begin of the first window with other polyanions (ps)"
    )
    change: str = Field(default="", description="How polyanions changed (text)")
    judged: tuple[str, ...] = Field(description="Species whose atoms tell: centres, or all of the host (names)")
    lindemann_ratio: float = Field(description="Largest ratio of those in a window (no unit)")
    slope_A2_per_ps: float = Field(
        description="Their largest slope in a window that is above 0 for sure, else 0 (Å²/ps)"
    )
    host_lindemann_ratio: float = Field(description="The same of all host atoms: largest ratio (no unit)")
    host_slope_A2_per_ps: float = Field(description="... and largest slope (Å²/ps)")
    polyanion_slope_A2_per_ps: float | None = Field(
        default=None, description="... and of the polyanions' centres of mass; none without any (Å²/ps)"
    )
    similarity: float | None = Field(
        default=None, description="Of environments of the host at the end to those at the start (no unit)"
    )
    polyanions: dict[str, int] = Field(default_factory=dict, description="Polyanions at the start (number by formula)")
    rotating_anions: bool = Field(default=False, description="Whether anions turn about centres that rest (yes or no)")
    moving_lone_anions: bool = Field(
        default=False, description="Whether anions without a bond diffuse beside centres that rest (yes or no)"
    )

    @property
    def sound(self) -> bool:
        """Whether it is a crystal to the end."""
        return self.melted_at_ps is None and self.decomposed_at_ps is None

    @property
    def sound_until_ps(self) -> float:
        """Until when it is a crystal; infinite where it stays one (ps)."""
        return min(one for one in (self.melted_at_ps, self.decomposed_at_ps, np.inf) if one is not None)


@dataclass(frozen=True)
class HostTrajectory:
    """Frames of a whole structure as the host is looked at.

    Attributes
    ----------
    fractional
        Not wrapped, [n_frames, n_atoms, 3].
    cell_A
        The mean cell, [3, 3] (Å).
    masses
        [n_atoms].
    frame_ps
        Time between two frames (ps).
    """

    fractional: FloatArray
    cell_A: FloatArray
    masses: FloatArray
    frame_ps: float

    def host_positions_A(self, host: Host) -> FloatArray:
        """Return positions of the host atoms against their centre of mass, [n_frames, n_host, 3] (Å)."""
        positions = self.fractional[:, host.atoms] @ self.cell_A
        weights = self.masses[host.atoms] / self.masses[host.atoms].sum()
        return np.asarray(positions - np.einsum("tnc,n->tc", positions, weights)[:, None])


def watch_host(
    host: Host, trajectory: HostTrajectory, settings: HostSettings, start: Atoms | None = None
) -> HostMotion:
    """Return what the host does.

    Parameters
    ----------
    start
        The structure at the start, to compare environments with; None: they are not compared.
    """
    positions = trajectory.host_positions_A(host)
    judged, window = positions[:, host.judged], round(settings.window_ps / trajectory.frame_ps)
    judged_motion = _motion(judged, trajectory, window)
    all_motion = _motion(positions, trajectory, window)
    melted = _melted_at(judged, judged_motion, window, settings)
    decomposed, change = _decomposed_at(host, trajectory, window)
    resting = melted is None and decomposed is None
    return HostMotion(
        melted_at_ps=None if melted is None else melted * trajectory.frame_ps,
        decomposed_at_ps=None if decomposed is None else decomposed * trajectory.frame_ps,
        change=change,
        judged=tuple(sorted({host.symbols[place] for place in host.judged})),
        lindemann_ratio=max(one.ratio for one in judged_motion),
        slope_A2_per_ps=max(one.slope_A2_per_ps for one in judged_motion),
        host_lindemann_ratio=max(one.ratio for one in all_motion),
        host_slope_A2_per_ps=max(one.slope_A2_per_ps for one in all_motion),
        polyanion_slope_A2_per_ps=_polyanion_slope(host, positions, trajectory),
        similarity=None if start is None else similarity_to(host, start, trajectory),
        polyanions=host.polyanions,
        rotating_anions=resting and _wander(host.ligands, positions, trajectory, settings),
        moving_lone_anions=resting and _wander(host.lone, positions, trajectory, settings),
    )


def lindemann_ratio(positions_A: FloatArray, neighbours_A: float) -> float:
    """Return √<u²> about mean sites over the distance of neighbours; positions are [n_frames, n_atoms, 3] (Å)."""
    spread = positions_A - positions_A.mean(axis=0)
    return float(np.sqrt(np.einsum("tnc,tnc->", spread, spread) / (len(spread) * spread.shape[1])) / neighbours_A)


def neighbour_distance_A(positions_A: FloatArray, cell_A: FloatArray) -> float:
    """Return the mean distance of atoms to their nearest neighbour, images included; positions are [n_atoms, 3] (Å)."""
    images = np.array(np.meshgrid(*[[-1, 0, 1]] * 3)).reshape(3, -1).T @ cell_A
    wrapped = positions_A @ np.linalg.inv(cell_A)
    wrapped = (wrapped - np.floor(wrapped)) @ cell_A
    apart = np.linalg.norm(wrapped[:, None, None] - wrapped[None, :, None] + images[None, None], axis=3)
    itself = np.eye(len(wrapped), dtype=bool)[:, :, None] & (np.linalg.norm(images, axis=1) == 0)[None, None]
    return float(np.where(itself, np.inf, apart).min(axis=(1, 2)).mean())


def sure_slope_A2_per_ps(positions_A: FloatArray, frame_ps: float) -> float:
    """Return the slope of the mean squared displacement at long times if it is above 0 by its 95 % interval, else 0.

    Parameters
    ----------
    positions_A
        [n_frames, n_atoms, 3] (Å).
    """
    n_frames, n_atoms, _ = positions_A.shape
    if n_frames < FEWEST_FRAMES:
        return 0.0
    squares = squared_displacements(positions_A, scale_lags(n_frames), atoms=np.arange(n_atoms))
    found = diffusion(ScaleSlopes((squares,), n_atoms), TransportSettings())
    # What vibrates, or is bound to a centre, has a slope that falls to nothing: it is still changing.
    sure = found.estimate.low > 0 and not found.check.unfinished
    return 2 * _AXES * found.estimate.value / frame_ps if sure else 0.0


def similarity_to(host: Host, start: Atoms, trajectory: HostTrajectory) -> float:
    """Return the mean kernel of environments of the host at the end with those at the start, mobile ions left out."""
    from ...sampling.soap import SoapDescriptor, species_of

    first = start[host.atoms]
    descriptor = SoapDescriptor(species_of([first]))
    before = descriptor.vectors(first)
    found = []
    last = trajectory.fractional[-max(round(0.25 * len(trajectory.fractional)), 1) :]
    for frame in last[np.unique(np.linspace(0, len(last) - 1, _COMPARED).astype(int))]:
        atoms = first.copy()
        atoms.set_cell(trajectory.cell_A)
        atoms.set_scaled_positions(frame[host.atoms])
        now = descriptor.vectors(atoms)
        found += [np.einsum("nd,nd->n", before[symbol], now[symbol]) for symbol in descriptor.species]
    return float(np.concatenate(found).mean())


@dataclass(frozen=True)
class _Window:
    """A window of time, the ratio and the slope in it."""

    frames: slice
    ratio: float
    slope_A2_per_ps: float


def _motion(positions_A: FloatArray, trajectory: HostTrajectory, window: int) -> list[_Window]:
    """Return how atoms move in windows side by side, short ones first, then twice as long ones, up to the whole."""
    neighbours_A = neighbour_distance_A(positions_A[0], trajectory.cell_A)
    found, length = [], min(window, len(positions_A))
    while True:
        for frames in _side_by_side(len(positions_A), length):
            part = positions_A[frames]
            slope = sure_slope_A2_per_ps(part, trajectory.frame_ps)
            found.append(_Window(frames, lindemann_ratio(part, neighbours_A), slope))
        if length == len(positions_A):
            return found
        length = min(2 * length, len(positions_A))


def _side_by_side(n_frames: int, length: int) -> list[slice]:
    """Return windows of a length; the last one is longer, up to the end."""
    count = n_frames // length
    return [slice(length * place, length * (place + 1) if place < count - 1 else n_frames) for place in range(count)]


def _melted_at(judged_A: FloatArray, motion: list[_Window], window: int, settings: HostSettings) -> int | None:
    """Return the frame from which on the atoms are molten: of the first of the shortest windows that show it."""
    found = next(
        (
            one.frames
            for one in motion
            if one.ratio > settings.lindemann_ratio and one.slope_A2_per_ps > settings.least_slope_A2_per_ps
        ),
        None,
    )
    if found is None or found.stop - found.start < 2 * window:
        return None if found is None else found.start
    # What needs a longer window began where mean sites began to move.
    parts = _side_by_side(found.stop - found.start, window)
    means = np.array([judged_A[found][part].mean(axis=0) for part in parts])
    moved = np.sqrt(((means - means[0]) ** 2).sum(axis=2).mean(axis=1))
    first = int(np.argmax(moved > _BEGUN * moved.max()))
    return int(found.start + parts[first].start)


def _decomposed_at(host: Host, trajectory: HostTrajectory, window: int) -> tuple[int | None, str]:
    """Return the frame from which on polyanions are others, and how they changed."""
    if not host.polyanions:
        return None, ""
    for frames in _side_by_side(len(trajectory.fractional), min(window, len(trajectory.fractional))):
        now = polyanions_of(host, trajectory.fractional[frames][:, host.atoms], trajectory.cell_A)
        if change := change_of(host.polyanions, now):
            return frames.start, change
    return None, ""


def _polyanion_slope(host: Host, positions_A: FloatArray, trajectory: HostTrajectory) -> float | None:
    weights = host.centres_of_mass(trajectory.masses)
    if not len(weights):
        return None
    return sure_slope_A2_per_ps(np.einsum("gn,tnc->tgc", weights, positions_A), trajectory.frame_ps)


def _wander(places: IntArray, positions_A: FloatArray, trajectory: HostTrajectory, settings: HostSettings) -> bool:
    """Return whether some of the atoms leave their sites: they end farther from where they began than they vibrate."""
    if not len(places):
        return False
    edge = max(round(min(settings.window_ps, 0.2 * len(positions_A) * trajectory.frame_ps) / trajectory.frame_ps), 1)
    chosen = positions_A[:, places]
    moved = np.linalg.norm(chosen[-edge:].mean(axis=0) - chosen[:edge].mean(axis=0), axis=1)
    return bool(np.any(moved > _AWAY_A))
