"""Structures from a composition: atoms, or whole polyanions, at random places of a box, none too close to another."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import combinations, combinations_with_replacement
from typing import Annotated, Any, Final, NamedTuple, Self

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers, chemical_symbols, covalent_radii
from ase.formula import Formula
from ase.units import kg, m
from numpy.typing import NDArray
from pydantic import (
    Field,
    PositiveFloat,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from ...core.errors import InputError
from ...core.settings import FrozenSettings
from ..guard import ContactGuard
from ..seen_contacts import shortest_distances_A
from .packing_settings import (
    DENSEST_G_PER_CM3,
    POLYANIONS,
    UNBONDED,
    Edge,
    PolyanionUnits,
    known_polyanions,
    without_no_polyanions,
)
from .polyanions import Polyanion, polyanion

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
MOST_DISTORTION: Final = 0.03
"""Part by which distances within a polyanion may differ from its shape."""
SPRING: Final = 2.0
"""Stiffness of a polyanion over that of the spheres."""
_SAME_PLACE_A: Final = 1e-6
_G_PER_CM3: Final = 1e-3 * kg / (1e-2 * m) ** 3
"""g/cm³ in atomic mass units per Å³."""

_FORMULA: Final = re.compile(r"(?:[A-Z][a-z]?\d*|\(|\)\d*)+")

FormulaUnits = Annotated[int, Field(ge=1, le=10_000)] | Annotated[float, Field(gt=0, le=10_000)]


SMALLEST_BOX_FACTOR: Final = 2
"""A composition that is given in mol% takes at most so many times the atoms that were asked for."""


class Composition(FrozenSettings):
    """A structure that is made of formula units, at random."""

    composition: dict[str, FormulaUnits] = Field(
        min_length=1,
        description="Formula units and in which proportion, e.g. {Li2S: 3, P2S5: 1}, or mol%, e.g. "
        "{Li2S: 72.5, P2S5: 27.5} (number)",
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
    polyanions: dict[str, PolyanionUnits] = POLYANIONS
    unbonded_fraction: float = UNBONDED
    seed: int = Field(1, ge=0, le=2**31 - 1, description="Seed of the places of the atoms (no unit)")

    @model_serializer(mode="wrap")
    def _polyanions_only_where_there_are_some(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What rests on these values stays what it was before there were polyanions.
        return without_no_polyanions(serialise(self))

    @field_validator("polyanions")
    @classmethod
    def _polyanions_are_known(cls, value: dict[str, int]) -> dict[str, int]:
        return known_polyanions(value)

    @model_validator(mode="after")
    def _fractions_are_simple(self) -> Self:
        if all(isinstance(value, int) for value in self.composition.values()):
            return self
        if (smallest := self.unit.total()) > SMALLEST_BOX_FACTOR * self.atoms:
            parts = " : ".join(f"{value:g}" for value in self.composition.values())
            raise ValueError(
                f"{parts} as it stands takes {smallest} atoms, atoms says {self.atoms}: write it with whole numbers, "
                "2 : 1 for 66.7 : 33.3"
            )
        return self

    @field_validator("composition")
    @classmethod
    def _formulas_are_read(cls, value: dict[str, float]) -> dict[str, float]:
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
        parts = [Fraction(str(count)) for count in self.composition.values()]
        # The greatest number that goes into all of them a whole number of times.
        common = Fraction(
            math.gcd(*(part.numerator for part in parts)), math.lcm(*(part.denominator for part in parts))
        )
        found: Counter[str] = Counter()
        for text, part in zip(self.composition, parts, strict=True):
            for symbol, number in unit_of(text).items():
                found[symbol] += number * int(part / common)
        return found

    @property
    def counts(self) -> dict[str, int]:
        """Atoms by element in the box: whole units, as near to ``atoms`` as can be."""
        unit = self.unit
        units = max(1, round(self.atoms / unit.total()))
        return {symbol: units * number for symbol, number in sorted(unit.items())}

    @property
    def origin(self) -> str:
        """Where the structure comes from, in words."""
        return "packed at random"

    @property
    def formula(self) -> str:
        """The composition in words: "3 Li2S + P2S5"."""
        return " + ".join(text if count == 1 else f"{count:g} {text}" for text, count in self.composition.items())


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
    bound = {symbol for formula in settings.polyanions for symbol in polyanion(formula).symbols}
    found = {}
    for pair in combinations_with_replacement(symbols, 2):
        one, other = (atomic_numbers[symbol] for symbol in pair)
        found[pair] = cutoffs[one, other]
        name = "-".join(pair)
        if frozenset(pair) in given:
            continue
        if known and name in known:
            found[pair] = DATA_FRACTION * known[name]
        if bound.issuperset(pair):
            unbonded = settings.unbonded_fraction * float(covalent_radii[one] + covalent_radii[other])
            found[pair] = max(found[pair], unbonded)
    return found


def polyanion_counts(settings: Composition) -> dict[str, int]:
    """Return how many of each polyanion go into the box, by formula: as many as its atoms allow.

    Raises
    ------
    InputError
        If none go, or centres are left over, which then were ions without ligands.
    """
    if not settings.polyanions:
        return {}
    divisor = math.gcd(*settings.polyanions.values())
    parts = {formula: number // divisor for formula, number in settings.polyanions.items()}
    taken: Counter[str] = Counter()
    for formula, number in parts.items():
        for symbol in polyanion(formula).symbols:
            taken[symbol] += number
    times = min(settings.counts.get(symbol, 0) // number for symbol, number in taken.items())
    centres = {polyanion(formula).centre for formula in parts}
    left = {symbol: settings.counts.get(symbol, 0) - times * taken[symbol] for symbol in sorted(centres)}
    if not times or any(left.values()):
        asked = " : ".join(f"{number} {formula}" for formula, number in parts.items())
        box = " ".join(f"{symbol}{number}" for symbol, number in settings.counts.items())
        over = ", ".join(f"{number} {symbol}" for symbol, number in left.items() if number)
        raise InputError(
            f"polyanions {asked} do not use up the centres of {box}: {over or 'all'} would be left over; choose "
            "others, or other proportions"
        )
    return {formula: times * number for formula, number in parts.items()}


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
    placed = _placed(settings)
    cell = _box(settings, placed.numbers)
    allowed = allowed_distances(settings, shortest_distances_A(known) if known else None)
    _check_room(settings, cell, allowed)
    diameters = _table(allowed)
    generator = np.random.default_rng(np.random.SeedSequence(settings.seed))
    worst: ClosestPair | None = None
    for _ in range(ATTEMPTS):
        start = placed.drawn(cell, generator)
        positions = _pushed_apart(start, placed, cell, diameters)
        worst = _too_close(positions, placed, cell, allowed)
        if worst is None and placed.distortion(positions) <= MOST_DISTORTION:
            order = np.argsort([chemical_symbols[number] for number in placed.numbers], kind="stable")
            atoms = Atoms(placed.numbers[order], positions=positions[order], cell=cell, pbc=True)
            atoms.wrap()
            return atoms
    why = "polyanions" if worst is None else f"{worst.first} and {worst.second} at least {worst.distance_A:.2f} Å apart"
    raise InputError(
        f"{_box_text(settings, cell)} cannot be packed: with {'whole ' if worst is None else ''}{why} no attempt of "
        f"{ATTEMPTS} did; lower the density or the shortest distances"
    )


def check_packing(settings: Composition) -> None:
    """Refuse what no attempt of packing is worth.

    Raises
    ------
    InputError
        If polyanions do not fit the composition, or the atoms the box.
    """
    _check_room(settings, _box(settings, _placed(settings).numbers), allowed_distances(settings))


class _Placed(NamedTuple):
    """What goes into a box: atoms, some of them bound to others.

    ``unit`` says which unit each atom is of; a single atom is a unit. ``first`` and ``second`` are the pairs within
    units, ``distances_A`` what lies between them. [n_pairs]
    """

    numbers: NDArray[np.int_]
    unit: NDArray[np.int_]
    offsets: NDArray[np.float64]
    first: NDArray[np.int_]
    second: NDArray[np.int_]
    distances_A: NDArray[np.float64]

    def drawn(self, cell: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
        """Return places that are drawn evenly, units turned at random; a unit is never cut at a face of the box."""
        units = int(self.unit[-1]) + 1
        centres = generator.random((units, 3)) * cell
        if not len(self.first):
            return centres
        from scipy.spatial.transform import Rotation

        turns = Rotation.random(units, random_state=generator).as_matrix()
        return np.asarray(centres[self.unit] + np.einsum("aij,aj->ai", turns[self.unit], self.offsets))

    def distortion(self, positions: NDArray[np.float64]) -> float:
        """Return by which part a distance within a unit differs most from what it should be."""
        now = np.linalg.norm(positions[self.second] - positions[self.first], axis=1)
        return float(np.abs(now / self.distances_A - 1.0).max(initial=0.0))


def _placed(settings: Composition) -> _Placed:
    """Return polyanions and the atoms that are left."""
    left = Counter(settings.counts)
    units: list[Polyanion] = []
    for formula, number in polyanion_counts(settings).items():
        one = polyanion(formula)
        units += number * [one]
        for symbol in one.symbols:
            left[symbol] -= number
    units += [Polyanion((symbol,), np.zeros((1, 3))) for symbol in settings.counts for _ in range(left[symbol])]
    sizes = [len(one.symbols) for one in units]
    begins = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(int)
    offsets = np.vstack([one.positions for one in units])
    pairs = [
        (begin + a, begin + b)
        for begin, size in zip(begins.tolist(), sizes, strict=True)
        for a, b in combinations(range(size), 2)
    ]
    first, second = np.array(pairs, dtype=int).reshape(-1, 2).T
    return _Placed(
        numbers=np.array([atomic_numbers[symbol] for one in units for symbol in one.symbols]),
        unit=np.repeat(np.arange(len(units)), sizes),
        offsets=offsets,
        first=first,
        second=second,
        distances_A=np.linalg.norm(offsets[second] - offsets[first], axis=1),
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
    placed: _Placed,
    cell: NDArray[np.float64],
    diameters: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return places where nothing overlaps: units are held by springs, which rest where they end."""
    from scipy.optimize import minimize

    larger = (1 + MARGIN) * diameters
    numbers = placed.numbers

    def energy(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        places = flat.reshape(-1, 3)
        first, second, distance, vector = _neighbours(places, placed, cell, float(larger.max()))
        wanted = larger[numbers[first], numbers[second]]
        overlap = np.clip(wanted - distance, 0.0, None)
        direction = vector / np.maximum(distance, 1e-12)[:, np.newaxis]
        # Every pair is listed from both sides.
        gradient = np.zeros_like(places)
        np.add.at(gradient, first, (overlap[:, np.newaxis] * direction))
        value = float(0.25 * (overlap**2).sum())
        if len(placed.first):
            value += _add_springs(places, placed, gradient)
        return value, gradient.ravel()

    found = minimize(energy, positions.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 2000, "ftol": 1e-14})
    return np.asarray(found.x).reshape(-1, 3)


