"""The sites that mobile ions visit: crystal sites and holes of the framework, moved to where the density is.

Candidates are shifted to the nearest maximum of the ions' density by mean shift with a flat kernel (Comaniciu,
Meer, IEEE Trans. Pattern Anal. Mach. Intell. 2002, 24, 603, 10.1109/34.1000236); candidates that meet become one
site, and density that no candidate explains becomes a site of its own.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from ...core.arrays import BoolArray, FloatArray, IntArray

# Positions that decide where the density is: more change no site by more than a few hundredths of an Å.
_MOST_SAMPLES = 20_000
_MOST_SHIFTS = 30
_SHIFT_TOLERANCE_A = 0.01
# Density that no site explains is a site where at least this share of one ion's time was spent.
_NEW_SITE_SHARE = 0.05


@dataclass(frozen=True)
class SiteMap:
    """Sites of a periodic cell.

    Attributes
    ----------
    positions
        Å, inside the cell, shape [n_sites, 3].
    cell
        Rows are lattice vectors, Å, shape [3, 3].
    known
        Whether a site is one of the crystal, shape [n_sites].
    """

    positions: FloatArray
    cell: FloatArray
    known: BoolArray

    def __len__(self) -> int:
        """Return the number of sites."""
        return len(self.positions)


class PeriodicTree:
    """Points of a periodic cell, any triclinic one, in a tree that finds the nearest image within ``reach``.

    Parameters
    ----------
    points
        Å, wrapped or not, shape [n_points, 3].
    cell
        Rows are lattice vectors, Å, shape [3, 3].
    reach
        Largest distance that will be asked for, Å.
    """

    def __init__(self, points: FloatArray, cell: FloatArray, reach: float) -> None:
        from scipy.spatial import cKDTree

        self.cell = np.asarray(cell, dtype=float)
        self.inverse = np.linalg.inv(self.cell)
        self.reach = reach
        self.count = len(points)
        fractional = points @ self.inverse
        shifts = -np.floor(fractional)
        fractional = fractional + shifts
        # The distance between lattice planes says how far, in fractions, an image can lie outside the cell.
        margin = reach * np.linalg.norm(self.inverse, axis=0) + 1e-9
        spans = [range(-int(np.ceil(m)), int(np.ceil(m)) + 1) for m in margin]
        members, images = [], []
        for image in itertools.product(*spans):
            moved = fractional + image
            inside = np.flatnonzero(np.all((moved >= -margin) & (moved <= 1 + margin), axis=1))
            members.append(inside)
            images.append(np.asarray(image) + shifts[inside])
        self.members: IntArray = np.concatenate(members)
        self.images: FloatArray = np.concatenate(images)
        self.tree = cKDTree(points[self.members] + self.images @ self.cell)

    def wrapped(self, positions: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the positions inside the cell (Å) and the lattice vectors (integers) that were taken off them."""
        fractional = positions @ self.inverse
        shifts = np.floor(fractional)
        return (fractional - shifts) @ self.cell, shifts

    def nearest(self, positions: FloatArray) -> tuple[IntArray, IntArray, FloatArray]:
        """Return index (-1: none within reach), lattice translation and distance (Å) of the nearest point's image.

        ``positions`` in Å, unwrapped, shape [n, 3]; the results have the shapes [n], [n, 3] and [n]; the image
        lies at ``points[index] + translation @ cell``.
        """
        inside, shifts = self.wrapped(positions)
        distances, found = self.tree.query(inside, distance_upper_bound=self.reach)
        missing = found == len(self.members)
        found[missing] = 0
        translations = np.rint(self.images[found] + shifts).astype(np.int64)
        return np.where(missing, -1, self.members[found]), translations, distances


def wrapped(positions: FloatArray, cell: FloatArray) -> FloatArray:
    """Return ``positions`` (Å, [n, 3]) inside the cell."""
    fractional = positions @ np.linalg.inv(cell)
    return (fractional - np.floor(fractional)) @ cell


