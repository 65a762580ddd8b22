"""Which candidates are the same crystal: copied, repeated, turned, shifted, or relaxed a little differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from pydantic import Field

from ...core.settings import FrozenSettings
from ..descriptor_settings import DescriptorSettings
from ..soap import SoapDescriptor, species_of
from .candidate import Candidate, Refusal

WORST_ENVIRONMENT = 10.0
"""The worst environment may be so many times farther from 1 than the mean: a single ion that sits elsewhere in a large
cell hardly moves the mean."""
LARGEST_VOLUME_RATIO = 1.2
"""Functionals differ by a few per cent in volume; crystals that differ by more are other phases."""


class DuplicateSettings(FrozenSettings):
    """When two candidates of the same formula are the same crystal."""

    similarity: float = Field(
        default=0.999,
        gt=0,
        le=1,
        description="Smallest mean kernel of the environments of each species, matched one to one (1)",
    )
    descriptor: DescriptorSettings = Field(
        default_factory=lambda: DescriptorSettings(zeta=1), description="SOAP descriptor that compares environments."
    )


@dataclass(frozen=True)
class Distinct:
    """Candidates of which no two are the same crystal, the first of each; and the others, as refusals."""

    kept: tuple[Candidate, ...]
    refused: tuple[Refusal, ...]


def without_duplicates(candidates: Sequence[Candidate], settings: DuplicateSettings | None = None) -> Distinct:
    """Keep the first of every crystal; it inherits the names of its duplicates.

    Parameters
    ----------
    candidates
        The most trusted first.
    settings
        How alike is the same.
    """
    settings = settings or DuplicateSettings()
    groups: dict[str, _Group] = {}
    kept: list[Candidate] = []
    refused: list[Refusal] = []
    for candidate in candidates:
        group = groups.setdefault(candidate.formula, _Group(candidate.atoms, settings))
        position, likeness = group.same_as(candidate.atoms)
        if position is None:
            group.add(candidate.atoms, len(kept))
            kept.append(candidate)
            continue
        first = kept[position]
        kept[position] = first.with_identifiers([candidate.identifier, *candidate.other_identifiers])
        refused.append(
            Refusal.of(candidate, f"it is the same crystal as {first.identifier} of {first.source} ({likeness:.5f})")
        )
    return Distinct(tuple(kept), tuple(refused))


class _Group:
    """The distinct crystals of one formula, and their environments."""

    def __init__(self, first: Atoms, settings: DuplicateSettings) -> None:
        self.settings = settings
        self._species = species_of([first])
        self._volume_per_atom_A3 = first.get_volume() / len(first)
        self._descriptor: SoapDescriptor | None = None
        self._atoms: list[Atoms] = []
        self._positions: list[int] = []
        self._environments: dict[int, Mapping[str, np.ndarray]] = {}

    def add(self, atoms: Atoms, position: int) -> None:
        self._atoms.append(atoms)
        self._positions.append(position)

    def same_as(self, atoms: Atoms) -> tuple[int | None, float]:
        """Return the position of the crystal that these atoms are, None for none, and how alike they are."""
        mine = None
        for index, other in enumerate(self._atoms):
            ratio = (atoms.get_volume() / len(atoms)) / (other.get_volume() / len(other))
            if not 1 / LARGEST_VOLUME_RATIO <= ratio <= LARGEST_VOLUME_RATIO:
                continue
            # Most candidates are alone with their formula: nothing is computed for them.
            mine = self._described(atoms) if mine is None else mine
            if index not in self._environments:
                self._environments[index] = self._described(other)
            likeness = _likeness(mine, self._environments[index], self.settings)
            if likeness >= self.settings.similarity:
                return self._positions[index], likeness
        return None, 0.0

    def _described(self, atoms: Atoms) -> Mapping[str, np.ndarray]:
        """Return the environments at the same volume per atom as the first crystal's."""
        if self._descriptor is None:
            self._descriptor = SoapDescriptor(self._species, self.settings.descriptor)
        scaled = atoms.copy()
        stretch = (self._volume_per_atom_A3 * len(atoms) / atoms.get_volume()) ** (1 / 3)
        scaled.set_cell(atoms.cell * stretch, scale_atoms=True)
        return self._descriptor.vectors(scaled)


def likeness(first: Atoms, second: Atoms, settings: DuplicateSettings | None = None) -> float:
    """Return how alike two crystals of the same elements are: 1 for the same, see `_likeness`.

    Both are scaled to the first one's volume per atom; volumes themselves are not compared.
    """
    group = _Group(first, settings or DuplicateSettings())
    return _likeness(group._described(first), group._described(second), group.settings)


def _likeness(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray], settings: DuplicateSettings) -> float:
    """Return the smallest of the species' kernels, 0 where an environment of one has none like it in the other.

    The kernel of a species is the mean of its environments' kernels in the best match of one cell's environments with
    the other's, each cell repeated until both hold as many: the best-match kernel of De, Bartók, Csányi and Ceriotti,
    Phys. Chem. Chem. Phys. 2016, 18, 13754 (10.1039/C6CP00415F). It does not know left from right.
    """
    lowest = 1.0
    worst_allowed = max(0.0, 1 - WORST_ENVIRONMENT * (1 - settings.similarity))
    for symbol, environments in first.items():
        kernels = np.clip(environments @ second[symbol].T, 0, 1) ** settings.descriptor.zeta
        worst = min(kernels.max(axis=0).min(), kernels.max(axis=1).min())
        if worst < worst_allowed:
            return 0.0
        lowest = min(lowest, _best_match(kernels))
        if lowest < settings.similarity:
            break
    return lowest


def _best_match(kernels: np.ndarray) -> float:
    """Return the largest mean of kernels [n, m] over all ways to carry n equal weights over to m equal weights."""
    from scipy.optimize import linear_sum_assignment, linprog
    from scipy.sparse import eye_array, kron, vstack

    n, m = kernels.shape
    if n % m == 0 or m % n == 0:
        larger = max(n, m)
        tiled = np.tile(kernels, (larger // n, larger // m))
        rows, columns = linear_sum_assignment(tiled, maximize=True)
        return float(tiled[rows, columns].mean())
    # Repeating both cells to the same size may take thousands of atoms: the same optimum as a transport of weights.
    marginals = vstack([kron(eye_array(n), np.ones((1, m))), kron(np.ones((1, n)), eye_array(m))])
    weights = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
    solution = linprog(-kernels.ravel(), A_eq=marginals.tocsr(), b_eq=weights, method="highs")
    return float(-solution.fun)
