"""One data set, one reference: labels of different settings or versions of an engine are never frozen together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from pydantic import ValidationError

from ..core.states import State
from ..fitting.consistency import MixedReferencesError, reference_name
from ..labelling.registry import EngineSettings, read_settings
from ..labelling.settings import physics_of
from ..labelling.versions import NOT_KNOWN, version_counts, version_that_counts
from .connection import Store
from .records import LabelRecord

_SHOWN = 3


def check_one_setting(labels: Sequence[LabelRecord], mix_versions: Collection[str] = ()) -> None:
    """Refuse labels of different engine settings, or of different versions of a code whose numbers they change.

    Parameters
    ----------
    mix_versions
        Versions whose labels may stand beside each other, as the campaign names them (`allowed_versions`).

    Raises
    ------
    MixedReferencesError
        Naming the settings or versions, how many labels each has, and what differs between them where the records
        say so.
    """
    _check_settings(labels)
    _check_versions(labels, mix_versions)


def allowed_versions(store: Store, campaign: str) -> tuple[str, ...]:
    """Return the versions whose labels the campaign lets stand beside each other; none for those that name none."""
    record = store.campaigns.get(campaign)
    return () if record is None else tuple(record.settings.get("mix_versions", ()))


def check_version_here(
    store: Store, campaign: str, settings: EngineSettings, settings_hash: str, engine_version: str,
    known: LabelRecord | None = None,
) -> None:  # fmt: skip
    """Refuse to go on with another version of a code than the one that the campaign's labels are of.

    Asked before a label is computed, or taken over from another campaign, so that nothing is computed in vain.

    Parameters
    ----------
    engine_version
        What the engine that is installed here says of itself.
    known
        A label that the store has and that would be taken over; None for one that would be computed.

    Raises
    ------
    MixedReferencesError
        Naming both versions and the labels.
    """
    here = version_that_counts(settings.engine, engine_version)
    if here in ("", NOT_KNOWN):
        return
    if known is None:
        filters = {"campaign": campaign, "settings_hash": settings_hash, "state": State.FINISHED.value}
        # One question for the usual case, that there is no other version.
        if store.database.labels.find_one({**filters, "engine_version": {"$ne": engine_version}}, {"_id": 1}) is None:
            return
        documents = store.database.labels.find(filters, {"engine": 1, "engine_version": 1})
        found = [(doc["_id"], version_that_counts(doc["engine"], doc.get("engine_version", ""))) for doc in documents]
    else:
        found = [(known.id, version_that_counts(known.engine, known.engine_version))]
    others: dict[str, list[str]] = {}
    for name, version in found:
        if version != here:
            others.setdefault(version, []).append(name)
    if others and not {here, *others} <= set(allowed_versions(store, campaign)):
        raise MixedReferencesError(_versions_message({**others, here: []}, f"here is {here}"))


def _check_versions(labels: Sequence[LabelRecord], mix_versions: Collection[str]) -> None:
    found: dict[str, list[str]] = {}
    for label in labels:
        if version_counts(label.engine):
            found.setdefault(version_that_counts(label.engine, label.engine_version), []).append(label.id)
    if len(found) > 1 and not set(found) <= set(mix_versions):
        raise MixedReferencesError(_versions_message(found))


def _versions_message(found: dict[str, list[str]], here: str = "") -> str:
    def labels(names: list[str]) -> str:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return f"{len(names)} labels: {', '.join(names[:_SHOWN])}{more}"

    told = [f"{version} ({labels(names)})" for version, names in sorted(found.items()) if names]
    return (
        "labels of different versions of a code that changes its numbers must not join one data set: "
        f"{'; '.join([*told, *filter(None, [here])])}. Install the version again that the campaign began with, use a "
        f"store of its own, or let them stand beside each other by name in the campaign file, `mix_versions: "
        f"[{', '.join(sorted(found))}]`, and run it and `ionloop retry` again"
    )


def _check_settings(labels: Sequence[LabelRecord]) -> None:
    first_of: dict[str, LabelRecord] = {}
    counts: dict[str, int] = {}
    for label in labels:
        first_of.setdefault(label.settings_hash, label)
        counts[label.settings_hash] = counts.get(label.settings_hash, 0) + 1
    if len(first_of) < 2:
        return
    names = ", ".join(
        f"{reference_name(label.engine, found)} ({counts[found]} labels)" for found, label in first_of.items()
    )
    first, *others = first_of.values()
    differences = [line for other in others for line in differing_settings(_physics(first), _physics(other))]
    raise MixedReferencesError(
        f"labels of different reference settings must not join one data set: {names}"
        + "".join(f"\n  {line}" for line in dict.fromkeys(differences))
    )


def differing_settings(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return what differs between two sets of settings, one readable line per key."""
    absent = "not set"
    return [
        f"{key}: {one.get(key, absent)!r} and {other.get(key, absent)!r}"
        for key in sorted(one.keys() | other.keys())
        if one.get(key, absent) != other.get(key, absent)
    ]


def _physics(label: LabelRecord) -> dict[str, Any]:
    """Return the settings that a label was computed with, as far as its record says."""
    if not label.attempts:
        return {"engine": label.engine}
    try:
        return physics_of(read_settings(label.attempts[-1].get("settings")))
    except ValidationError:
        return {"engine": label.engine}
