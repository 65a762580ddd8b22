"""What was changed in a campaign's settings after it was submitted: kept beside its record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ConfigDict, Field

from ... import __version__
from ...core.settings import FrozenModel
from ...store.connection import Store
from ...store.records import now
from .changes import Change
from .problems import dotted


class ChangeLog(FrozenModel):
    """The changes of one campaign.

    Attributes
    ----------
    reference
        The reference as first submitted, None where it never changed: identifiers of results derive from it.
    changes
        Key, value before, value after, time and version of every change.
    is_pending
        Whether the end of the campaign has to be looked at again, because more may be asked for now.
    explores
        Whether another generation is wanted although the loop had ended.
    """

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    campaign: str = Field(alias="_id")
    reference: dict[str, Any] | None = None
    changes: list[dict[str, Any]] = Field(default_factory=list)
    is_pending: bool = False
    explores: bool = False


def change_log(store: Store, campaign: str) -> ChangeLog:
    """Return the changes of a campaign."""
    document = store.database.changes.find_one({"_id": campaign})
    return ChangeLog.model_validate(document) if document else ChangeLog(campaign=campaign)


def note_changes(
    store: Store, campaign: str, made: Sequence[Change], reference: dict[str, Any], *, explores: bool
) -> None:
    """Note changes; ``reference`` is the one before them."""
    known = change_log(store, campaign)
    at = now().isoformat()
    lines = [
        {"key": dotted(one.key), "before": one.before, "after": one.after, "at": at, "code_version": __version__}
        for one in made
    ]
    fields = {
        "campaign": campaign,
        "reference": known.reference or reference,
        "changes": [*known.changes, *lines],
        "is_pending": True,
        "explores": known.explores or explores,
    }
    store.database.changes.update_one({"_id": campaign}, {"$set": fields}, upsert=True)


def note_carried_out(store: Store, campaign: str) -> None:
    """Note that what the changes ask for has been planned."""
    store.database.changes.update_one({"_id": campaign}, {"$set": {"is_pending": False, "explores": False}})
