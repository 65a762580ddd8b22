"""The jobs that workers have refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..connection import Store
from ..jobs.refusals import REFUSAL, is_readable, shown
from ..jobs.rows import FAILED, JOBS


@dataclass(frozen=True)
class Refusal:
    """A job that was refused.

    Attributes
    ----------
    id
        The identifier of its document.
    campaign, key
        What it claims to be; empty where it claims nothing that can be read.
    is_readable
        Whether status and ledger can show the job itself.
    reason
        One line.
    """

    id: str
    campaign: str
    key: str
    reason: str
    is_readable: bool


def refused_jobs(store: Store) -> list[Refusal]:
    """Return the jobs that workers have refused, of whatever campaign, in the order of their documents."""
    found = []
    # The state stands in an index: to look through all jobs takes long.
    for document in store.database[JOBS].find({"state": FAILED, REFUSAL: {"$exists": True}}):
        specification = document.get("spec")
        claims = specification if isinstance(specification, Mapping) else {}
        found.append(
            Refusal(
                id=str(document["_id"]),
                campaign=_text(claims.get("campaign")),
                key=_text(claims.get("key")),
                reason=_text(document[REFUSAL]),
                is_readable=is_readable(document),
            )
        )
    return sorted(found, key=lambda refusal: refusal.id)


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value.isprintable() else "" if value is None else shown(value)
