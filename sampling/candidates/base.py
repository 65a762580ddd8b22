"""What a source of candidates is given, what it returns, and what it must offer."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from pydantic import ConfigDict, Field

from ...core.citations import Citation
from ...core.errors import MachineAtFault
from ...core.settings import FrozenSettings
from .candidate import Candidate, Refusal
from .filters import CandidateFilters


class SourceUnavailable(MachineAtFault):
    """A source answers nothing that can be used: the same command may find it mended."""


class CommonSourceSettings(FrozenSettings):
    """What the settings of every source have; a constant field ``kind`` holds the name of its kind."""

    max_candidates: int = Field(
        default=5000, ge=1, description="Largest number of structures to take from this source (number)"
    )

    @property
    def name_of_kind(self) -> str:
        """Name of the kind that these settings are of."""
        return str(type(self).model_fields["kind"].default)


class UnknownSourceSettings(CommonSourceSettings):
    """Settings of a kind of source that is not installed here: to be shown, never used."""

    model_config = ConfigDict(extra="allow")

    kind: str = Field(description="Name of the kind (name)")

    @property
    def name_of_kind(self) -> str:
        """Name of the kind that these settings are of."""
        return self.kind


SettingsT = TypeVar("SettingsT", bound=CommonSourceSettings)


@dataclass(frozen=True)
class SourceRequest(Generic[SettingsT]):
    """What a source is asked for.

    Attributes
    ----------
    settings
        Those of the kind.
    filters
        Those of the survey: a source may ask its provider for less, but must leave to the filters what the provider
        does not know of every structure.
    base_folder
        Folder that relative paths start from.
    """

    settings: SettingsT
    filters: CandidateFilters
    base_folder: Path = Path()


@dataclass(frozen=True)
class Gathered:
    """What a source found.

    Attributes
    ----------
    candidates
        In the source's order, which is the same for the same answer of the provider.
    refusals
        What was found and cannot be computed: partly occupied, malformed, unreadable.
    notes
        What a reader must know of the search, in sentences.
    incomplete
        Why there is more than what was found, as a sentence; empty where all was found.
    """

    candidates: tuple[Candidate, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()
    incomplete: str = ""


class SourceKind(Protocol[SettingsT]):
    """A kind of source: where candidates come from."""

    @property
    def name(self) -> str:
        """Name of the kind, the value of ``kind`` in its settings."""

    @property
    def rank(self) -> float:
        """Its place in lists."""

    @property
    def settings_type(self) -> type[SettingsT]:
        """Type of its settings."""

    @property
    def citations(self) -> tuple[Citation, ...]:
        """Works to cite for what it found."""

    def describe(self, settings: SettingsT) -> str:
        """Return where candidates come from, in words: "the files structures/*.cif"."""

    def gather(self, request: SourceRequest[SettingsT]) -> Gathered:
        """Find candidates.

        Raises
        ------
        InputError
            If the settings or the environment are wrong.
        SourceUnavailable
            If nothing could be found out.
        """


@dataclass
class Findings:
    """What a source has found so far; `gathered` closes it."""

    candidates: list[Candidate] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    incomplete: str = ""

    def gathered(self) -> Gathered:
        """Return it frozen."""
        return Gathered(tuple(self.candidates), tuple(self.refusals), tuple(self.notes), self.incomplete)
