"""One store, two backends: an embedded file or a MongoDB server, chosen by one setting.

A path is the embedded store: a SQLite file, with the campaign's files in a folder beside it. A
``mongodb://`` URI is a server; the files then lie in a folder that every worker sees.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import bson

from ..core.errors import InputError, IonloopError
from .artefacts import ArtefactStore
from .clients import file_of, is_prepared, open_client, transaction_of
from .document_keys import RULE, unstorable_keys
from .embedded.reader import DocumentReader
from .home import check_root, remember, remembered_root
from .jobs.rows import JOB_FIELDS, JOBS
from .records import (
    RECORD_TYPES,
    CampaignRecord,
    ConfigurationRecord,
    DataSetRecord,
    LabelRecord,
    ModelRecord,
    Record,
    ResultRecord,
    SurveyRecord,
    TrajectoryRecord,
)
from .server import is_server, redacted

if TYPE_CHECKING:
    from .jobs.launchpad import StoreLaunchPad

DEFAULT_STORE = "ionloop.db"
STORE_VARIABLE = "IONLOOP_STORE"
ROOT_VARIABLE = "IONLOOP_ROOT"
MAX_DOCUMENT_BYTES = 8 * 2**20
BRIEF_FIELDS = {
    JOBS: JOB_FIELDS,
    ConfigurationRecord.collection: ("campaign", "generation", "content_hash", "origin.sampler"),
    LabelRecord.collection: ("campaign", "generation", "content_hash", "settings_hash", "state", "configuration"),
}
"""What whoever looks at a whole campaign needs of each document; the embedded store keeps it beside them."""
"""Half of what a server accepts: documents grow, and FireWorks adds its own."""

_UNAUTHORIZED = 13
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")

RecordType = TypeVar("RecordType", bound=Record)


class RecordTooLarge(IonloopError):
    """A record is too large for a document."""


class KeyNotStorable(IonloopError):
    """A record has a key that cannot be asked for, and that some servers refuse."""


def storable(record: Record) -> dict[str, Any]:
    """Return the document of a record.

    Raises
    ------
    RecordTooLarge
        If it has more than ``MAX_DOCUMENT_BYTES``; a server refuses documents above 16 MiB.
    KeyNotStorable
        If a key holds a dot or begins with a dollar sign: a query means a path or an operator by them.
    """
    document = record.to_document()
    if (key := next(unstorable_keys(document), None)) is not None:
        raise KeyNotStorable(f"{record.collection} record {record.id!r} has the key {key[-1]!r}: a key {RULE}")
    size = len(bson.encode(document))
    if size > MAX_DOCUMENT_BYTES:
        widest = max(document, key=lambda name: len(bson.encode({name: document[name]})))
        raise RecordTooLarge(
            f"{record.collection} record {record.id!r} would be a document of {size / 2**20:.1f} MiB (most of it in "
            f"{widest!r}), at most {MAX_DOCUMENT_BYTES / 2**20:g} MiB are allowed: large arrays are stored as files"
        )
    return document


class RecordCollection(Generic[RecordType]):
    """The records of one type.

    Parameters
    ----------
    collection
        The database's collection (pymongo's interface).
    record_type
        The type that its documents hold.
    """

    def __init__(self, collection: Any, record_type: type[RecordType]) -> None:
        self._collection = collection
        self._type = record_type

    def add(self, record: RecordType) -> RecordType:
        """Store ``record`` if its identifier is new; return what the store holds under it.

        Raises
        ------
        RecordTooLarge
            If it holds arrays that belong into a file.
        """
        # Who only reads need not wait for pymongo's import.
        from pymongo.errors import DuplicateKeyError

        try:
            self._collection.insert_one(storable(record))
        except DuplicateKeyError:
            return self[record.id]
        return record

    def replace(self, record: RecordType) -> None:
        """Store ``record``, in place of an older one with the same identifier.

        Raises
        ------
        RecordTooLarge
            If it holds arrays that belong into a file.
        """
        self._collection.replace_one({"_id": record.id}, storable(record), upsert=True)

    def get(self, identifier: str) -> RecordType | None:
        """Return the record with that identifier, or None."""
        document = self._collection.find_one({"_id": identifier})
        return None if document is None else self._type.from_document(document)

    def __getitem__(self, identifier: str) -> RecordType:
        record = self.get(identifier)
        if record is None:
            raise KeyError(f"no {self._type.__name__} with the identifier {identifier!r}")
        return record

    def find(self, filters: dict[str, Any] | None = None) -> Iterator[RecordType]:
        """Yield the records that match ``filters``, in the order of generation and identifier."""
        for document in self._collection.find(filters or {}).sort([("generation", 1), ("_id", 1)]):
            yield self._type.from_document(document)

    def get_many(self, identifiers: list[str]) -> list[RecordType]:
        """Return the records with these identifiers, in their order.

        Raises
        ------
        KeyError
            If one is missing.
        """
        found = {
            document["_id"]: self._type.from_document(document)
            for document in self._collection.find({"_id": {"$in": identifiers}})
        }
        return [found[identifier] for identifier in identifiers]

    def count(self, filters: dict[str, Any] | None = None) -> int:
        """Return how many records match ``filters``."""
        return int(self._collection.count_documents(filters or {}))


class Store:
    """The records, the LaunchPad and the files of one database.

    Parameters
    ----------
    client
        The client of the database, the embedded store's or a server's.
    address
        What the client connects to.
    database_name
        The database that holds the records and what FireWorks keeps.
    root
        The folder of the store's files.
    location
        What the user named the store by (without credentials).
    is_read_only
        Whether the store was opened to be read only.
    """

    def __init__(
        self, client: Any, address: str, database_name: str, root: Path, location: str, *, is_read_only: bool = False
    ) -> None:
        self.client = client
        self._address = address
        self.location = location
        self.is_read_only = is_read_only
        self.artefacts = ArtefactStore(root)
        self.database = client[database_name]
        self.campaigns = RecordCollection(self.database.campaigns, CampaignRecord)
        self.configurations = RecordCollection(self.database.configurations, ConfigurationRecord)
        self.labels = RecordCollection(self.database.labels, LabelRecord)
        self.data_sets = RecordCollection(self.database.data_sets, DataSetRecord)
        self.models = RecordCollection(self.database.models, ModelRecord)
        self.trajectories = RecordCollection(self.database.trajectories, TrajectoryRecord)
        self.results = RecordCollection(self.database.results, ResultRecord)
        self.surveys = RecordCollection(self.database.surveys, SurveyRecord)
        self.workers = self.database.workers

    @cached_property
    def launchpad(self) -> StoreLaunchPad:
        """FireWorks' LaunchPad on the same database; who only reads records need not wait for FireWorks' import."""
        from .jobs.launchpad import launchpad_of

        return launchpad_of(self.client, self._address, self.database.name)

    @property
    def root(self) -> Path:
        """The folder of the store's files."""
        return self.artefacts.root

    @property
    def is_embedded(self) -> bool:
        """Whether the store is a file on this machine."""
        return is_embedded(self.location)

    def records(self, record_type: type[RecordType]) -> RecordCollection[RecordType]:
        """Return the collection that holds ``record_type``."""
        return RecordCollection(self.database[record_type.collection], record_type)

    def transaction(self) -> AbstractContextManager[Any]:
        """Return a context in which all writes happen or none (embedded store; a server has no need)."""
        return transaction_of(self.client)

    def digests(
        self, collection: str, conditions: dict[str, Any], fields: dict[str, int], digest: Callable[[Any], Any]
    ) -> tuple[Any, ...]:
        """Return what a function makes of some fields of each document that passes, those of which it is None left out.

        On the embedded store it is asked again only of what changed since the last time, so that whoever looks at
        thousands of documents again and again pays for few; see `DocumentReader.digests`.
        """
        documents = self.database[collection]
        if isinstance(documents, DocumentReader):
            return documents.digests(conditions, fields, digest)
        found = (digest(document) for document in documents.find(conditions, fields))
        return tuple(one for one in found if one is not None)

    def has_indexes(self) -> bool:
        """Whether an embedded store has what `ensure_indexes` makes; those of earlier releases lack some of it."""
        briefs = {name: self.database[name].brief_fields for name in BRIEF_FIELDS}
        return briefs == BRIEF_FIELDS and "campaign_1_generation_1" in self.database.campaigns.index_information()

    def ensure_indexes(self) -> None:
        """Create the indexes that queries use, once per store."""
        for record_type in RECORD_TYPES:
            collection = self.database[record_type.collection]
            collection.create_index([("campaign", 1), ("generation", 1)])
        self.database.labels.create_index("content_hash")
        self.database.labels.create_index("state")
        self.database.results.create_index("kind")
        self.database.fireworks.create_index("spec.campaign")
        if self.is_embedded:
            for name, fields in BRIEF_FIELDS.items():
                self.database[name].keep_briefs(*fields)
        if not self.is_embedded:
            # Growing a graph asks for keys, and a worker for the ready jobs of its campaign.
            self.database.fireworks.create_index([("spec.campaign", 1), ("spec.key", 1)])
            # The order of `checkout_fw`: without its last key all ready jobs would be sorted for each that starts.
            order = [("spec._priority", -1), ("created_on", 1)]
            self.database.fireworks.create_index([("state", 1), ("spec.campaign", 1), *order])

    def wait_for_server(self, limit_s: float, give_up: Callable[[str], None] | None = None) -> None:
        """Let operations outlast a server that is away for up to ``limit_s`` (s); see `Patience`.

        The embedded store needs none: it waits for other processes by itself.
        """
        if self.is_embedded:
            return
        from .retrying import Patience

        self.client.patience = Patience(limit_s, give_up)

    def note_worker(self, name: str, **fields: Any) -> None:
        """Set fields of a worker's document, if the server can be reached at once: the next note says more."""
        with nullcontext(True) if self.is_embedded else self.client.expendable() as reachable:
            if reachable:
                self.workers.update_one({"_id": name}, {"$set": fields})
        if fields.get("state") == "ended":
            self.checkpoint()

    @property
    def last_outage_end(self) -> float:
        """When the server was last found to be back after an outage (s of ``time.monotonic``); -inf: never."""
        return -math.inf if self.is_embedded else float(self.client.last_outage_end)

    def checkpoint(self) -> None:
        """Move what the embedded store's log holds into its one file; a server does that by itself."""
        if (file := file_of(self.client)) is not None:
            file.checkpoint()

    def close(self) -> None:
        """Release the connection."""
        self.client.close()


