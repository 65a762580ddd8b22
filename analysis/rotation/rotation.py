"""All that trajectories say of the rotation of a polyanion: memory, events, and hops that go with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...core.arrays import FloatArray
from ...core.errors import InputError
from ...core.settings import FrozenModel
from ..hops.hop_counts import dispersion, rate_interval
from ..trajectories.framework import drift
from ..trajectories.reading import Trajectory
from .correlations import Directions, correlation_sums
from .coupling import Coupling, EventTimes, coupling, hops_nearby
from .decay import DecayTime, decay_times
from .ion_hops import IonHops, ion_hops
from .jumps import Rotations, joined, rotations_of
from .polyanions import Polyanions, bond_directions, find_polyanions
from .settings import CouplingSettings, PolyanionSettings, RotationSettings

_FEWEST_FRAMES = 20
_MOSTLY_WHOLE = 0.5
_MOSTLY_SETTLED = 0.5


class Rate(FrozenModel):
    """How often something happens, with the 95 % interval of a count; without an event, 0 and an upper bound."""

    value: float
    low: float
    high: float


class RotationResult(FrozenModel):
    """What trajectories at one temperature say of the rotation of a polyanion."""

    formula: str = Field(description="The polyanion that is followed (formula)")
    trajectories: int = Field(description="Independent trajectories (number)")
    length_ps: float = Field(description="Length of the longest (ps)")
    anions: int = Field(description="Polyanions in all trajectories together (number)")
    centres: int = Field(description="Atoms that could be their centres (number)")
    whole_fraction: float = Field(description="Part of the time in which the polyanions are whole (no unit)")
    breaks: int = Field(description="How often one ceased to be whole (number)")
    breaks_per_anion_per_ns: Rate = Field(description="The same as a rate, with its 95 % interval (1/ns)")
    rotations: int = Field(description="Rotations from one orientation to another (number)")
    rotations_per_anion_per_ns: Rate = Field(description="The same as a rate, with its 95 % interval (1/ns)")
    permuting: int = Field(description="Rotations after which the polyanion lies as before (number)")
    unsettled: int = Field(description="Rotations without coming to rest (number)")
    mean_angle_degree: float | None = Field(description="Mean angle of the rotations; nothing without any (degrees)")
    c1: DecayTime | None = Field(description="Decay of C1, the bonds' first rank; nothing: too few frames")
    c2: DecayTime | None = Field(description="Decay of C2, the bonds' second rank; nothing: too few frames")
    ct: DecayTime | None = Field(description="Decay of C_T, the tetrahedron's third rank; nothing: it has none")
    mobile: str = Field(description="The ion whose hops are compared (chemical symbol)")
    hops: int | None = Field(description="Hops of the mobile ion; nothing where there is none (number)")
    coupling: Coupling | None = Field(description="Whether hops go with rotations; nothing where nothing turned")
    warnings: tuple[str, ...] = Field(description="What a reader should know")


@dataclass(frozen=True)
class RotationAnalysis:
    """A result, and what figures and lists of events need.

    Attributes
    ----------
    lags_ps
        [n_lags] (ps).
    curves
        C1, C2 and C_T, [3, n_lags].
    rotations
        Events of each trajectory.
    frame_ps
        Time between frames (ps).
    places_A
        Where they happened, the unwrapped positions of the centres, [n_events, 3] for each trajectory (Å).
    """

    result: RotationResult
    lags_ps: FloatArray
    curves: FloatArray
    rotations: tuple[Rotations, ...]
    frame_ps: float
    places_A: tuple[FloatArray, ...]

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return curves and events by name, as they are written to files; events of all trajectories are joined."""
        events = self.rotations
        numbers = [np.full(len(one), place, dtype=float) for place, one in enumerate(events)]
        return {
            "lags_ps": self.lags_ps,
            "correlations": self.curves,
            "event_trajectory": np.concatenate(numbers),
            "event_time_ps": np.concatenate([one.frame for one in events]) * self.frame_ps,
            "event_anion": np.concatenate([one.anion for one in events]).astype(float),
            "event_angle_degree": np.concatenate([one.angle_degree for one in events]),
            "event_permutes": np.concatenate([one.permutes for one in events]).astype(float),
            "event_place_A": np.concatenate(self.places_A),
        }


