"""What the database holds, and what of it has changed since somebody last looked.

Every collection is a table of documents with a stamp each; a document whose stamp is known need not be read again. In
the embedded store the stamp is the document's revision, and the file is opened for reading only; on a server it is
made of the few fields that change.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import bson
from bson.codec_options import CodecOptions
from pymongo.errors import PyMongoError

from ...store.connection import Store
from ...store.jobs.rows import STAMPS

Key = Hashable
Document = Mapping[str, Any]

SERVER_POLL_S = 5.0
"""Where a server does not tell whether it was written to, its stamps are compared this often."""

_OPTIONS: CodecOptions[Mapping[str, Any]] = CodecOptions(unicode_decode_error_handler="replace")
_BATCH = 500
_PATIENCE_S = 10.0

# What changes in documents of these collections; in all others whole documents are replaced.
_STAMP_FIELDS: Mapping[str, tuple[str, ...]] = {
    **STAMPS,
    "labels": ("state", "created", "retries"),
    "workers": ("state", "progress", "heartbeat"),
    "usage": ("core_seconds",),
    "controls": ("at",),
    "queue_jobs": ("state", "reason", "ended"),
    "campaigns": ("state", "ended", "reason"),
}
_OTHER_STAMP_FIELDS = ("created",)


class Source(Protocol):
    """Where documents come from."""

    def token(self) -> Hashable:
        """Return a value that changes whenever anything may have changed; cheap."""

    def stamps(self, collection: str) -> dict[Key, Hashable]:
        """Return the stamp of every document of a collection."""

    def documents(self, collection: str, keys: Sequence[Key]) -> Iterator[tuple[Key, Document]]:
        """Yield the documents of these keys, those that are still there."""

    def close(self) -> None:
        """Release what is held."""


class FileSource:
    """The documents of an embedded store's file, read through a connection that cannot write."""

    def __init__(self, path: Path, database: str) -> None:
        self._path = path
        self._database = database
        self._lock = threading.Lock()
        self._connection, self._inode = self._open()

    def _open(self) -> tuple[sqlite3.Connection, int]:
        address = f"{self._path.as_uri()}?mode=ro"
        connection = sqlite3.connect(address, uri=True, check_same_thread=False, timeout=_PATIENCE_S)
        connection.execute("PRAGMA query_only = 1")
        return connection, self._path.stat().st_ino

    def token(self) -> Hashable:
        """Return SQLite's count of the commits of all other connections, and which file it is."""
        with self._lock:
            if self._path.stat().st_ino != self._inode:
                # Another file was put in its place, such as a backup.
                self._connection.close()
                self._connection, self._inode = self._open()
            return self._inode, int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def stamps(self, collection: str) -> dict[Key, Hashable]:
        """Return the revision of every document; an index holds all that is needed."""
        with self._lock:
            return dict(
                self._connection.execute(
                    "SELECT d.id, d.revision FROM documents d JOIN collections c ON c.id = d.collection "
                    "WHERE c.database = ? AND c.name = ? ORDER BY d.id",
                    (self._database, collection),
                ).fetchall()
            )

    def documents(self, collection: str, keys: Sequence[Key]) -> Iterator[tuple[Key, Document]]:
        """Yield the documents of these row numbers."""
        for start in range(0, len(keys), _BATCH):
            batch = keys[start : start + _BATCH]
            marks = ",".join("?" * len(batch))
            with self._lock:
                found = self._connection.execute(
                    f"SELECT id, body FROM documents WHERE id IN ({marks}) ORDER BY id", list(batch)
                ).fetchall()
            for key, body in found:
                yield key, bson.decode(body, _OPTIONS)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


class ServerSource:
    """The documents of a server's database."""

    def __init__(self, store: Store, collections: Sequence[str]) -> None:
        self._database = store.database
        self._collections = collections

    def token(self) -> Hashable:
        """Return the server's counts of writes to each collection; time itself where it does not tell."""
        return tuple(map(self._writes, self._collections))

    def _writes(self, collection: str) -> Hashable:
        try:
            found = list(self._database[collection].aggregate([{"$collStats": {"latencyStats": {}}}]))
            counts = tuple(int(one["latencyStats"]["writes"]["ops"]) for one in found)
        except (PyMongoError, NotImplementedError, KeyError):
            # The account may not be allowed to, or the collection is not there yet.
            counts = ()
        # There are servers that answer and do not count.
        return counts if any(counts) else int(time.monotonic() / SERVER_POLL_S)

    def stamps(self, collection: str) -> dict[Key, Hashable]:
        """Return, for every document, the fields that change."""
        fields = _STAMP_FIELDS.get(collection, _OTHER_STAMP_FIELDS)
        return {
            document.pop("_id"): repr(document)
            for document in self._database[collection].find({}, dict.fromkeys(fields, 1)).sort("_id", 1)
        }

    def documents(self, collection: str, keys: Sequence[Key]) -> Iterator[tuple[Key, Document]]:
        """Yield the documents of these identifiers."""
        for start in range(0, len(keys), _BATCH):
            for document in self._database[collection].find({"_id": {"$in": list(keys[start : start + _BATCH])}}):
                yield document["_id"], document

    def close(self) -> None:
        """Nothing: the connection is the store's."""


def open_source(store: Store, collections: Sequence[str]) -> Source:
    """Return the source of a store's documents."""
    if store.is_embedded:
        return FileSource(Path(store.location).resolve(), store.database.name)
    return ServerSource(store, collections)
