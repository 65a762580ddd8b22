"""The campaign, or the survey, that somebody asks about: found by its name or refused in the same words by all."""

from __future__ import annotations

from ..core.errors import InputError
from .connection import Store
from .queries.record_kinds import unknown_value
from .records import CampaignRecord, SurveyRecord


def find_campaign(store: Store, name: str | None) -> CampaignRecord:
    """Return the campaign of that name, or the only one.

    Raises
    ------
    InputError
        If there is none, or several and no name is given.
    """
    if name is not None and (found := store.campaigns.get(name)) is not None:
        return found
    known = {record.id: record for record in store.campaigns.find()}
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if name is None:
        listed = ", ".join(sorted(known)) or "none"
        raise InputError(f"name a campaign; in {store.location} there are: {listed}")
    raise unknown_value("campaign", name, sorted(known), of=store.location)


def find_survey(store: Store, name: str | None) -> SurveyRecord:
    """Return the survey of that name, or the only one.

    Raises
    ------
    InputError
        If there is none, or several and no name is given.
    """
    known = {record.id: record for record in store.surveys.find()}
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if name is None:
        raise InputError(f"name a survey; in {store.location} there are: {', '.join(sorted(known)) or 'none'}")
    if name not in known:
        raise unknown_value("survey", name, sorted(known), of=store.location)
    return known[name]