def is_embedded(location: str) -> bool:
    """Return whether ``location`` names an embedded store, not a server."""
    return not is_server(location)


def default_location(folder: Path | None = None) -> str:
    """Return the store to use where none is named: ``IONLOOP_STORE``, else a file in ``folder``."""
    return os.environ.get(STORE_VARIABLE) or str((folder or Path.cwd()) / DEFAULT_STORE)


def plain_location(location: str) -> str:
    """Return the address of a server as it is, and a path with ``~`` for the home folder written out.

    Raises
    ------
    InputError
        For an address that is neither.
    """
    if is_server(location):
        return location
    scheme, mark, rest = location.partition("://")
    if mark and _SCHEME.fullmatch(scheme):
        wanted = {"mongo": f"mongodb://{rest}", "mongodb+tls": f"mongodb://{rest}"}.get(scheme.lower())
        if scheme.lower() in ("sqlite", "sqlite3", "file"):
            wanted = f"/{rest.lstrip('/')} (or {rest.lstrip('/')}, from the present folder)"
        hint = f"; did you mean {wanted}?" if wanted else ""
        raise InputError(
            f"store: {redacted(location)} is no address that ionloop knows{hint} "
            "(allowed: the path of a file, mongodb://..., mongodb+srv://...)"
        )
    try:
        return str(Path(location).expanduser())
    except RuntimeError as error:
        raise InputError(f"store: {location}: {error}; write the folder out") from None


