"""A crystal that may be surveyed, and one that is left out, with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms


@dataclass(frozen=True, eq=False)
class Candidate:
    """A crystal that may be surveyed.

    Attributes
    ----------
    source
        Where it came from, as a person names it: a file, a provider.
    identifiers
        What it is called there, the name that was asked for first: databases change theirs, so all are kept.
    atoms
        The structure: names alone would not survive.
    energy_above_hull_eV_per_atom, band_gap_eV
        As the source has them; None: it does not say.
    flags
        What a reader should know of it.
    """

    source: str
    identifiers: tuple[str, ...]
    atoms: Atoms
    energy_above_hull_eV_per_atom: float | None = None
    band_gap_eV: float | None = None
    flags: tuple[str, ...] = ()

    @property
    def formula(self) -> str:
        """The reduced formula, elements as metals come first."""
        formula, _ = self.atoms.symbols.formula.reduce()
        return f"{formula:metal}"

    @property
    def label(self) -> str:
        """What messages call it: ``Li3PS4 (mp-985583)``."""
        return f"{self.formula} ({self.identifiers[0]})"


@dataclass(frozen=True)
class LeftOut:
    """What is not surveyed, and why."""

    source: str
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} of {self.source}: {self.reason}"


@dataclass
class Found:
    """What a front end found.

    Attributes
    ----------
    candidates
        Those that can be used as far as it can tell.
    left_out
        The others.
    notes
        What a reader should know of the source as a whole.
    """

    candidates: list[Candidate] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, other: Found) -> None:
        """Take in what another front end found."""
        self.candidates += other.candidates
        self.left_out += other.left_out
        self.notes += other.notes


def periodic_problem(atoms: Atoms) -> str:
    """Return why a structure is no crystal that can be computed, empty if it is one."""
    numbers = np.concatenate([atoms.positions.ravel(), atoms.cell.array.ravel()])
    if not len(atoms):
        return "it holds no atoms"
    if not np.isfinite(numbers).all():
        return "positions or cell are not finite numbers"
    if atoms.cell.rank < 3 or abs(atoms.get_volume()) < 1e-3:
        return "its cell is not periodic in three directions"
    return ""


def partial_occupancies(occupancies: Iterable[Mapping[str, float]]) -> Iterator[str]:
    """Yield the sites that are not held by one species alone, in words, each kind once."""
    told = set()
    for site in occupancies:
        kept = {symbol: part for symbol, part in site.items() if part > 0}
        if len(kept) == 1 and abs(sum(kept.values()) - 1.0) < 1e-3:
            continue
        words = " ".join(f"{symbol} {part:g}" for symbol, part in sorted(kept.items())) or "nothing"
        if words not in told:
            told.add(words)
            yield words


def disorder_reason(sites: Iterable[str]) -> str:
    """Return why a structure with such sites is left out."""
    return f"sites are shared or partly empty ({', '.join(sites)}): order it first"
