"""Whether ions hop when polyanions turn: the chance of a hop nearby given a rotation, over that at any time.

P(hop | rotation) is the part of the rotations within whose window, ±Δt, an ion hops within some distance of the centre.
P(hop) is the same at any other time: the mean over circular shifts of all rotations of a trajectory by one common time.
Such surrogates keep what rotations and hops do by themselves (bursts, how they go together among anions, anions that
have more hops about them) and take away only their common time. Each is as likely as what is observed if there is no
coupling, which gives exact probabilities; over all windows together, that of the largest excess in units of scatter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from ...core.arrays import FloatArray, IntArray
from ...core.settings import FrozenModel


class CouplingAtWindow(FrozenModel):
    """How often ions hop within one window of time about a rotation."""

    window_ps: float = Field(description="Time before and after a rotation (ps)")
    given_rotation: float = Field(description="Part of the rotations with a hop nearby in it (no unit)")
    by_chance: float = Field(description="The same at any other time: mean of the surrogates (no unit)")
    ratio: float | None = Field(description="The former over the latter; nothing where no ion hops (no unit)")
    chance_low: float = Field(description="Lower end of what 95 % of the surrogates have (no unit)")
    chance_high: float = Field(description="Upper end of what 95 % of the surrogates have (no unit)")
    p_value: float = Field(description="Probability of as many or more without coupling (no unit)")


class Coupling(FrozenModel):
    """Whether hops of the mobile ion go with rotations."""

    rotations: int = Field(description="Rotations that are looked at (number)")
    hops_nearby: int = Field(description="Hops within the distance of an anion, once for each (number)")
    windows: tuple[CouplingAtWindow, ...] = Field(description="By window of time, growing")
    p_value: float = Field(description="Probability of the largest excess of all windows without coupling (no unit)")
    surrogates: int = Field(description="Circular shifts that tell chance (number)")


@dataclass(frozen=True)
class EventTimes:
    """Events of one trajectory.

    Attributes
    ----------
    rotations
        For each anion the times of its rotations, [n] (ps).
    hops
        For each anion the times of the hops near it, [n] (ps).
    duration_ps
        Of the trajectory.
    """

    rotations: tuple[FloatArray, ...]
    hops: tuple[FloatArray, ...]
    duration_ps: float


def coupling(
    trajectories: Sequence[EventTimes], windows_ps: Sequence[float], surrogates: int, seed: int = 0
) -> Coupling | None:
    """Return whether hops go with rotations, None where nothing turned.

    Parameters
    ----------
    windows_ps
        Times before and after a rotation; those of half a trajectory or more are left out.
    """
    count = sum(len(one) for events in trajectories for one in events.rotations)
    longest = min((events.duration_ps for events in trajectories), default=0.0)
    kept = [one for one in windows_ps if 2 * one < longest]
    if not count or not kept:
        return None
    random = np.random.default_rng(seed)
    hits = np.zeros((surrogates + 1, len(kept)))
    for events in trajectories:
        shifts = np.concatenate([[0.0], random.uniform(0.0, events.duration_ps, surrogates)])
        for turned, hopped in zip(events.rotations, events.hops, strict=True):
            if len(turned) and len(hopped):
                hits += _hits(turned, hopped, shifts, np.array(kept), events.duration_ps)
    parts = hits / count
    return Coupling(
        rotations=count,
        hops_nearby=sum(len(one) for events in trajectories for one in events.hops),
        windows=tuple(_at_window(window, parts[:, place]) for place, window in enumerate(kept)),
        p_value=_of_all_windows(parts),
        surrogates=surrogates,
    )


def hops_nearby(
    hops_A: FloatArray, frames: IntArray, centres_A: FloatArray, cell_A: FloatArray, distance_A: float
) -> list[IntArray]:
    """Return for each anion which hops are near its centre at their time.

    Parameters
    ----------
    hops_A, frames
        Places of the hops, [n_hops, 3] (Å), and their frames, [n_hops].
    centres_A
        Positions of the centres, [n_frames, n_anions, 3] (Å).
    """
    found = []
    for anion in range(centres_A.shape[1]):
        apart = (hops_A - centres_A[frames, anion]) @ np.linalg.inv(cell_A)
        apart = (apart - np.rint(apart)) @ cell_A
        found.append(np.flatnonzero(np.einsum("hx,hx->h", apart, apart) <= distance_A**2))
    return found


def _hits(
    turned_ps: FloatArray, hopped_ps: FloatArray, shifts_ps: FloatArray, windows_ps: FloatArray, duration_ps: float
) -> FloatArray:
    """Return how many rotations of one anion have a hop nearby, time being a circle, [n_shifts, n_windows]."""
    hops = np.sort(hopped_ps)
    around = np.concatenate([[hops[-1] - duration_ps], hops, [hops[0] + duration_ps]])
    at = (turned_ps[None, :] + shifts_ps[:, None]) % duration_ps
    place = np.searchsorted(around, at)
    nearest = np.minimum(np.abs(around[np.minimum(place, len(around) - 1)] - at), np.abs(at - around[place - 1]))
    return np.stack([(nearest <= window).sum(axis=1) for window in windows_ps], axis=1).astype(float)


def _at_window(window_ps: float, parts: FloatArray) -> CouplingAtWindow:
    observed, chance = float(parts[0]), parts[1:]
    low, high = np.quantile(chance, (0.025, 0.975))
    mean = float(chance.mean())
    return CouplingAtWindow(
        window_ps=window_ps,
        given_rotation=observed,
        by_chance=mean,
        ratio=observed / mean if mean > 0 else None,
        chance_low=float(low),
        chance_high=float(high),
        p_value=_rank(parts),
    )


def _of_all_windows(parts: FloatArray) -> float:
    """Return the probability of the largest excess over all windows, each in units of its scatter."""
    scatter = parts.std(axis=0)
    excess = (parts - parts.mean(axis=0)) / np.where(scatter > 0, scatter, 1.0)
    return _rank(excess.max(axis=1))


def _rank(values: FloatArray) -> float:
    """Return the part of all, the observed first, that are as large as the observed."""
    return float(np.mean(values >= values[0] - 1e-12))
