"""Copying campaigns between stores, embedded or on a server: with checksums, resumable, nothing overwritten.

Every document keeps its identifier, so that a copy that was interrupted goes on where it stopped, and one that is
repeated finds everything there. A document that is there with other content is never overwritten. FireWorks numbers
its jobs per store: where the target has jobs already, the copied ones are moved behind them, by an amount that the
target remembers. Files are copied first, whole and checked by SHA-256, and no document arrives before its files.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pymongo.errors import DuplicateKeyError

from ...core.errors import InputError, IonloopError
from ...core.files import atomic_file, explain_os_error, sha256_of
from ..artefacts import ArtefactStore, artefacts_in
from ..campaigns import find_campaign
from ..connection import Store, open_store
from ..home import COLLECTION as HOME
from ..records import RECORD_TYPES, Artefact

Document = dict[str, Any]

NOTES = "migrations"
"""Where a store keeps, per source, by how much the numbers of copied jobs were moved."""
ARCHIVE_STORE = "ionloop.db"
ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz")

_RECORDS = tuple(record_type.collection for record_type in RECORD_TYPES)
_JOBS = ("fireworks", "launches", "workflows")
_GRIDFS = ("fw_gridfs.files", "fw_gridfs.chunks")
# The state of processes and counters: of this store, not of a campaign.
_NOT_COPIED = frozenset({"workers", "fw_id_assigner", "offline_runs", NOTES, HOME, *_JOBS, *_GRIDFS})
_HELD = ("RUNNING", "RESERVED")
_BATCH = 200


class StoresDiffer(IonloopError):
    """The target holds something else under the same identifier: nothing of it was overwritten."""


class StoreChanged(InputError):
    """The source changed while it was copied."""


@dataclass(frozen=True)
class Shift:
    """By how much FireWorks' numbers change on their way into another store."""

    fireworks: int = 0
    launches: int = 0


@dataclass
class CollectionCopy:
    """What was copied of one collection: numbers of documents, and the checksum of all of them in the target."""

    copied: int = 0
    present: int = 0
    checksum: str = ""


