"""A crystal that a survey may look at, with all that its provider says of it; and why one is none."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from math import gcd
from typing import Any

import numpy as np
from ase import Atoms

from ...core.formulas import written
from ...core.structures import structure_hash

ENERGY_ABOVE_HULL = "energy above the hull"
BAND_GAP = "band gap"
ORDER = "whether it is ordered"
_LONGEST_NAME = 40


@dataclass(frozen=True)
class Candidate:
    """A crystal and where it comes from.

    Attributes
    ----------
    atoms
        Species, positions and cell, periodic in three directions; nothing else.
    source
        Where it was found, in words: "structures/a.cif", "optimade.example.org".
    identifier
        Its name there today.
    other_identifiers
        Its earlier names there, and those of its duplicates.
    energy_above_hull_eV_per_atom
        As the provider gives it (eV per atom); None where it does not.
    band_gap_eV
        As the provider gives it (eV); None where it does not.
    is_ordered
        Whether the provider calls every site fully occupied; None where it says nothing.
    provenance
        What else is worth keeping of where it came from: database, version, licence, functional.
    flags
        What a reader must know before believing in it, in sentences.
    """

    atoms: Atoms
    source: str
    identifier: str
    other_identifiers: tuple[str, ...] = ()
    energy_above_hull_eV_per_atom: float | None = None
    band_gap_eV: float | None = None
    is_ordered: bool | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    @property
    def formula(self) -> str:
        """Reduced formula: Li3PS4."""
        return reduced_formula(self.atoms)

    @property
    def hash(self) -> str:
        """Identity of the structure, wherever it came from (hexadecimal)."""
        return structure_hash(self.atoms)

    @property
    def unknown(self) -> tuple[str, ...]:
        """What the provider does not say of it."""
        values = {
            ENERGY_ABOVE_HULL: self.energy_above_hull_eV_per_atom,
            BAND_GAP: self.band_gap_eV,
            ORDER: self.is_ordered,
        }
        return tuple(name for name, value in values.items() if value is None)

    def with_flags(self, flags: Sequence[str]) -> Candidate:
        """Return it with more flags, each once."""
        return dataclasses.replace(self, flags=tuple(dict.fromkeys((*self.flags, *flags))))

    def with_identifiers(self, identifiers: Sequence[str]) -> Candidate:
        """Return it with more other identifiers, each once and none that is its own."""
        others = dict.fromkeys((*self.other_identifiers, *identifiers))
        return dataclasses.replace(self, other_identifiers=tuple(one for one in others if one != self.identifier))

    def as_document(self) -> dict[str, Any]:
        """Return all of it as plain values for a record; `candidate_from_document` reads it back to the last bit."""
        return {
            "structure": {
                "symbols": [str(symbol) for symbol in self.atoms.symbols],
                "positions_A": self.atoms.positions.tolist(),
                "cell_A": self.atoms.cell.array.tolist(),
            },
            "structure_hash": self.hash,
            "formula": self.formula,
            "source": self.source,
            "identifier": self.identifier,
            "other_identifiers": list(self.other_identifiers),
            "energy_above_hull_eV_per_atom": self.energy_above_hull_eV_per_atom,
            "band_gap_eV": self.band_gap_eV,
            "is_ordered": self.is_ordered,
            "provenance": dict(self.provenance),
            "flags": list(self.flags),
        }


@dataclass(frozen=True)
class Refusal:
    """Something that was found and is no candidate.

    Attributes
    ----------
    identifier
        Its name at its source.
    source
        Where it was found, in words.
    reason
        Why it is none: a sentence with the number that failed, without a full stop.
    formula
        Reduced formula; empty where not even that is known.
    """

    identifier: str
    source: str
    reason: str
    formula: str = ""

    @classmethod
    def of(cls, candidate: Candidate, reason: str) -> Refusal:
        """Return the refusal of a candidate."""
        return cls(candidate.identifier, candidate.source, reason, candidate.formula)

    def as_document(self) -> dict[str, str]:
        """Return it as plain values for a record."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        of_formula = f" ({self.formula})" if self.formula else ""
        return f"{self.identifier}{of_formula} of {self.source}: {self.reason}."


def candidate_from_document(document: Mapping[str, Any]) -> Candidate:
    """Return the candidate that `Candidate.as_document` wrote."""
    structure = document["structure"]
    return Candidate(
        atoms=crystal_of(structure["symbols"], structure["positions_A"], structure["cell_A"]),
        source=document["source"],
        identifier=document["identifier"],
        other_identifiers=tuple(document["other_identifiers"]),
        energy_above_hull_eV_per_atom=document["energy_above_hull_eV_per_atom"],
        band_gap_eV=document["band_gap_eV"],
        is_ordered=document["is_ordered"],
        provenance=dict(document["provenance"]),
        flags=tuple(document["flags"]),
    )


def crystal_of(symbols: Sequence[str], positions_A: Any, cell_A: Any) -> Atoms:
    """Return bare periodic atoms: symbols, positions (Å) [n_atoms, 3], cell (Å) [3, 3]."""
    return Atoms(
        list(symbols), positions=np.array(positions_A, dtype=float), cell=np.array(cell_A, dtype=float), pbc=True
    )


def reduced_formula(atoms: Atoms) -> str:
    """Return the reduced formula: Li3PS4, Li7La3Zr2O12."""
    if len(atoms) == 0:
        return ""
    return written(_reduced_counts(atoms))


def _reduced_counts(atoms: Atoms) -> dict[str, int]:
    counts = atoms.symbols.formula.count()
    unit = reduce(gcd, counts.values())
    return {symbol: count // unit for symbol, count in counts.items()}


def system_names(candidates: Sequence[Candidate]) -> list[str]:
    """Return a name for each, unlike all others even where case does not count: letters, digits, hyphens, 40 at most.

    "Li3PS4-mp-985583"; the last part of a path, without its suffix, for a file. Names that would be the same or too
    long end in the first digits of the hash of the structure, so that they do not depend on the other candidates'
    order.
    """
    plain = [_plain_name(candidate) for candidate in candidates]
    folded = [name.lower() for name in plain]
    named = [
        name if len(name) <= _LONGEST_NAME and folded.count(name.lower()) == 1 else _hashed(name, candidate)
        for name, candidate in zip(plain, candidates, strict=True)
    ]
    # The same structure twice: duplicates are sought before names are given, so this is for who did not.
    seen: dict[str, int] = {}
    unique = []
    for name in named:
        count = seen[name.lower()] = seen.get(name.lower(), 0) + 1
        unique.append(name if count == 1 else f"{name[: _LONGEST_NAME - 4]}-{count}")
    return unique


def _plain_name(candidate: Candidate) -> str:
    identifier = candidate.identifier
    words = re.sub(r"[^A-Za-z0-9]+", "-", f"{candidate.formula}-{identifier}").strip("-")
    return words or "candidate"


def _hashed(name: str, candidate: Candidate) -> str:
    digits = candidate.hash[:8]
    return f"{name[: _LONGEST_NAME - len(digits) - 1].rstrip('-')}-{digits}"
