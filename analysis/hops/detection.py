"""Hops of mobile ions between sites: who went where, when, how long it had stayed, and who moved with it.

An ion belongs to the site whose core it entered last (core sets: Buchete, Hummer, J. Phys. Chem. B 2008, 112,
6057, 10.1021/jp0761665); it has left when it is outside the site's outer radius for the last time before it
enters another core. Stays that are too short are no stays, and an ion that returns at once has not hopped.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from numpy.typing import NDArray

from ...core.arrays import BoolArray, FloatArray, IntArray
from ...core.errors import InputError
from ...sampling.structures.sites import candidate_sites
from ..trajectories.framework import drift
from ..trajectories.reading import Trajectory
from .hop_counts import dispersion, rate_interval
from .settings import HopSettings
from .site_map import PeriodicTree, SiteMap, refined_sites

_FRAMES_AT_ONCE = 20_000
# Ions that are on their way for longer than this are rather at places that nobody calls sites.
_FEWEST_AT_SITES = 0.8
# With fewer, one stay in six is seen in one frame or none.
_FEWEST_FRAMES_OF_STAY = 5
# Cores of neighbouring sites keep this share of their distance each, so that they never touch.
_CORE_SHARE = 0.4


@dataclass(frozen=True)
class Hops:
    """Hops as columns, in order of arrival; all arrays have one row per hop.

    Attributes
    ----------
    ion
        Index among the mobile ions.
    from_site, to_site
        Indices of sites; the same site twice where the ion went to another periodic image of it.
    from_image, to_image
        Lattice translations (integers) of the two sites in unwrapped coordinates, [n, 3].
    leave, arrive
        Last frame within the outer radius of the old site, first frame in the core of the new one.
    residence_before_ps, residence_after_ps
        Lengths of the stays (ps); the first and last stay of a trajectory are lower bounds.
    jump_A
        From site to site, Å, [n, 3].
    event
        Hops of one concerted event carry the same number.
    """

    ion: IntArray
    from_site: IntArray
    to_site: IntArray
    from_image: IntArray
    to_image: IntArray
    leave: IntArray
    arrive: IntArray
    residence_before_ps: FloatArray
    residence_after_ps: FloatArray
    jump_A: FloatArray
    event: IntArray

    def __len__(self) -> int:
        """Return the number of hops."""
        return len(self.ion)

    @property
    def length_A(self) -> FloatArray:
        """Distances from site to site, Å, [n]."""
        return np.linalg.norm(self.jump_A, axis=1)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the columns by name, as they are written to files."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class HopAnalysis:
    """Hops of one trajectory, and the sites between which they lead.

    Attributes
    ----------
    occupancy
        Mean number of ions at each site, [n_sites].
    stays
        Stays at each site, [n_sites].
    mean_residence_ps
        Mean length of the stays that began and ended within the trajectory; not a number where there is none.
    frame_ps
        Time between frames (ps).
    """

    hops: Hops
    sites: SiteMap
    occupancy: FloatArray
    stays: IntArray
    mean_residence_ps: float
    frame_ps: float
    n_frames: int
    n_ions: int

    @property
    def duration_ps(self) -> float:
        """Length of the trajectory (ps)."""
        return (self.n_frames - 1) * self.frame_ps


@dataclass
class _Stay:
    site: int
    image: tuple[int, int, int]
    first: int
    last: int

    def same_place(self, other: _Stay) -> bool:
        return self.site == other.site and self.image == other.image


def still_positions(
    trajectory: Trajectory, mobile: str, crystal: Atoms | None = None, framework: Sequence[str] = ()
) -> FloatArray:
    """Return the positions of all atoms in the frame in which the framework rests, Å, [n_frames, n_atoms, 3].

    Parameters
    ----------
    crystal
        With it, the framework rests where it is in the crystal on average: then trajectories that began elsewhere
        can be compared. All that is not mobile has the same order in both.
    framework
        The species that hold the frame of reference; none: those that do not diffuse.
    """
    moved: FloatArray = trajectory.positions_A - drift(trajectory, [mobile], framework=framework)[:, None, :]
    if crystal is None:
        return moved
    others = np.array(trajectory.symbols) != mobile
    if others.any():
        offsets = moved[:, others].mean(axis=0) - crystal.positions[~np.asarray(crystal.symbols == mobile)]
        moved -= find_mic(offsets, trajectory.cell_A, pbc=True)[0].mean(axis=0)
    return moved


def find_sites(
    atoms: Atoms,
    positions: FloatArray,
    mobile: str,
    settings: HopSettings,
    *,
    is_mobile: BoolArray | None = None,
    minimum_distances: Mapping[str, float] | None = None,
) -> SiteMap:
    """Return the crystal sites and holes of ``atoms``, moved to where the mobile ions' density is.

    Parameters
    ----------
    atoms
        The crystal (or any frame): its mobile ions are the known sites.
    positions
        All atoms of the trajectory, Å, unwrapped and without drift, [n_frames, n_atoms, 3]; the framework's mean
        is where holes are looked for.
    is_mobile
        Which of them are the mobile ions, [n_atoms]; None where they stand as in ``atoms``.
    """
    averaged = atoms.copy()
    known_mobile = np.asarray(atoms.symbols == mobile)
    is_mobile = known_mobile if is_mobile is None else is_mobile
    averaged.positions[~known_mobile] = positions[:, ~is_mobile].mean(axis=0)
    candidates = candidate_sites(averaged, mobile, minimum_distances)
    known = np.arange(len(candidates.positions)) < candidates.n_crystal
    start = SiteMap(candidates.positions, np.asarray(atoms.cell.array), known)
    return refined_sites(
        start,
        positions[:, is_mobile],
        core_A=settings.core_A,
        merge_A=settings.merge_A,
        outer_A=settings.outer_A,
    )


def hops_of_trajectory(
    trajectory: Trajectory,
    mobile: str,
    settings: HopSettings,
    crystal: Atoms | None = None,
    framework: Sequence[str] = (),
    minimum_distances: Mapping[str, float] | None = None,
) -> HopAnalysis:
    """Return the hops of one trajectory, sites and drift included.

    Parameters
    ----------
    crystal
        Its mobile ions are the known sites; None takes the first frame. In the trajectory's cell, all that is not
        mobile in the trajectory's order (`crystal_on_trajectory`).
    framework
        The species that hold the frame of reference; none: those that do not diffuse.
    minimum_distances
        Of a site from each framework element (Å), where those known by default do not do.

    Raises
    ------
    InputError
        If the trajectory has no such ions, or nothing but them.
    """
    indices = trajectory.indices_of(mobile)
    positions = still_positions(trajectory, mobile, crystal, framework)
    start = Atoms(list(trajectory.symbols), positions=positions[0], cell=trajectory.cell_A, pbc=True)
    sites = find_sites(
        start if crystal is None else crystal,
        positions,
        mobile,
        settings,
        is_mobile=np.array(trajectory.symbols) == mobile,
        minimum_distances=minimum_distances,
    )
    return detect_hops(positions[:, indices], sites, trajectory.frame_interval_fs / 1000, settings)


def detect_hops(positions: FloatArray, sites: SiteMap, frame_ps: float, settings: HopSettings) -> HopAnalysis:
    """Return the hops of ions between ``sites``.

    Parameters
    ----------
    positions
        Of the mobile ions, Å, unwrapped and without drift, shape [n_frames, n_ions, 3].
    frame_ps
        Time between frames (ps).

    Raises
    ------
    InputError
        If there are fewer than two frames, no sites, or no time between frames.
    """
    if len(positions) < 2 or not frame_ps > 0:
        raise InputError("hops need at least two frames and a positive time between them")
    if not len(sites):
        raise InputError("hops need at least one site")
    n_frames, n_ions, _ = positions.shape
    tree = PeriodicTree(sites.positions, sites.cell, max(settings.core_A, settings.outer_A))
    core = _core_radii(sites, settings.core_A)
    stays = [
        _confirmed(_stays(positions[:, ion], tree, sites, core, settings.outer_A), frame_ps, settings)
        for ion in range(n_ions)
    ]
    hops = _with_events(_hops(stays, sites, frame_ps), sites, frame_ps, settings)
    occupancy, counts = _occupancy(stays, len(sites), n_frames)
    lengths = [(stay.last - stay.first + 1) * frame_ps for ion in stays for stay in ion[1:-1]]
    return HopAnalysis(
        hops=hops,
        sites=sites,
        occupancy=occupancy,
        stays=counts,
        mean_residence_ps=float(np.mean(lengths)) if lengths else float("nan"),
        frame_ps=frame_ps,
        n_frames=n_frames,
        n_ions=n_ions,
    )


def doubts(analysis: HopAnalysis) -> tuple[str, ...]:
    """Return what makes one doubt that all hops were found: ions that are at no site, and frames that are too rare."""
    found = []
    at_sites = float(analysis.occupancy.sum()) / analysis.n_ions
    if at_sites < _FEWEST_AT_SITES:
        found.append(
            f"ions are at no site for {1 - at_sites:.0%} of the time, so that hops are missed: sites are closer"
            " together than the radii of core and outer, stays are shorter than the shortest that counts, or sites are"
            " missing"
        )
    if analysis.mean_residence_ps < _FEWEST_FRAMES_OF_STAY * analysis.frame_ps:
        found.append(
            f"a mean stay ({analysis.mean_residence_ps:.2g} ps) is seen in less than {_FEWEST_FRAMES_OF_STAY} frames"
            f" ({analysis.frame_ps:.2g} ps apart): hops are missed; frames closer in time are needed"
        )
    return tuple(found)


def _core_radii(sites: SiteMap, core: float) -> FloatArray:
    """Return the radius of each site's core, small enough that cores do not touch, [n_sites]."""
    reach = core / _CORE_SHARE
    tree = PeriodicTree(sites.positions, sites.cell, reach)
    distances, _ = tree.tree.query(tree.wrapped(sites.positions)[0], k=2, distance_upper_bound=reach)
    return np.minimum(core, _CORE_SHARE * distances[:, 1])


