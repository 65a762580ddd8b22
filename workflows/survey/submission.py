"""Putting a survey into a store: its record, and a campaign for every crystal; those that are there go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...core.errors import InputError
from ...store.connection import Store
from ...store.records import SurveyCandidate, SurveyRecord
from ..submission.submission import submit
from .expansion import Member
from .survey_file import Survey


@dataclass(frozen=True)
class SurveySubmission:
    """What a submission did.

    Attributes
    ----------
    added, known
        Campaigns that are new, and those that were there.
    told
        What people should know: what the file changes, what could not be followed.
    """

    added: tuple[str, ...]
    known: tuple[str, ...]
    told: tuple[str, ...] = ()


def submit_survey(
    store: Store, survey: Survey, members: Sequence[Member], told_of_sources: Sequence[str] = ()
) -> SurveySubmission:
    """Store the survey and the campaigns of its crystals; a crystal whose campaign is refused stops no other.

    Crystals that were found before and that the sources no longer give stay with their campaigns. The record comes
    before the campaigns: whoever looks meanwhile, or after a kill, sees what there shall be.

    Parameters
    ----------
    told_of_sources
        What the sources said: those that could not be asked.

    Raises
    ------
    InputError
        If not one campaign could be submitted and none is there.
    """
    _store_record(store, survey, [one.entry for one in members], told_of_sources)
    added: list[str] = []
    known: list[str] = []
    told: list[str] = []
    reasons: dict[int, str] = {}
    for place, member in enumerate(members):
        if member.campaign is None or member.atoms is None:
            continue
        name = member.campaign.name
        is_there = store.campaigns.get(name) is not None
        try:
            done = submit(store, member.campaign, member.atoms, survey.file, survey=survey.name)
        except InputError as error:
            if is_there:
                # It goes on with the settings that it was begun with.
                known.append(name)
                told.append(f"{name} goes on as it was: {error}")
            else:
                reasons[place] = str(error)
            continue
        (known if is_there else added).append(name)
        told += [f"{name}: from now on {line}" for line in done.changes]
    if reasons:
        entries = [
            one.refused_for(reasons[place]).entry if place in reasons else one.entry
            for place, one in enumerate(members)
        ]
        _store_record(store, survey, entries, told_of_sources)
        if not added and not known:
            place, reason = next(iter(reasons.items()))
            raise InputError(
                f"{survey.file}: none of its campaigns can be submitted; {members[place].entry.name}: {reason}"
            )
    return SurveySubmission(tuple(added), tuple(known), tuple(told))


def _store_record(store: Store, survey: Survey, entries: Sequence[SurveyCandidate], told: Sequence[str]) -> None:
    known = store.surveys.get(survey.name)
    before = () if known is None else known.candidates
    here = {one.name for one in entries}
    gone = [one for one in before if one.name not in here and one.campaign is not None]
    record = SurveyRecord(
        id=survey.name,
        campaign=survey.name,
        settings=survey.document(),
        candidates=[*entries, *gone],
        model=survey.campaign.driver,
        gone=[one.name for one in gone],
        told=list(told),
        file=str(survey.file.absolute()),
    )
    if known is None or known.essence() != record.essence():
        store.surveys.replace(record)