ARRAY_UNITS = {"lags_ps": "ps", "event_time_ps": "ps", "event_angle_degree": "degrees", "event_place_A": "Å"}


def analyse_rotation(
    trajectories: Sequence[Trajectory], mobile: str, settings: RotationSettings, seed: int = 0
) -> RotationAnalysis:
    """Return what trajectories of one system say of the rotation of a polyanion.

    Parameters
    ----------
    trajectories
        Independent ones at one temperature, with the same time between frames.
    mobile
        The ion whose hops are compared with the rotations.
    seed
        Of resampled pieces and surrogates.

    Raises
    ------
    InputError
        If there is no such polyanion, there are too few frames, or times between frames differ.
    """
    _check(trajectories)
    found = [find_polyanions(one, settings.anion) for one in trajectories]
    n_anions = sum(len(one.centres) for one in found)
    if not n_anions:
        raise InputError(_none_found(trajectories[0], settings.anion))
    frame_ps = trajectories[0].frame_interval_fs / 1000.0
    longest = max(one.n_frames for one in trajectories)
    sums = correlation_sums(_directions(trajectories, found), longest, n_anions)
    events = [_rotations(one, its, settings, frame_ps) for one, its in zip(trajectories, found, strict=True)]
    counts = _counts(found, events, frame_ps, settings.anion)
    moving = [_moving(one, its, mobile, settings.coupling) for one, its in zip(trajectories, found, strict=True)]
    times = [
        _event_times(one, its, turned, moves, settings.coupling.distance_A)
        for one, its, turned, moves in zip(trajectories, found, events, moving, strict=True)
        if moves is not None
    ]
    result = RotationResult(
        **counts,
        trajectories=len(trajectories),
        length_ps=(longest - 1) * frame_ps,
        **decay_times(sums, frame_ps, settings.resamples, seed),
        mobile=mobile,
        hops=sum(len(one.hops) for one in moving if one is not None) if times else None,
        coupling=coupling(times, settings.coupling.windows_ps, settings.coupling.surrogates, seed),
        warnings=tuple(_warnings(found, counts, moving, mobile)),
    )
    places = [one.positions_A[its.leave, its.anion] for one, its in zip(trajectories, events, strict=True)]
    return RotationAnalysis(result, sums.lags * frame_ps, sums.curves(), tuple(events), frame_ps, tuple(places))


def _check(trajectories: Sequence[Trajectory]) -> None:
    if not trajectories:
        raise InputError("there is no trajectory")
    shortest = min(one.n_frames for one in trajectories)
    if shortest < _FEWEST_FRAMES:
        raise InputError(f"a trajectory has {shortest} frames; {_FEWEST_FRAMES} or more are needed")
    intervals = {round(one.frame_interval_fs, 6) for one in trajectories}
    if len(intervals) > 1:
        told = " and ".join(f"{one:g}" for one in sorted(intervals))
        raise InputError(f"the times between frames differ between trajectories: {told} fs")


def _none_found(trajectory: Trajectory, settings: PolyanionSettings) -> str:
    made_A, broken_A = settings.bond_A
    return (
        f"there is no {settings.formula}: no {settings.centre} holds {settings.ligands} {settings.ligand} "
        f"{'of its own ' if settings.alone else ''}(bonds are made below {made_A:.2f} and broken above "
        f"{broken_A:.2f} Å); the trajectory has {', '.join(sorted(set(trajectory.symbols)))}"
    )


def _directions(trajectories: Sequence[Trajectory], found: Sequence[Polyanions]) -> Iterator[Directions]:
    before = 0
    for trajectory, polyanions in zip(trajectories, found, strict=True):
        number = {int(centre): before + place for place, centre in enumerate(polyanions.centres)}
        for stretch in polyanions.stretches:
            yield Directions(bond_directions(trajectory, stretch), number[stretch.centre], stretch.first)
        before += len(polyanions.centres)


def _rotations(
    trajectory: Trajectory, polyanions: Polyanions, settings: RotationSettings, frame_ps: float
) -> Rotations:
    return joined(
        [
            rotations_of(bond_directions(trajectory, one), settings.jumps, frame_ps, one.centre, one.first)
            for one in polyanions.stretches
            if len(one) > 1
        ]
    )


