"""Which collections, indexes and indexed fields a file has: cached per process, checked at every use."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import bson

from .database_file import BRIEFS_SCHEMA, DatabaseFile


@dataclass
class CollectionRecord:
    """One collection: its indexes by name as mongomock keeps them, its indexed fields by (dotted) name.

    ``brief_fields`` are the (dotted) names of the fields that are kept beside its documents, ``briefs`` their number in
    the file; None where there are none.
    """

    identifier: int
    database: str
    name: str
    indexes: dict[str, dict[str, Any]] = field(default_factory=dict)
    fields: dict[str, int] = field(default_factory=dict)
    brief_fields: tuple[str, ...] = ()
    briefs: int | None = None


def new_revision() -> int:
    """Return a number that no revision ever had, not even one that was rolled back or is another process's."""
    return secrets.randbits(62)


class Catalog:
    """The collections of a file. All methods belong inside a transaction or a read of the file."""

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file
        self._revision: int | None = None
        self._records: dict[tuple[str, str], CollectionRecord] = {}

    def get(self, database: str, name: str) -> CollectionRecord | None:
        """Return a collection, None if it was never created."""
        self._refresh()
        return self._records.get((database, name))

    def all(self) -> list[CollectionRecord]:
        """Return all collections in the order of their creation."""
        self._refresh()
        return list(self._records.values())

    def _refresh(self) -> None:
        (revision,) = self._file.execute("SELECT revision FROM catalog").fetchone()
        if revision == self._revision:
            return
        by_identifier: dict[int, CollectionRecord] = {}
        for identifier, database, name in self._file.execute(
            "SELECT id, database, name FROM collections ORDER BY id"
        ).fetchall():
            by_identifier[identifier] = CollectionRecord(identifier, database, name)
        for collection, name, definition in self._file.execute(
            "SELECT collection, name, definition FROM indexes ORDER BY id"
        ).fetchall():
            by_identifier[collection].indexes[name] = _read_index(definition)
        for identifier, collection, name in self._file.execute(
            "SELECT id, collection, name FROM fields ORDER BY id"
        ).fetchall():
            by_identifier[collection].fields[name] = identifier
        if self._has_briefs():
            for identifier, collection, names in self._file.execute(
                "SELECT id, collection, names FROM brief_fields"
            ).fetchall():
                if (record := by_identifier.get(collection)) is not None:
                    record.brief_fields, record.briefs = tuple(names.split()), identifier
        self._records = {(record.database, record.name): record for record in by_identifier.values()}
        self._revision = revision

    def _has_briefs(self) -> bool:
        # Stores of earlier releases have none until somebody writes to them.
        tables = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('briefs', 'brief_fields')"
        return bool(self._file.execute(tables).fetchone()[0] == 2)

    def _changed(self) -> None:
        self._file.execute("UPDATE catalog SET revision = ?", (new_revision(),))

    def create(self, database: str, name: str) -> CollectionRecord:
        """Return a collection, created if need be."""
        record = self.get(database, name)
        if record is None:
            self._file.execute("INSERT INTO collections (database, name) VALUES (?, ?)", (database, name))
            self._changed()
            record = self.get(database, name)
            assert record is not None
            self.add_field(record, "_id")
            record = self.get(database, name)
            assert record is not None
        return record

    def add_field(self, record: CollectionRecord, name: str) -> int:
        """Start indexing a field; the caller adds the rows of the documents that exist."""
        cursor = self._file.execute("INSERT INTO fields (collection, name) VALUES (?, ?)", (record.identifier, name))
        self._changed()
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def drop_field(self, identifier: int) -> None:
        """Stop indexing a field."""
        self._file.execute("DELETE FROM keys WHERE field = ?", (identifier,))
        self._file.execute("DELETE FROM fields WHERE id = ?", (identifier,))
        self._changed()

    def set_brief_fields(self, record: CollectionRecord, names: Sequence[str]) -> int:
        """Keep these fields beside the documents from now on; the caller adds those of the documents that exist."""
        for statement in BRIEFS_SCHEMA:
            self._file.execute(statement)
        # A new number: what is kept of other fields counts no longer.
        self._file.execute("DELETE FROM brief_fields WHERE collection = ?", (record.identifier,))
        cursor = self._file.execute(
            "INSERT INTO brief_fields (collection, names) VALUES (?, ?)", (record.identifier, " ".join(names))
        )
        self._changed()
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def set_index(self, record: CollectionRecord, name: str, definition: dict[str, Any]) -> None:
        """Keep an index definition."""
        self._file.execute(
            "INSERT OR REPLACE INTO indexes (collection, name, definition) VALUES (?, ?, ?)",
            (record.identifier, name, _write_index(definition)),
        )
        self._changed()

    def drop_index(self, record: CollectionRecord, name: str) -> None:
        """Forget an index definition."""
        self._file.execute("DELETE FROM indexes WHERE collection = ? AND name = ?", (record.identifier, name))
        self._changed()

    def drop(self, record: CollectionRecord) -> None:
        """Remove a collection with everything in it."""
        for field_identifier in record.fields.values():
            self._file.execute("DELETE FROM keys WHERE field = ?", (field_identifier,))
        if record.briefs is not None:
            self._file.execute("DELETE FROM briefs WHERE fields = ?", (record.briefs,))
            self._file.execute("DELETE FROM brief_fields WHERE id = ?", (record.briefs,))
        for table in ("fields", "indexes", "documents"):
            self._file.execute(f"DELETE FROM {table} WHERE collection = ?", (record.identifier,))
        self._file.execute("DELETE FROM collections WHERE id = ?", (record.identifier,))
        self._changed()

    def rename(self, record: CollectionRecord, name: str) -> None:
        """Give a collection another name."""
        self._file.execute("UPDATE collections SET name = ? WHERE id = ?", (name, record.identifier))
        self._changed()


def _write_index(definition: dict[str, Any]) -> bytes:
    return bson.encode({**definition, "key": [list(pair) for pair in definition["key"]]})


def _read_index(body: bytes) -> dict[str, Any]:
    definition = bson.decode(body)
    return {**definition, "key": [(name, direction) for name, direction in definition["key"]]}
