"""Is a store whole? Every record is read, every file is hashed, every reference is followed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import bson

from ...core.errors import InputError
from ...core.structures import structure_hash
from ..artefacts import artefacts_in
from ..clients import file_of
from ..connection import MAX_DOCUMENT_BYTES, Store
from ..queries.refused_jobs import refused_jobs
from ..records import RECORD_TYPES, ConfigurationRecord, Record, RecordUnreadable
from .migration import collection_checksum, content_hash
from .repair import find_problems, read_snapshot

_WITH_FILES = ("models", "trajectories", "results")


@dataclass
class Verification:
    """What a store holds and what is wrong with it.

    Attributes
    ----------
    counts, checksums
        By collection; two stores with the same records have the same checksums.
    files, bytes
        How many files were hashed, and their size.
    problems
        One line each.
    remarks
        What is not wrong, but worth a look.
    """

    counts: dict[str, int] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    files: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``--json``."""
        return {"whole": self.is_whole, **vars(self)}


def verify_store(
    store: Store, progress: Callable[[int, int | None, str], None] = lambda done, total, what: None
) -> Verification:
    """Read the whole store and return what it holds and what is wrong with it; nothing is changed.

    ``progress`` is told how many documents of how many of a collection are read, and its name.
    """
    found = Verification()
    found.problems += _file_problems(store)
    for record_type in RECORD_TYPES:
        name = record_type.collection
        hashes: list[tuple[str, str]] = []
        total = store.database[name].count_documents({})
        for document in store.database[name].find().sort("_id", 1):
            progress(len(hashes), total, name)
            hashes.append((str(document["_id"]), content_hash(document)))
            found.problems += [
                f"{name}/{document['_id']}: {problem}" for problem in _record_problems(record_type, document)
            ]
            _verify_files(store, document, f"{name}/{document['_id']}", found)
        found.counts[name], found.checksums[name] = len(hashes), collection_checksum(hashes)
    found.problems += _broken_references(store)
    for name in ("fireworks", "launches", "workflows"):
        found.counts[name] = store.database[name].count_documents({})
    found.problems += [f"jobs: {line}; `ionloop repair` mends it" for line in _job_problems(store)]
    found.problems += [f"jobs/{one.id}: refused: {one.reason}" for one in refused_jobs(store)]
    if not any(found.counts.values()):
        found.problems.append(
            f"{store.location} is an empty store, without campaigns, records or jobs: is it the file that you mean, "
            "and was it copied with its log (-wal)?"
        )
    found.remarks += _left_over(store)
    return found


def _file_problems(store: Store) -> list[str]:
    """Return what is wrong with the file of an embedded store and what lies beside it."""
    file = file_of(store.client)
    if file is None:
        return []
    path = Path(store.location)
    problems = []
    if file.lost_log:
        problems.append(f"{path.name}-shm is there without {path.name}-wal, its log: what was stored last is lost")
    with file.read():
        lines = [str(line) for (line,) in file.rows("PRAGMA quick_check(5)")]
    return problems + [f"{path.name} is damaged: {line}; restore it from a backup" for line in lines if line != "ok"]


def _left_over(store: Store) -> list[str]:
    """Return a line about models and trajectories that no record names: of jobs in progress, or of lost records."""
    documents = chain.from_iterable(store.database[name].find() for name in _WITH_FILES)
    named = {artefact.path for document in documents for artefact in artefacts_in(document)}
    there = [path for folder in ("models/model-*/*", "trajectories/*.traj") for path in store.root.glob(folder)]
    extra = sorted({path.relative_to(store.root).as_posix() for path in there if path.is_file()} - named)
    if not extra:
        return []
    return [
        f"{len(extra)} file(s) of models and trajectories are in no record, {extra[0]} first: jobs that did not end "
        "made them, or their records are lost"
    ]


def _record_problems(record_type: type[Record], document: dict[str, Any]) -> Iterator[str]:
    size = len(bson.encode(document))
    if size > MAX_DOCUMENT_BYTES:
        yield f"{size / 2**20:.1f} MiB, more than the {MAX_DOCUMENT_BYTES / 2**20:g} MiB that a document may have"
    try:
        record = record_type.from_document(document)
    except RecordUnreadable as error:
        yield str(error).partition(f"{document['_id']!r} ")[2].removesuffix(": see `ionloop store verify`")
        return
    if isinstance(record, ConfigurationRecord) and structure_hash(record.atoms) != record.content_hash:
        yield "the structure is not the one that was stored: its content hash differs"


def _verify_files(store: Store, document: dict[str, Any], owner: str, found: Verification) -> None:
    for artefact in artefacts_in(document):
        try:
            path: Path = store.artefacts.path(artefact.path)
        except InputError as error:
            found.problems.append(f"{owner}: {error}")
            continue
        if not path.is_file():
            found.problems.append(f"{owner}: its file {artefact.path} is missing")
        elif not store.artefacts.is_whole(artefact):
            found.problems.append(f"{owner}: its file {artefact.path} is damaged (size or SHA-256 differ)")
        else:
            found.files += 1
            found.bytes += artefact.size


def _broken_references(store: Store) -> Iterator[str]:
    labels = set(store.database.labels.distinct("_id"))
    contents = set(store.database.configurations.distinct("content_hash"))
    data_sets = set(store.database.data_sets.distinct("_id"))
    for one in store.database.data_sets.find({}, {"labels": 1}):
        missing = sorted(set(one.get("labels", ())) - labels)
        if missing:
            yield f"data_sets/{one['_id']}: {len(missing)} label(s) are missing, {missing[0]} first"
    for one in store.database.labels.find({}, {"content_hash": 1}):
        if one.get("content_hash") not in contents:
            yield f"labels/{one['_id']}: no configuration has its content"
    for one in store.database.models.find({}, {"data_set": 1}):
        if one.get("data_set") not in data_sets:
            yield f"models/{one['_id']}: its data set {one.get('data_set')} is missing"


def _job_problems(store: Store) -> list[str]:
    return find_problems(read_snapshot(store.launchpad)).lines()
