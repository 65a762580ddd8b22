"""Interfaces: two slabs in a common cell, found among the superlattices of both.

Zur, McGill, J. Appl. Phys. 1984, 55, 378 (10.1063/1.333084): superlattices of nearly equal area are brought to reduced
form and compared; the smallest common one is taken.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ...core.errors import InputError
from .interface_settings import InterfaceSettings
from .slabs import Slab

LISTED: Final = 5
"""Common cells that are told of, the smallest first."""
FIRST_CUTOFF_A: Final = 3.0
"""Contacts are looked for within this, then twice as far, until there is one."""
EQUAL_AREAS_A2: Final = 1e-6
FURTHER: Final = 4
"""Cells that are larger than the smallest by more than this are not told of."""
LESS_STRAIN: Final = 1e-4
"""A larger cell is told of if it saves at least this strain."""
STRAIN_ROUNDING: Final = 1e-9

# Bases of one lattice whose vectors are sums of the two shortest: where these are about as long as each other, the
# reduced form jumps, and two lattices that are nearly the same have forms that are not.
_BASES: Final = np.array(
    [((a, b), (c, d)) for a, b, c, d in itertools.product((-1, 0, 1), repeat=4) if a * d - b * c == 1]
)


@dataclass(frozen=True)
class Match:
    """A common cell.

    ``lower``, ``upper``: whole-number combinations of the in-plane axes of both slabs, rows; ``area_A2``: of the lower
    one before any strain; ``strains``: principal ones (no unit) that bring the upper one to the lower.
    """

    lower: NDArray[np.int_]
    upper: NDArray[np.int_]
    area_A2: float
    strains: tuple[float, float]

    @property
    def largest_strain(self) -> float:
        """The larger of both principal strains, without sign."""
        return max(map(abs, self.strains))


@dataclass(frozen=True)
class Interface:
    """An interface and what is to be known of it.

    ``strains``: principal ones (no unit) of the slab that is strained; ``contact_A``: the shortest distance (Å) of an
    atom of one slab and one of the other, with ``contact`` naming both elements; ``matches``: the common cells that
    there are, best first.
    """

    atoms: Atoms
    settings: InterfaceSettings
    lower: Slab
    upper: Slab
    matches: tuple[Match, ...]
    strains: tuple[float, float]
    area_A2: float
    contact: str
    contact_A: float


def build_interface(lower: Slab, upper: Slab, settings: InterfaceSettings) -> Interface:
    """Put one slab on another.

    Parameters
    ----------
    lower, upper
        Slabs of `build_slab`.
    settings
        Limits of strain and area, gap, shift, vacuum.

    Returns
    -------
    The interface in the smallest common cell, of equal ones that with the least strain; atoms of the lower slab first.
    The strain is in the plane alone; heights stay.

    Raises
    ------
    InputError
        If there is no common cell within the limits.
    """
    axes = [slab.atoms.cell.array[:2, :2] for slab in (lower, upper)]
    matches = common_cells(axes[0], axes[1], settings.maximum_strain, settings.maximum_area_A2)
    if not matches:
        raise InputError(
            f"interface: no common cell of at most {settings.maximum_area_A2:g} Å² strains a slab by less than "
            f"{settings.maximum_strain:.2%}: raise maximum_area_A2 or maximum_strain, or choose other surfaces"
        )
    best = matches[0]
    vectors = [best.lower @ axes[0], best.upper @ axes[1]]
    target = vectors[0] if settings.strained == "upper" else vectors[1]
    target = _along_x(target)
    pieces = [
        _in_cell(slab.atoms, matrix, target)
        for slab, matrix in zip((lower, upper), (best.lower, best.upper), strict=True)
    ]
    for piece, base in zip(pieces, (0.0, float(np.ptp(pieces[0].positions[:, 2])) + settings.gap_A), strict=True):
        piece.positions[:, 2] += base - piece.positions[:, 2].min()
    pieces[1].positions[:, :2] += np.array(settings.shift) @ target
    space_A = settings.gap_A if settings.vacuum_A is None else settings.vacuum_A
    cell = np.zeros((3, 3))
    cell[:2, :2] = target
    cell[2, 2] = pieces[1].positions[:, 2].max() + space_A
    atoms = Atoms(
        [*pieces[0].symbols, *pieces[1].symbols],
        positions=np.vstack([piece.positions for piece in pieces]),
        cell=cell,
        pbc=True,
    )
    atoms.positions[:, 2] += space_A / 2
    atoms.wrap()
    strained = best.strains if settings.strained == "upper" else tuple(1 / (1 + one) - 1 for one in best.strains)
    contact, contact_A = _closest_contact(atoms, len(pieces[0]))
    return Interface(
        atoms=atoms,
        settings=settings,
        lower=lower,
        upper=upper,
        matches=matches,
        strains=(strained[0], strained[1]),
        area_A2=abs(float(np.linalg.det(target))),
        contact=contact,
        contact_A=contact_A,
    )


def common_cells(
    lower: NDArray[np.float64],
    upper: NDArray[np.float64],
    maximum_strain: float,
    maximum_area_A2: float,
    most: int = LISTED,
) -> tuple[Match, ...]:
    """Return common superlattices of two lattices in the plane, the smallest first.

    Parameters
    ----------
    lower, upper
        Axes of both (Å), rows, right-handed, shape (2, 2).
    maximum_strain
        Largest principal strain (no unit).
    maximum_area_A2
        Largest area (Å²) of a superlattice of either.
    most
        How many areas to return: the smallest, and larger ones that are strained less; of each the best.
    """
    areas = [abs(float(np.linalg.det(axes))) for axes in (lower, upper)]
    matches: list[Match] = []
    known: dict[int, NDArray[np.int_]] = {}
    largest_A2 = maximum_area_A2
    for times in range(1, int(maximum_area_A2 / areas[0] + EQUAL_AREAS_A2) + 1):
        area = times * areas[0]
        if area > largest_A2:
            break
        # Principal strains of opposite sign cancel in the area; of equal sign they add up.
        fewest = math.ceil(area / (1 + maximum_strain) ** 2 / areas[1] - EQUAL_AREAS_A2)
        most_of_upper = min(area / (1 - maximum_strain) ** 2, maximum_area_A2) / areas[1] + EQUAL_AREAS_A2
        found: list[Match] = []
        for other in range(max(1, fewest), int(most_of_upper) + 1):
            if other not in known:
                reduced = np.array([_reduced(matrix, upper) for matrix in _superlattices(other)])
                known[other] = np.einsum("kab,nbc->nkac", _BASES, reduced).reshape(-1, 2, 2)
            below = np.array([_reduced(matrix, lower) for matrix in _superlattices(times)])
            found += _matches(lower, upper, below, known[other])
        found = [match for match in found if match.largest_strain <= maximum_strain + STRAIN_ROUNDING]
        if found:
            best = min(found, key=lambda match: (round(match.largest_strain, 9), abs(match.upper).sum()))
            if not matches or best.largest_strain < matches[-1].largest_strain - LESS_STRAIN:
                matches.append(best)
                largest_A2 = min(largest_A2, FURTHER * matches[0].area_A2)
        if len(matches) == most or (matches and matches[-1].largest_strain < LESS_STRAIN):
            break
    return tuple(matches)


def _matches(
    lower: NDArray[np.float64], upper: NDArray[np.float64], below: NDArray[np.int_], bases: NDArray[np.int_]
) -> Iterator[Match]:
    """Yield for each lower superlattice the basis of an upper one that has to be strained least."""
    inverse = np.linalg.inv(bases @ upper)
    for matrix in below:
        stretches = _stretches(inverse @ (matrix @ lower))
        best = int(np.argmin(np.abs(stretches - 1).max(axis=1)))
        first, second = (stretches[best] - 1).tolist()
        yield Match(matrix, bases[best], abs(float(np.linalg.det(matrix @ lower))), (first, second))


def _stretches(deformations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the singular values of matrices of shape (n, 2, 2), the larger first; much faster than one by one."""
    a, b, c, d = deformations.reshape(-1, 4).T
    both, difference = np.hypot(a + d, c - b) / 2, np.hypot(a - d, b + c) / 2
    return np.stack([both + difference, np.abs(both - difference)], axis=1)


