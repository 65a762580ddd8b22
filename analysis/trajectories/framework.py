"""The frame of reference: what rests while ions move through it.

Ionic conduction is defined in the frame of the framework, the atoms that do not diffuse. Their centre of mass takes
out the drift that thermostats and rounding leave. Atoms that diffuse must not hold it: each of their hops would move
everything else backwards, and N mobile ions together by N times as much.

Whether a species diffuses is told from its displacements relative to its own centre of mass, which no drift touches:
those of its median atom over half the trajectory must be longer than vibrations are and still be growing, or longer
than any group of atoms can turn. One that is slow beside the mobile ions may still hold the frame; it is said. Of a
single atom nobody can tell diffusion from drift.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from ase.data import atomic_masses, atomic_numbers

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError
from .reading import Trajectory

DriftReference = Literal["framework", "all", "none"]

RESTING_A = 1.5
"""Displacement of the median atom below which a species rests whatever it does (Å): less than half a hop."""
WANDERING_A = 5.0
"""Displacement above which it diffuses whatever its growth (Å): no rotating group of atoms reaches so far."""
# Squared displacements grow by 4 from an eighth of the trajectory to a half where atoms diffuse, and not at all where
# they vibrate.
_GROWTH = 2.0
# Part of the mobile ions' squared displacement up to which a species that diffuses may hold the frame of reference.
_SLOW = 0.05
# Origins of time and atoms from which displacements are taken: enough for a yes or no.
_ORIGINS = 64
_ATOMS = 256


@dataclass(frozen=True)
class FrameOfReference:
    """What rests.

    Attributes
    ----------
    drift_A
        For each trajectory the displacement of the frame of reference since the first frame, [n_frames, 3] (Å).
    species
        Species whose centre of mass it is; none where nothing is subtracted.
    notes
        What a reader of the results should know of it.
    """

    drift_A: tuple[FloatArray, ...]
    species: tuple[str, ...]
    notes: tuple[str, ...]

    def part(self, stop: int) -> FrameOfReference:
        """Return that of the trajectories' frames before ``stop``."""
        return FrameOfReference(tuple(one[:stop] for one in self.drift_A), self.species, self.notes)


def frame_of_reference(
    trajectories: Sequence[Trajectory],
    mobile: Iterable[str],
    reference: DriftReference = "framework",
    framework: Sequence[str] = (),
) -> FrameOfReference:
    """Return the frame of reference of replicas of one system.

    Parameters
    ----------
    mobile
        Species that move through the framework.
    reference
        ``framework``: the centre of mass of all atoms that are neither mobile nor diffuse otherwise; where there are
        none, that of mobile species that do not diffuse, else nothing. ``all``: the centre of mass of all atoms;
        ``none``: nothing.
    framework
        The species of the framework, where it is not to be found out.

    Raises
    ------
    InputError
        If a species of ``framework`` is not there, or is mobile.
    """
    moving = sorted(set(mobile))
    if framework and reference != "framework":
        raise InputError(
            f"a framework ({', '.join(framework)}) holds no frame of reference with the drift {reference!r}"
        )
    present = sorted(set(trajectories[0].symbols))
    if reference == "none":
        return _of_species(trajectories, (), ())
    if reference == "all":
        return _of_species(trajectories, tuple(present), ())
    if framework:
        return _named(trajectories, moving, tuple(framework), present)
    return _found(trajectories, moving, present)


def drift(
    trajectory: Trajectory,
    mobile: Iterable[str],
    reference: DriftReference = "framework",
    framework: Sequence[str] = (),
) -> FloatArray:
    """Return the displacement of the frame of reference since the first frame, shape [n_frames, 3] (Å).

    See `frame_of_reference`, which also says what should be known of it.
    """
    return frame_of_reference([trajectory], mobile, reference, framework).drift_A[0]


def _named(
    trajectories: Sequence[Trajectory], moving: Sequence[str], framework: tuple[str, ...], present: Sequence[str]
) -> FrameOfReference:
    missing = [one for one in framework if one not in present]
    if missing:
        near = [one.capitalize() for one in missing if one.capitalize() in present]
        raise InputError(
            f"the framework is to be {', '.join(framework)}, but the trajectory has no {', '.join(missing)}"
            f"{f' (did you mean {near[0]}?)' if near else ''}; it has {', '.join(present)}"
        )
    both = [one for one in framework if one in moving]
    if both:
        raise InputError(f"{', '.join(both)} cannot be mobile and framework at once")
    notes = [
        f"{one} is named as framework, but diffuses itself ({moved:.1f} Å in half the trajectory): it is no frame of"
        " reference, and its motion is added to that of the mobile ions"
        for one in framework
        if (moved := _wanders(trajectories, one)) is not None
    ]
    return _of_species(trajectories, framework, notes)


