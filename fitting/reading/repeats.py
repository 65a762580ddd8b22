"""Frames that repeat others: used once, counted, and refused where their labels differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..data_sets import LabelledConfiguration

ENERGY_TOLERANCE_EV = 1e-5
FORCE_TOLERANCE_EV_PER_A = 1e-5
STRESS_TOLERANCE_EV_PER_A3 = 1e-6


@dataclass(frozen=True)
class Merged:
    """Places of the configurations that are kept, how many repeat others, and pairs that contradict each other."""

    kept: tuple[int, ...]
    repeated: tuple[int, ...]
    contradicting: tuple[tuple[int, int, str], ...]


def merge_repeats(configurations: Sequence[LabelledConfiguration]) -> Merged:
    """Return which configurations to keep: the first of every structure, or the one of its copies with most labels."""
    kept: dict[bytes, int] = {}
    repeated: list[int] = []
    contradicting: list[tuple[int, int, str]] = []
    for place, one in enumerate(configurations):
        if not (np.isfinite(one.atoms.positions).all() and np.isfinite(one.atoms.cell.array).all()):
            kept[str(place).encode()] = place
            continue
        key = one.structure_key()
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
    return Merged(tuple(sorted(kept.values())), tuple(repeated), tuple(contradicting))


def _labels(one: LabelledConfiguration) -> int:
    return (one.forces is not None) + (one.stress is not None)


def label_difference(first: LabelledConfiguration, second: LabelledConfiguration) -> str:
    """Say in words how two labels of one structure differ beyond the digits of a file; empty if they do not."""
    energy = abs(first.energy - second.energy)
    if not energy <= ENERGY_TOLERANCE_EV:
        return f"energies differ by {energy:.3g} eV"
    for name, tolerance, unit in (
        ("forces", FORCE_TOLERANCE_EV_PER_A, "eV/Å"),
        ("stress", STRESS_TOLERANCE_EV_PER_A3, "eV/Å³"),
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