def _stays(positions: FloatArray, tree: PeriodicTree, sites: SiteMap, core: FloatArray, outer: float) -> list[_Stay]:
    """Return the stays of one ion, positions [n_frames, 3], between entering one core and the next."""
    blocks = [tree.nearest(positions[i : i + _FRAMES_AT_ONCE]) for i in range(0, len(positions), _FRAMES_AT_ONCE)]
    site = np.concatenate([block[0] for block in blocks])
    image = np.concatenate([block[1] for block in blocks])
    distance = np.concatenate([block[2] for block in blocks])
    inside = np.flatnonzero((site >= 0) & (distance <= core[site]))
    if not len(inside):
        return []
    site, image = site[inside], image[inside]
    changes = np.any(np.column_stack([np.diff(site)[:, None], np.diff(image, axis=0)]) != 0, axis=1)
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
    frames = inside[starts]
    centres = sites.positions[site[starts]] + image[starts] @ sites.cell
    # Every frame from the first core on, measured from the site whose core the ion entered last.
    lengths = np.diff(np.append(frames, len(positions)))
    offset = positions[frames[0] :] - np.repeat(centres, lengths, axis=0)
    near = np.einsum("fx,fx->f", offset, offset) <= outer**2
    last_near = np.where(near, np.arange(frames[0], len(positions)), -1)
    lasts = np.maximum.reduceat(last_near, frames - frames[0])
    columns = zip(site[starts].tolist(), image[starts].tolist(), frames.tolist(), lasts.tolist(), strict=True)
    return [_Stay(s, (i[0], i[1], i[2]), first, max(first, last)) for s, i, first, last in columns]