def refined_sites(
    candidates: SiteMap, positions: FloatArray, *, core_A: float, merge_A: float, outer_A: float
) -> SiteMap:
    """Return the sites that the ions' density supports, and the unvisited candidates where they were.

    Parameters
    ----------
    candidates
        Where sites are expected.
    positions
        Of the mobile ions, Å, without drift, shape [n_frames, n_ions, 3].
    core_A
        Radius of the kernel that finds the maximum of the density.
    merge_A
        Maxima closer together than this are one site.
    outer_A
        Density farther than this from every site makes a site of its own.
    """
    cell = candidates.cell
    samples, per_ion = _samples(positions, cell)
    fewest = max(3.0, _NEW_SITE_SHARE * per_ion)
    shifted, counts = _shifted_to_density(candidates.positions, samples, cell, core_A, fewest)
    sites, known, visits = _merged(shifted, candidates.known, counts, cell, merge_A)
    while True:
        far = PeriodicTree(sites, cell, outer_A).nearest(samples)[0] < 0
        peak = _densest(samples[far], cell, core_A, fewest) if far.any() else None
        if peak is None:
            break
        found, weight = _shifted_to_density(peak[None], samples, cell, core_A, fewest)
        if np.any(PeriodicTree(sites, cell, merge_A).nearest(found)[0] >= 0):
            # The density rises towards a site that is there: what lies so far out is on the way to it.
            break
        sites, known = np.vstack([sites, wrapped(found, cell)]), np.append(known, False)
        visits = np.append(visits, weight)
    return SiteMap(sites, cell, known)


def _samples(positions: FloatArray, cell: FloatArray) -> tuple[FloatArray, float]:
    """Return evenly spread positions inside the cell, [n, 3], and how many of them each ion gives."""
    n_frames, n_ions, _ = positions.shape
    stride = max(1, n_frames * n_ions // _MOST_SAMPLES)
    chosen = positions[::stride]
    return wrapped(chosen.reshape(-1, 3), cell), float(len(chosen))


def _shifted_to_density(
    sites: FloatArray, samples: FloatArray, cell: FloatArray, radius: float, fewest: float
) -> tuple[FloatArray, FloatArray]:
    """Return the sites at the maxima of the density, and how many samples lie within ``radius`` of each.

    A site with fewer samples around it than ``fewest`` stays where it is, with a count of 0.
    """
    tree = PeriodicTree(samples, cell, radius)
    points = tree.tree.data
    moved = wrapped(sites, cell)
    counts = np.zeros(len(sites))
    active = np.arange(len(sites))
    for _ in range(_MOST_SHIFTS):
        still = []
        for index, near in zip(active, tree.tree.query_ball_point(moved[active], radius), strict=True):
            if len(near) < fewest:
                moved[index], counts[index] = wrapped(sites[index][None], cell)[0], 0.0
                continue
            centre = points[near].mean(axis=0)
            if np.linalg.norm(centre - moved[index]) > _SHIFT_TOLERANCE_A:
                still.append(index)
            moved[index] = wrapped(centre[None], cell)[0]
            counts[index] = len(near)
        if not still:
            break
        active = np.array(still)
    return moved, counts


def _merged(
    sites: FloatArray, known: BoolArray, counts: FloatArray, cell: FloatArray, radius: float
) -> tuple[FloatArray, BoolArray, FloatArray]:
    """Return one site for each group within ``radius``: the most visited member, known where any member is."""

    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    tree = PeriodicTree(sites, cell, radius)
    pairs = tree.tree.query_pairs(radius, output_type="ndarray")
    first, second = tree.members[pairs[:, 0]], tree.members[pairs[:, 1]]
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(sites), len(sites)))
    _, label = connected_components(graph, directed=False)
    kept, is_known, visits = [], [], []
    for group in dict.fromkeys(label.tolist()):
        members = np.flatnonzero(label == group)
        # Among equals the crystal's own site stands first.
        best = members[np.argmax(counts[members])]
        kept.append(sites[best])
        is_known.append(bool(known[members].any()))
        visits.append(counts[best])
    return np.array(kept), np.array(is_known), np.array(visits)


def _densest(points: FloatArray, cell: FloatArray, radius: float, fewest: float) -> FloatArray | None:
    """Return the point with most others within ``radius``, None where none has ``fewest``."""
    tree = PeriodicTree(points, cell, radius)
    neighbours = tree.tree.query_ball_point(points, radius, return_length=True)
    best = int(np.argmax(neighbours))
    return points[best] if neighbours[best] >= fewest else None
