"""Which atoms of the host hold together: bonds, polyanions, their centres, and what becomes of them.

Two host atoms are bonded up to a part of the sum of their covalent radii (Cordero et al., Dalton Trans. 2008, 2832,
10.1039/B801115J, as ASE has them), and no farther than `_REACH` times the nearest neighbour of either: large cations
touch, but are not bonded. Groups of bonded atoms that end within themselves are polyanions (PS₄, P₂S₇, MgBr₆); where
bonds lead on to an image of the same atom, as those of oxides do, there is a network and no such group. A centre is an
atom that has no fewer bonds than any of its neighbours and more than one of them: P in PS₄ and P₂S₆.

Bonds tremble. One that is there counts as broken only beyond `_BROKEN` times the length up to which it is found, and a
new one only within `_NEW` times of it, each for most of a window of time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.formula import Formula

from ...core.arrays import BoolArray, FloatArray, IntArray
from ...core.errors import InputError

_BROKEN, _NEW = 1.2, 0.88
_REACH = 1.5


@dataclass(frozen=True)
class Host:
    """The host of the mobile ions at the start.

    Attributes
    ----------
    atoms
        Indices of the host atoms in the whole structure, [n_host].
    symbols
        Their symbols.
    longest_A
        Distance up to which a pair is bonded in the crystal, [n_host, n_host] (Å).
    bonded
        Whether it is, [n_host, n_host].
    groups
        Number of the group of each atom, [n_host]; single atoms are groups as well.
    finite
        Whether a group ends within itself, [n_groups].
    centres
        Places among the host atoms of the centres of polyanions and networks, [n_centres].
    """

    atoms: IntArray
    symbols: tuple[str, ...]
    longest_A: FloatArray
    bonded: BoolArray
    groups: IntArray
    finite: BoolArray
    centres: IntArray

    @property
    def polyanions(self) -> dict[str, int]:
        """Formulas of the finite groups of two atoms or more, with their numbers."""
        return _formulas(self.symbols, self.groups, self.finite)

    @property
    def judged(self) -> IntArray:
        """Places of the atoms that say whether the crystal is one: the centres; all where there are none."""
        return self.centres if len(self.centres) else np.arange(len(self.atoms))

    @property
    def ligands(self) -> IntArray:
        """Places of the atoms of polyanions that are not judged: they may turn about the centres."""
        bound = self.finite[self.groups] & (self._sizes > 1)
        return np.setdiff1d(np.flatnonzero(bound), self.judged)

    @property
    def lone(self) -> IntArray:
        """Places of the atoms without a bond that are not judged."""
        return np.setdiff1d(np.flatnonzero(self._sizes == 1), self.judged)

    @property
    def _sizes(self) -> IntArray:
        return np.asarray(np.bincount(self.groups)[self.groups])

    def centres_of_mass(self, masses: FloatArray) -> FloatArray:
        """Return what makes displacements of host atoms those of the polyanions, [n_polyanions, n_host].

        Parameters
        ----------
        masses
            Of all atoms of the structure, [n_atoms].
        """
        chosen = np.flatnonzero(self.finite & (np.bincount(self.groups) > 1))
        weights = np.where(self.groups[None, :] == chosen[:, None], masses[self.atoms][None, :], 0.0)
        return np.asarray(weights / weights.sum(axis=1, keepdims=True)) if len(chosen) else weights


def find_host(atoms: Atoms, mobile: str, bond_factor: float) -> Host:
    """Return the host of a crystal: all but the mobile ions.

    Raises
    ------
    InputError
        If there is none, or the cell is so small that an atom is bonded to its own image.
    """
    symbols = np.array(atoms.get_chemical_symbols())
    chosen = np.flatnonzero(symbols != mobile)
    if not len(chosen):
        raise InputError(f"the structure holds nothing but {mobile}: there is no host that could be looked at")
    radii = covalent_radii[atoms.numbers[chosen]]
    longest_A = bond_factor * (radii[:, None] + radii[None, :])
    heights_A = 1.0 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
    if heights_A.min() < 2 * longest_A.max():
        raise InputError(
            f"the cell is too small for bonds of its host to be told from those of images: {heights_A.min():.1f} Å "
            f"between opposite faces (at least {2 * longest_A.max():.1f}); raise smallest_cell_A"
        )
    fractional = atoms.get_scaled_positions(wrap=False)[chosen]
    apart_A = _distances_A(fractional, atoms.cell.array)
    np.fill_diagonal(apart_A, np.inf)
    nearest_A = apart_A.min(axis=1)
    longest_A = np.minimum(longest_A, _REACH * np.minimum(nearest_A[:, None], nearest_A[None, :]))
    bonded = apart_A <= longest_A
    groups, finite = _groups(bonded, fractional)
    return Host(chosen, tuple(symbols[chosen].tolist()), longest_A, bonded, groups, finite, _centres(bonded))


def polyanions_of(host: Host, fractional: FloatArray, cell_A: FloatArray) -> dict[str, int]:
    """Return the polyanions of a window of time, formulas with their numbers.

    Parameters
    ----------
    fractional
        Fractional coordinates of the host atoms, not wrapped, [n_frames, n_host, 3].
    cell_A
        The mean cell, [3, 3] (Å).
    """
    limit_A = np.where(host.bonded, _BROKEN, _NEW) * host.longest_A
    within = np.zeros(limit_A.shape)
    for frame in fractional:
        within += _distances_A(frame, cell_A) <= limit_A
    bonded = within > 0.5 * len(fractional)
    np.fill_diagonal(bonded, False)
    return _formulas(host.symbols, *_groups(bonded, fractional[len(fractional) // 2]))


def change_of(before: Mapping[str, int], after: Mapping[str, int]) -> str:
    """Return in words how polyanions changed, empty where they did not: ``2 P2S7 became 1, 0 PS3 became 1``."""
    names = [*before, *(one for one in after if one not in before)]
    return ", ".join(
        f"{before.get(one, 0)} {one} became {after.get(one, 0)}"
        for one in names
        if before.get(one, 0) != after.get(one, 0)
    )


def _distances_A(fractional: FloatArray, cell_A: FloatArray) -> FloatArray:
    """Return the distances of all pairs, [n, n] (Å): right where they are below half of the cell's heights."""
    apart = fractional[:, None, :] - fractional[None, :, :]
    apart -= np.round(apart)
    return np.asarray(np.linalg.norm(apart @ cell_A, axis=2))


