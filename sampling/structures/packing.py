"""Structures from a composition: atoms at random places of a box, none closer to another than they may be."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement
from typing import Annotated, Final, NamedTuple

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers, chemical_symbols
from ase.formula import Formula
from ase.units import kg, m
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, field_validator

from ...core.errors import InputError
from ...core.settings import FrozenSettings
from ..guard import ContactGuard
from ..seen_contacts import shortest_distances_A

MARGIN: Final = 0.01
"""Spheres are pushed apart as if they were this much larger, so that rounding leaves none too close."""
ATTEMPTS: Final = 5
"""Times that the atoms are placed anew before a box counts as too small."""
DATA_FRACTION: Final = 0.95
"""Distances of known structures are kept up to this fraction: a crystal at rest is not as close as atoms come."""
JAMMED: Final = 0.64
"""Part of space that equal spheres fill in a random close packing; beyond it no attempt is worth making.

O'Hern, Silbert, Liu, Nagel, Phys. Rev. E 2003, 68, 011306 (10.1103/PhysRevE.68.011306).
"""
DENSEST_G_PER_CM3: Final = 30.0
"""Nothing is denser at pressures that matter here."""
_G_PER_CM3: Final = 1e-3 * kg / (1e-2 * m) ** 3
"""g/cm³ in atomic mass units per Å³."""

_FORMULA: Final = re.compile(r"(?:[A-Z][a-z]?\d*|\(|\)\d*)+")

FormulaUnits = Annotated[int, Field(ge=1, le=10_000)]
Edge = Annotated[float, Field(gt=0, le=100)]


class Composition(FrozenSettings):
    """A structure that is made of formula units, at random."""

    composition: dict[str, FormulaUnits] = Field(
        min_length=1, description="Formula units and in which proportion, e.g. {Li2S: 3, P2S5: 1} (number)"
    )
    atoms: int = Field(
        200, ge=2, le=20_000, description="Atoms, about: as many whole formula units as come nearest (number)"
    )
    density_g_per_cm3: float = Field(gt=0, le=DENSEST_G_PER_CM3, description="Density of the box (g/cm³)")
    edges: tuple[Edge, Edge, Edge] = Field(
        (1.0, 1.0, 1.0), description="Proportions of the edges of the box, which is rectangular (no unit)"
    )
    covalent_fraction: float = Field(
        0.85,
        gt=0,
        le=1.5,
        description="Shortest distance of two atoms as a fraction of the sum of their covalent radii (no unit)",
    )
    minimum_distances_A: dict[str, PositiveFloat] = Field(
        default_factory=dict, description="Shortest distance by pair of elements, e.g. {Li-S: 2.2}; goes before all (Å)"
    )
    distances_from: str | None = Field(
        None,
        min_length=1,
        max_length=1024,
        description="Built-in structure, or a file of structures, whose shortest distances by pair go before radii",
        json_schema_extra={"allowed": "the name of a built-in structure or the path of a file"},
    )
    seed: int = Field(1, ge=0, le=2**31 - 1, description="Seed of the places of the atoms (no unit)")

    @field_validator("composition")
    @classmethod
    def _formulas_are_read(cls, value: dict[str, int]) -> dict[str, int]:
        for text in value:
            unit_of(text)
        return value

    @field_validator("minimum_distances_A")
    @classmethod
    def _pairs_are_elements(cls, value: dict[str, float]) -> dict[str, float]:
        ContactGuard(minimum_distances_A=value)
        return value

    @property
    def unit(self) -> Counter[str]:
        """Atoms by element in the smallest amount that has the composition."""
        found: Counter[str] = Counter()
        divisor = math.gcd(*self.composition.values())
        for text, count in self.composition.items():
            for symbol, number in unit_of(text).items():
                found[symbol] += number * count // divisor
        return found

    @property
    def counts(self) -> dict[str, int]:
        """Atoms by element in the box: whole units, as near to ``atoms`` as can be."""
        unit = self.unit
        units = max(1, round(self.atoms / unit.total()))
        return {symbol: units * number for symbol, number in sorted(unit.items())}

    @property
    def formula(self) -> str:
        """The composition in words: "3 Li2S + P2S5"."""
        return " + ".join(text if count == 1 else f"{count} {text}" for text, count in self.composition.items())


class ClosestPair(NamedTuple):
    """Two elements and how near they may come (Å)."""

    first: str
    second: str
    distance_A: float


def unit_of(text: str) -> Counter[str]:
    """Return the atoms by element of a formula such as Li2S.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        counts = Formula(text).count() if _FORMULA.fullmatch(text) else {}
    except ValueError:
        counts = {}
    unknown = [symbol for symbol in counts if symbol not in atomic_numbers or symbol == "X"]
    if not counts or unknown or min(counts.values()) < 1:
        named = f" ({', '.join(unknown)} is no element)" if unknown else ""
        raise ValueError(f"{text!r} is no formula such as Li2S or Li7La3Zr2O12{named}")
    return Counter(counts)