def _found(trajectories: Sequence[Trajectory], moving: Sequence[str], present: Sequence[str]) -> FrameOfReference:
    others = [one for one in present if one not in moving]
    wandering = {one: moved for one in others if (moved := _wanders(trajectories, one)) is not None}
    fastest = max((_displacement_A(trajectories, one, 2) for one in moving if one in present), default=0.0)
    slow = {one: wandering.pop(one) for one, moved in [*wandering.items()] if moved**2 < _SLOW * fastest**2}
    notes = [
        f"{one} diffuses as well, by {moved:.1f} Å in half the trajectory against {fastest:.1f} Å of the mobile ions;"
        " it still is part of the framework"
        for one, moved in slow.items()
    ]
    resting = tuple(one for one in others if one not in wandering)
    names = ", ".join(f"{one} ({moved:.1f} Å in half the trajectory)" for one, moved in wandering.items())
    diffuse = "diffuses" if len(wandering) == 1 else "diffuse"
    if resting:
        notes += _own_motion(trajectories, resting, moving, slow)
        if not wandering:
            return _of_species(trajectories, resting, (*notes, *_of_single_atom(trajectories, resting)))
        note = (
            f"{names} {diffuse} as well and {'is' if len(wandering) == 1 else 'are'} no part of the framework, which is"
            f" {', '.join(resting)}; name all mobile species where their common conductivity is meant"
        )
        return _of_species(trajectories, resting, (*notes, note))
    still = tuple(one for one in moving if one in present and _wanders(trajectories, one) is None)
    if wandering and still:
        note = (
            f"{names} {diffuse} and cannot be the frame of reference; {', '.join(still)}, which rests, holds it itself:"
            " its collective displacement is zero by definition"
        )
        return _of_species(trajectories, still, (note,))
    if wandering:
        note = (
            f"there is no framework: {names} {diffuse} as well (a melt?). Nothing is held at rest, and a drift of the"
            " whole cannot be removed; with --drift all the centre of mass of all atoms rests"
        )
    else:
        note = (
            "there is no framework: all atoms are mobile. Nothing is held at rest, and a drift of the whole cannot be"
            " removed"
        )
    return _of_species(trajectories, (), (note,))


def _of_single_atom(trajectories: Sequence[Trajectory], resting: Sequence[str]) -> tuple[str, ...]:
    """Return what must be said of a framework of one atom that moves."""
    atoms = np.concatenate([trajectories[0].indices_of(one) for one in resting])
    if len(atoms) > 1 or (moved := _displacement_A(trajectories, resting[0], 2)) <= RESTING_A:
        return ()
    return (
        f"the framework is a single {resting[0]}, which moves by {moved:.1f} Å in half the trajectory: whether it"
        " diffuses or the whole drifts cannot be told",
    )


def _own_motion(
    trajectories: Sequence[Trajectory], resting: Sequence[str], moving: Sequence[str], slow: Collection[str]
) -> list[str]:
    """Return what must be said of a framework some atoms of which diffuse, though most rest.

    Its centre moves by Σ wᵢ rᵢ, w the parts of the mass; all N mobile ions then move by that together, and their
    collective squared displacement is too large by N Σ wᵢ² rᵢ² over their own.
    """
    mobile, atoms = ([_atoms_of(one, species) for one in trajectories] for species in (moving, resting))
    count = len(atoms[0])
    if not len(mobile[0]) or count == 1 or slow:
        return []
    symbols = np.array(trajectories[0].symbols)[atoms[0]]
    masses = atomic_masses[[atomic_numbers[one] for one in symbols]]
    chosen = np.unique(np.linspace(0, count - 1, _ATOMS).astype(int))
    squares, earlier = (
        np.array([_squares_A2(one, its, part)[chosen] for one, its in zip(trajectories, atoms, strict=True)])
        for part in (2, 8)
    )
    # What vibrates does not grow from an eighth of the trajectory to a half.
    own = len(mobile[0]) * count * float(np.mean((masses / masses.sum())[chosen] ** 2 * (squares - earlier)))
    of_ions = float(np.mean([_squares_A2(one, its, 2).mean() for one, its in zip(trajectories, mobile, strict=True)]))
    wandering = (squares > WANDERING_A**2) | ((squares > RESTING_A**2) & (squares > _GROWTH * earlier))
    if own < _SLOW * of_ions or not wandering.any():
        return []
    names = ", ".join(sorted(set(symbols[chosen][wandering.any(axis=0)])))
    return [
        f"{np.mean(wandering):.0%} of the framework's atoms ({names}) diffuse: the collective displacement of the"
        f" mobile ions is too large by some {own / of_ions:.0%}, which is the framework's own; name what rests"
    ]