@dataclass
class CopyReport:
    """What a copy did.

    Attributes
    ----------
    collections
        By name.
    files_copied, files_present, bytes_copied
        Of the artefacts.
    """

    collections: dict[str, CollectionCopy] = field(default_factory=dict)
    files_copied: int = 0
    files_present: int = 0
    bytes_copied: int = 0

    @property
    def documents_copied(self) -> int:
        """How many documents were new to the target."""
        return sum(one.copied for one in self.collections.values())

    @property
    def documents(self) -> int:
        """How many documents the target holds of what was to be copied."""
        return sum(one.copied + one.present for one in self.collections.values())

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``--json``."""
        return {
            "documents": self.documents,
            "documents_copied": self.documents_copied,
            "files_copied": self.files_copied,
            "files_present": self.files_present,
            "bytes_copied": self.bytes_copied,
            "collections": {name: vars(one) for name, one in self.collections.items()},
        }


# -- content: pure ---------------------------------------------------------------------------------------------------


def content_hash(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a document says, alike on every backend.

    The order of its keys does not count, nor does the time zone in which a moment is told.
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return {"$date": round(moment.timestamp() * 1000)}
    if isinstance(value, bytes):
        return {"$binary": value.hex()}
    return {f"${type(value).__name__}": str(value)}


def collection_checksum(hashes: Iterable[tuple[str, str]]) -> str:
    """Return one checksum of documents, given as (identifier, content hash), whatever their order."""
    hasher = hashlib.sha256()
    for identifier, content in sorted(hashes):
        hasher.update(f"{identifier}\0{content}\n".encode())
    return hasher.hexdigest()


def shifted(collection: str, document: Document, shift: Shift) -> Document:
    """Return a document of FireWorks with the numbers that it has in another store."""
    fw, launch = shift.fireworks, shift.launches
    moved = dict(document)
    if collection == "fireworks":
        moved["fw_id"] += fw
        for name in ("launches", "archived_launches"):
            if name in moved:
                moved[name] = [number + launch for number in moved[name]]
    elif collection == "launches":
        moved["launch_id"] += launch
        moved["fw_id"] += fw
    elif collection == "workflows":
        moved["nodes"] = [number + fw for number in moved["nodes"]]
        for name in ("links", "parent_links"):
            if name in moved:
                moved[name] = {str(int(one) + fw): [to + fw for to in ends] for one, ends in moved[name].items()}
        if "fw_states" in moved:
            moved["fw_states"] = {str(int(one) + fw): state for one, state in moved["fw_states"].items()}
        moved.pop("locked", None)
    elif collection == "fw_gridfs.files":
        metadata = moved.get("metadata") or {}
        moved["metadata"] = {**metadata, "launch_id": metadata.get("launch_id", 0) + launch}
    return moved


# -- what belongs to a campaign --------------------------------------------------------------------------------------


Selection = Mapping[str, Document]
"""Which documents of a store are copied, in this order: filters by collection."""


def select(store: Store, campaign: str | None = None) -> Selection:
    """Return what belongs to a campaign (to all of them: None), the labels that it shares with others included.

    Raises
    ------
    InputError
        If there is no such campaign, or jobs are running: what changes cannot be copied.
    """
    if campaign is not None:
        find_campaign(store, campaign)
    running = held_jobs(store, campaign)
    if running:
        raise InputError(
            f"store: {running} job(s) of {store.location} are running or reserved, so that it changes while it is "
            "copied: end the workers (Ctrl-C, or `ionloop pause` and wait), then run the same command again"
        )
    filters = {name: {} if campaign is None else _belonging(store, campaign, name) for name in _collections(store)}
    if campaign is None:
        numbered: dict[str, Document] = {name: {} for name in (*_JOBS, *_GRIDFS)}
    else:
        numbered = _jobs_of(store, campaign)
    return {**numbered, **filters}


def held_jobs(store: Store, campaign: str | None = None) -> int:
    """Return how many jobs are running or about to."""
    jobs = {"spec.campaign": campaign} if campaign else {}
    return int(store.database.fireworks.count_documents({**jobs, "state": {"$in": list(_HELD)}}))


def _collections(store: Store) -> list[str]:
    """Return the collections that are copied as they are: our records, then whatever else the store holds."""
    others = sorted(set(store.database.list_collection_names()) - _NOT_COPIED - set(_RECORDS))
    # The campaign last: it appears in the target when all that it needs is there.
    records = sorted(_RECORDS, key=lambda name: name == "campaigns")
    return [*(name for name in others if not name.startswith("system.")), *records]


def _belonging(store: Store, campaign: str, collection: str) -> Document:
    own: Document = {"$or": [{"campaign": campaign}, {"_id": campaign}]}
    if collection == "labels":
        contents = store.database.configurations.distinct("content_hash", {"campaign": campaign})
        own["$or"].append({"content_hash": {"$in": contents}})
    return own


def _jobs_of(store: Store, campaign: str) -> dict[str, Document]:
    numbers = [one["fw_id"] for one in store.database.fireworks.find({"spec.campaign": campaign}, {"fw_id": 1})]
    launches = [one["launch_id"] for one in store.database.launches.find({"fw_id": {"$in": numbers}}, {"launch_id": 1})]
    files = [
        one["_id"]
        for one in store.database["fw_gridfs.files"].find({"metadata.launch_id": {"$in": launches}}, {"_id": 1})
    ]
    return {
        "fireworks": {"fw_id": {"$in": numbers}},
        "launches": {"launch_id": {"$in": launches}},
        "workflows": {"nodes": {"$in": numbers}},
        "fw_gridfs.files": {"_id": {"$in": files}},
        "fw_gridfs.chunks": {"files_id": {"$in": files}},
    }


# -- copying ---------------------------------------------------------------------------------------------------------


def copy_store(
    source: Store, target: Store, campaign: str | None = None, progress: Callable[[str], None] | None = None
) -> CopyReport:
    """Copy campaigns into another store and check what arrived; the source is only read.

    Parameters
    ----------
    campaign
        Only this one; all if None.
    progress
        Told the name of each collection, and ``files``, when its turn comes.

    Raises
    ------
    InputError
        If both are the same store, jobs are running, or there is no such campaign.
    StoreChanged
        If jobs ran meanwhile; nothing that was written stays, except whole files.
    StoresDiffer
        If the target holds something else under the same identifier or path. What was copied before stays.
    IonloopError
        If a file of the source is missing or damaged.
    """
    if source.location == target.location:
        raise InputError(f"store: {source.location} cannot be copied onto itself: name another")
    tell = progress or (lambda _name: None)
    selection = select(source, campaign)
    report = CopyReport()
    before = _state(source, selection)
    tell("files")
    _copy_files(source, target.artefacts, selection, report)
    # Files take long. What has changed meanwhile need not be written first and taken back then.
    _check_unchanged(source, campaign, before)
    shift = _agree_on_shift(source, target, selection)
    written: list[tuple[str, Any]] = []
    try:
        for name, filters in selection.items():
            tell(name)
            report.collections[name] = _copy_collection(source, target, name, filters, shift, written)
        _check_unchanged(source, campaign, before)
    except StoreChanged:
        for name, identifier in written:
            target.database[name].delete_one({"_id": identifier})
        raise
    return report


def _state(store: Store, selection: Selection) -> dict[str, dict[str, str]]:
    """Return what the records and jobs of a selection are: by collection, identifier and content."""
    watched = {*_RECORDS, *_JOBS}
    return {
        name: {str(one["_id"]): content_hash(one) for one in _documents(store, name, filters)}
        for name, filters in selection.items()
        if name in watched
    }


def _check_unchanged(store: Store, campaign: str | None, before: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse to go on with a copy of what has changed since.

    Raises
    ------
    StoreChanged
        Saying how many records and jobs are new, changed or gone.
    """
    running = held_jobs(store, campaign)
    now = {} if running else _state(store, select(store, campaign))
    changed = {
        name: sum(before[name].get(one) != now[name].get(one) for one in before[name].keys() | now[name].keys())
        for name in now
    }
    found = [f"{count} of {name}" for name, count in changed.items() if count]
    if running:
        found = [f"{running} job(s) run now"]
    if found:
        raise StoreChanged(
            f"store: jobs of {store.location} ran while it was copied ({', '.join(found)}), so that the copy would not "
            "be whole; it was dropped. End the workers (Ctrl-C, or `ionloop pause` and wait), then run the same "
            "command again"
        )


