"""What an atom is bonded to, in a word: the classes by which charges, and other properties of atoms, are told apart."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from numpy.typing import ArrayLike, NDArray

BOND_SCALE: Final = 1.25
"""Two atoms are bonded if they are closer than this many sums of their covalent radii: P-S of 2.05 Å and S-S of 2.1 Å
are, P-P of 3.4 Å over a bridge is not."""
IONS: Final = frozenset({"Li", "Na", "K", "Rb", "Cs", "Ag", "Mg", "Ca"})
"""They bind to everything around: they have neighbours, but are no neighbour that makes another kind of atom."""
LEAST_SHARE: Final = 0.02
"""Part of the atoms of a species below which an environment is counted among the others."""
OTHERS: Final = "others"


def environment_names(atoms: Atoms) -> NDArray[np.str_]:
    """Return what each atom is bonded to, shape [n_atoms]: "S–P" a sulphur with one phosphorus, "S–2P" a bridge.

    Of atoms without bonds it is the symbol alone. Ions of `IONS` are not counted among the neighbours of others.
    """
    from matscipy.neighbours import neighbour_list

    numbers = atoms.numbers.astype(np.int32)
    present = sorted({int(number) for number in numbers})
    i, j = neighbour_list(
        "ij",
        positions=atoms.positions,
        numbers=numbers,
        cell=atoms.cell.complete()[:],
        pbc=atoms.pbc,
        cutoff={
            (a, b): BOND_SCALE * float(covalent_radii[a] + covalent_radii[b])
            for a in present
            for b in present
            if not {chemical_symbols[a], chemical_symbols[b]} <= IONS
        }
        or 0.0,
    )
    symbols = atoms.get_chemical_symbols()
    bonded: list[Counter[str]] = [Counter() for _ in symbols]
    for centre, neighbour in zip(i.tolist(), j.tolist(), strict=True):
        if symbols[neighbour] not in IONS:
            bonded[centre][symbols[neighbour]] += 1
    return np.array([_name(symbol, counts) for symbol, counts in zip(symbols, bonded, strict=True)], dtype=np.str_)


def _name(symbol: str, counts: Counter[str]) -> str:
    parts = [f"{count if count > 1 else ''}{element}" for element, count in sorted(counts.items())]
    return f"{symbol}–{','.join(parts)}" if parts else symbol


@dataclass(frozen=True)
class EnvironmentCharges:
    """Charges (e) of the atoms of one species that have the same neighbours, shape [n_atoms]; of others where asked."""

    species: str
    name: str
    charges: NDArray[np.float64]
    reference: NDArray[np.float64] | None = None

    @property
    def mean(self) -> float:
        """Mean (e)."""
        return float(self.charges.mean())

    @property
    def spread(self) -> float:
        """Standard deviation (e)."""
        return float(self.charges.std())


def charges_by_environment(
    elements: ArrayLike, environments: ArrayLike, charges: ArrayLike, reference: ArrayLike | None = None
) -> list[EnvironmentCharges]:
    """Return charges by species and environment: species in the order of their symbols, environments by mean charge.

    Environments of less than `LEAST_SHARE` of a species stand together.

    Parameters
    ----------
    elements, environments
        Symbol, and name of the environment, of every atom, shape [n_atoms].
    charges, reference
        Charges, and those of the reference where it gave some (e), shape [n_atoms].
    """
    symbols, names = np.asarray(elements, dtype=str), np.asarray(environments, dtype=str)
    values = np.asarray(charges, dtype=np.float64)
    given = None if reference is None else np.asarray(reference, dtype=np.float64)
    found = []
    for species in np.unique(symbols).tolist():
        of_species = symbols == species
        kinds, counts = np.unique(names[of_species], return_counts=True)
        rare = set(kinds[counts < LEAST_SHARE * of_species.sum()].tolist())
        groups = [(str(kind), of_species & (names == kind)) for kind in kinds if kind not in rare]
        if rare:
            groups.append((f"{species}, {OTHERS}", of_species & np.isin(names, sorted(rare))))
        rows = [
            EnvironmentCharges(species, name, values[here], None if given is None else given[here])
            for name, here in groups
        ]
        found += sorted(rows, key=lambda one: one.mean)
    return found