def _superlattices(times: int) -> Iterator[NDArray[np.int_]]:
    """Yield every superlattice so many times as large, once: Hermite's normal forms."""
    for first in range(1, times + 1):
        if times % first == 0:
            for shift in range(times // first):
                yield np.array([[first, shift], [0, times // first]])


def _reduced(matrix: NDArray[np.int_], axes: NDArray[np.float64]) -> NDArray[np.int_]:
    """Return the two shortest vectors of a superlattice, right-handed, as combinations of the axes."""
    a, b = matrix
    while True:
        if np.linalg.norm(a @ axes) > np.linalg.norm(b @ axes) * (1 + 1e-9):
            a, b = -b, a
        shift = round(float((a @ axes) @ (b @ axes) / ((a @ axes) @ (a @ axes))))
        if not shift or np.linalg.norm((b - shift * a) @ axes) > np.linalg.norm(b @ axes) * (1 - 1e-9):
            return np.array([a, b])
        b = b - shift * a


def _along_x(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return two vectors in the plane turned so that the first is along x."""
    cosine, sine = vectors[0] / np.linalg.norm(vectors[0])
    return vectors @ np.array([[cosine, -sine], [sine, cosine]])


def _in_cell(slab: Atoms, matrix: NDArray[np.int_], target: NDArray[np.float64]) -> Atoms:
    """Return a slab repeated to a superlattice and strained to the common cell."""
    from ase.build import make_supercell

    whole = np.eye(3, dtype=int)
    whole[:2, :2] = matrix
    repeated = make_supercell(slab, whole)
    places = repeated.positions[:, :2] @ np.linalg.inv(matrix @ slab.cell.array[:2, :2])
    repeated.positions[:, :2] = places @ target
    return repeated


def _closest_contact(atoms: Atoms, below: int) -> tuple[str, float]:
    """Return which elements of both slabs come closest, and how close (Å)."""
    from matscipy.neighbours import neighbour_list

    cutoff = FIRST_CUTOFF_A
    while True:
        first, second, distances = neighbour_list("ijd", atoms=atoms, cutoff=cutoff)
        across = np.flatnonzero((first < below) & (second >= below))
        if len(across):
            closest = across[np.argmin(distances[across])]
            return f"{atoms.symbols[first[closest]]}-{atoms.symbols[second[closest]]}", float(distances[closest])
        cutoff *= 2


def interface_text(interface: Interface) -> str:
    """Return what is to be known of an interface before anything is computed with it, in one line."""
    settings = interface.settings
    others = "; ".join(f"{one.area_A2:.0f} Å² with {one.largest_strain:.2%}" for one in interface.matches)
    strains = " and ".join(f"{one:+.2%}" for one in interface.strains)
    alike = interface.lower.is_symmetric and interface.upper.is_symmetric
    kind = "one interface and vacuum" if settings.vacuum_A is not None else "two interfaces"
    if settings.vacuum_A is None:
        kind += ", alike but for the shift" if alike else " that differ"
    return (
        f"{len(interface.atoms)} atoms, common cell of {interface.area_A2:.1f} Å², "
        f"the {settings.strained} slab strained by {strains}, closest contact of both {interface.contact} "
        f"{interface.contact_A:.2f} Å, {kind}; terminations {interface.lower.chosen.number} below, "
        f"{interface.upper.chosen.number} above. Common cells and the largest strain of each: {others}"
    )