def _confirmed(stays: list[_Stay], frame_ps: float, settings: HopSettings) -> list[_Stay]:
    """Drop the shortest stay, join the same place around it, and go on until none is too short."""
    kept = _without_short_stays(stays, settings.minimum_residence_ps / frame_ps)
    return _without_returns(kept, settings.return_residence_ps / frame_ps)


def _without_short_stays(stays: list[_Stay], fewest_frames: float) -> list[_Stay]:
    before = list(range(-1, len(stays) - 1))
    after = [*range(1, len(stays)), -1]
    alive = [True] * len(stays)
    queue = [(stay.last - stay.first + 1, index) for index, stay in enumerate(stays)]
    heapq.heapify(queue)
    while queue and queue[0][0] < fewest_frames:
        length, index = heapq.heappop(queue)
        if not alive[index] or length != stays[index].last - stays[index].first + 1:
            continue
        alive[index] = False
        left, right = before[index], after[index]
        if left >= 0:
            after[left] = right
        if right >= 0:
            before[right] = left
        if left >= 0 and right >= 0 and stays[left].same_place(stays[right]):
            joined = _Stay(stays[left].site, stays[left].image, stays[left].first, stays[right].last)
            stays[left], alive[right] = joined, False
            after[left] = after[right]
            if after[right] >= 0:
                before[after[right]] = left
            heapq.heappush(queue, (joined.last - joined.first + 1, left))
    return [stay for stay, lives in zip(stays, alive, strict=True) if lives]


