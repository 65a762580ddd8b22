"""Where a mobile ion can sit: its crystal sites and the holes of the framework."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.geometry import get_distances

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError
from ...fitting.electrostatics.coulomb.ewald import checked_cell
from ...fitting.pair_lists import periodic_pairs

MERGE_RADIUS_A = 0.9
"""Holes closer together than this (Å), or to a crystal site, are one site."""
# Degenerate Voronoi vertices of symmetric crystals, and the same vertex on two faces of the cell.
_SAME_VERTEX_A = 0.01
_FACE_TOLERANCE = 1e-6

LITHIUM_MINIMUM_DISTANCES_A: dict[str, float] = {
    "N": 1.86,
    "O": 1.80,
    "F": 1.74,
    "P": 2.60,
    "S": 2.20,
    "Cl": 2.17,
    "Se": 2.33,
    "Br": 2.31,
    "Te": 2.53,
    "I": 2.52,
}
"""Smallest distance of a Li site from a framework atom, Å. S and P: sites of thiophosphates lie farther out in
every known Li2S-P2S5 crystal. Other anions: 0.905 (the ratio that S has) of the sum of the radii of Li⁺
(0.59 Å, fourfold) and of the anion (Shannon, Acta Cryst. A 1976, 32, 751, 10.1107/S0567739476001551)."""
CATION_MINIMUM_DISTANCE_A = 2.60
"""Framework elements not listed above are taken for cations, which repel like P."""

MOBILE_ION_RADII_A: dict[str, float] = {
    "Li": 0.76,
    "Na": 1.02,
    "K": 1.38,
    "Rb": 1.52,
    "Cs": 1.67,
    "Cu": 0.77,
    "Ag": 1.15,
    "Mg": 0.72,
    "Ca": 1.00,
    "Zn": 0.74,
}
"""Shannon radii, sixfold, Å: another mobile ion keeps its distance from the framework by the difference to Li⁺."""


class UnknownRadius(InputError):
    """There are no default distances for a mobile ion."""


@dataclass(frozen=True)
class CandidateSites:
    """Candidate sites: ``positions`` in Å [n_sites, 3], crystal sites first, ``n_crystal`` of them."""

    positions: FloatArray
    n_crystal: int


def default_minimum_distances(framework: set[str], mobile: str = "Li") -> dict[str, float]:
    """Smallest allowed distance (Å) of a site of the mobile ion from each framework element.

    Raises
    ------
    UnknownRadius
        For a mobile ion of unknown radius.
    """
    if mobile not in MOBILE_ION_RADII_A:
        raise UnknownRadius(
            f"there are no default distances for {mobile} as the mobile ion (known: "
            f"{', '.join(MOBILE_ION_RADII_A)}): give the minimum distance from each framework element, in Å"
        )
    offset = MOBILE_ION_RADII_A[mobile] - MOBILE_ION_RADII_A["Li"]
    return {
        symbol: LITHIUM_MINIMUM_DISTANCES_A.get(symbol, CATION_MINIMUM_DISTANCE_A) + offset
        for symbol in sorted(framework)
    }


def candidate_sites(
    atoms: Atoms,
    mobile: str = "Li",
    minimum_distances: Mapping[str, float] | None = None,
    merge_radius: float = MERGE_RADIUS_A,
) -> CandidateSites:
    """Crystal sites of the mobile ion, and the Voronoi vertices of the framework that have room for it.

    The framework is every atom that is not mobile: holes of the full structure would miss the sites that the
    ions themselves hide. Vertices too near to a framework atom are dropped, the others merged: groups whose
    mean distance is below ``merge_radius`` (average linkage, so the order of the atoms does not matter) become
    their centre. A centre within ``merge_radius`` of a crystal site is that site.

    Parameters
    ----------
    atoms
        A crystal, periodic in three directions.
    mobile
        Symbol of the mobile ion.
    minimum_distances
        Å, by framework element, over the defaults of `default_minimum_distances`.
    merge_radius
        Å.

    Raises
    ------
    InputError
        Where the crystal has no mobile ions, nothing but them, or no periodic cell.
    """
    if not atoms.pbc.all():
        raise InputError("Candidate sites need a crystal: a cell that is periodic in all three directions.")
    cell = checked_cell(atoms.cell.array)
    is_mobile = np.asarray(atoms.symbols == mobile)
    if not is_mobile.any():
        raise InputError(f"{atoms.get_chemical_formula()} holds no {mobile}, which is to be the mobile ion.")
    if is_mobile.all():
        raise InputError(f"{atoms.get_chemical_formula()} holds nothing but {mobile}: there is no framework.")
    framework = atoms[~is_mobile]
    allowed = _allowed_distances(set(framework.symbols), mobile, minimum_distances)
    vertices = _spacious_vertices(framework.positions, list(framework.symbols), cell, allowed)
    crystal = _wrapped(atoms.positions[is_mobile], cell)
    holes = _merged(_merged(vertices, cell, _SAME_VERTEX_A), cell, merge_radius)
    if len(holes):
        near = periodic_pairs(np.vstack([crystal, holes]), cell, merge_radius)
        taken = np.unique(near.second[(near.first < len(crystal)) & (near.second >= len(crystal))])
        holes = np.delete(holes, taken - len(crystal), axis=0)
    positions = _wrapped(np.vstack([crystal, holes]), np.asarray(atoms.cell.array))
    return CandidateSites(positions, len(crystal))


def _allowed_distances(framework: set[str], mobile: str, given: Mapping[str, float] | None) -> dict[str, float]:
    given = dict(given or {})
    missing = framework - set(given)
    defaults = default_minimum_distances(missing, mobile) if missing else {}
    return {symbol: given.get(symbol, defaults.get(symbol, 0.0)) for symbol in framework}


def _wrapped(positions: FloatArray, cell: FloatArray) -> FloatArray:
    fractional = positions @ np.linalg.inv(cell)
    return (fractional - np.floor(fractional)) @ cell


def _spacious_vertices(
    positions: FloatArray, symbols: list[str], cell: FloatArray, allowed: Mapping[str, float]
) -> FloatArray:
    """Voronoi vertices in the cell that keep the allowed distance from every element. Shape [n, 3]."""

    from scipy.spatial import Voronoi, cKDTree

    translations = np.array(list(itertools.product((-1, 0, 1), repeat=3))) @ cell
    images = (_wrapped(positions, cell)[None, :, :] + translations[:, None, :]).reshape(-1, 3)
    image_symbols = np.tile(np.array(symbols), len(translations))
    vertices = Voronoi(images).vertices
    fractional = vertices @ np.linalg.inv(cell)
    inside = np.all((fractional > -_FACE_TOLERANCE) & (fractional < 1 + _FACE_TOLERANCE), axis=1)
    vertices = vertices[inside]
    for symbol, distance in allowed.items():
        nearest, _ = cKDTree(images[image_symbols == symbol]).query(vertices)
        vertices = vertices[nearest > distance]
    return vertices


def _merged(points: FloatArray, cell: FloatArray, radius: float) -> FloatArray:
    """Centres of the groups of points whose mean distance is at most ``radius``; images count."""

    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if len(points) < 2:
        return points
    near = periodic_pairs(points, cell, radius)
    ones = np.ones(len(near.first))
    graph = coo_array((ones, (near.first, near.second)), shape=(len(points), len(points)))
    _, component = connected_components(graph, directed=False)
    centres = []
    for label in np.unique(component):
        members = points[component == label]
        for group in _linked_groups(members, cell, radius):
            vectors, _ = get_distances(members[group[:1]], members[group], cell=cell, pbc=True)
            centres.append(members[group[0]] + vectors[0].mean(axis=0))
    return np.array(centres)


def _linked_groups(points: FloatArray, cell: FloatArray, radius: float) -> list[IntArray]:
    """Average-linkage groups of points, as arrays of their indices."""

    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(points) == 1:
        return [np.array([0])]
    _, distances = get_distances(points, cell=cell, pbc=True)
    condensed = squareform((distances + distances.T) / 2, checks=False)
    labels = fcluster(linkage(condensed, "average"), radius, criterion="distance")
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]
