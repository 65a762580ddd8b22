"""The systems of a campaign: its structures, each with its supercell and how it is explored."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from ...core.settings import FrozenSettings
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


SystemName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_-]{0,38}[A-Za-z0-9])?$"),
    AfterValidator(_not_reserved),
]


class System(FrozenSettings):
    """A structure of the campaign; what is not said here is as for all."""

    structure: str = Field(
        min_length=1,
        max_length=1024,
        description="Built-in structure, or a file that ASE reads, relative to the campaign file",
        json_schema_extra={"allowed": "the name of a built-in structure or the path of a file"},
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
        return True if self.crystalline is None else self.crystalline
