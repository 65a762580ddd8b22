"""Which candidates are worth a screening, and which are there twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from pydantic import Field, field_validator

from ....core.settings import FrozenSettings
from ....sampling.descriptor_settings import DescriptorSettings
from ....sampling.soap import SoapDescriptor, species_of
from .candidate import Candidate, LeftOut

TRANSITION_METALS: Final = "transition-metals"
# Groups 3 to 11; the d shells of Zn, Cd and Hg are full.
_TRANSITION_METALS: Final = frozenset({*range(21, 30), *range(39, 48), *range(72, 80), *range(104, 112)})
ALIKE: Final = 0.999
"""Kernel of every environment with its counterpart above which two crystals are one."""


class CandidateFilters(FrozenSettings):
    """What a candidate must be; what its source does not say is no reason to leave it out."""

    mobile: str = Field("Li", description="The ion that moves (chemical symbol)")
    mobile_fraction: tuple[float, float] = Field(
        (0.2, 0.8), description="Least and largest part of the atoms that are mobile ions (no unit)"
    )
    elements: int | None = Field(None, ge=2, le=10, description="Elements in it; nothing: any (number)")
    exclude_elements: tuple[str, ...] = Field(
        (TRANSITION_METALS,),
        description="Elements that it must not hold (chemical symbols)",
        json_schema_extra={"allowed": f"a list of chemical symbols | {TRANSITION_METALS}"},
    )
    energy_above_hull_eV_per_atom: float | None = Field(
        0.05, ge=0, le=10, description="Largest energy above the hull; nothing: any (eV/atom)"
    )
    band_gap_eV: float | None = Field(1.0, ge=0, le=20, description="Least band gap; nothing: any (eV)")
    max_atoms: int = Field(200, ge=1, le=100_000, description="Largest cell (number)")
    min_mobile_per_cell: int = Field(1, ge=1, le=10_000, description="Fewest mobile ions in the cell (number)")
    ordered_only: Literal[True] = Field(
        True, description="Crystals with shared or partly empty sites are left out (yes)"
    )

    @field_validator("exclude_elements")
    @classmethod
    def _are_elements(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            if one != TRANSITION_METALS and one not in atomic_numbers:
                raise ValueError(f"{one!r} is no chemical symbol; allowed are those and {TRANSITION_METALS}")
        return value

    @field_validator("mobile")
    @classmethod
    def _is_element(cls, value: str) -> str:
        if atomic_numbers.get(value, 0) == 0:
            raise ValueError(f"{value!r} is no chemical symbol")
        return value

    @field_validator("mobile_fraction")
    @classmethod
    def _is_a_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] <= value[1] <= 1:
            raise ValueError(f"must be two numbers from 0 to 1, the least first, not {list(value)}")
        return value


def filter_reason(candidate: Candidate, filters: CandidateFilters) -> str:
    """Return why a candidate is left out, empty if it is not."""
    symbols = candidate.atoms.get_chemical_symbols()
    ions, kinds = symbols.count(filters.mobile), sorted(set(symbols))
    if not ions:
        return f"it holds no {filters.mobile}"
    part = ions / len(symbols)
    low, high = filters.mobile_fraction
    excluded = [one for one in kinds if one != filters.mobile and _is_excluded(one, filters)]
    hull, gap = candidate.energy_above_hull_eV_per_atom, candidate.band_gap_eV
    reasons = (
        (not low <= part <= high, f"{filters.mobile} is {part:.2f} of its atoms (from {low:g} to {high:g})"),
        (
            filters.elements is not None and len(kinds) != filters.elements,
            f"it holds {len(kinds)} elements, not {filters.elements}",
        ),
        (bool(excluded), f"it holds {', '.join(excluded)}"),
        (len(symbols) > filters.max_atoms, f"its cell has {len(symbols)} atoms (at most {filters.max_atoms})"),
        (
            ions < filters.min_mobile_per_cell,
            f"its cell has {ions} {filters.mobile} (at least {filters.min_mobile_per_cell})",
        ),
        (
            _beyond(hull, filters.energy_above_hull_eV_per_atom),
            f"it is {hull or 0:.3f} eV/atom above the hull (at most {filters.energy_above_hull_eV_per_atom or 0:g})",
        ),
        (
            gap is not None and _beyond(filters.band_gap_eV, gap),
            f"its band gap is {gap or 0:.2f} eV (at least {filters.band_gap_eV or 0:g})",
        ),
    )
    return next((reason for is_so, reason in reasons if is_so), "")


def _beyond(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and value > limit


def _is_excluded(symbol: str, filters: CandidateFilters) -> bool:
    number = atomic_numbers[symbol]
    if TRANSITION_METALS in filters.exclude_elements and number in _TRANSITION_METALS:
        return True
    return symbol in filters.exclude_elements


def wanted(candidates: Iterable[Candidate], filters: CandidateFilters) -> tuple[list[Candidate], list[LeftOut]]:
    """Return the candidates that pass the filters and are not there twice, and why the others are left out."""
    kept: list[Candidate] = []
    left: list[LeftOut] = []
    for one in candidates:
        reason = filter_reason(one, filters)
        if not reason:
            same = next((other for other in kept if same_crystal(one, other)), None)
            reason = "" if same is None else f"it is the same crystal as {same.label} of {same.source}"
        if reason:
            left.append(LeftOut(one.source, one.label, reason))
        else:
            kept.append(one)
    return kept, left


def same_crystal(first: Candidate, second: Candidate) -> bool:
    """Return whether two candidates are one crystal: one formula, and every environment of each is in the other.

    Cells need not be alike, nor the order of atoms: environments (SOAP) are counted by their share of the crystal.
    """
    if first.formula != second.formula:
        return False
    descriptor = _descriptor(first.atoms)
    vectors = [descriptor.vectors(one.atoms) for one in (first, second)]
    return all(_same_environments(vectors[0][symbol], vectors[1][symbol]) for symbol in descriptor.species)


def _same_environments(first: np.ndarray, second: np.ndarray) -> bool:
    """Return whether environments correspond one to one, each as often as its counterpart, [n, d] and [m, d]."""
    from scipy.optimize import linear_sum_assignment

    times = np.lcm(len(first), len(second))
    kernel = np.repeat(np.repeat(first @ second.T, times // len(first), axis=0), times // len(second), axis=1)
    rows, columns = linear_sum_assignment(-kernel)
    return bool(kernel[rows, columns].min() > ALIKE)


def _descriptor(atoms: Atoms) -> SoapDescriptor:
    return SoapDescriptor(species_of([atoms]), DescriptorSettings())


def labels(candidates: Sequence[Candidate]) -> list[str]:
    """Return names that tell candidates apart and that files and campaigns may have: ``li3ps4-mp-985583``."""
    found: list[str] = []
    for one in candidates:
        plain = "".join(c if c.isalnum() else "-" for c in f"{one.formula}-{one.identifiers[0]}".lower()).strip("-")
        while "--" in plain:
            plain = plain.replace("--", "-")
        name, number = plain, 2
        while name in found:
            name, number = f"{plain}-{number}", number + 1
        found.append(name)
    return found