def _add_springs(places: NDArray[np.float64], placed: _Placed, gradient: NDArray[np.float64]) -> float:
    """Return the energy of springs within units, and add their gradient."""
    vector = places[placed.second] - places[placed.first]
    now = np.linalg.norm(vector, axis=1)
    longer = now - placed.distances_A
    pull = SPRING * (longer / np.maximum(now, 1e-12))[:, np.newaxis] * vector
    np.add.at(gradient, placed.second, pull)
    np.add.at(gradient, placed.first, -pull)
    return float(0.5 * SPRING * (longer**2).sum())


def _neighbours(
    places: NDArray[np.float64], placed: _Placed, cell: NDArray[np.float64], cutoff: Any
) -> tuple[NDArray[np.int_], NDArray[np.int_], NDArray[np.float64], NDArray[np.float64]]:
    """Return all pairs but those within a unit: its images are others. First, second, distance, vector."""
    from matscipy.neighbours import neighbour_list

    first, second, distance, vector = neighbour_list(
        "ijdD",
        cutoff=cutoff,
        positions=places,
        numbers=placed.numbers.astype(np.int32),
        cell=np.diag(cell),
        pbc=np.ones(3, dtype=bool),
    )
    if len(placed.first):
        same = placed.unit[first] == placed.unit[second]
        inside = same & (np.abs(vector - (places[second] - places[first])).max(axis=1) < _SAME_PLACE_A)
        first, second, distance, vector = first[~inside], second[~inside], distance[~inside], vector[~inside]
    return first, second, distance, vector


def _too_close(
    positions: NDArray[np.float64],
    placed: _Placed,
    cell: NDArray[np.float64],
    allowed: Mapping[tuple[str, str], float],
) -> ClosestPair | None:
    """Return the pair that is furthest below the distance that it may have, None where none is."""
    cutoffs = {(atomic_numbers[one], atomic_numbers[other]): distance for (one, other), distance in allowed.items()}
    cutoffs |= {(other, one): distance for (one, other), distance in cutoffs.items()}
    first, second, distances, _ = _neighbours(positions, placed, cell, cutoffs)
    if not len(distances):
        return None
    numbers = placed.numbers
    ratios = [
        distance / cutoffs[numbers[i], numbers[j]] for i, j, distance in zip(first, second, distances, strict=True)
    ]
    worst = int(np.argmin(ratios))
    a, b = sorted((chemical_symbols[numbers[first[worst]]], chemical_symbols[numbers[second[worst]]]))
    return ClosestPair(a, b, allowed[a, b])
