"""All that trajectories say of the rotation of a polyanion: memory, events, and hops that go with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError
from ...core.settings import FrozenModel
from ..hops.hop_counts import dispersion, rate_interval
from ..trajectories.framework import drift
from ..trajectories.reading import Trajectory
from .correlations import CorrelationSums, Directions, blocks_for, correlation_sums, together
from .coupling import Coupling, EventTimes, coupling, hops_nearby
from .decay import DecayTime, decay_times
from .ion_hops import IonHops, ion_hops
from .jumps import Rotations, joined, rotations_of
from .polyanions import Polyanions, bond_directions, find_polyanions
from .settings import CouplingSettings, PolyanionSettings, RotationSettings

FEWEST_FRAMES = 20
_SAME_INTERVAL = 1e-6
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
    warnings: tuple[str, ...] = Field(description="What a reader should know (text)")


@dataclass(frozen=True)
class RotationAnalysis:
    """A result, and what figures and lists of events need.

    Attributes
    ----------
    lags_ps
        [n_lags] (ps).
    curves
        C1, C2 and C_T, [3, n_lags].
    seen
        What is kept of each trajectory.
    """

    result: RotationResult
    lags_ps: FloatArray
    curves: FloatArray
    seen: tuple[_Seen, ...]

    @property
    def rotations(self) -> tuple[Rotations, ...]:
        """The events of each trajectory."""
        return tuple(one.rotations for one in self.seen)

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return curves and events by name, as they are written to files; events of all trajectories are joined."""
        events = self.rotations
        numbers = [np.full(len(one), place, dtype=float) for place, one in enumerate(events)]
        return {
            "lags_ps": self.lags_ps,
            "correlations": self.curves,
            "event_trajectory": np.concatenate(numbers),
            "event_time_ps": np.concatenate([one.frame for one in events]) * self.seen[0].frame_ps,
            "event_anion": np.concatenate([one.anion for one in events]).astype(float),
            "event_angle_degree": np.concatenate([one.angle_degree for one in events]),
            "event_permutes": np.concatenate([one.permutes for one in events]).astype(float),
            "event_place_A": np.concatenate([one.places_A for one in self.seen]),
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
    if not trajectories:
        raise InputError("there is no trajectory")
    seen: list[_Seen] = []
    # Each is read when it is asked for: they may not fit into memory together.
    for trajectory in trajectories:
        _check(trajectory, seen)
        seen.append(_look(trajectory, mobile, settings, len(trajectories), seen[0].sums.lags if seen else None))
        if not len(seen[-1].polyanions.centres) and len(seen) == len(trajectories):
            _refuse_none(trajectory, seen, settings.anion)
    frame_ps, longest = seen[0].frame_ps, max(one.polyanions.n_frames for one in seen)
    counts = _counts([one.polyanions for one in seen], [one.rotations for one in seen], frame_ps, settings.anion)
    times = [one.times for one in seen if one.times is not None]
    sums = together([one.sums for one in seen])
    result = RotationResult(
        **counts,
        length_ps=(longest - 1) * frame_ps,
        **decay_times(sums, frame_ps, settings.resamples, seed),
        mobile=mobile,
        hops=sum(one.hops for one in seen) if times else None,
        coupling=coupling(times, settings.coupling.windows_ps, settings.coupling.surrogates, seed),
        warnings=tuple(_warnings(seen, counts, mobile)),
    )
    return RotationAnalysis(result, sums.times_ps(frame_ps), sums.curves(), tuple(seen))


@dataclass(frozen=True)
class _Seen:
    """What is kept of one trajectory.

    Attributes
    ----------
    sums
        Of its correlation functions.
    times, hops
        When anions turned and ions hopped near them, and the number of all hops; None and 0 without such an ion.
    places_A
        Where the rotations happened, [n_events, 3] (Å).
    """

    polyanions: Polyanions
    rotations: Rotations
    sums: CorrelationSums
    times: EventTimes | None
    hops: int
    places_A: FloatArray
    frame_ps: float


def _look(
    trajectory: Trajectory, mobile: str, settings: RotationSettings, n_trajectories: int, lags: IntArray | None
) -> _Seen:
    polyanions = find_polyanions(trajectory, settings.anion)
    frame_ps = trajectory.frame_interval_fs / 1000.0
    n_anions = len(polyanions.centres)
    rotations = _rotations(trajectory, polyanions, settings, frame_ps)
    moving = _moving(trajectory, polyanions, mobile, settings.coupling)
    return _Seen(
        polyanions,
        rotations,
        correlation_sums(
            _directions(trajectory, polyanions),
            trajectory.n_frames,
            n_anions,
            lags=lags,
            blocks=blocks_for(n_anions * n_trajectories),
        ),
        None if moving is None else _event_times(trajectory, polyanions, rotations, moving, settings.coupling),
        0 if moving is None else len(moving.hops),
        trajectory.positions_A[rotations.leave, rotations.anion],
        frame_ps,
    )


def _check(trajectory: Trajectory, seen: Sequence[_Seen]) -> None:
    if trajectory.n_frames < FEWEST_FRAMES:
        raise InputError(f"{_name(trajectory)} has {trajectory.n_frames} frames; {FEWEST_FRAMES} or more are needed")
    interval_fs = 1000.0 * seen[0].frame_ps if seen else trajectory.frame_interval_fs
    if abs(trajectory.frame_interval_fs - interval_fs) > _SAME_INTERVAL * interval_fs:
        raise InputError(
            f"the times between frames differ between trajectories: {interval_fs:g} and "
            f"{trajectory.frame_interval_fs:g} fs"
        )


def _name(trajectory: Trajectory) -> str:
    return trajectory.name or "the trajectory"


def _refuse_none(trajectory: Trajectory, seen: Sequence[_Seen], settings: PolyanionSettings) -> None:
    if any(len(one.polyanions.centres) for one in seen):
        return
    made_A, broken_A = settings.bond_A
    raise InputError(
        f"there is no {settings.formula}: no {settings.centre} holds {settings.ligands} {settings.ligand} "
        f"{'of its own ' if settings.alone else ''}(bonds are made below {made_A:.2f} and broken above "
        f"{broken_A:.2f} Å); the trajectory has {', '.join(sorted(set(trajectory.symbols)))}"
    )


def _directions(trajectory: Trajectory, polyanions: Polyanions) -> Iterator[Directions]:
    number = {int(centre): place for place, centre in enumerate(polyanions.centres)}
    for stretch in polyanions.stretches:
        yield Directions(bond_directions(trajectory, stretch), number[stretch.centre], stretch.first)


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
    trajectory: Trajectory, polyanions: Polyanions, rotations: Rotations, moving: _Moving, settings: CouplingSettings
) -> EventTimes:
    """Return when each anion turned, and when ions hopped near it."""
    frame_ps = trajectory.frame_interval_fs / 1000.0
    hops = moving.hops
    frames = np.clip(np.rint(hops.frame), 0, trajectory.n_frames - 1).astype(np.int64)
    near = hops_nearby(hops.place_A, frames, moving.centres_A, trajectory.cell_A, settings.distance_A)
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


def _warnings(seen: Sequence[_Seen], result: dict[str, Any], mobile: str) -> Iterator[str]:
    if result["whole_fraction"] < _MOSTLY_WHOLE:
        yield (
            f"the polyanions are whole for {result['whole_fraction']:.0%} of the time only: what is said holds for that"
            " part"
        )
    if not all(len(one.polyanions.centres) for one in seen):
        yield "some trajectories hold no such polyanion"
    if result["rotations"] and result["unsettled"] > _MOSTLY_SETTLED * result["rotations"]:
        yield (
            "most rotations do not come to rest: the polyanions are rotors, or frames are too far apart; look at the"
            " decay times rather than at counts"
        )
    if any(one.times is None for one in seen):
        yield f"there is no {mobile}: rotations are compared with no hops"
