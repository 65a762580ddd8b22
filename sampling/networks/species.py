"""Species of a network: clusters of centres that share ligands or are bonded, named and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ...core.arrays import BoolArray, IntArray
from ...core.formulas import written
from .bonds import Members, bonds_of
from .settings import NetworkSettings

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

VALENCES: Final[Mapping[str, int]] = {
    **dict.fromkeys(("P", "As", "Sb", "V", "Nb", "Ta"), 5),
    **dict.fromkeys(("Si", "Ge", "Sn", "Ti", "Zr", "C"), 4),
    **dict.fromkeys(("B", "Al", "Ga", "In"), 3),
    **dict.fromkeys(("O", "S", "Se", "Te"), -2),
    **dict.fromkeys(("H", "F", "Cl", "Br", "I"), -1),
}
"""Charges that centres and ligands count for (e); a bond of two centres, or two ligands, shares an electron of each."""
CATIONS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("Li", "Na", "K", "Rb", "Cs", "Ag"), 1),
    **dict.fromkeys(("Mg", "Ca", "Sr", "Ba", "Zn"), 2),
    **dict.fromkeys(("La", "Y", "Sc"), 3),
}
FULL_SHELL: Final = 4
"""Ligands of a centre that lacks none: tetrahedra."""
LARGEST_NAMED: Final = 12
"""Centres of a species beyond which it is part of a network."""
FREE, CHAINS, OTHERS, NETWORK = "free ligands", "chains", "others", "network"


@dataclass(frozen=True)
class Species:
    """What kind of species a cluster is.

    Attributes
    ----------
    name
        Its formula, with what tells it from others of the same formula: "P2S6 (P-P)", "P2S6 (shared edge)".
    family
        The name, where it is one of a few common ones, chains, free ligands, network, or others.
    centres, ligands
        Number of either.
    charge_e
        By the usual valences; None where one of its elements has none.
    """

    name: str
    family: str
    centres: int
    ligands: int
    charge_e: int | None


@dataclass(frozen=True, eq=False)
class Speciation:
    """The species of one structure.

    Attributes
    ----------
    species
        Kinds of species that there are, each once.
    counts
        How many clusters of each there are.
    of_members
        Which kind each member of the network belongs to, shape [n_members].
    members
        The members.
    bridging
        How many of its ligands each centre shares with others, in the order of the members. Shape [n_centres].
    ligand_bonds
        Bonds between ligands of centres, which join no species: "P2S7" is what it is whatever leans on it.
    cations_e
        Charge of all other atoms; None where one of them has no usual charge.
    """

    species: tuple[Species, ...]
    counts: tuple[int, ...]
    of_members: IntArray
    members: Members
    bridging: IntArray
    ligand_bonds: int
    cations_e: int | None

    @property
    def n_centres(self) -> int:
        """Number of centres."""
        return int(self.members.is_centre.sum())

    def percent_of_centres(self, *, by_family: bool = False) -> dict[str, float]:
        """Return which part of the centres belongs to each species, or family (%)."""
        found: Counter[str] = Counter()
        for one, count in zip(self.species, self.counts, strict=True):
            if one.centres:
                found[one.family if by_family else one.name] += one.centres * count
        return {name: 100.0 * number / self.n_centres for name, number in sorted(found.items())}

    @property
    def percent_by_bridges(self) -> dict[int, float]:
        """Which part of the centres has 0, 1, 2, ... bridging ligands (%), as magic-angle spinning tells them apart."""
        counts = Counter(self.bridging.tolist())
        return {number: 100.0 * counts[number] / self.n_centres for number in sorted(counts)}

    @property
    def free_ligands(self) -> dict[str, int]:
        """Number of species without a centre, by name."""
        return {one.name: count for one, count in zip(self.species, self.counts, strict=True) if not one.centres}

    @property
    def imbalance_e(self) -> int | None:
        """Charge that is left over: every broken species leaves some. None where a charge is not known."""
        found = self.cations_e
        for one, count in zip(self.species, self.counts, strict=True):
            if found is None or one.charge_e is None:
                return None
            found += one.charge_e * count
        return None if found is None else found + 2 * self.ligand_bonds

    def centre_classes(self, *, by_family: bool = False) -> dict[int, str]:
        """Return what each centre belongs to, by its place in the structure."""
        centres = np.flatnonzero(self.members.is_centre)
        kinds = [self.species[number] for number in self.of_members[centres].tolist()]
        names = [one.family if by_family else one.name for one in kinds]
        return dict(zip(self.members.atoms[centres].tolist(), names, strict=True))


def classify(atoms: Atoms, settings: NetworkSettings | None = None) -> Speciation:
    """Return the species of a structure."""
    chosen = settings or NetworkSettings()
    symbols = atoms.get_chemical_symbols()
    members = Members.of(symbols, chosen)
    bonds = bonds_of(members, atoms.positions, atoms.cell.array, atoms.pbc.tolist())
    return species_of(symbols, members, bonds)


def anions_of(atoms: Atoms, settings: NetworkSettings | None = None) -> NDArray[np.str_]:
    """Return the family of species that each atom belongs to, its element where it belongs to none. Shape [n_atoms]."""
    seen = classify(atoms, settings)
    names = np.array(atoms.get_chemical_symbols(), dtype=object)
    names[seen.members.atoms] = [seen.species[kind].family for kind in seen.of_members.tolist()]
    return names.astype(str)


def centre_classes(atoms: Atoms, settings: NetworkSettings | None = None) -> dict[int, str]:
    """Return the species that each centre of a structure belongs to, by its place."""
    return classify(atoms, settings).centre_classes()


def species_of(symbols: Sequence[str], members: Members, bonds: tuple[IntArray, IntArray]) -> Speciation:
    """Return the species that bonds between members make.

    Clusters are joined by bonds of centres with ligands and with centres, and of ligands that have no centre: free ones
    that are bonded to each other are polyanions of their own.
    """
    first, second = bonds
    has_centre = _has_centre(members, first, second)
    between_ligands = ~members.is_centre[first] & ~members.is_centre[second]
    apart = between_ligands & (has_centre[first] | has_centre[second])
    first, second = first[~apart], second[~apart]
    cluster, features = _features(members, first, second)
    kinds, which, counts = np.unique(features, axis=0, return_inverse=True, return_counts=True)
    which = which.reshape(-1)
    elements = sorted(set(members.symbols))
    found = tuple(_species(kind, elements, members) for kind in kinds)
    return Speciation(
        found,
        tuple(int(count) for count in counts),
        which[cluster] if len(which) else np.zeros(0, dtype=np.int64),
        members,
        _bridges(members, first, second)[members.is_centre],
        int(apart.sum()),
        _cations_e(symbols, members),
    )


def _cations_e(symbols: Sequence[str], members: Members) -> int | None:
    counts = Counter(symbols)
    counts.subtract(members.symbols)
    others = {symbol: count for symbol, count in counts.items() if count}
    if set(others) - set(CATIONS):
        return None
    return sum(CATIONS[symbol] * count for symbol, count in others.items())


def _ligand_bonds(members: Members, first: IntArray, second: IntArray) -> tuple[IntArray, IntArray]:
    """Return centre and ligand of the bonds of one with the other."""
    centre_first = members.is_centre[first] & ~members.is_centre[second]
    centre_second = ~members.is_centre[first] & members.is_centre[second]
    centres = np.concatenate([first[centre_first], second[centre_second]])
    return centres, np.concatenate([second[centre_first], first[centre_second]])


def _has_centre(members: Members, first: IntArray, second: IntArray) -> BoolArray:
    """Return which members are bonded to a centre; shape [n_members]."""
    found = np.zeros(len(members), dtype=bool)
    found[first[members.is_centre[second]]] = True
    found[second[members.is_centre[first]]] = True
    return found


def _bridges(members: Members, first: IntArray, second: IntArray) -> IntArray:
    """Return how many of its ligands each member shares with other centres; shape [n_members]."""
    centres, ligands = _ligand_bonds(members, first, second)
    held_by = np.bincount(ligands, minlength=len(members))
    return np.bincount(centres[held_by[ligands] > 1], minlength=len(members))


def _features(members: Members, first: IntArray, second: IntArray) -> tuple[IntArray, IntArray]:
    """Return the cluster of each member, and what tells clusters apart.

    Columns: bridging ligands, bonds of two centres, bonds of two ligands, pairs of centres that share an edge, closed
    rings; then atoms of each element.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(members)
    matrix = coo_matrix((np.ones(len(first)), (first, second)), shape=(n, n))
    clusters, cluster = connected_components(matrix, directed=False)
    is_centre = members.is_centre
    centres, ligands = _ligand_bonds(members, first, second)
    held_by = np.bincount(ligands, minlength=n)
    both_centres = is_centre[first] & is_centre[second]
    both_ligands = ~is_centre[first] & ~is_centre[second]
    elements = sorted(set(members.symbols))
    symbols = np.array(members.symbols)
    atoms = [np.bincount(cluster[symbols == element], minlength=clusters) for element in elements]
    bonds = np.bincount(cluster[first], minlength=clusters) if len(first) else np.zeros(clusters, dtype=np.int64)
    columns = [
        np.bincount(cluster[held_by > 1], minlength=clusters),
        np.bincount(cluster[first[both_centres]], minlength=clusters),
        np.bincount(cluster[first[both_ligands]], minlength=clusters),
        _shared_edges(cluster, clusters, centres, ligands, held_by),
        # Of a tree bonds are one less than atoms; every further one closes a ring.
        bonds - sum(atoms) + 1 if atoms else bonds,
        *atoms,
    ]
    return cluster, np.stack(columns, axis=1) if clusters else np.zeros((0, len(columns)), dtype=np.int64)