@dataclass(frozen=True)
class _Moving:
    """Hops of the mobile ion, and where the centres are, against the framework (Å, frames)."""

    hops: IonHops
    centres_A: FloatArray


def _moving(trajectory: Trajectory, polyanions: Polyanions, mobile: str, settings: CouplingSettings) -> _Moving | None:
    """Return what moves, None where there is no such ion."""
    ions = np.flatnonzero(np.array(trajectory.symbols) == mobile)
    if not len(ions):
        return None
    rests = drift(trajectory, [mobile])[:, None]
    frame_ps = trajectory.frame_interval_fs / 1000.0
    hops = ion_hops(trajectory.positions_A[:, ions] - rests, frame_ps, settings.hop_A)
    return _Moving(hops, trajectory.positions_A[:, polyanions.centres] - rests)


def _event_times(
    trajectory: Trajectory, polyanions: Polyanions, rotations: Rotations, moving: _Moving, distance_A: float
) -> EventTimes:
    """Return when each anion turned, and when ions hopped near it."""
    frame_ps = trajectory.frame_interval_fs / 1000.0
    hops = moving.hops
    frames = np.clip(np.rint(hops.frame), 0, trajectory.n_frames - 1).astype(np.int64)
    near = hops_nearby(hops.place_A, frames, moving.centres_A, trajectory.cell_A, distance_A)
    return EventTimes(
        tuple(rotations.frame[rotations.anion == centre] * frame_ps for centre in polyanions.centres),
        tuple(hops.frame[one] * frame_ps for one in near),
        trajectory.length_ps,
    )


def _counts(
    found: Sequence[Polyanions], events: Sequence[Rotations], frame_ps: float, settings: PolyanionSettings
) -> dict[str, Any]:
    """Return what is counted, as fields of the result."""
    exposure_ns = sum(one.anion_frames for one in found) * frame_ps / 1000.0
    durations = [(one.n_frames - 1) * frame_ps for one in found]
    ends = [
        np.array([stretch.stop for stretch in one.stretches if stretch.stop < one.n_frames]) * frame_ps for one in found
    ]
    count = sum(len(one) for one in events)
    angles = np.concatenate([one.angle_degree for one in events])
    return {
        "formula": settings.formula,
        "anions": sum(len(one.centres) for one in found),
        "centres": sum(one.n_centres for one in found),
        "whole_fraction": float(
            np.average([one.whole_fraction for one in found], weights=[_size(one) for one in found])
        ),
        "breaks": sum(one.breaks for one in found),
        "breaks_per_anion_per_ns": _rate(ends, durations, exposure_ns),
        "rotations": count,
        "rotations_per_anion_per_ns": _rate([one.frame * frame_ps for one in events], durations, exposure_ns),
        "permuting": int(sum(one.permutes.sum() for one in events)),
        "unsettled": int(sum((~one.settled).sum() for one in events)),
        "mean_angle_degree": float(angles.mean()) if count else None,
    }


def _size(polyanions: Polyanions) -> float:
    return len(polyanions.centres) * polyanions.n_frames


def _rate(times_ps: Sequence[FloatArray], durations_ps: Sequence[float], exposure_ns: float) -> Rate:
    """Return a rate; events that come in bursts have a wider interval than those of a Poisson process."""
    count = sum(len(one) for one in times_ps)
    varies = dispersion(times_ps, durations_ps, np.ones(count, dtype=np.int64))
    low, high = rate_interval(count, exposure_ns, varies)
    return Rate(value=count / exposure_ns, low=low, high=high)


def _warnings(
    found: Sequence[Polyanions], result: dict[str, Any], moving: Sequence[_Moving | None], mobile: str
) -> Iterator[str]:
    if result["whole_fraction"] < _MOSTLY_WHOLE:
        yield (
            f"the polyanions are whole for {result['whole_fraction']:.0%} of the time only: what is said holds for that"
            " part"
        )
    if result["anions"] < len(found):
        yield "some trajectories hold no such polyanion"
    if result["rotations"] and result["unsettled"] > _MOSTLY_SETTLED * result["rotations"]:
        yield (
            "most rotations do not come to rest: the polyanions are rotors, or frames are too far apart; look at the"
            " decay times rather than at counts"
        )
    if any(one is None for one in moving):
        yield f"there is no {mobile}: rotations are compared with no hops"
