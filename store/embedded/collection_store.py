"""The storage of one collection: what mongomock's ``store.CollectionStore`` is, over the rows of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .catalog import CollectionRecord
from .documents import Documents, Stored
from .planner import lookups

Document = dict[str, Any]


class CollectionStore:
    """A mapping from identifier to document, with indexes."""

    def __init__(self, documents: Documents, database: str, name: str) -> None:
        self.documents_of_file = documents
        self.file = documents.file
        self.database = database
        self.name = name

    @property
    def record(self) -> CollectionRecord | None:
        """The collection's entry in the catalog, None where it was never created."""
        return self.documents_of_file.catalog.get(self.database, self.name)

    def create(self) -> CollectionRecord:
        """Return the collection's entry in the catalog, made if need be."""
        with self.file.write():
            return self.documents_of_file.catalog.create(self.database, self.name)

    @property
    def is_created(self) -> bool:
        """Whether the collection exists."""
        with self.file.read():
            return self.record is not None

    @property
    def is_empty(self) -> bool:
        """Whether the collection has no document."""
        with self.file.read():
            record = self.record
            return record is None or self.documents_of_file.is_empty(record)

    def drop(self) -> None:
        """Remove the collection with everything in it."""
        with self.file.write():
            record = self.record
            if record is not None:
                self.documents_of_file.catalog.drop(record)

    @property
    def indexes(self) -> dict[str, dict[str, Any]]:
        """The index definitions by name."""
        with self.file.read():
            record = self.record
            return {} if record is None else record.indexes

    @indexes.setter
    def indexes(self, value: dict[str, dict[str, Any]]) -> None:
        """Drop all indexes: the only assignment that mongomock makes."""
        assert not value
        for name in list(self.indexes):
            self.drop_index(name)

    def create_index(self, name: str, definition: dict[str, Any]) -> None:
        """Keep an index and index the documents that exist."""
        with self.file.write():
            self.documents_of_file.create_index(self.create(), name, definition)

    def drop_index(self, name: str) -> None:
        """Forget an index.

        Raises
        ------
        KeyError
            If there is none of that name.
        """
        with self.file.write():
            record = self.record
            if record is None or name not in record.indexes:
                raise KeyError(name)
            self.documents_of_file.drop_index(record, name)

    # -- candidates ------------------------------------------------------------------------------------------

    def candidates(self, conditions: Any) -> Iterator[Stored]:
        """Yield all documents that may pass a filter, in the order of their insertion."""
        record = self.record
        if record is None:
            return iter(())
        return self.documents_of_file.scan(record, lookups(conditions, record.fields))

    def ordered_candidates(self, conditions: Any, field: str, direction: int) -> Iterator[Stored] | None:
        """Yield the same in the order of a field, None where loading and sorting is the better way."""
        record = self.record
        if record is None:
            return None
        return self.documents_of_file.walk(record, lookups(conditions, record.fields), field, descending=direction < 0)

    def find(self, identifier: Any) -> Stored | None:
        """Return the document with this identifier, None if there is none."""
        # mongomock asks with a hashable kind of dict.
        wanted = dict(identifier) if isinstance(identifier, dict) else identifier
        for stored in self.candidates({"_id": {"$eq": wanted}}):
            if stored.document["_id"] == wanted:
                return stored
        return None

    # -- the mapping that mongomock works with ---------------------------------------------------------------

    def __contains__(self, identifier: Any) -> bool:
        with self.file.read():
            return self.find(identifier) is not None

    def __getitem__(self, identifier: Any) -> Document:
        with self.file.read():
            stored = self.find(identifier)
            if stored is None:
                raise KeyError(identifier)
            return stored.copy()

    def __setitem__(self, identifier: Any, document: Mapping[str, Any]) -> None:
        with self.file.write():
            record = self.create()
            stored = self.find(identifier)
            if stored is None:
                self.documents_of_file.insert(record, document)
            else:
                self.documents_of_file.replace(record, stored, document)

    def __delitem__(self, identifier: Any) -> None:
        with self.file.write():
            stored = self.find(identifier)
            if stored is None:
                raise KeyError(identifier)
            self.delete(stored)

    def __len__(self) -> int:
        with self.file.read():
            record = self.record
            return 0 if record is None else self.documents_of_file.count(record)

    @property
    def documents(self) -> Iterator[Document]:
        """All documents, shared with the cache: read only."""
        with self.file.read():
            everything = list(self.candidates({}))
        # mongomock throws errors into this, so that it must be a generator.
        yield from (stored.document for stored in everything)

    def replace(self, stored: Stored, document: Mapping[str, Any]) -> Stored:
        """Write a document in place of another."""
        return self.documents_of_file.replace(self.create(), stored, document)

    def delete(self, stored: Stored) -> None:
        """Remove a document."""
        self.documents_of_file.delete(self.create(), stored)
