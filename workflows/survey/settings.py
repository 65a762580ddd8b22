"""The keys of a survey file that a campaign file does not have: where crystals come from, which are kept, how large.

All others are those of a campaign file, and hold for the campaign of every crystal.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from ...core.settings import FrozenSettings
from ...sampling.candidates.duplicates import DuplicateSettings
from ...sampling.candidates.filters import CandidateFilters
from ...sampling.candidates.registry import CandidateSourceSettings

RankBy = Literal["conductivity_300K", "activation_energy", "probability"]
LONGEST_NAME: Final = 24
INSTEAD: Final = ("structure", "systems", "supercell")
"""Keys of a campaign file in whose place the candidates stand."""


class Cells(FrozenSettings):
    """The cells that the candidates' unit cells are repeated to."""

    smallest_A: float = Field(
        10.0, ge=0, le=100, description="Distance of opposite faces of the cells that are labelled, at least (Å)"
    )
    mobile_ions: int = Field(8, ge=1, le=10_000, description="Mobile ions in such a cell, at least (number)")
    most_atoms: int = Field(
        300, ge=2, le=20_000, description="Atoms in such a cell, at most: larger ones are refused (number)"
    )


class SurveySettings(FrozenSettings):
    """What a survey file says beyond what it says of every campaign."""

    name: str = Field(
        pattern=rf"^[A-Za-z0-9]([A-Za-z0-9_-]{{0,{LONGEST_NAME - 2}}}[A-Za-z0-9])?$",
        description="Name of the survey in the store; names of its campaigns begin with it",
        json_schema_extra={
            "allowed": f"1 to {LONGEST_NAME} letters, digits, - and _, with a letter or digit at both ends"
        },
    )
    candidates: tuple[CandidateSourceSettings, ...] = Field(
        description="Where crystals come from, the most trusted source first, e.g. [{kind: files, paths: "
        "[structures/*.cif]}]"
    )
    filters: CandidateFilters = Field(
        default_factory=CandidateFilters, description="Which of them are kept; the mobile ion is that of mobile"
    )
    duplicates: DuplicateSettings = Field(
        default_factory=DuplicateSettings, description="When two of them are the same crystal"
    )
    cells: Cells = Field(Cells(), description="Cells that they are repeated to")
    rank_by: RankBy = Field(
        "conductivity_300K",
        description="What the table is sorted by: conductivity at 300 K, activation energy, or the probability that "
        "the conductivity is above that of analyses.screening",
    )
