"""Anions of a glass: atoms of centres and ligands that bonds join, counted by formula."""

from __future__ import annotations

from collections import Counter

import numpy as np
from ase import Atoms

from ...sampling.guard import ContactGuard
from .settings import NetworkBonds


def centres_percent(atoms: Atoms, bonds: NetworkBonds) -> dict[str, float]:
    """Return which part of the centres is in which anion (%), by formula; empty where there are no centres.

    Bonds of centres are named, as P2S6 may share an edge or have a P-P bond: "P2S6 (1 P-P)".
    """
    from matscipy.neighbours import neighbour_list
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    symbols = np.array(atoms.get_chemical_symbols())
    is_centre = np.isin(symbols, bonds.centres)
    chosen = np.flatnonzero(is_centre | np.isin(symbols, bonds.ligands))
    if not is_centre.any():
        return {}
    part = atoms[chosen]
    cutoffs = ContactGuard(covalent_fraction=0.0, minimum_distances_A=bonds.bonds_A).cutoffs_A(part.numbers)
    first, second = neighbour_list("ij", atoms=part, cutoff=cutoffs) if cutoffs else (np.array([], int),) * 2
    matrix = coo_matrix((np.ones(len(first)), (first, second)), shape=(len(part), len(part)))
    _, label = connected_components(matrix, directed=False)
    central = is_centre[chosen]
    between = Counter(label[first[central[first] & central[second]]].tolist())
    found: Counter[str] = Counter()
    for anion in np.unique(label[central]):
        members = label == anion
        counts = Counter(symbols[chosen][members].tolist())
        order = [*bonds.centres, *bonds.ligands]
        name = "".join(f"{one}{counts[one] if counts[one] > 1 else ''}" for one in order if counts[one])
        if direct := between[int(anion)] // 2:
            name += f" ({direct} {bonds.centres[0]}-{bonds.centres[0]})"
        found[name] += int(central[members].sum())
    return {name: 100.0 * number / int(is_centre.sum()) for name, number in sorted(found.items())}