def _copy_files(source: Store, target: ArtefactStore, selection: Selection, report: CopyReport) -> None:
    for name, filters in selection.items():
        for document in _documents(source, name, filters):
            for artefact in artefacts_in(document):
                _copy_file(source.artefacts, target, artefact, f"{name}/{document['_id']}", report)


def _copy_file(
    source: ArtefactStore, target: ArtefactStore, artefact: Artefact, owner: str, report: CopyReport
) -> None:
    origin, destination = source.path(artefact.path), target.path(artefact.path)
    if destination.exists():
        if sha256_of(destination) != artefact.sha256:
            raise StoresDiffer(f"store: {destination} is another file than that of {owner}: nothing was overwritten")
        report.files_present += 1
        return
    if not origin.is_file():
        raise IonloopError(f"store: {origin}, a file of {owner}, is missing: see `ionloop store verify`")
    with atomic_file(destination) as temporary:
        shutil.copyfile(origin, temporary)
        if sha256_of(temporary) != artefact.sha256:
            raise IonloopError(f"store: {origin}, a file of {owner}, is damaged: see `ionloop store verify`")
    report.files_copied += 1
    report.bytes_copied += artefact.size


def _agree_on_shift(source: Store, target: Store, selection: Selection) -> Shift:
    """Return by how much the numbers of jobs move, noted in the target so that a repetition moves them alike."""
    jobs = list(source.database.fireworks.find(selection["fireworks"], {"fw_id": 1}))
    if not jobs:
        return Shift()
    launches = list(source.database.launches.find(selection["launches"], {"launch_id": 1}))
    first = min(jobs, key=lambda one: one["fw_id"])
    # A job's document keeps its identifier, which no other store gave to another.
    noted = target.database[NOTES].find_one({"_id": str(first["_id"])})
    if noted is not None:
        return Shift(noted["fireworks"], noted["launches"])
    there = target.database.fireworks.find_one({"_id": first["_id"]}, {"fw_id": 1})
    if there is not None:
        # It came from there: a campaign on its way back, whose numbers are those of its old place.
        numbers = {one["_id"]: one["launch_id"] for one in launches}
        old = target.database.launches.find_one({"_id": {"$in": list(numbers)}}, {"launch_id": 1})
        return Shift(there["fw_id"] - first["fw_id"], old["launch_id"] - numbers[old["_id"]] if old else 0)
    last = max(one["fw_id"] for one in jobs), max((one["launch_id"] for one in launches), default=0)
    before = target.database.fw_id_assigner.find_one_and_update(
        {}, {"$inc": {"next_fw_id": last[0], "next_launch_id": last[1]}}
    )
    shift = Shift(before["next_fw_id"] - 1, before["next_launch_id"] - 1)
    note = {"_id": str(first["_id"]), "fireworks": shift.fireworks, "launches": shift.launches}
    target.database[NOTES].insert_one(note)
    return shift


