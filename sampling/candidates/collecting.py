"""From sources to candidates: gathered, filtered, each crystal once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .base import CommonSourceSettings, Gathered, SourceRequest, SourceUnavailable
from .candidate import Candidate, Refusal
from .duplicates import DuplicateSettings, without_duplicates
from .filters import CandidateFilters, sift
from .registry import CANDIDATE_SOURCES


@dataclass(frozen=True)
class Collection:
    """What was found in all sources.

    Attributes
    ----------
    candidates
        Worth computing, no two of them the same crystal.
    unusable
        What was found and cannot be computed.
    filtered
        What the filters refused.
    duplicates
        What is the same crystal as an earlier one.
    notes
        What a reader must know of the search, in sentences.
    incomplete
        Why more may be there than was found, in sentences; empty where all was found.
    """

    candidates: tuple[Candidate, ...]
    unusable: tuple[Refusal, ...]
    filtered: tuple[Refusal, ...]
    duplicates: tuple[Refusal, ...]
    notes: tuple[str, ...]
    incomplete: tuple[str, ...]

    @property
    def n_found(self) -> int:
        """Number of structures that were found, whatever became of them."""
        return sum(map(len, (self.candidates, self.unusable, self.filtered, self.duplicates)))


def collect(
    sources: Sequence[CommonSourceSettings],
    filters: CandidateFilters,
    duplicates: DuplicateSettings | None = None,
    base_folder: Path = Path(),
) -> Collection:
    """Gather from every source, filter, keep the first of each crystal.

    A source that cannot be asked does not keep the others from being asked.

    Parameters
    ----------
    sources
        The most trusted first: of duplicates the first is kept.
    filters
        What a candidate must be.
    duplicates
        How alike is the same.
    base_folder
        Folder that relative paths start from.

    Raises
    ------
    InputError
        If the settings of a source or the environment are wrong.
    SourceUnavailable
        If no source could be asked.
    """
    gathered: list[Gathered] = []
    failures: list[SourceUnavailable] = []
    for settings in sources:
        try:
            gathered.append(_gather(settings, filters, base_folder))
        except SourceUnavailable as failure:
            failures.append(failure)
    if failures and not gathered:
        raise failures[0]
    found = [candidate for one in gathered for candidate in one.candidates]
    sifted = sift(found, filters)
    distinct = without_duplicates(sifted.kept, duplicates)
    return Collection(
        candidates=distinct.kept,
        unusable=tuple(refusal for one in gathered for refusal in one.refusals),
        filtered=sifted.refused,
        duplicates=distinct.refused,
        notes=tuple(note for one in gathered for note in one.notes),
        incomplete=(*(one.incomplete for one in gathered if one.incomplete), *map(str, failures)),
    )


def _gather(settings: CommonSourceSettings, filters: CandidateFilters, base_folder: Path) -> Gathered:
    kind = CANDIDATE_SOURCES.get(settings.name_of_kind)
    request: SourceRequest[Any] = SourceRequest(settings, filters, base_folder)
    return kind.gather(request)
