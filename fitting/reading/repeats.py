"""Frames that repeat others: used once, counted, and refused where their labels differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from ...core.structures import structure_hash
from ..data_sets import LabelledConfiguration

ENERGY_TOLERANCE_EV = 1e-5
FORCE_TOLERANCE_EV_PER_A = 1e-5
STRESS_TOLERANCE_EV_PER_A3 = 1e-6
SAME_POSITION_A = 2e-5
"""Differences of coordinates that come from files of five digits; finite differences move atoms by 1e-3 Å and more."""
_SUMS = 4
_LARGE_FORCE_EV_PER_A = 10.0
_LARGE_FORCE_CONSTANT_EV_PER_A2 = 100.0
_LARGE_MODULUS_EV_PER_A3 = 10.0
_BOND_A = 1.0


@dataclass(frozen=True)
class Merged:
    """Places of the configurations that are kept, how many repeat others, and pairs that contradict each other."""

    kept: tuple[int, ...]
    repeated: tuple[int, ...]
    contradicting: tuple[tuple[int, int, str], ...]


def merge_repeats(configurations: Sequence[LabelledConfiguration]) -> Merged:
    """Return which configurations to keep: the first of every structure, or the one of its copies with most labels."""
    kept: dict[str, int] = {}
    repeated: list[int] = []
    contradicting: list[tuple[int, int, str]] = []
    for place, one in enumerate(configurations):
        if not (np.isfinite(one.atoms.positions).all() and np.isfinite(one.atoms.cell.array).all()):
            kept[str(place)] = place
            continue
        key = structure_hash(one.atoms)
        first = kept.setdefault(key, place)
        if first == place:
            continue
        difference = label_difference(configurations[first], one)
        if difference:
            contradicting.append((first, place, difference))
        elif _labels(one) > _labels(configurations[first]):
            kept[key] = place
            repeated.append(first)
        else:
            repeated.append(place)
    places = set(kept.values())
    for first, place, apart_A in near_pairs(configurations, sorted(places)):
        if not {first, place} <= places:
            continue
        difference = label_difference(configurations[first], configurations[place], apart_A)
        if difference:
            contradicting.append((first, place, difference))
            continue
        less = first if _labels(configurations[place]) > _labels(configurations[first]) else place
        places.remove(less)
        repeated.append(less)
    return Merged(tuple(sorted(places)), tuple(sorted(repeated)), tuple(contradicting))


def near_pairs(
    configurations: Sequence[LabelledConfiguration], places: Sequence[int]
) -> Iterator[tuple[int, int, float]]:
    """Yield pairs of structures that differ by the digits of files, and by how much at most (Å).

    Sums of all coordinates with random factors are near for near structures, so that few are compared in full.
    """
    groups: dict[bytes, list[int]] = defaultdict(list)
    for place in places:
        atoms = configurations[place].atoms
        if np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all():
            groups[atoms.numbers.tobytes() + atoms.pbc.tobytes()].append(place)
    for group in groups.values():
        if len(group) == 1:
            continue
        size = len(_coordinates_A(configurations[group[0]].atoms))
        factors = np.random.default_rng(0).uniform(-1.0, 1.0, (_SUMS, size))
        sums = np.array([factors @ _coordinates_A(configurations[place].atoms) for place in group])
        allowed = SAME_POSITION_A * np.abs(factors).sum(axis=1)
        order = np.argsort(sums[:, 0], kind="stable")
        sums = sums[order]
        ends = np.searchsorted(sums[:, 0], sums[:, 0] + allowed[0], side="right")
        for start, end in enumerate(ends):
            near = np.all(np.abs(sums[start + 1 : end] - sums[start]) <= allowed, axis=1)
            for other in start + 1 + np.flatnonzero(near):
                first, second = sorted((group[order[start]], group[order[other]]))
                one, two = (_coordinates_A(configurations[place].atoms) for place in (first, second))
                apart_A = float(np.abs(one - two).max())
                if apart_A <= SAME_POSITION_A:
                    yield first, second, apart_A


def _coordinates_A(atoms: Atoms) -> np.ndarray:
    """Return cell and positions in a row (Å); those of crystals on circles, on which all images are one point."""
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        return np.concatenate([atoms.cell.array.ravel(), atoms.positions.ravel()])
    angles = 2.0 * np.pi * atoms.get_scaled_positions(wrap=False)
    radii = atoms.cell.lengths() / (2.0 * np.pi)
    circles = np.concatenate([radii * np.cos(angles), radii * np.sin(angles)])
    return np.concatenate([atoms.cell.array.ravel(), circles.ravel()])


def _labels(one: LabelledConfiguration) -> int:
    return (one.forces is not None) + (one.stress is not None)


def label_difference(first: LabelledConfiguration, second: LabelledConfiguration, apart_A: float = 0.0) -> str:
    """Say in words how two labels of one structure differ beyond the digits of a file; empty if they do not.

    Where these have moved the structure by up to ``apart_A``, labels may differ by what that does in a stiff solid.
    """
    energy = abs(first.energy - second.energy)
    if not energy <= ENERGY_TOLERANCE_EV + 3 * first.n_atoms * _LARGE_FORCE_EV_PER_A * apart_A:
        return f"energies differ by {energy:.3g} eV"
    for name, tolerance, unit in (
        ("forces", FORCE_TOLERANCE_EV_PER_A + _LARGE_FORCE_CONSTANT_EV_PER_A2 * apart_A, "eV/Å"),
        ("stress", STRESS_TOLERANCE_EV_PER_A3 + _LARGE_MODULUS_EV_PER_A3 / _BOND_A * apart_A, "eV/Å³"),
    ):
        one, other = getattr(first, name), getattr(second, name)
        if one is not None and other is not None:
            difference = float(np.abs(one - other).max(initial=0.0))
            if not difference <= tolerance:
                return f"{'stresses' if name == 'stress' else name} differ by up to {difference:.3g} {unit}"
    if first.regularisation != second.regularisation or _content(first) != _content(second):
        return "their weights differ"
    return ""


def _content(one: LabelledConfiguration) -> bytes:
    return b"" if one.weights is None else one.weights.content()