def density_of_g_per_cm3(atoms: Atoms) -> float:
    """Return the density of a structure (g/cm³), with the masses of natural isotopes.

    Raises
    ------
    InputError
        If its cell has no volume.
    """
    volume_A3 = abs(float(np.linalg.det(atoms.cell.array)))
    if not volume_A3:
        raise InputError("the structure has no density: its cell has no volume")
    return float(atomic_masses[atoms.numbers].sum() / (volume_A3 * _G_PER_CM3))


def allowed_distances(settings: Composition, known: Mapping[str, float] | None = None) -> dict[tuple[str, str], float]:
    """Return how near (Å) each pair of elements may come: as given, as in known structures, or by covalent radii.

    ``known`` holds the shortest distances (Å) of known structures by pair of elements ("Li-S").
    """
    symbols = sorted(settings.counts)
    guard = ContactGuard(covalent_fraction=settings.covalent_fraction, minimum_distances_A=settings.minimum_distances_A)
    cutoffs = guard.cutoffs_A(np.array([atomic_numbers[symbol] for symbol in symbols]))
    given = {frozenset(pair.split("-")) for pair in settings.minimum_distances_A}
    found = {}
    for pair in combinations_with_replacement(symbols, 2):
        one, other = (atomic_numbers[symbol] for symbol in pair)
        found[pair] = cutoffs[one, other]
        name = "-".join(pair)
        if known and name in known and frozenset(pair) not in given:
            found[pair] = DATA_FRACTION * known[name]
    return found


def pack(settings: Composition, known: Sequence[Atoms] = ()) -> Atoms:
    """Return atoms at random places of a periodic box, none closer to another than they may be.

    Places are drawn evenly, then overlapping spheres are pushed apart (the energy of harmonic spheres is minimised:
    O'Hern, Silbert, Liu, Nagel, Phys. Rev. E 2003, 68, 011306, 10.1103/PhysRevE.68.011306). Equal settings give equal
    structures.

    Parameters
    ----------
    known
        Structures whose shortest distances go before covalent radii.

    Raises
    ------
    InputError
        If the atoms do not go into the box.
    """
    numbers = np.concatenate([np.full(count, atomic_numbers[symbol]) for symbol, count in settings.counts.items()])
    cell = _box(settings, numbers)
    allowed = allowed_distances(settings, shortest_distances_A(known) if known else None)
    _check_room(settings, cell, allowed)
    diameters = _table(allowed)
    generator = np.random.default_rng(np.random.SeedSequence(settings.seed))
    worst: ClosestPair | None = None
    for _ in range(ATTEMPTS):
        start = generator.random((len(numbers), 3)) * cell
        atoms = Atoms(numbers, positions=_pushed_apart(start, numbers, cell, diameters), cell=cell, pbc=True)
        atoms.wrap()
        worst = _too_close(atoms, allowed)
        if worst is None:
            return atoms
    raise InputError(
        f"{_box_text(settings, cell)} cannot be packed: with {worst.first} and {worst.second} "  # type: ignore[union-attr]
        f"at least {worst.distance_A:.2f} Å apart no attempt of {ATTEMPTS} did; "  # type: ignore[union-attr]
        "lower the density or the shortest distances"
    )


def _box(settings: Composition, numbers: NDArray[np.int_]) -> NDArray[np.float64]:
    """Return the edges (Å) of the box."""
    volume_A3 = atomic_masses[numbers].sum() / (settings.density_g_per_cm3 * _G_PER_CM3)
    edges = np.array(settings.edges)
    return edges * (volume_A3 / edges.prod()) ** (1 / 3)


