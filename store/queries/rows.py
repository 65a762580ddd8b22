"""Queries over the records: typed rows with units, for tables, CSV and JSON; `labelled` has structures.

Filters become plain equality conditions on known fields. What a user types is only ever a value, never part
of the query itself, so that nothing typed can reach further than what is documented.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ... import __version__
from ...core.errors import InputError
from ...core.kinds import OWN_PACKAGE, UnknownKind
from ...core.states import UNSUCCESSFUL
from ..campaigns import find_campaign
from ..connection import Store
from ..records import CampaignRecord, ConfigurationRecord, LabelRecord, Record
from .record_kinds import RECORD_KINDS, Cell, Column, RecordKind, record_kind, unknown_value

_REMEMBERED = "reference_hashes"


@dataclass(frozen=True)
class Query:
    """What to look for: a kind of record and plain values that its fields must have (None: anything)."""

    kind: str
    campaign: str | None = None
    generation: int | None = None
    model: str | None = None
    state: str | None = None
    limit: int | None = None


@dataclass(frozen=True)
class QueryResult:
    """Records that match, by generation and identifier, and how many there are without the limit."""

    kind: RecordKind
    records: tuple[Record, ...]
    total: int

    def columns(self, names: Sequence[str] = ()) -> tuple[Column, ...]:
        """Return the columns of these names; without names those shown by default.

        Raises
        ------
        InputError
            If a name is unknown.
        """
        if names:
            return tuple(self.kind.column(name) for name in names)
        # A campaign's own records need not repeat its name.
        mixed = len({record.campaign for record in self.records}) > 1
        return tuple(column for column in self.kind.columns if column.shown or (mixed and column.name == "campaign"))

    def rows(self, columns: Sequence[Column]) -> list[list[Cell]]:
        """Return one row per record, shape [n_records][n_columns]."""
        return [[column.cell(record) for column in columns] for record in self.records]


def run_query(store: Store, query: Query) -> QueryResult:
    """Return the records that match.

    With a campaign, labels are those that answer its configurations, whichever campaign of the store computed
    them first; they are shown with the generation that they have in this one.

    Raises
    ------
    InputError
        If the kind, the campaign, the state or the model is unknown, or the kind cannot be filtered so.
    """
    kind = record_kind(query.kind)
    if query.campaign is not None:
        find_campaign(store, query.campaign)
    filters = {**_state_filter(kind, query.state), **_model_filter(store, kind, query.model)}
    if kind.record_type is LabelRecord and query.campaign is not None:
        labels = campaign_labels(store, query.campaign, query.generation)
        matching: list[Record] = [record for record in labels if query.state in (None, record.state.value)]
    else:
        if query.campaign is not None:
            filters["campaign"] = query.campaign
        if query.generation is not None:
            filters["generation"] = query.generation
        if query.limit is not None:
            return _first_records(store, kind, filters, query.limit)
        matching = list(store.records(kind.record_type).find(filters))
    return QueryResult(kind, tuple(matching[: query.limit]), len(matching))


def _first_records(store: Store, kind: RecordKind, filters: dict[str, Any], limit: int) -> QueryResult:
    """Return the first records and the number of all; the others are not read."""
    order = sorted(store.digests(kind.record_type.collection, filters, {"generation": 1}, _order))
    records = store.records(kind.record_type).get_many([identifier for _, identifier in order[:limit]])
    return QueryResult(kind, tuple(records), len(order))


def _order(document: dict[str, Any]) -> tuple[int, str]:
    return document.get("generation", -1), document["_id"]


def _state_filter(kind: RecordKind, state: str | None) -> dict[str, Any]:
    if state is None:
        return {}
    if not kind.states:
        with_states = ", ".join(name for name, other in RECORD_KINDS.items() if other.states)
        raise InputError(f"{kind.name} have no state; --state is for {with_states}")
    if state not in kind.states:
        raise unknown_value("state", state, kind.states, of=kind.name)
    return {"state": state}


def _model_filter(store: Store, kind: RecordKind, model: str | None) -> dict[str, Any]:
    if model is None:
        return {}
    if not kind.model_kind_field:
        with_models = ", ".join(name for name, other in RECORD_KINDS.items() if other.model_kind_field)
        raise InputError(f"{kind.name} belong to no model; --model is for {with_models}")
    # Who asks of no model need not wait for the import of what models are.
    from ...fitting.kinds.registry import MODELS

    # A store may hold models that its campaigns gave names of their own, or of kinds that are not installed here.
    records = list(store.models.find())
    names = tuple(dict.fromkeys((*MODELS.names, *sorted(record.kind for record in records))))
    if model in names:
        return {kind.model_kind_field: model}
    if not kind.model_id_field:
        raise unknown_value("model", model, names, of=kind.name)
    if all(record.id != model for record in records):
        raise unknown_value("model", model, (*names, *(record.id for record in records)))
    return {kind.model_id_field: model}


def engine_hash(campaign: CampaignRecord) -> str:
    """Return the hash of the settings of the campaign's reference engine, as its labels carry it.

    Raises
    ------
    UnknownKind
        If the engine is not installed here: which of its settings count is its own knowledge.
    """
    # Who looks at records without this need not wait for an engine's import.
    from ...labelling.registry import ENGINES
    from ...labelling.settings import settings_hash

    settings = campaign.settings["reference"]
    kind = ENGINES.get(str(settings.get("engine")))
    return settings_hash(kind.settings_type.model_validate(settings))


def reference_hash(store: Store, campaign: CampaignRecord) -> str:
    """Return what `engine_hash` does; of an engine that is not installed here, what the campaign's labels say.

    Empty if it has none. The store remembers it: an engine's import takes longer than most looks.
    """
    text = json.dumps([__version__, campaign.settings["reference"]], sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()
    known = store.database[_REMEMBERED].find_one({"_id": key})
    if known is not None:
        return str(known["hash"])
    try:
        found = engine_hash(campaign)
    except UnknownKind:
        return _hash_in_labels(store, campaign)
    if not store.is_read_only and _is_own(campaign.settings["reference"]["engine"]):
        from pymongo.errors import PyMongoError

        # Who cannot write it works it out again.
        with suppress(PyMongoError):
            store.database[_REMEMBERED].update_one({"_id": key}, {"$set": {"hash": found}}, upsert=True)
    return found


def _hash_in_labels(store: Store, campaign: CampaignRecord) -> str:
    """Return the settings that a campaign's own labels name, else most of those that it took over from others.

    Empty where there are none.
    """
    labels = store.database.labels
    own = labels.find_one({"campaign": campaign.id}, {"settings_hash": 1})
    if own is not None:
        return str(own["settings_hash"])
    configurations = store.database.configurations.find({"campaign": campaign.id}, {"content_hash": 1})
    contents = {one["content_hash"] for one in configurations}
    of_engine = labels.find(
        {"engine": str(campaign.settings["reference"].get("engine"))}, {"content_hash": 1, "settings_hash": 1}
    )
    # Another campaign may have computed some of the same structures with other settings of the same engine.
    taken = Counter(str(one["settings_hash"]) for one in of_engine if one["content_hash"] in contents)
    return min(taken, key=lambda found: (-taken[found], found), default="")


def _is_own(engine: str) -> bool:
    """Return whether an engine is of this version of ionloop: another package may change its own at any time."""
    from ...labelling.registry import ENGINES

    return ENGINES.package_of(engine)[0] == OWN_PACKAGE


def labels_by_configuration(store: Store, configurations: Sequence[ConfigurationRecord]) -> dict[str, LabelRecord]:
    """Return the labels by the campaigns' reference engines, by the identifier of their configuration."""
    names = {record.campaign for record in configurations}
    engines = {name: reference_hash(store, store.campaigns[name]) for name in sorted(names)}
    hashes = sorted({record.content_hash for record in configurations})
    found: dict[tuple[str, str], LabelRecord] = {}
    for label in store.labels.find({"content_hash": {"$in": hashes}}):
        found[label.content_hash, label.settings_hash] = label
    pairs = ((record, found.get((record.content_hash, engines[record.campaign]))) for record in configurations)
    return {record.id: label for record, label in pairs if label is not None}


