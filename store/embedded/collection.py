"""Collections and cursors: mongomock's semantics over the rows of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import islice
from typing import Any

from mongomock import helpers
from mongomock.collection import Collection, Cursor, _validate_data_fields, validate_is_mapping
from pymongo.errors import DuplicateKeyError, OperationFailure, WriteError

from .collection_store import CollectionStore, Document
from .dates import process_pipeline
from .documents import Stored
from .reader import DocumentReader


class Draft(Document):
    """A document that mongomock may change in place; what changed is written afterwards."""

    def __init__(self, stored: Stored) -> None:
        super().__init__(stored.copy())
        self.stored = stored

    def __deepcopy__(self, memo: dict[int, Any]) -> Document:
        # mongomock keeps a copy from right before it changes a document, to compare: no copy is needed for that.
        return self.stored.document

    def write(self, store: CollectionStore) -> None:
        """Write what has changed, if anything has."""
        self.stored = store.replace(self.stored, dict(self))


def _draft_each(found: list[Stored], drafts: list[Draft]) -> Iterator[Draft]:
    """Yield drafts, each made and noted when its turn comes: an update of one document stops at the first."""
    for stored in found:
        draft = Draft(stored)
        drafts.append(draft)
        yield draft


class EmbeddedCollection(DocumentReader, Collection):
    """A collection in a file, with the interface of pymongo."""

    _drafts: list[Draft] | None = None
    _copy_only_fields = Collection._copy_only_fields

    # -- reading ---------------------------------------------------------------------------------------------

    def _iter_documents(self, filter: Any) -> Iterator[Document]:  # noqa: A002 - mongomock's name
        # Only inside is it certain that the drafts are not another thread's.
        with self._store.file.read():
            found = list(self._matching(filter))
            return (
                iter([stored.document for stored in found])
                if self._drafts is None
                else _draft_each(found, self._drafts)
            )

    def find(self, filter: Any = None, projection: Any = None, *args: Any, **kwargs: Any) -> EmbeddedCursor:  # noqa: A002
        """Return a cursor as pymongo does."""
        return EmbeddedCursor.of(super().find(filter, projection, *args, **kwargs))

    def find_one(self, filter: Any = None, *args: Any, **kwargs: Any) -> Document | None:  # noqa: A002
        """Return the first document that passes the filter, None if there is none."""
        if filter is None:
            filter = {}  # noqa: A001
        elif not isinstance(filter, Mapping):
            filter = {"_id": filter}  # noqa: A001
        return next(self.find(filter, *args, **kwargs).limit(1), None)

    def count_documents(self, filter: Any, **kwargs: Any) -> int:  # noqa: A002
        """Return the number of documents that pass the filter."""
        if filter == {} and not kwargs:
            return len(self._store)
        return super().count_documents(filter, **kwargs)

    def aggregate(self, pipeline: Any, session: Any = None, **kwargs: Any) -> Any:
        """Run an aggregation pipeline; a leading ``$match`` uses the indexes."""
        stages = list(pipeline)
        file = self._store.file
        writes = any("$out" in stage or "$merge" in stage for stage in stages)
        with file.write() if writes else file.read():
            found = self.find(stages.pop(0)["$match"] if stages and "$match" in stages[0] else {})
            return process_pipeline(list(found), self.database, stages, session)

    # -- writing ---------------------------------------------------------------------------------------------

    def _insert(self, data: Any, session: Any = None, ordered: bool = True) -> Any:
        with self._store.file.write():
            return super()._insert(data, session, ordered)

    def _update(self, spec: Any, document: Any, upsert: bool = False, **kwargs: Any) -> Any:
        with self._store.file.write():
            if _is_replacement(document) and not any(kwargs.values()):
                replaced = self._replace(spec, document)
                if replaced is not None:
                    return replaced
            self._drafts = []
            try:
                result = super()._update(spec, document, upsert=upsert, **kwargs)
                for draft in self._drafts:
                    draft.write(self._store)
            finally:
                self._drafts = None
            return result

    def _replace(self, spec: Any, document: Mapping[str, Any]) -> dict[str, Any] | None:
        """Replace a whole document, as mongomock does by copying it several times; None where none matches."""
        conditions = helpers.patch_datetime_awareness_in_document(spec)
        old = next(self._matching(conditions), None)
        if old is None:
            return None
        _validate_data_fields(document)
        identifier = old.document["_id"]
        if document.get("_id", identifier) != identifier:
            raise WriteError(f"The _id field cannot be changed from {identifier} to {document['_id']}")
        new = self._store.replace(old, {"_id": identifier, **document})
        # To a server and to mongomock the same fields in another order are another document.
        changed = new is not old and (new.document != old.document or list(new.document) != list(old.document))
        if changed:
            try:
                super()._ensure_uniques(new.document)
            except DuplicateKeyError:
                self._store.replace(new, old.document)
                raise
        return {
            "connectionId": self.database.client._id,
            "err": None,
            "n": 1,
            "nModified": int(changed),
            "ok": 1,
            "upserted": None,
            "updatedExisting": True,
        }

    def _ensure_uniques(self, new_data: Any) -> None:
        # mongomock calls this after each change, and expects to find the changed document in its storage.
        if self._drafts:
            self._drafts[-1].write(self._store)
        drafts, self._drafts = self._drafts, None
        try:
            super()._ensure_uniques(new_data)
        finally:
            self._drafts = drafts

    def _find_and_modify(self, *args: Any, **kwargs: Any) -> Any:
        with self._store.file.write():
            return super()._find_and_modify(*args, **kwargs)

    def _delete(
        self,
        filter: Any,  # noqa: A002 - mongomock's name
        collation: Any = None,
        hint: Any = None,
        multi: bool = False,
        session: Any = None,
    ) -> dict[str, Any]:
        if collation or hint or session:
            return super()._delete(filter, collation, hint, multi, session)
        conditions = helpers.patch_datetime_awareness_in_document(filter)
        validate_is_mapping("filter", conditions)
        with self._store.file.write():
            found = list(islice(self._matching(conditions), None if multi else 1))
            for stored in found:
                self._store.delete(stored)
        return {"connectionId": self.database.client._id, "n": len(found), "ok": 1.0, "err": None}

    def bulk_write(self, *args: Any, **kwargs: Any) -> Any:
        """Run many writes as one operation."""
        with self._store.file.write():
            return super().bulk_write(*args, **kwargs)

    # -- indexes and options ---------------------------------------------------------------------------------

    def create_index(self, key_or_list: Any, *args: Any, **kwargs: Any) -> str:
        """Create an index. Expiry after a time is not offered."""
        if kwargs.get("expireAfterSeconds") is not None:
            raise OperationFailure("the embedded store keeps documents for ever: expireAfterSeconds is not offered")
        keys = helpers.create_index_list(key_or_list)
        keys = [(field, direction) for field, direction in keys]
        if self._has_index(keys, kwargs):
            return kwargs.get("name") or helpers.gen_index_name(keys)
        with self._store.file.write():
            return super().create_index(keys, *args, **kwargs)

    def _has_index(self, keys: list[tuple[str, int]], options: Mapping[str, Any]) -> bool:
        """Tell whether this very index exists, which is what every start of a worker asks for."""
        existing = self._store.indexes.get(options.get("name") or helpers.gen_index_name(keys), {})
        wanted = {"key": keys, **{name: True for name in ("sparse", "unique") if options.get(name)}}
        return existing == wanted and not options.get("partialFilterExpression")

    def drop_indexes(self, session: Any = None) -> None:
        """Drop all indexes."""
        with self._store.file.write():
            super().drop_indexes(session)

    def with_options(self, *args: Any, **kwargs: Any) -> EmbeddedCollection:
        """Return the collection with other options."""
        changed = super().with_options(*args, **kwargs)
        if changed is not self:
            changed.__class__ = EmbeddedCollection
        return changed


class EmbeddedCursor(Cursor):
    """A cursor that reads no more than its limit asks for."""

    _limited: list[Document]
    _limited_for: tuple[Any, int, int] | None = None
    _reading: Iterator[Document] | None = None
    _reading_for: tuple[Any, int, int] | None = None

    @classmethod
    def of(cls, cursor: Cursor) -> EmbeddedCursor:
        """Return mongomock's cursor with our way of reading."""
        cursor.__class__ = cls
        return cursor

    def _compute_results(self, with_limit_and_skip: bool = False) -> list[Document]:
        if not (with_limit_and_skip and self._limit):
            with self.collection._store.file.read():
                return super()._compute_results(with_limit_and_skip)
        wanted = (self._factory, self._skip, self._limit)
        if self._limited_for != wanted:
            with self.collection._store.file.read(), closing(self._factory()) as found:
                results = list(islice(found, self._skip, self._skip + abs(self._limit)))
            if self.collection.codec_options.tz_aware:
                results = [helpers.make_datetime_timezone_aware_in_document(one) for one in results]
            self._limited, self._limited_for = results, wanted
        return self._limited

    def __next__(self) -> Document:
        # mongomock's own copies and counts all results for every document.
        if self._reading is None or self._reading_for != (self._factory, self._skip, self._limit):
            self._reading_for = (self._factory, self._skip, self._limit)
            self._reading = iter(self._compute_results(with_limit_and_skip=True)[self._emitted :])
        found = next(self._reading)
        self._emitted += 1
        return found

    next = __next__

    def rewind(self) -> EmbeddedCursor:
        """Begin again."""
        super().rewind()
        self._reading = None
        return self

    def clone(self) -> EmbeddedCursor:
        """Return an unread copy."""
        return EmbeddedCursor.of(super().clone())


def _is_replacement(document: Any) -> bool:
    """Tell whether an update is a whole new document, not operators and not a pipeline."""
    return isinstance(document, Mapping) and bool(document) and not next(iter(document)).startswith("$")
