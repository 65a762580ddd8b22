"""A client by which a store's file is read, without mongomock and pymongo: their import takes longer than most looks.

Plain questions it answers itself, as `EmbeddedClient` does; with everything else it turns to one on the same file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from .collection_store import CollectionStore, Document
from .database_file import open_database_file
from .documents import Documents
from .planner import plain_test
from .reader import DocumentReader
from .views import plain_fields


class ReadingCursor:
    """What a plain question finds, in the order of insertion if no other is asked for; read when it is gone through."""

    def __init__(self, collection: ReadingCollection, conditions: Any, fields: Any) -> None:
        self._collection = collection
        self._question = (conditions, fields)
        self._order: list[tuple[str, int]] = []
        self._most: int | None = None
        self._reading: Iterator[Document] | None = None

    def limit(self, most: int) -> ReadingCursor:
        """Read the first so many only; 0 is no limit."""
        self._most = abs(most) or None
        return self

    def sort(self, key_or_list: Any, direction: int | None = None) -> ReadingCursor:
        """Read in the order of a field, or of several, each with its direction."""
        pairs = [(key_or_list, 1 if direction is None else direction)] if isinstance(key_or_list, str) else key_or_list
        self._order = list(pairs)
        return self

    def __iter__(self) -> Iterator[Document]:
        self._reading = iter(self._collection.read(*self._question, self._order, self._most))
        return self._reading

    def __next__(self) -> Document:
        return next(iter(self) if self._reading is None else self._reading)

    def __getattr__(self, name: str) -> Any:
        found = self._collection.full.find(*self._question)
        found = found.sort(self._order) if self._order else found
        return getattr(found if self._most is None else found.limit(self._most), name)


class ReadingCollection(DocumentReader):
    """A collection in a file, with the part of pymongo's interface that reads."""

    def __init__(self, database: ReadingDatabase, name: str) -> None:
        self.database = database
        self.name = name
        self._store = CollectionStore(database.documents, database.name, name)

    @cached_property
    def full(self) -> Any:
        """The same collection with the whole interface."""
        return self.database.full[self.name]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.full, name)

    def _copy_only_fields(self, document: Document, fields: Any, as_class: type) -> Any:
        return self.full._copy_only_fields(document, fields, as_class)

    def find(self, filter: Any = None, projection: Any = None, *args: Any, **kwargs: Any) -> Any:  # noqa: A002
        """Return a cursor as pymongo does."""
        conditions = {} if filter is None else filter
        if args or kwargs or plain_test(conditions) is None or not _is_plain(projection):
            return self.full.find(filter, projection, *args, **kwargs)
        return ReadingCursor(self, conditions, projection)

    def read(self, conditions: Any, fields: Any, order: list[tuple[str, int]], most: int | None) -> Iterable[Document]:
        """Return the documents that pass a plain filter, or some fields of them."""
        with self._store.file.read():
            return list(islice(self._get_dataset(conditions, order, fields, dict), most))

    def find_one(self, filter: Any = None, *args: Any, **kwargs: Any) -> Document | None:  # noqa: A002
        """Return the first document that passes the filter, None if there is none."""
        conditions = {} if filter is None else filter if isinstance(filter, Mapping) else {"_id": filter}
        return next(iter(self.find(conditions, *args, **kwargs).limit(1)), None)

    def count_documents(self, filter: Any, **kwargs: Any) -> int:  # noqa: A002
        """Return the number of documents that pass the filter."""
        if kwargs or plain_test(filter) is None:
            return int(self.full.count_documents(filter, **kwargs))
        with self._store.file.read():
            return sum(1 for _ in self._matching(filter)) if filter else len(self._store)


class ReadingDatabase:
    """A database in a file; its collections are read without mongomock."""

    def __init__(self, client: ReadingClient, name: str) -> None:
        self.client = client
        self.name = name
        self.documents = client.documents
        self._collections: dict[str, ReadingCollection] = {}

    @cached_property
    def full(self) -> Any:
        """The same database with the whole interface."""
        return self.client.full[self.name]

    def __getitem__(self, name: str) -> ReadingCollection:
        return self._collections.setdefault(name, ReadingCollection(self, name))

    def __getattr__(self, name: str) -> Any:
        # Words of pymongo's interface have underscores in them, or are these.
        if name in _WORDS:
            return getattr(self.full, name)
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]


_WORDS = frozenset(
    {"aggregate", "codec_options", "command", "create_collection", "cursor_command", "dereference", "drop_collection"}
    | {"get_collection", "list_collection_names", "list_collections", "read_concern", "read_preference"}
    | {"rename_collection", "validate_collection", "watch", "with_options", "write_concern"}
)


class ReadingClient:
    """A client of a file that is only read.

    Parameters
    ----------
    path
        The file, which must be there.
    allow_network_file_system
        See `EmbeddedClient`.

    Raises
    ------
    InputError
        If it is no store, or cannot be read.
    """

    def __init__(self, path: Path, *, allow_network_file_system: bool = False) -> None:
        self._allow_network_file_system = allow_network_file_system
        self.file = open_database_file(
            path, "NORMAL", allow_network_file_system=allow_network_file_system, read_only=True
        )
        self.documents = Documents(self.file)
        self._databases: dict[str, ReadingDatabase] = {}

    @cached_property
    def full(self) -> Any:
        """A client of the same file with the whole interface of pymongo."""
        from .client import EmbeddedClient

        return EmbeddedClient(self.file.path, allow_network_file_system=self._allow_network_file_system, read_only=True)

    def __getitem__(self, name: str) -> ReadingDatabase:
        return self._databases.setdefault(name, ReadingDatabase(self, name))

    def __repr__(self) -> str:
        return f"ReadingClient('{self.file.path}')"

    def transaction(self) -> AbstractContextManager[None]:
        """Return a context in which everything is one step; see `EmbeddedClient.transaction`."""
        return self.file.transaction()

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self.file.close()


def _is_plain(projection: Any) -> bool:
    return projection is None or (
        isinstance(projection, Mapping) and plain_fields(tuple(projection.items())) is not None
    )