def campaign_labels(store: Store, campaign: str, generation: int | None = None) -> list[LabelRecord]:
    """Return the labels that answer the campaign's configurations, with their place in this campaign.

    A label that another campaign computed is among them, also one that did not finish.
    """
    filters: dict[str, Any] = {"campaign": campaign}
    if generation is not None:
        filters["generation"] = generation
    configurations = list(store.configurations.find(filters))
    labels = labels_by_configuration(store, configurations)
    return [
        labels[record.id].model_copy(
            update={"campaign": campaign, "generation": record.generation, "configuration": record.id}
        )
        for record in configurations
        if record.id in labels
    ]


def unsuccessful_labels(store: Store, campaign: str) -> list[LabelRecord]:
    """Return those of `campaign_labels` that did not finish, and read no others."""
    states = sorted(state.value for state in UNSUCCESSFUL)
    wanted = {"state": {"$in": states}, "settings_hash": reference_hash(store, store.campaigns[campaign])}
    labels = {label.content_hash: label for label in store.labels.find(wanted)}
    if not labels:
        return []
    fields = {"generation": 1, "content_hash": 1}
    places = store.digests("configurations", {"campaign": campaign}, fields, _place)
    return [
        labels[content].model_copy(update={"campaign": campaign, "generation": generation, "configuration": identifier})
        for generation, identifier, content in sorted(places)
        if content in labels
    ]


def _place(document: dict[str, Any]) -> tuple[int, str, str]:
    return document["generation"], document["_id"], document["content_hash"]


def as_json(result: QueryResult, columns: Sequence[Column] = ()) -> dict[str, Any]:
    """Return plain data for JSON: whole records, or the chosen columns, with units; no value is infinite."""
    records: list[dict[str, Any]]
    if columns:
        units = {column.name: column.unit for column in columns if column.unit}
        names = [column.name for column in columns]
        records = [dict(zip(names, row, strict=True)) for row in result.rows(columns)]
    else:
        units = dict(result.kind.units)
        records = [_finite(record.model_dump(mode="json")) for record in result.records]
    return {"kind": result.kind.name, "total": result.total, "units": units, "records": records}


def _finite(value: Any) -> Any:
    """Return nested plain data with None for numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
