"""The client: what pymongo's ``MongoClient`` is to a server, to one file."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from mongomock.database import Database
from mongomock.mongo_client import MongoClient
from pymongo.errors import CollectionInvalid

from .collection import EmbeddedCollection
from .collection_store import CollectionStore
from .database_file import Synchronous, open_database_file
from .documents import Documents


class DatabaseStore:
    """What mongomock's ``store.DatabaseStore`` is, in a file."""

    def __init__(self, documents: Documents, name: str) -> None:
        self._documents = documents
        self._name = name

    def __getitem__(self, collection: str) -> CollectionStore:
        return CollectionStore(self._documents, self._name, collection)

    def __contains__(self, collection: str) -> bool:
        return self[collection].is_created

    @property
    def _collections(self) -> list[str]:
        return self.list_created_collection_names()

    def list_created_collection_names(self) -> list[str]:
        """Return the names of the collections that exist."""
        with self._documents.file.read():
            return [record.name for record in self._documents.catalog.all() if record.database == self._name]

    def create_collection(self, name: str) -> CollectionStore:
        """Create a collection."""
        collection = self[name]
        collection.create()
        return collection

    def rename(self, name: str, new_name: str) -> None:
        """Rename a collection."""
        with self._documents.file.write():
            record = self[name].record
            if record is not None:
                self._documents.catalog.rename(record, new_name)

    @property
    def is_created(self) -> bool:
        """Whether the database has any collection."""
        return bool(self.list_created_collection_names())


class ServerStore:
    """What mongomock's ``store.ServerStore`` is, in a file."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def __getitem__(self, database: str) -> DatabaseStore:
        return DatabaseStore(self._documents, database)

    def __contains__(self, database: str) -> bool:
        return self[database].is_created

    def list_created_database_names(self) -> list[str]:
        """Return the names of the databases that have collections."""
        with self._documents.file.read():
            return list(dict.fromkeys(record.database for record in self._documents.catalog.all()))


class EmbeddedDatabase(Database):
    """A database in a file, with the interface of pymongo."""

    def get_collection(
        self,
        name: str,
        codec_options: Any = None,
        read_preference: Any = None,
        write_concern: Any = None,
        read_concern: Any = None,
    ) -> EmbeddedCollection:
        """Return a collection, which need not exist yet."""
        known = name in self._collection_accesses
        collection = super().get_collection(name, codec_options, read_preference, write_concern, read_concern)
        if not known:
            collection.__class__ = EmbeddedCollection
        return collection

    def create_collection(self, name: str, **kwargs: Any) -> EmbeddedCollection:
        """Create a collection.

        Raises
        ------
        pymongo.errors.CollectionInvalid
            If it exists.
        """
        with self._client.file.write():
            if name in self._store:
                raise CollectionInvalid(f"collection {name} already exists")
            return super().create_collection(name, **kwargs)

    def rename_collection(self, name: str, new_name: str, dropTarget: bool = False) -> dict[str, Any]:
        """Rename a collection."""
        with self._client.file.write():
            return super().rename_collection(name, new_name, dropTarget)

    def with_options(self, *args: Any, **kwargs: Any) -> EmbeddedDatabase:
        """Return the database with other options."""
        changed = super().with_options(*args, **kwargs)
        if changed is not self:
            changed.__class__ = EmbeddedDatabase
        return changed


class EmbeddedClient(MongoClient):
    """A MongoDB client whose server is one SQLite file: durable, and safe for many processes of one machine.

    Parameters
    ----------
    path
        The file, made if it does not exist; its folder must exist.
    synchronous
        ``NORMAL`` survives a kill of every process at any moment, and keeps the file whole when the machine
        loses power, but may then lose the last moments; ``FULL`` loses nothing, at one disk write per operation.
    allow_network_file_system
        Use a file on a network file system all the same: only if a single host ever opens it.
    read_only
        Write nothing, so that a file that may only be read will do; it must be there.

    Raises
    ------
    InputError
        If no store can be kept at ``path``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        synchronous: Synchronous = "NORMAL",
        *,
        tz_aware: bool = False,
        allow_network_file_system: bool = False,
        read_only: bool = False,
    ) -> None:
        self.file = open_database_file(
            Path(path), synchronous, allow_network_file_system=allow_network_file_system, read_only=read_only
        )
        super().__init__(tz_aware=tz_aware, _store=ServerStore(Documents(self.file)))

    @property
    def path(self) -> Path:
        """The file."""
        return self.file.path

    @property
    def address(self) -> tuple[str, None]:
        """What identifies the server: the file."""
        return str(self.file.path), None

    def __repr__(self) -> str:
        return f"EmbeddedClient('{self.file.path}')"

    def transaction(self) -> AbstractContextManager[None]:
        """Return a context that makes everything inside one all-or-nothing step.

        It may be nested; an exception undoes what its context did. Other processes wait for the outermost end,
        so that nothing slow belongs inside.
        """
        return self.file.transaction()

    def get_database(self, name: str | None = None, *args: Any, **kwargs: Any) -> EmbeddedDatabase:
        """Return a database, which need not exist yet."""
        known = name in self._database_accesses
        database = super().get_database(name, *args, **kwargs)
        if not known:
            database.__class__ = EmbeddedDatabase
        return database

    def drop_database(self, name_or_db: Any) -> None:
        """Remove a database with everything in it."""
        with self.file.write():
            super().drop_database(name_or_db)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self.file.close()