def beside_of(location: str) -> Path | None:
    """Return the folder of an embedded store's file, links followed; None for a server."""
    return Path(location).resolve().parent if is_embedded(location) else None


def root_beside(location: str) -> Path:
    """Return the folder of files beside an embedded store's file, where nothing says otherwise."""
    path = Path(location)
    return path.with_name(f"{path.stem}-files")


def default_root(location: str) -> Path:
    """Return the folder of the store's files: ``IONLOOP_ROOT``, else beside the embedded file.

    Raises
    ------
    InputError
        For a server without ``IONLOOP_ROOT``: nothing else says where its workers share files.
    """
    if os.environ.get(ROOT_VARIABLE):
        return Path(os.environ[ROOT_VARIABLE])
    if is_embedded(location):
        return root_beside(location)
    raise InputError(f"a store on a server needs a folder that all its workers share: set {ROOT_VARIABLE} to its path")


def open_store(
    location: str | None = None,
    *,
    root: Path | None = None,
    must_exist: bool = False,
    read_only: bool = False,
    guess_root: bool = True,
    use_environment: bool = True,
) -> Store:
    """Open the store at ``location`` (a path or a ``mongodb://`` URI), made if it is new.

    Parameters
    ----------
    root
        The folder of the store's files. By default what ``IONLOOP_ROOT`` says, else what the store remembers.
    read_only
        Write nothing, neither to the store nor beside it; it must be there.
    guess_root
        Whether the folder that the store remembers is taken where no other is named; without, one that is not beside
        the store has to be named by whoever runs jobs.
    use_environment
        Whether ``IONLOOP_ROOT`` is about this store.

    Raises
    ------
    InputError
        If the store cannot be opened or, with ``must_exist``, is not there yet, or its files are in another folder.
    """
    location = plain_location(location or default_location())
    if is_embedded(location):
        location = str(_existing(Path(location).resolve(), must_exist or read_only))
    client, address, name = open_client(location, read_only=read_only)
    try:
        if root is None and use_environment and os.environ.get(ROOT_VARIABLE):
            root = Path(os.environ[ROOT_VARIABLE])
        beside = beside_of(location)
        known = remembered_root(client[name], beside) if root is None and guess_root else None
        where = root or known or (default_root(location) if beside is None else root_beside(location))
        store = Store(client, address, name, where, location, is_read_only=read_only)
        _prepare(store, beside, is_known=known is not None)
    except BaseException:
        client.close()
        raise
    if read_only:
        return store
    if not store.is_embedded or not store.has_indexes():
        # Who may only read finds the indexes that others made.
        with _whose_rights_do():
            store.ensure_indexes()
    return store


