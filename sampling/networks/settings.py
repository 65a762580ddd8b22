"""What a network consists of: centres, ligands and the distances of their bonds."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from ...core.settings import FrozenSettings

RADII_FACTOR: Final = 1.25
"""Bonds of elements that no one has looked at: up to this part of the sum of their covalent radii."""
KNOWN_CUTOFFS_A: Final = {("P", "S"): 2.6, ("P", "P"): 2.5, ("S", "S"): 2.5}
"""First minima of the distances in 141 configurations of Li-P-S (density-functional theory)."""
MADE_FACTOR: Final = 12 / 13
BROKEN_FACTOR: Final = 14 / 13
"""A P-S bond of 2.6 Å is made below 2.4 and breaks beyond 2.8 Å."""


class NetworkSettings(FrozenSettings):
    """Which atoms form a network, and when two of them are bonded."""

    centres: tuple[str, ...] = Field(("P",), min_length=1, description="Elements that ligands surround (symbols)")
    ligands: tuple[str, ...] = Field(("S",), min_length=1, description="Elements that surround them (symbols)")
    cutoffs_A: dict[str, Annotated[float, Field(gt=0, le=6)]] = Field(
        {},
        description="Longest bonds by pair of elements, e.g. {P-S: 2.6}; what is not given is 2.6 for P-S, 2.5 for P-P "
        "and S-S, and 1.25 times the sum of the covalent radii for others (Å)",
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        both = sorted(set(self.centres) & set(self.ligands))
        if both:
            raise ValueError(f"{', '.join(both)} cannot be a centre and a ligand")
        for symbol in (*self.centres, *self.ligands):
            _known(symbol)
        for name in self.cutoffs_A:
            pair = name.split("-")
            if len(pair) != 2 or not set(pair) <= {*self.centres, *self.ligands}:
                members = ", ".join((*self.centres, *self.ligands))
                raise ValueError(f"{name!r} is no pair of {members}, such as {self.centres[0]}-{self.ligands[0]}")
        return self

    @property
    def elements(self) -> tuple[str, ...]:
        """Centres, then ligands."""
        return (*self.centres, *self.ligands)

    def bond_lengths_A(self) -> dict[tuple[str, str], float]:
        """Return the longest bond of every pair of elements, the pair in the order of the alphabet (Å)."""
        # Who only reads settings waits for no physics.
        from ase.data import atomic_numbers, covalent_radii

        given = {tuple(sorted(name.split("-"))): value for name, value in self.cutoffs_A.items()}
        found = {}
        for pair in combinations_with_replacement(sorted(self.elements), 2):
            radii = sum(float(covalent_radii[atomic_numbers[symbol]]) for symbol in pair)
            found[pair] = given.get(pair, KNOWN_CUTOFFS_A.get(pair, RADII_FACTOR * radii))
        return found


def _known(symbol: str) -> None:
    from ase.data import atomic_numbers

    if atomic_numbers.get(symbol, 0) < 1:
        meant = symbol.capitalize()
        hint = f"; did you mean {meant}?" if atomic_numbers.get(meant, 0) else ""
        raise ValueError(f"{symbol!r} is no element{hint}")
