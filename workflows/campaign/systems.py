"""The systems of a campaign: its structures, each with its supercell and how it is explored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, TypeAdapter, model_validator

from ...core.settings import FrozenSettings
from ...sampling.structures.interface_settings import InterfaceStructure
from ...sampling.structures.packing import Composition
from ...sampling.structures.slab_settings import SlabStructure
from .problems import CampaignInconsistency, Problem
from .samplers import InitialSetting, SamplerListAsInExplore

RESERVED_NAMES: Final = frozenset(
    {
        "again",
        "all",
        "analysis",
        "assess",
        "charge-fit",
        "charges",
        "conclude",
        "cross-check",
        "final",
        "fit",
        "initial-molecular-dynamics",
        "isolated-atom",
        "label",
        "lithium-monte-carlo",
        "sample",
        "select",
    }
)
"""Words that stand at the place of a system's name in the keys of jobs and in lists."""

Repetitions = Annotated[int, Field(ge=1, le=50)]
Supercell = tuple[Repetitions, Repetitions, Repetitions]


def _not_reserved(name: str) -> str:
    if name in RESERVED_NAMES or name.startswith(("generation-", "retry-", "again-", "final-")):
        raise ValueError(f"{name!r} means something else in the names of jobs: give the system another name")
    return name


def section_key(name: str) -> str:
    """Return the name of a system as it stands in the keys of a page: lower-case letters, digits and hyphens."""
    return name.lower().replace("_", "-")


SystemName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_-]{0,38}[A-Za-z0-9])?$"),
    AfterValidator(_not_reserved),
]


def _form(value: Any) -> str:
    if isinstance(value, SlabStructure) or (isinstance(value, Mapping) and "slab" in value):
        return "a slab"  # no key of the file: those in the place of an error are found by name
    if isinstance(value, InterfaceStructure) or (isinstance(value, Mapping) and "interface" in value):
        return "an interface"
    return "packing" if isinstance(value, Mapping | Composition) else "name"


NameOrPath = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1024,
        json_schema_extra={"allowed": "the name of a built-in structure, the path of a file"},
    ),
]
StructureSource = Annotated[
    Annotated[NameOrPath, Tag("name")]
    | Annotated[Composition, Tag("packing")]
    | Annotated[SlabStructure, Tag("a slab")]
    | Annotated[InterfaceStructure, Tag("an interface")],
    Discriminator(_form),
]


_SOURCE: Final[TypeAdapter[Any]] = TypeAdapter(StructureSource)


def origin_of(source: Any) -> str:
    """Return in a few words where a structure comes from, as it stands in a campaign's settings."""
    parsed = _SOURCE.validate_python(source)
    return parsed if isinstance(parsed, str) else str(parsed.origin)


class System(FrozenSettings):
    """A structure of the campaign; what is not said here is as for all."""

    structure: StructureSource = Field(
        description="Built-in structure, a file that ASE reads, relative to the campaign file, a composition, which "
        "is packed at random, e.g. {composition: {Li2S: 3, P2S5: 1}, atoms: 200, density_g_per_cm3: 1.8}, a slab, e.g. "
        "{slab: {of: li2s.cif, miller: [1, 1, 1]}}, or an interface of two",
    )
    supercell: Supercell = Field((1, 1, 1), description="Repetitions of the structure along its three axes (number)")
    crystalline: bool | None = Field(
        None,
        description="Whether analyses that name no systems are made of it; nothing: of every crystal (yes or no)",
    )
    initial: InitialSetting | None = Field(
        None, description="Samplers of the configurations before the first generation; nothing: those of the campaign"
    )
    explore: SamplerListAsInExplore | None = Field(
        None, description="Samplers that explore it, once per generation; nothing: those of the campaign"
    )

    @property
    def is_crystalline(self) -> bool:
        """Whether analyses are made of it where they name no systems."""
        return isinstance(self.structure, str) if self.crystalline is None else self.crystalline

    @property
    def shown_structure(self) -> str:
        """The structure in a few words."""
        return self.structure if isinstance(self.structure, str) else self.structure.formula

    @model_validator(mode="after")
    def _packed_as_large_as_wanted(self) -> Self:
        has_vacuum = isinstance(self.structure, SlabStructure | InterfaceStructure) and self.structure.has_vacuum
        if has_vacuum and self.supercell[2] != 1:
            message = "repeats a slab along its normal: layers or thickness_A of the slab say how thick it is"
            raise CampaignInconsistency([Problem(("supercell",), message, value=list(self.supercell))])
        if isinstance(self.structure, Composition) and self.supercell != (1, 1, 1):
            message = "repeats a random packing, which is as large as structure.atoms says: raise that instead"
            raise CampaignInconsistency([Problem(("supercell",), message, value=list(self.supercell))])
        return self