def _atoms_of(trajectory: Trajectory, species: Iterable[str]) -> IntArray:
    """Return the indices of atoms, one species after the other: replicas may have them in other orders."""
    found = [trajectory.indices_of(one) for one in species if one in trajectory.symbols]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _of_species(trajectories: Sequence[Trajectory], species: tuple[str, ...], notes: Sequence[str]) -> FrameOfReference:
    return FrameOfReference(tuple(_centre_A(one, species) for one in trajectories), species, tuple(notes))


def _centre_A(trajectory: Trajectory, species: Sequence[str]) -> FloatArray:
    """Return how far the centre of mass of ``species`` went since the first frame, shape [n_frames, 3] (Å)."""
    if not species:
        return np.zeros((trajectory.n_frames, 3))
    symbols = trajectory.symbols
    masses = np.array([atomic_masses[atomic_numbers[one]] if one in species else 0.0 for one in symbols])
    centre = np.tensordot(trajectory.positions_A, masses / masses.sum(), axes=([1], [0]))
    return np.asarray(centre - centre[0])


def _wanders(trajectories: Sequence[Trajectory], species: str) -> float | None:
    """Return how far a typical atom of ``species`` goes in half the trajectory (Å) if it diffuses, else None."""
    if len(trajectories[0].indices_of(species)) == 1:
        return None
    half = _displacement_A(trajectories, species, 2)
    grows = half**2 > _GROWTH * _displacement_A(trajectories, species, 8) ** 2
    return half if half > WANDERING_A or (half > RESTING_A and grows) else None


def _displacement_A(trajectories: Sequence[Trajectory], species: str, part: int) -> float:
    """Return how far a typical atom of ``species`` goes in a part of the trajectory (Å)."""
    return float(np.sqrt(np.mean([_typical_square_A2(one, species, part) for one in trajectories])))


def _squares_A2(trajectory: Trajectory, atoms: IntArray, part: int) -> FloatArray:
    """Return the squared displacement of each atom over a part of the trajectory (Å²), without that of the median."""
    lag = max(1, (trajectory.n_frames - 1) // part)
    origins = np.unique(np.linspace(0, trajectory.n_frames - 1 - lag, _ORIGINS).astype(int))
    moved = trajectory.positions_A[origins + lag][:, atoms] - trajectory.positions_A[origins][:, atoms]
    return np.asarray(np.square(moved - np.median(moved, axis=1, keepdims=True)).sum(axis=2).mean(axis=0))


def _typical_square_A2(trajectory: Trajectory, species: str, part: int) -> float:
    """Return the squared displacement of the median atom over a part of the trajectory (Å²), without common motion."""
    atoms = trajectory.indices_of(species)
    count = len(atoms)
    lag = max(1, (trajectory.n_frames - 1) // part)
    origins = np.unique(np.linspace(0, trajectory.n_frames - 1 - lag, _ORIGINS).astype(int))
    chosen = atoms[np.unique(np.linspace(0, count - 1, _ATOMS).astype(int))]
    moved = trajectory.positions_A[origins + lag][:, chosen] - trajectory.positions_A[origins][:, chosen]
    if count > 1:
        moved -= moved.mean(axis=1, keepdims=True)
        moved *= np.sqrt(len(chosen) / (len(chosen) - 1))
    squares = np.square(moved).sum(axis=2)
    # Few atoms have no typical one among them.
    return float(squares.mean(axis=0).mean() if count < 5 else np.median(squares.mean(axis=0)))