def _box_text(settings: Composition, cell: NDArray[np.float64]) -> str:
    box = " x ".join(f"{edge:.1f}" for edge in cell)
    total = sum(settings.counts.values())
    return f"{settings.formula}, {total} atoms at {settings.density_g_per_cm3:g} g/cm³ in a box of {box} Å,"


def _check_room(settings: Composition, cell: NDArray[np.float64], allowed: Mapping[tuple[str, str], float]) -> None:
    """Refuse boxes that hold no more than images of their atoms, or more than random spheres can fill."""
    widest = max(allowed, key=lambda pair: allowed[pair])
    if cell.min() < allowed[widest]:
        raise InputError(
            f"{_box_text(settings, cell)} cannot be packed: an edge is shorter than the distance of two "
            f"{'-'.join(widest)} ({allowed[widest]:.2f} Å); take more atoms"
        )
    volume_A3 = float(cell.prod())
    filled = sum(count * math.pi / 6 * allowed[symbol, symbol] ** 3 for symbol, count in settings.counts.items())
    # Spheres of two sizes that may sink into each other fill more than equal ones.
    if filled / volume_A3 > 2 * JAMMED:
        most = settings.density_g_per_cm3 * JAMMED * volume_A3 / filled
        raise InputError(
            f"{_box_text(settings, cell)} cannot be packed: spheres at the shortest distances fill "
            f"{filled / volume_A3:.0%} of it; at most about {most:.2g} g/cm³ goes, or shorter distances"
        )


def _table(allowed: Mapping[tuple[str, str], float]) -> NDArray[np.float64]:
    """Return the distances (Å) by both atomic numbers."""
    table = np.zeros((len(chemical_symbols), len(chemical_symbols)))
    for (one, other), distance in allowed.items():
        a, b = atomic_numbers[one], atomic_numbers[other]
        table[a, b] = table[b, a] = distance
    return table


def _pushed_apart(
    positions: NDArray[np.float64],
    numbers: NDArray[np.int_],
    cell: NDArray[np.float64],
    diameters: NDArray[np.float64],
) -> NDArray[np.float64]:
    from matscipy.neighbours import neighbour_list
    from scipy.optimize import minimize

    larger = (1 + MARGIN) * diameters
    reach = float(larger.max())
    box = np.diag(cell)

    def energy(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        places = flat.reshape(-1, 3)
        first, second, distance, vector = neighbour_list(
            "ijdD", cutoff=reach, positions=places, cell=box, pbc=np.ones(3, dtype=bool)
        )
        wanted = larger[numbers[first], numbers[second]]
        overlap = np.clip(wanted - distance, 0.0, None)
        direction = vector / np.maximum(distance, 1e-12)[:, np.newaxis]
        # Every pair is listed from both sides.
        gradient = np.zeros_like(places)
        np.add.at(gradient, first, (overlap[:, np.newaxis] * direction))
        return float(0.25 * (overlap**2).sum()), gradient.ravel()

    found = minimize(energy, positions.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 2000, "ftol": 1e-14})
    return np.asarray(found.x).reshape(-1, 3)


def _too_close(atoms: Atoms, allowed: Mapping[tuple[str, str], float]) -> ClosestPair | None:
    """Return the pair that is furthest below the distance that it may have, None where none is."""
    from matscipy.neighbours import neighbour_list

    cutoffs = {(atomic_numbers[one], atomic_numbers[other]): distance for (one, other), distance in allowed.items()}
    cutoffs |= {(other, one): distance for (one, other), distance in cutoffs.items()}
    first, second, distances = neighbour_list("ijd", atoms=atoms, cutoff=cutoffs)
    if not len(distances):
        return None
    ratios = [
        distance / cutoffs[atoms.numbers[i], atoms.numbers[j]]
        for i, j, distance in zip(first, second, distances, strict=True)
    ]
    worst = int(np.argmin(ratios))
    a, b = sorted((atoms.symbols[first[worst]], atoms.symbols[second[worst]]))
    return ClosestPair(a, b, allowed[a, b])
