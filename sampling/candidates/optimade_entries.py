"""One entry of an OPTIMADE answer -> a candidate, or why it is none.

The specification: Evans et al., Digital Discovery 2024, 3, 1509 (10.1039/D4DD00039K), version 1.2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...core.errors import InputError
from ..structures.crystals import OCCUPANCY_TOLERANCE, check_crystal
from .candidate import Candidate, Refusal, crystal_of
from .element_groups import ELEMENTS
from .provider_fields import BAND_GAP_FIELDS, ENERGY_ABOVE_HULL_FIELDS, ProviderField, looked_up

STANDARD_FIELDS = (
    "cartesian_site_positions",
    "chemical_formula_reduced",
    "dimension_types",
    "elements",
    "immutable_id",
    "last_modified",
    "lattice_vectors",
    "nsites",
    "species",
    "species_at_sites",
    "structure_features",
)
_ABSENT_ATOMS = frozenset({"vacancy", "X"})
_WHAT_CANNOT_BE_COMPUTED = {
    "implicit_atoms": "it holds atoms without positions",
    "site_attachments": "atoms without positions are attached to its sites",
    "assemblies": "its sites are occupied in alternative ways: order it first",
}
_MOST_ATOMS = 100_000

Vector = Annotated[list[float], Field(min_length=3, max_length=3)]


class _Lenient(BaseModel):
    """What is read of somebody else's document: all that is not named is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


class _Species(_Lenient):
    name: str
    chemical_symbols: Annotated[list[str], Field(min_length=1)]
    concentration: Annotated[list[float], Field(min_length=1)]
    attached: list[str] | None = None


class _Attributes(_Lenient):
    lattice_vectors: Annotated[list[Vector], Field(min_length=3, max_length=3)]
    cartesian_site_positions: Annotated[list[Vector], Field(min_length=1, max_length=_MOST_ATOMS)]
    species_at_sites: list[str]
    species: list[_Species] | None = None
    dimension_types: list[int] | None = None
    elements: list[str] | None = None
    nsites: int | None = None
    structure_features: list[str] | None = None
    chemical_formula_reduced: str | None = None
    # Worth keeping where they are texts, and no reason to lose a crystal where they are not.
    immutable_id: Any = None
    last_modified: Any = None


@dataclass(frozen=True)
class EntryReader:
    """Reads the entries of one provider.

    Attributes
    ----------
    source
        The database, in words.
    energy_above_hull, band_gap
        Fields to look in, the first that holds a number counts.
    provenance
        What is true of every entry.
    """

    source: str
    energy_above_hull: Collection[ProviderField] = ENERGY_ABOVE_HULL_FIELDS
    band_gap: Collection[ProviderField] = BAND_GAP_FIELDS
    provenance: Mapping[str, str] = field(default_factory=dict)

    def read(self, entry: Any, place: str) -> Candidate | Refusal:
        """Return what an entry is; ``place`` says which one it is where it has no identifier."""
        identifier = entry.get("id") if isinstance(entry, Mapping) else None
        named = identifier if isinstance(identifier, str) and identifier else place
        if named is place:
            return Refusal(place, self.source, "the entry is malformed: it has no id")
        attributes = entry.get("attributes")
        formula = ""
        try:
            valid = _Attributes.model_validate(attributes)
            formula = valid.chemical_formula_reduced or ""
            return self._candidate(named, valid, attributes)
        except ValidationError as error:
            return Refusal(named, self.source, f"the entry is malformed: {_first_problem(error)}")
        except InputError as error:
            return Refusal(named, self.source, str(error).rstrip("."), formula)

    def _candidate(self, identifier: str, valid: _Attributes, attributes: Mapping[str, Any]) -> Candidate:
        features = valid.structure_features or []
        for feature, reason in _WHAT_CANNOT_BE_COMPUTED.items():
            if feature in features:
                raise InputError(reason)
        if valid.dimension_types is not None and list(valid.dimension_types) != [1, 1, 1]:
            raise InputError(f"it is periodic in {sum(map(bool, valid.dimension_types))} directions, not in three")
        n_sites = len(valid.cartesian_site_positions)
        for name, count in (("nsites", valid.nsites), ("species_at_sites", len(valid.species_at_sites))):
            if count is not None and count != n_sites:
                raise InputError(f"the entry is malformed: {n_sites} positions, and {name} says {count}")
        symbols = _symbols(valid)
        if valid.elements is not None and set(valid.elements) != set(symbols):
            told = ", ".join(sorted(valid.elements))
            raise InputError(f"the entry is malformed: its sites hold {', '.join(sorted(set(symbols)))}, not {told}")
        atoms = crystal_of(symbols, valid.cartesian_site_positions, valid.lattice_vectors)
        check_crystal(atoms, "the entry")
        hull, gap = looked_up(attributes, self.energy_above_hull), looked_up(attributes, self.band_gap)
        kept = {
            "last_modified": _text(valid.last_modified),
            "energy_above_hull_field": hull.field,
            "band_gap_field": gap.field,
        }
        return Candidate(
            atoms=atoms,
            source=self.source,
            identifier=identifier,
            energy_above_hull_eV_per_atom=hull.value,
            band_gap_eV=gap.value,
            # Species with one symbol at full concentration say as much as the flag does.
            is_ordered=False if "disorder" in features else (True if valid.species else None),
            provenance={**self.provenance, **{key: value for key, value in kept.items() if value}},
        ).with_identifiers([name] if (name := _text(valid.immutable_id)) else [])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _symbols(valid: _Attributes) -> list[str]:
    """Return the element of every site.

    Raises
    ------
    InputError
        If a site is occupied in part, by several elements, or by none.
    """
    species = {one.name: one for one in valid.species or ()}
    sites = Counter(valid.species_at_sites)
    partial = [
        f"{_occupation(species[name])} on {count} {'site' if count == 1 else 'sites'}"
        for name, count in sites.items()
        if name in species and not _is_full(species[name])
    ]
    if partial:
        raise InputError(f"it has partly occupied sites ({'; '.join(partial)}): order it first")
    attached = [name for name in sites if name in species and species[name].attached]
    if attached:
        raise InputError(f"atoms without positions are attached to {', '.join(attached)}")
    if valid.species is not None and (lacking := [name for name in sites if name not in species]):
        raise InputError(f"the entry is malformed: species holds no {', '.join(lacking)}")
    symbols = {name: species[name].chemical_symbols[0] if name in species else name for name in sites}
    if unknown := sorted(symbol for symbol in symbols.values() if symbol not in ELEMENTS):
        raise InputError(f"it holds {', '.join(unknown)}, which {'is' if len(unknown) == 1 else 'are'} no element")
    return [symbols[name] for name in valid.species_at_sites]


def _is_full(species: _Species) -> bool:
    return (
        len(species.chemical_symbols) == 1
        and species.chemical_symbols[0] not in _ABSENT_ATOMS
        and abs(species.concentration[0] - 1) <= OCCUPANCY_TOLERANCE
    )


def _occupation(species: _Species) -> str:
    shares: Sequence[tuple[str, float]] = list(zip(species.chemical_symbols, species.concentration, strict=False))
    return ", ".join(f"{symbol} {share:g}" for symbol, share in shares)


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"])) or "attributes"
    return f"{place}: {first['msg'][:1].lower()}{first['msg'][1:]}"