def _copy_collection(
    source: Store, target: Store, name: str, filters: Document, shift: Shift, written: list[tuple[str, Any]]
) -> CollectionCopy:
    copy = CollectionCopy()
    hashes: list[tuple[str, str]] = []
    sent: list[Any] = []
    collection = target.database[name]
    for batch in _batches(_documents(source, name, filters)):
        wanted = {one["_id"]: shifted(name, one, shift) for one in batch}
        there = {one["_id"]: one for one in collection.find({"_id": {"$in": list(wanted)}})}
        for identifier, document in wanted.items():
            content = content_hash(document)
            found = there.get(identifier)
            if found is None:
                _insert(collection, document)
                written.append((name, identifier))
                copy.copied += 1
            elif content_hash(found) != content:
                raise StoresDiffer(
                    f"store: {name}/{identifier} differs between {source.location} and {target.location} "
                    f"(in {', '.join(_differences(document, found))}): nothing was overwritten"
                )
            else:
                copy.present += 1
            hashes.append((str(identifier), content))
            sent.append(identifier)
    copy.checksum = collection_checksum(hashes)
    arrived = _checksum_there(collection, sent)
    if arrived != copy.checksum:
        raise StoresDiffer(f"store: {name} did not arrive in {target.location} as it was sent (checksums differ)")
    return copy


def _insert(collection: Any, document: Document) -> None:
    try:
        collection.insert_one(document)
    except DuplicateKeyError as error:
        raise StoresDiffer(
            f"store: {collection.name}/{document['_id']} has a number or key that the target uses for another: "
            f"nothing was overwritten ({error.details or error})"
        ) from error


def _checksum_there(collection: Any, identifiers: list[Any]) -> str:
    hashes = []
    for batch in _batches(identifiers):
        hashes += [(str(one["_id"]), content_hash(one)) for one in collection.find({"_id": {"$in": batch}})]
    return collection_checksum(hashes)


def _differences(one: Document, other: Document) -> list[str]:
    nothing = object()
    return sorted(
        name
        for name in one.keys() | other.keys()
        if content_hash({"": one.get(name, nothing)}) != content_hash({"": other.get(name, nothing)})
    )


def _identifiers(store: Store, collection: str, filters: Document) -> list[Any]:
    return [one["_id"] for one in store.database[collection].find(filters, {"_id": 1}).sort("_id", 1)]


def _documents(store: Store, collection: str, filters: Document) -> Iterator[Document]:
    """Yield documents in the order of their identifiers, a few at a time: a store may be larger than the memory."""
    for batch in _batches(_identifiers(store, collection, filters)):
        yield from sorted(store.database[collection].find({"_id": {"$in": batch}}), key=lambda one: str(one["_id"]))


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


# -- archives --------------------------------------------------------------------------------------------------------


def is_archive(location: str) -> bool:
    """Tell whether a location names the file of a backup."""
    return location.endswith(ARCHIVE_SUFFIXES)


def write_backup(
    store: Store, file: Path, campaign: str | None = None, progress: Callable[[str], None] | None = None
) -> CopyReport:
    """Write an archive that holds an embedded store with its files: unpacked, every command works on it.

    ``progress`` is told what is copied, as by `copy_store`, and at last ``archive``.

    Raises
    ------
    InputError
        If the file is there already or its name does not say that it is an archive.
    """
    if not is_archive(file.name):
        raise InputError(f"store: {file}: the name of a backup ends in one of {', '.join(ARCHIVE_SUFFIXES)}")
    if file.exists():
        raise InputError(f"store: {file} is there already: name another file, or remove it")
    with _folder_beside(file) as folder:
        inside = Path(folder) / ARCHIVE_STORE
        copy = open_store(str(inside), root=Path(folder) / "ionloop-files")
        try:
            report = copy_store(store, copy, campaign, progress)
        finally:
            copy.close()
        if progress is not None:
            progress("archive")
        # SQLite's log went with its last connection: the file alone is the store.
        with atomic_file(file) as temporary, tarfile.open(temporary, _mode(file)) as archive:
            for part in (inside, copy.root):
                if part.exists():
                    archive.add(part, arcname=part.name)
    return report


@contextmanager
def _folder_beside(file: Path) -> Iterator[str]:
    """Yield a folder for the parts of an archive, on the disk that is to hold it.

    Raises
    ------
    IonloopError
        If there is no room, or nothing can be written there.
    """
    try:
        file.resolve().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.resolve().parent, prefix=".backup-") as folder:
            yield folder
    except OSError as error:
        raise explain_os_error(error, file) from error


def _mode(file: Path) -> Any:
    return "w" if file.name.endswith(".tar") else "w:gz"


def unpack_backup(file: Path, folder: Path) -> Store:
    """Return the store of an archive, unpacked into ``folder``.

    Raises
    ------
    InputError
        If it cannot be read or holds anything that does not belong there.
    """
    try:
        with tarfile.open(file) as archive:
            archive.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(f"store: {file} is no backup that can be read: {error}") from error
    if not (folder / ARCHIVE_STORE).is_file():
        raise InputError(f"store: {file} holds no {ARCHIVE_STORE}: it is no archive of `ionloop store backup`")
    return open_store(str(folder / ARCHIVE_STORE), root=folder / "ionloop-files", read_only=True)