def _without_returns(stays: list[_Stay], fewest_frames: float) -> list[_Stay]:
    kept: list[_Stay] = []
    for stay in stays:
        if len(kept) > 1 and kept[-2].same_place(stay) and kept[-1].last - kept[-1].first + 1 < fewest_frames:
            kept.pop()
            earlier = kept.pop()
            stay = _Stay(stay.site, stay.image, earlier.first, stay.last)
        kept.append(stay)
    return kept


def _hops(stays: list[list[_Stay]], sites: SiteMap, frame_ps: float) -> Hops:
    pairs = [(ion, a, b) for ion, one in enumerate(stays) for a, b in pairwise(one)]
    pairs.sort(key=lambda pair: (pair[2].first, pair[0]))
    from_site = np.array([a.site for _, a, _ in pairs], dtype=np.int64)
    to_site = np.array([b.site for _, _, b in pairs], dtype=np.int64)
    from_image = np.array([a.image for _, a, _ in pairs], dtype=np.int64).reshape(-1, 3)
    to_image = np.array([b.image for _, _, b in pairs], dtype=np.int64).reshape(-1, 3)
    jump = sites.positions[to_site] - sites.positions[from_site] + (to_image - from_image) @ sites.cell
    return Hops(
        ion=np.array([ion for ion, _, _ in pairs], dtype=np.int64),
        from_site=from_site,
        to_site=to_site,
        from_image=from_image,
        to_image=to_image,
        leave=np.array([a.last for _, a, _ in pairs], dtype=np.int64),
        arrive=np.array([b.first for _, _, b in pairs], dtype=np.int64),
        residence_before_ps=np.array([(a.last - a.first + 1) * frame_ps for _, a, _ in pairs], dtype=float),
        residence_after_ps=np.array([(b.last - b.first + 1) * frame_ps for _, _, b in pairs], dtype=float),
        jump_A=jump.reshape(-1, 3),
        event=np.arange(len(pairs), dtype=np.int64),
    )


def _with_events(hops: Hops, sites: SiteMap, frame_ps: float, settings: HopSettings) -> Hops:
    """Number the events: hops of different ions that are close in time and space are one."""
    time_ps = (hops.leave + hops.arrive) / 2 * frame_ps
    return replace(hops, event=_events(hops, time_ps, sites, settings))


def _events(hops: Hops, time_ps: FloatArray, sites: SiteMap, settings: HopSettings) -> IntArray:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    if len(hops) < 2:
        return np.zeros(len(hops), dtype=np.int64)
    pairs = cKDTree(time_ps[:, None]).query_pairs(settings.concerted_window_ps, output_type="ndarray")
    pairs = pairs[hops.ion[pairs[:, 0]] != hops.ion[pairs[:, 1]]]
    if len(pairs):
        middle = sites.positions[hops.from_site] + hops.jump_A / 2
        _, distances = find_mic(middle[pairs[:, 1]] - middle[pairs[:, 0]], sites.cell, pbc=True)
        pairs = pairs[distances <= settings.concerted_distance_A]
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(hops), len(hops)))
    _, label = connected_components(graph, directed=False)
    return label.astype(np.int64)


def concerted_by_chance(analysis: HopAnalysis, settings: HopSettings, *, shuffles: int = 20, seed: int = 0) -> float:
    """Return the share of hops that would be in events of several ions if ions knew nothing of each other.

    Every ion's hops are shifted in time by an amount of its own, around the end of the trajectory, ``shuffles``
    times: what remains concerted is coincidence.
    """
    hops = analysis.hops
    if not len(hops):
        return 0.0
    random = np.random.default_rng(seed)
    time_ps, duration_ps = (hops.leave + hops.arrive) / 2 * analysis.frame_ps, analysis.duration_ps
    shares = []
    for _ in range(shuffles):
        shifts = random.uniform(0.0, duration_ps, analysis.n_ions)
        event = _events(hops, (time_ps + shifts[hops.ion]) % duration_ps, analysis.sites, settings)
        shares.append(float(np.mean(np.bincount(event)[event] > 1)))
    return float(np.mean(shares))