@contextmanager
def _whose_rights_do() -> Iterator[None]:
    """Leave out what a server's user has no right to do."""
    from pymongo.errors import OperationFailure

    try:
        yield
    except OperationFailure as error:
        if error.code != _UNAUTHORIZED:
            raise


def _existing(path: Path, must_exist: bool) -> Path:
    """Return the path of a store, or refuse what cannot be one.

    Raises
    ------
    InputError
        If it has to be there and is not, or is an empty file that had been a store.
    """
    if must_exist and not path.exists():
        raise InputError(
            f"there is no store at {path}; name one with --store or {STORE_VARIABLE}, "
            "or start a campaign with `ionloop run`"
        )
    if path.is_file() and not path.stat().st_size and (must_exist or root_beside(str(path)).is_dir()):
        raise InputError(
            f"store: {path} is an empty file (0 bytes), no store: restore it from a backup "
            "(`ionloop store migrate ARCHIVE NEW`), or remove it to begin anew"
        )
    return path


def _prepare(store: Store, beside: Path | None, *, is_known: bool) -> None:
    """See that the folder is the store's, and make what a new store lacks."""
    if not store.is_read_only and not is_prepared(store.database):
        from .jobs.launchpad import prepare

        prepare(store.launchpad)
    if not is_known:
        check_root(store.database, store.root, beside, store.location)
    if not store.is_read_only:
        with _whose_rights_do():
            remember(store.database, store.root, beside)
