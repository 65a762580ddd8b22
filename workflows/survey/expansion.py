"""From crystals to campaigns: one for each that is kept, with a name that stays and a cell that is large enough."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ase import Atoms

from ...analysis.screening.cells import repetitions
from ...core.errors import IonloopError, MachineAtFault
from ...store.records import SurveyCandidate, SurveyRecord
from ..campaign.problems import ABSENT, dotted, show_value
from ..submission.structure_problems import structure_problems
from .settings import INSTEAD

if TYPE_CHECKING:
    from ...sampling.candidates.candidate import Candidate, Refusal
    from ...sampling.candidates.collecting import Collection
    from ...store.connection import Store
    from ..campaign.settings import Campaign
    from .survey_file import Survey

_HASH_LENGTH: Final = 8
_LONGEST_FORMULA: Final = 24
_LONGEST_SOURCE: Final = 1024
_NOT_IN_RECORD: Final = ("structure", "formula", "source", "flags")
"""What a record of a candidate has elsewhere: structures are with their campaigns."""


@dataclass(frozen=True)
class Member:
    """A crystal of a survey with its campaign.

    Attributes
    ----------
    entry
        What the store keeps of it.
    campaign, atoms
        Its campaign and its structure, repeated as that says; None where it is refused.
    """

    entry: SurveyCandidate
    campaign: Campaign | None = None
    atoms: Atoms | None = None

    def refused_for(self, reason: str) -> Member:
        """Return the same crystal without a campaign."""
        entry = self.entry.model_copy(update={"refused": [*self.entry.refused, reason], "campaign": None})
        return Member(entry)


def collected(survey: Survey) -> Collection:
    """Return the crystals that the sources of a survey give; relative paths are of its folder.

    Raises
    ------
    InputError
        If the settings of a source or the environment are wrong.
    SourceUnavailable
        If no source could be asked.
    """
    # Who reads a survey's table need not wait for what compares crystals.
    from ...sampling.candidates.collecting import collect

    folder = survey.file.absolute().parent
    return collect(survey.settings.candidates, survey.filters, survey.settings.duplicates, folder)


def expand(survey: Survey, found: Collection) -> list[Member]:
    """Return the crystals of a survey with their campaigns: all alike but for name, structure and supercell."""
    refused = (*found.filtered, *found.duplicates, *found.unusable)
    return [*(_member(survey, one) for one in found.candidates), *(_refused(one) for one in refused)]


def name_of(candidate: Candidate) -> str:
    """Return formula and structure in a word, which stays the same whatever else is found."""
    return f"{candidate.formula[:_LONGEST_FORMULA]}-{candidate.hash[:_HASH_LENGTH]}"


def campaign_name(survey: str, candidate: Candidate) -> str:
    """Return the name of a crystal's campaign, whatever other crystals there are."""
    return f"{survey}-{name_of(candidate)}"


def _refused(refusal: Refusal) -> Member:
    # Of some not even the structure is known.
    digest = hashlib.sha256(f"{refusal.source} {refusal.identifier}".encode()).hexdigest()[:8]
    name = f"{refusal.formula or 'unread'}-{digest}"
    return Member(
        SurveyCandidate(
            name=name,
            formula=refusal.formula,
            source=refusal.source,
            provenance={"identifier": refusal.identifier},
            refused=[refusal.reason],
        )
    )


def _member(survey: Survey, candidate: Candidate) -> Member:
    entry = SurveyCandidate(
        name=name_of(candidate),
        formula=candidate.formula,
        atoms=len(candidate.atoms),
        source=candidate.source,
        provenance=_storable({k: v for k, v in candidate.as_document().items() if k not in _NOT_IN_RECORD}),
        flags=list(candidate.flags),
    )
    try:
        return _with_campaign(survey, candidate, entry)
    except (MachineAtFault, MemoryError, OSError):
        raise
    except IonloopError as error:
        return Member(entry).refused_for(str(error))
    except Exception as error:  # crystals of others may break what nobody thought of, and no other shall suffer
        return Member(entry).refused_for(f"cannot be used: {type(error).__name__}: {error}")


def _storable(value: Any) -> Any:
    """Return plain data whose keys a database takes: those of others may hold dots."""
    if isinstance(value, Mapping):
        return {str(key).replace(".", "_").lstrip("$"): _storable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(one) for one in value]
    return json.loads(json.dumps(value, default=str))


def _with_campaign(survey: Survey, candidate: Candidate, entry: SurveyCandidate) -> Member:
    cells, mobile, crystal = survey.settings.cells, survey.campaign.mobile, candidate.atoms
    times = repetitions(crystal, mobile, cells.smallest_A, cells.mobile_ions)
    atoms = crystal.repeat(times)
    if len(atoms) > cells.most_atoms:
        reason = (
            f"needs {len(atoms)} atoms in a cell of {cells.smallest_A:g} Å and {cells.mobile_ions} {mobile}, "
            f"and cells.most_atoms allows {cells.most_atoms}"
        )
        return Member(entry).refused_for(reason)
    name = campaign_name(survey.name, candidate)
    source = f"{candidate.identifier} of {candidate.source}"[:_LONGEST_SOURCE]
    campaign = survey.campaign.model_copy(update={"name": name, "structure": source, "supercell": times})
    reasons = list(_reasons(campaign, crystal))
    if reasons:
        return Member(entry.model_copy(update={"refused": reasons}))
    return Member(entry.model_copy(update={"campaign": name}), campaign, atoms)


def _reasons(campaign: Campaign, crystal: Atoms) -> Iterator[str]:
    for problem in structure_problems(campaign, {None: crystal}):
        key = dotted(problem.key)
        # Nobody wrote its name, its structure or its supercell into the file.
        is_told = problem.value not in (ABSENT, None) and problem.key[0] not in INSTEAD
        about = f"{key} = {show_value(problem.value)}" if is_told else key
        yield f"{about}: {problem.message}" if key else problem.message


def known_members(store: Store, survey: Survey, record: SurveyRecord) -> list[Member]:
    """Return the crystals that a survey found before, with the campaigns that the file asks for now."""
    found = []
    for entry in record.candidates:
        known = None if entry.campaign is None else store.campaigns.get(entry.campaign)
        if known is None:
            # A campaign that was never submitted: its structure is known to its source alone.
            found.append(Member(entry.model_copy(update={"campaign": None})))
            continue
        settings = known.settings
        update = {"name": known.id, "structure": settings["structure"], "supercell": tuple(settings["supercell"])}
        found.append(Member(entry, survey.campaign.model_copy(update=update), known.structure.to_atoms()))
    return found