def _shared_edges(
    cluster: IntArray, clusters: int, centres: IntArray, ligands: IntArray, held_by: IntArray
) -> IntArray:
    """Return in how many pairs of centres both have two or more ligands, by cluster."""
    order = np.argsort(ligands, kind="stable")
    by_ligand, holders = ligands[order], centres[order]
    pairs: Counter[tuple[int, int]] = Counter()
    start = 0
    counts = held_by[np.unique(by_ligand)] if len(by_ligand) else np.zeros(0, dtype=np.int64)
    if not (counts > 1).any():
        return np.zeros(clusters, dtype=np.int64)
    for count in counts.tolist():
        if count > 1:
            own = sorted(holders[start : start + count].tolist())
            pairs.update((a, b) for place, a in enumerate(own) for b in own[place + 1 :])
        start += count
    shared = [a for (a, _), number in pairs.items() if number > 1]
    return np.bincount(cluster[np.array(shared, dtype=np.int64)], minlength=clusters)


def _species(features: IntArray, elements: Sequence[str], members: Members) -> Species:
    bridges, centre_bonds, ligand_bonds, edges, rings, *atoms = (int(value) for value in features)
    counts = {element: count for element, count in zip(elements, atoms, strict=True) if count}
    central = {symbol for symbol, is_centre in zip(members.symbols, members.is_centre, strict=True) if is_centre}
    n = sum(count for element, count in counts.items() if element in central)
    m = sum(counts.values()) - n
    charge = _charge_e(counts, centre_bonds, ligand_bonds)
    formula = written(counts)
    if not n:
        return Species(formula, FREE, 0, m, charge)
    pair = _pair(central & set(counts))
    if n > LARGEST_NAMED:
        return Species(f"{NETWORK} (more than {LARGEST_NAMED} centres)", NETWORK, n, m, charge)
    if n == 1:
        return Species(formula, formula if m == FULL_SHELL else OTHERS, n, m, charge)
    said = [
        f"{centre_bonds} {pair}" if centre_bonds > 1 else pair * centre_bonds,
        "shared edge" if edges == 1 else f"{edges} shared edges" * bool(edges),
        "ring" * bool(rings and not edges),
    ]
    if not rings and not centre_bonds and bridges == n - 1:
        # Corner-sharing: whole tetrahedra, at most one ligand short at an end.
        if n == 2 and m == 2 * FULL_SHELL - 1:
            return Species(formula, formula, n, m, charge)
        if m in (n * (FULL_SHELL - 1), n * (FULL_SHELL - 1) + 1):
            return Species(f"{formula} (chain)", CHAINS, n, m, charge)
        said.append(f"{bridges} bridge" + "s" * (bridges > 1))
    elif centre_bonds and bridges:
        said.append(f"{bridges} bridge" + "s" * (bridges > 1))
    name = f"{formula} ({', '.join(filter(None, said))})" if any(said) else formula
    dimer = n == 2 and m == 2 * (FULL_SHELL - 1)
    usual = dimer and ((centre_bonds == 1 and not bridges) or (edges == 1 and not centre_bonds and bridges == 2))
    return Species(name, name if usual else OTHERS, n, m, charge)


def _pair(central: set[str]) -> str:
    symbols = sorted(central)
    return f"{symbols[0]}-{symbols[-1]}"


def _charge_e(counts: Mapping[str, int], centre_bonds: int, ligand_bonds: int) -> int | None:
    if set(counts) - set(VALENCES):
        return None
    return sum(VALENCES[symbol] * count for symbol, count in counts.items()) - 2 * centre_bonds + 2 * ligand_bonds
