"""Which candidates are worth computing; every refusal says which number failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field, field_validator

from ...core.errors import InputError
from ...core.settings import FrozenSettings
from .candidate import BAND_GAP, ENERGY_ABOVE_HULL, ORDER, Candidate, Refusal
from .element_groups import ELEMENTS, elements_of

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=118)]


def _as_tuple(value: Any) -> Any:
    # A file is read strictly, and lists are tuples to whoever comes after a validator.
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


class CandidateFilters(FrozenSettings):
    """What a candidate must be. A property that its provider does not give refuses nothing, and is told."""

    mobile: str = Field(default="Li", description="The mobile ion, which every candidate holds (chemical symbol)")
    mobile_fraction: tuple[Fraction, Fraction] | None = Field(
        default=None, description="Smallest and largest fraction of the atoms that are mobile ions (1)"
    )
    elements: Count | tuple[Count, Count] | None = Field(
        default=None, description="Number of elements, or the smallest and largest number of them (number)"
    )
    exclude_elements: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = Field(
        default=(),
        description="Elements that no candidate holds, or groups of them: transition-metals, lanthanides, actinides, "
        "noble-gases (chemical symbols or names)",
    )
    energy_above_hull_eV_per_atom: float | None = Field(
        default=None, ge=0, description="Largest energy above the convex hull, as the provider gives it (eV per atom)"
    )
    band_gap_eV: float | None = Field(
        default=None, ge=0, description="Smallest band gap, as the provider gives it (eV)"
    )
    max_atoms: int = Field(default=200, ge=1, description="Largest number of atoms in the cell as it is given (number)")
    min_mobile_per_cell: int = Field(
        default=1, ge=1, description="Smallest number of mobile ions in the cell as it is given (number)"
    )
    ordered_only: bool = Field(
        default=True, description="Refuse what the provider calls disordered even where its sites look ordered."
    )

    @field_validator("mobile")
    @classmethod
    def _is_an_element(cls, value: str) -> str:
        if value not in ELEMENTS:
            raise ValueError("must be the symbol of an element, such as Li")
        return value

    @field_validator("mobile_fraction", "elements")
    @classmethod
    def _is_a_range(cls, value: Any) -> Any:
        if isinstance(value, tuple) and value[0] > value[1]:
            raise ValueError(f"must go up: {value[0]:g} is above {value[1]:g}")
        return value

    @field_validator("exclude_elements")
    @classmethod
    def _are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            elements_of(value)
        except InputError as error:
            raise ValueError(str(error)) from None
        return value

    @property
    def excluded(self) -> tuple[str, ...]:
        """Elements that no candidate holds, groups resolved."""
        return elements_of(self.exclude_elements)

    @property
    def element_range(self) -> tuple[int, int] | None:
        """Smallest and largest number of elements; None for any."""
        return (self.elements, self.elements) if isinstance(self.elements, int) else self.elements


@dataclass(frozen=True)
class Sifted:
    """Those that passed, with flags for what could not be checked, and those that did not, in their order."""

    kept: tuple[Candidate, ...]
    refused: tuple[Refusal, ...]


def sift(candidates: Sequence[Candidate], filters: CandidateFilters) -> Sifted:
    """Apply the filters; a refusal names everything that failed, not only what failed first."""
    kept, refused = [], []
    for candidate in candidates:
        reasons = list(failures(candidate, filters))
        if reasons:
            refused.append(Refusal.of(candidate, "; ".join(reasons)))
        else:
            kept.append(candidate.with_flags(list(_unchecked(candidate, filters))))
    return Sifted(tuple(kept), tuple(refused))


def failures(candidate: Candidate, filters: CandidateFilters) -> Iterator[str]:
    """Yield why a candidate is refused, in sentences."""
    symbols = np.array(candidate.atoms.symbols)
    present = set(symbols.tolist())
    n_mobile, n_atoms = int(np.sum(symbols == filters.mobile)), len(symbols)
    if excluded := sorted(present.intersection(filters.excluded)):
        yield f"it holds {', '.join(excluded)}, which {'is' if len(excluded) == 1 else 'are'} excluded"
    if (allowed := filters.element_range) and not allowed[0] <= len(present) <= allowed[1]:
        yield f"it holds {len(present)} elements, and {_range(*allowed)} are allowed"
    if n_atoms > filters.max_atoms:
        yield f"its cell holds {n_atoms} atoms, more than {filters.max_atoms}"
    if not n_mobile:
        yield f"it holds no {filters.mobile}"
    else:
        if n_mobile < filters.min_mobile_per_cell:
            yield f"its cell holds {n_mobile} {filters.mobile}, fewer than {filters.min_mobile_per_cell}"
        fraction = n_mobile / n_atoms
        if (between := filters.mobile_fraction) and not between[0] <= fraction <= between[1]:
            yield f"{fraction:.3f} of its atoms are {filters.mobile}, and {_range(*between)} is allowed"
    yield from _failures_of_properties(candidate, filters)


def _failures_of_properties(candidate: Candidate, filters: CandidateFilters) -> Iterator[str]:
    above, allowed = candidate.energy_above_hull_eV_per_atom, filters.energy_above_hull_eV_per_atom
    if above is not None and allowed is not None and above > allowed:
        yield f"it lies {above:.3f} eV per atom above the hull, more than {allowed:g}"
    gap, least = candidate.band_gap_eV, filters.band_gap_eV
    if gap is not None and least is not None and gap < least:
        yield f"its band gap is {gap:.2f} eV, less than {least:g}"
    if filters.ordered_only and candidate.is_ordered is False:
        yield "its provider calls it disordered: order it first"


def _unchecked(candidate: Candidate, filters: CandidateFilters) -> Iterator[str]:
    """Yield what the filters ask and the provider does not say."""
    asked = {
        ENERGY_ABOVE_HULL: filters.energy_above_hull_eV_per_atom is not None,
        BAND_GAP: filters.band_gap_eV is not None,
        ORDER: filters.ordered_only,
    }
    for name in candidate.unknown:
        if asked[name]:
            yield f"{name} is unknown: it was not checked"


def _range(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
