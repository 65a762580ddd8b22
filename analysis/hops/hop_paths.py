"""Which hops are worth a path, and the configurations before and after them.

Hops between the same two sites are one class. The most frequent class carries most of the charge; the class with
the highest rate out of its sites has the lowest free-energy barrier. Two consecutive hops that cross the unit cell
along the axis of fastest diffusion are what a long-ranged current is made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np
from ase import Atoms
from ase.geometry import find_mic

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError
from ...sampling.structures.sites import candidate_sites
from .detection import HopAnalysis, Hops, net_displacements
from .hop_counts import poisson_interval

# A net displacement of this share of the period has crossed the cell: sites are not exactly periodic at work.
_CROSSING_SHARE = 0.9
# A hole closer than this to a mobile ion is that ion's own site; one farther than the other is no neighbour.
_FREE_SITE_A = 1.5
_FARTHEST_SITE_A = 4.5
MOST_FREQUENT = "most frequent"
FASTEST = "fastest"


@dataclass(frozen=True)
class HopClass:
    """All hops between two sites, in both directions.

    Attributes
    ----------
    members
        (trajectory, hop) of each.
    rate_per_ps, lowest_rate_per_ps
        Hops per time that the two sites were occupied, and the lower end of its 95 % interval: what a few hops
        prove.
    """

    sites: tuple[int, int]
    members: tuple[tuple[int, int], ...]
    length_A: float
    rate_per_ps: float
    lowest_rate_per_ps: float


@dataclass(frozen=True)
class HopPath:
    """The two ends of a path, before they are relaxed.

    Attributes
    ----------
    origin
        ``trajectory`` or ``nearest free site``.
    choice
        Why this hop was taken.
    initial, final
        The same atoms in the same order, positions continuous from one to the other.
    moving
        Indices of the atoms that hop.
    jump_A
        Distance between the sites.
    observed, rate_per_ps
        How often the hop was seen, and how often per time that its sites were occupied (0 where it was not seen).
    """

    origin: str
    choice: str
    initial: Atoms
    final: Atoms
    moving: tuple[int, ...]
    jump_A: float
    observed: int = 0
    rate_per_ps: float = 0.0


@dataclass(frozen=True)
class Crossing:
    """Two consecutive hops (indices in one trajectory) that cross the unit cell; ``ions`` is 1 or 2."""

    trajectory: int
    first: int
    second: int
    ions: int
    advance_A: float


def hop_classes(analyses: Sequence[HopAnalysis]) -> list[HopClass]:
    """Return the classes of the hops of trajectories that share their sites, the most frequent first."""
    members: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for number, one in enumerate(analyses):
        hops = one.hops
        shifts = hops.to_image - hops.from_image
        for hop in range(len(hops)):
            there = (int(hops.from_site[hop]), int(hops.to_site[hop]), *map(int, shifts[hop]))
            back = (there[1], there[0], *(-shift for shift in there[2:]))
            members.setdefault(min(there, back), []).append((number, hop))
    occupied_ps = np.sum([one.occupancy * one.duration_ps for one in analyses], axis=0)
    classes = []
    for key, found in members.items():
        exposure = max(float(sum(occupied_ps[site] for site in set(key[:2]))), analyses[0].frame_ps)
        number, hop = found[0]
        classes.append(
            HopClass(
                sites=(key[0], key[1]),
                members=tuple(found),
                length_A=float(analyses[number].hops.length_A[hop]),
                rate_per_ps=len(found) / exposure,
                lowest_rate_per_ps=poisson_interval(len(found), exposure)[0],
            )
        )
    return sorted(classes, key=lambda one: (-len(one.members), one.sites))


def ranked(classes: Sequence[HopClass]) -> list[tuple[str, HopClass]]:
    """Return the classes in the order in which they get paths: the most frequent, the fastest, and so on in turns."""
    by_rate = sorted(classes, key=lambda one: (-one.lowest_rate_per_ps, one.sites))
    turns = zip_longest(classes, by_rate)
    order: list[tuple[str, HopClass]] = []
    for frequent, fast in turns:
        for choice, one in ((MOST_FREQUENT, frequent), (FASTEST, fast)):
            if one is not None and all(one is not taken for _, taken in order):
                order.append((choice, one))
    return order


def crossings(analyses: Sequence[HopAnalysis], periods: tuple[int, int, int]) -> tuple[list[Crossing], str]:
    """Return the pairs of consecutive hops that cross a unit cell along the axis of fastest diffusion, best first.

    The second hop is the same ion's next one, or that of the ion that leaves the site just reached, or that
    follows into the site just left. Where there is none, the text says why.

    Parameters
    ----------
    periods
        Unit cells in the trajectories' cell along each lattice vector.
    """
    net = np.sqrt(np.mean(net_displacements(list(analyses)) ** 2, axis=0))
    if not any(len(one.hops) > 1 for one in analyses):
        return [], "the trajectories have no two hops in a row"
    axis = int(np.argmax(net))
    cell = analyses[0].sites.cell
    period = float(np.linalg.norm(cell[axis]) / periods[axis])
    found: list[Crossing] = []
    farthest = 0.0
    for number, one in enumerate(analyses):
        along = (one.hops.jump_A @ np.linalg.inv(cell))[:, axis] * np.linalg.norm(cell[axis])
        for first, second, ions in _consecutive(one.hops):
            advance = float(abs(along[first] + along[second]))
            farthest = max(farthest, advance)
            if advance >= _CROSSING_SHARE * period:
                found.append(Crossing(number, first, second, ions, advance))
    name = "abc"[axis]
    if not found:
        return [], (
            f"no two consecutive hops cross the unit cell along {name}, the axis of fastest diffusion "
            f"({farthest:.1f} of {period:.1f} Å at most); longer trajectories may have them"
        )
    # The fewer hops of others lie in between, the cleaner is the state in the middle.
    return sorted(found, key=lambda crossing: (crossing.ions, crossing.second - crossing.first)), ""


def _consecutive(hops: Hops) -> list[tuple[int, int, int]]:
    """Return (first, second, number of ions) of hops that continue each other."""
    pairs: list[tuple[int, int, int]] = []
    last_of_ion: dict[int, int] = {}
    last_to: dict[int, int] = {}
    last_from: dict[int, int] = {}
    for hop in range(len(hops)):
        ion, origin, target = int(hops.ion[hop]), int(hops.from_site[hop]), int(hops.to_site[hop])
        if ion in last_of_ion:
            pairs.append((last_of_ion[ion], hop, 1))
        for earlier in {last_to.get(origin, hop), last_from.get(target, hop)}:
            if earlier != hop and int(hops.ion[earlier]) != ion:
                pairs.append((earlier, hop, 2))
        last_of_ion[ion], last_to[target], last_from[origin] = hop, hop, hop
    return pairs


def averaged_ends(
    positions: FloatArray, analysis: HopAnalysis, hop: int, average_ps: float
) -> tuple[FloatArray, FloatArray, float]:
    """Return time-averaged positions before and after a hop, [n_atoms, 3] each (Å), and how long it was quiet (ps).

    Frames are averaged over ``average_ps`` at most, and never across another ion's hop; hops of the same
    concerted event belong to this one. The quiet time is the shorter of the two averages.

    Parameters
    ----------
    positions
        All atoms, Å, unwrapped and without drift, [n_frames, n_atoms, 3].
    """
    hops = analysis.hops
    together = hops.event == hops.event[hop]
    leave, arrive = int(hops.leave[together].min()), int(hops.arrive[together].max())
    window = max(1, round(average_ps / analysis.frame_ps))
    earlier = hops.arrive[~together & (hops.arrive <= leave)]
    later = hops.leave[~together & (hops.leave >= arrive)]
    start = max(leave - window + 1, int(earlier.max(initial=-1)) + 1, 0)
    stop = min(arrive + window, int(later.min(initial=len(positions))), len(positions))
    stop = max(stop, arrive + 1)
    start = min(start, leave)
    quiet = min(leave - start + 1, stop - arrive) * analysis.frame_ps
    return positions[start : leave + 1].mean(axis=0), positions[arrive:stop].mean(axis=0), quiet


@dataclass(frozen=True)
class HopSource:
    """Trajectories of one system and their hops.

    Attributes
    ----------
    atoms
        Gives symbols and cell.
    mobile
        Indices of the mobile ions among all atoms.
    positions
        Of each trajectory: all atoms, Å, without drift, [n_frames, n_atoms, 3].
    """

    atoms: Atoms
    mobile: IntArray
    positions: Sequence[FloatArray]
    analyses: Sequence[HopAnalysis]

    def path(self, trajectory: int, hop: int, choice: str, average_ps: float) -> HopPath:
        """Return the path of one hop."""
        analysis = self.analyses[trajectory]
        before, after, _ = averaged_ends(self.positions[trajectory], analysis, hop, average_ps)
        together = np.flatnonzero(analysis.hops.event == analysis.hops.event[hop])
        moving = sorted({int(self.mobile[analysis.hops.ion[one]]) for one in together})
        return HopPath(
            origin="trajectory",
            choice=choice,
            initial=_with_positions(self.atoms, before),
            final=_with_positions(self.atoms, after),
            moving=tuple(moving),
            jump_A=float(analysis.hops.length_A[hop]),
        )


def class_paths(source: HopSource, average_ps: float) -> list[HopPath]:
    """Return one path for every class of hops, in the order of `ranked`: of each the hop of one ion, quietest around.

    Raises
    ------
    InputError
        If there are no hops.
    """
    classes = hop_classes(source.analyses)
    if not classes:
        raise InputError("the trajectories have no hops")

    def clean(member: tuple[int, int]) -> tuple[bool, float]:
        number, hop = member
        analysis = source.analyses[number]
        alone = int(np.sum(analysis.hops.event == analysis.hops.event[hop])) == 1
        return alone, averaged_ends(source.positions[number][:, :0], analysis, hop, average_ps)[2]

    paths = []
    for choice, one in ranked(classes):
        path = source.path(*max(one.members, key=clean), choice, average_ps)
        paths.append(replace(path, observed=len(one.members), rate_per_ps=one.rate_per_ps))
    return paths


def crossing_paths(source: HopSource, crossing: Crossing, average_ps: float) -> tuple[HopPath, HopPath]:
    """Return the paths of the two hops of a crossing; the first ends where the second begins."""
    kind = "by one ion" if crossing.ions == 1 else "by two ions"
    first, second = (
        source.path(crossing.trajectory, hop, f"crosses the cell {kind}, hop {number} of 2", average_ps)
        for number, hop in ((1, crossing.first), (2, crossing.second))
    )
    return replace(first, final=second.initial.copy()), second


def nearest_free_sites(atoms: Atoms, mobile: str, count: int) -> list[HopPath]:
    """Return paths of single ions to free sites of a crystal in which no hop was seen, the shortest first.

    Ways of equal length, which symmetry makes alike, are taken once.

    Raises
    ------
    InputError
        If no free site is near any ion.
    """
    sites = candidate_sites(atoms, mobile).positions
    ions = np.flatnonzero(atoms.symbols == mobile)
    pairs = (sites[None, :, :] - atoms.positions[ions][:, None, :]).reshape(-1, 3)
    vectors, distances = find_mic(pairs, atoms.cell, pbc=True)
    vectors, distances = vectors.reshape(len(ions), len(sites), 3), distances.reshape(len(ions), len(sites))
    free = distances.min(axis=0) > _FREE_SITE_A
    distances = np.where(free[None, :] & (distances < _FARTHEST_SITE_A), distances, np.inf)
    # Rounded, symmetric copies are equal: one of each length is enough, the same on every machine.
    lengths_A = np.round(distances, 2)
    order = np.argsort(lengths_A, axis=None, kind="stable")
    paths: list[HopPath] = []
    taken: set[float] = set()
    for ion, site in zip(*np.unravel_index(order, distances.shape), strict=True):
        length = float(lengths_A[ion, site])
        if not np.isfinite(length) or len(paths) == count:
            break
        if length in taken:
            continue
        taken.add(length)
        final = atoms.copy()
        final.positions[ions[ion]] += vectors[ion, site]
        paths.append(
            HopPath(
                origin="nearest free site",
                choice="shortest way to a free site",
                initial=atoms.copy(),
                final=final,
                moving=(int(ions[ion]),),
                jump_A=float(distances[ion, site]),
            )
        )
    if not paths:
        raise InputError(f"no free site is within {_FARTHEST_SITE_A:g} Å of a {mobile} ion")
    return paths


def repeated(path: HopPath, repeats: tuple[int, int, int]) -> HopPath:
    """Return the path in a supercell, where only the first copy of the cell hops."""
    if repeats == (1, 1, 1):
        return path
    initial, final = path.initial.repeat(repeats), path.initial.repeat(repeats)
    # The framework's copies must fit each other: only what hops moves, the relaxation does the rest.
    moving = list(path.moving)
    final.positions[moving] += (path.final.positions - path.initial.positions)[moving]
    return replace(path, initial=initial, final=final)


def moved_ions(initial: Atoms, final: Atoms, mobile: str, distinct_A: float) -> tuple[int, ...]:
    """Return the mobile ions that end farther than ``distinct_A`` from where they began."""
    ions = np.flatnonzero(initial.symbols == mobile)
    lengths = np.linalg.norm((final.positions - initial.positions)[ions], axis=1)
    return tuple(int(ion) for ion in ions[lengths > distinct_A])


def together(initial: Atoms, final: Atoms, mobile: str, distinct_A: float) -> str:
    """Return why two relaxed ends are the same minimum, empty where they are two."""
    ions = np.flatnonzero(initial.symbols == mobile)
    vectors = final.positions[ions] - initial.positions[ions]
    farthest = float(np.linalg.norm(vectors, axis=1).max(initial=0.0))
    if farthest > distinct_A:
        return ""
    return f"the ends relax together: no {mobile} ends farther than {farthest:.2f} Å from where it began"


def _with_positions(atoms: Atoms, positions: FloatArray) -> Atoms:
    placed = Atoms(numbers=atoms.numbers, cell=atoms.cell, pbc=True)
    placed.positions = positions
    return placed