def _occupancy(stays: list[list[_Stay]], n_sites: int, n_frames: int) -> tuple[FloatArray, IntArray]:
    flat = [stay for ion in stays for stay in ion]
    site = np.array([stay.site for stay in flat], dtype=np.int64)
    frames = np.array([stay.last - stay.first + 1 for stay in flat], dtype=float)
    return np.bincount(site, frames, n_sites) / n_frames, np.bincount(site, minlength=n_sites)


@dataclass(frozen=True)
class HopSummary:
    """Numbers about the hops of one or several trajectories.

    Attributes
    ----------
    rate_per_ion_per_ps, rate_interval_per_ion_per_ps
        Hops per ion and time (1/ps), and the 95 % interval of a count of hops that come in groups.
    dispersion
        By how much the count varies more than that of independent hops (no unit).
    mean_jump_A, mean_residence_ps
        Mean distance from site to site, and mean stay; None where there were no hops.
    concerted_fraction
        Share of hops that were part of an event of several ions.
    event_sizes
        Number of events by the number of ions in them.
    net_displacement_A
        Root mean square over ions of their net displacement by hops, along each lattice vector.
    diffusion_axis
        The lattice vector (0, 1, 2) along which it is largest; None without hops.
    """

    hops: int
    events: int
    rate_per_ion_per_ps: float
    rate_interval_per_ion_per_ps: tuple[float, float]
    mean_jump_A: float | None
    mean_residence_ps: float | None
    concerted_fraction: float
    event_sizes: dict[int, int]
    net_displacement_A: tuple[float, float, float]
    diffusion_axis: int | None
    dispersion: float = 1.0


def summarise(analyses: list[HopAnalysis]) -> HopSummary:
    """Return rates, concertedness and net displacement of the hops of trajectories of one cell."""
    count = sum(len(one.hops) for one in analyses)
    ion_time = sum(one.n_ions * one.duration_ps for one in analyses)
    times = [(one.hops.leave + one.hops.arrive) / 2 * one.frame_ps for one in analyses]
    sizes = [int(n) for one in analyses for n in np.bincount(one.hops.event)] if count else []
    residences = [one.mean_residence_ps for one in analyses if np.isfinite(one.mean_residence_ps)]
    net = net_displacements(analyses)
    root_mean_square = np.sqrt(np.mean(net**2, axis=0))
    lengths = np.concatenate([one.hops.length_A for one in analyses])
    varies = dispersion(times, [one.duration_ps for one in analyses], np.array(sizes, dtype=np.int64))
    return HopSummary(
        hops=count,
        events=len(sizes),
        rate_per_ion_per_ps=count / ion_time,
        rate_interval_per_ion_per_ps=rate_interval(count, ion_time, varies),
        mean_jump_A=float(lengths.mean()) if count else None,
        mean_residence_ps=float(np.mean(residences)) if residences else None,
        concerted_fraction=sum(size for size in sizes if size > 1) / count if count else 0.0,
        event_sizes={size: sizes.count(size) for size in sorted(set(sizes))},
        net_displacement_A=(
            float(root_mean_square[0]),
            float(root_mean_square[1]),
            float(root_mean_square[2]),
        ),
        diffusion_axis=int(np.argmax(root_mean_square)) if count else None,
        dispersion=varies,
    )


def net_displacements(analyses: list[HopAnalysis]) -> FloatArray:
    """Return each ion's net displacement by hops along each lattice vector, Å, [n_ions of all trajectories, 3]."""
    rows = []
    for one in analyses:
        cell = one.sites.cell
        along = one.hops.jump_A @ np.linalg.inv(cell) * np.linalg.norm(cell, axis=1)
        total = np.zeros((one.n_ions, 3))
        np.add.at(total, one.hops.ion, along)
        rows.append(total)
    return np.vstack(rows)