def _groups(bonded: BoolArray, fractional: FloatArray) -> tuple[IntArray, BoolArray]:
    """Return the group of each atom, [n], and whether groups end within themselves, [n_groups]."""

    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = np.argwhere(bonded)
    count = len(bonded)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    n_groups, groups = connected_components(graph, directed=False)
    images: dict[int, IntArray] = {}
    finite = np.ones(n_groups, dtype=bool)
    # The image of every atom as seen along bonds from the first of its group: two ways that differ are a network.
    for first in range(count):
        if first in images:
            continue
        images[first] = np.zeros(3, dtype=np.int64)
        waiting = [first]
        while waiting:
            here = waiting.pop()
            for there in np.flatnonzero(bonded[here]).tolist():
                image = images[here] - np.round(fractional[there] - fractional[here]).astype(np.int64)
                if there not in images:
                    images[there] = image
                    waiting.append(there)
                elif not np.array_equal(images[there], image):
                    finite[groups[first]] = False
    return np.asarray(groups, dtype=np.int64), finite


def _centres(bonded: BoolArray) -> IntArray:
    bonds = bonded.sum(axis=1)
    found = [
        place
        for place, near in enumerate(bonded)
        if near.any() and bonds[place] >= bonds[near].max() and bonds[place] > bonds[near].min()
    ]
    return np.array(found, dtype=np.int64)


def _formulas(symbols: tuple[str, ...], groups: IntArray, finite: BoolArray) -> dict[str, int]:
    found: Counter[str] = Counter()
    for group in np.flatnonzero(finite):
        members = [symbols[place] for place in np.flatnonzero(groups == group)]
        if len(members) > 1:
            found[f"{Formula.from_list(members):metal}"] += 1
    return dict(sorted(found.items()))
