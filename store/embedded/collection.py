"""Collections, cursors, databases and their storage: mongomock's semantics over the rows of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import chain, islice
from typing import Any

from mongomock import filtering, helpers
from mongomock.collection import Collection, Cursor, _validate_data_fields, validate_is_mapping
from mongomock.filtering import filter_applies
from pymongo.errors import DuplicateKeyError, OperationFailure, WriteError

from .catalog import CollectionRecord
from .dates import process_pipeline
from .documents import Documents, Stored
from .keys import sort_key
from .planner import are_covered, lookups, plain_test
from .views import Part, View, own_copy, plain_fields, taken_fields

Document = dict[str, Any]

_FEW = 64
"""So many documents are read again as quickly as it is found out that they have not changed."""


class CollectionStore:
    """What mongomock's ``store.CollectionStore`` is, in a file: a mapping from identifier to document."""

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
        wanted = dict(identifier) if isinstance(identifier, helpers.hashdict) else identifier
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


def _test_of(conditions: Any) -> Callable[[Document], bool]:
    """Return whether a document passes a filter, as mongomock says it, found out quickly where that is possible."""
    test = plain_test(conditions)

    def passes(document: Document) -> bool:
        answer = test(document) if test is not None else None
        return bool(filter_applies(conditions, document) if answer is None else answer)

    return passes


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


class EmbeddedCollection(Collection):
    """A collection in a file, with the interface of pymongo."""

    _drafts: list[Draft] | None = None

    # -- reading ---------------------------------------------------------------------------------------------

    def _matching(self, conditions: Any) -> Iterator[Stored]:
        """Yield the documents that pass a filter, in the order of their insertion."""
        if self._store.is_empty:
            # The filter is checked even where there is nothing to filter.
            filter_applies(conditions, {})
        passes = _test_of(conditions)
        return (stored for stored in self._store.candidates(conditions) if passes(stored.document))

    def _iter_documents(self, filter: Any) -> Iterator[Document]:  # noqa: A002 - mongomock's name
        # Only inside is it certain that the drafts are not another thread's.
        with self._store.file.read():
            found = list(self._matching(filter))
            return (
                iter([stored.document for stored in found])
                if self._drafts is None
                else _draft_each(found, self._drafts)
            )

    def _get_dataset(self, spec: Any, sort: Any, fields: Any, as_class: type) -> Iterator[Document]:
        """Yield copies of the documents that pass a filter, sorted: lazily where an index tells the order."""
        if fields and not sort and as_class is dict and not _shares_values(fields):
            return self._parts(spec, fields)
        return self._whole(spec, sort, fields, as_class)

    def _whole(self, spec: Any, sort: Any, fields: Any, as_class: type) -> Iterator[Document]:
        for stored in self._sorted(spec, list(sort.items() if isinstance(sort, Mapping) else sort or ())):
            if not fields and as_class is dict:
                yield stored.copy()
            elif _shares_values(fields) or isinstance(stored.document.get("_id"), dict):
                yield self._copy_only_fields(stored.copy(), fields, as_class)
            else:
                yield self._copy_only_fields(stored.document, fields, as_class)

    def _parts(self, spec: Any, fields: Any) -> Iterator[Document]:
        """Return some fields of the documents that pass; of many, only what changed since the last time is read."""
        record = self._store.record
        documents = self._store.documents_of_file
        revisions = iter(()) if record is None else documents.revisions(record, lookups(spec, record.fields))
        first = list(islice(revisions, _FEW))
        if record is None or not first:
            # The filter is checked even where there is nothing to filter.
            filter_applies(spec, {})
            nothing: tuple[Document, ...] = ()
            return (one for one in nothing)
        view = documents.views.view(record.identifier, spec, fields) if len(first) == _FEW else None
        if view is None:
            found = (self._part(documents.load(*one).document, spec, fields) for one in chain(first, revisions))
            return (one for one in found if one is not None)
        return self._remembered(view.parts, chain(first, revisions), spec, fields)

    def digests(self, spec: Any, fields: Any, digest: Callable[[Document], Any]) -> tuple[Any, ...]:
        """Return what a function makes of some fields of each document that passes, those of which it is None left out.

        It is asked again only of what changed since the last time, and everybody gets the same objects: nobody may
        change them. It must be a function of a module, which is the same every time.
        """
        with self._store.file.read():
            record = self._store.record
            if record is None:
                return ()
            documents = self._store.documents_of_file
            conditions = lookups(spec, record.fields)
            view = documents.views.view(record.identifier, spec, fields, digest) or View()
            state = documents.state(record, conditions)
            if view.state != state:
                view.parts, view.state = self._digested(record, view.parts, spec, fields, digest), state
                view.digests = tuple(part for _, part in view.parts.values() if part is not None)
                documents.views.trim()
            return view.digests

    def _digested(
        self,
        record: CollectionRecord,
        before: Mapping[int, Part],
        spec: Any,
        fields: Any,
        digest: Callable[[Document], Any],
    ) -> dict[int, Part]:
        """Return revisions and digests by the number of the document; those that are known are taken over."""
        documents, conditions = self._store.documents_of_file, lookups(spec, record.fields)
        has_briefs = record.briefs is not None and are_covered((*spec, *fields), record.brief_fields)
        passes = _test_of(spec)

        def of(document: Document) -> Any:
            if not passes(document):
                return None
            # Of a brief a digest takes what it wants: it is its own.
            part = document if has_briefs else self._part(document, {}, fields)
            return None if part is None else digest(part)

        if has_briefs and not before:
            rows = documents.briefs(record, conditions)
            return {identifier: (revision, of(brief)) for identifier, revision, brief in rows}
        found: dict[int, Part] = {}
        for identifier, revision in documents.revisions(record, conditions):
            known = before.get(identifier)
            if known is None or known[0] != revision:
                if has_briefs:
                    document = documents.brief(record, identifier, revision)
                else:
                    document = documents.load(identifier, revision).document
                known = (revision, of(document))
            found[identifier] = known
        return found

    @property
    def brief_fields(self) -> tuple[str, ...]:
        """The fields that are kept beside the documents."""
        with self._store.file.read():
            record = self._store.record
            return () if record is None else record.brief_fields

    def keep_briefs(self, *names: str) -> None:
        """Keep some fields of each document beside it: `digests` that ask for no others do not read the documents."""
        with self._store.file.write():
            self._store.documents_of_file.keep_briefs(self._store.create(), names)

    def _remembered(
        self, view: dict[int, Part], revisions: Iterable[tuple[int, int]], spec: Any, fields: Any
    ) -> Iterator[Document]:
        documents = self._store.documents_of_file
        for identifier, revision in revisions:
            known = view.get(identifier)
            if known is None or known[0] != revision:
                part = self._part(documents.load(identifier, revision).document, spec, fields)
                known = view[identifier] = (revision, part)
            if known[1] is not None:
                yield own_copy(known[1])
        documents.views.trim()

    def _part(self, document: Document, spec: Any, fields: Any) -> Document | None:
        if not filter_applies(spec, document):
            return None
        if isinstance(fields, Mapping) and (wanted := plain_fields(tuple(fields.items()))) is not None:
            taken = taken_fields(document, wanted)
            return {**taken, "_id": own_copy(document["_id"])} if "_id" in document else taken
        # mongomock changes the fields that it is given while it works.
        part: Document = self._copy_only_fields(document, dict(fields) if isinstance(fields, Mapping) else fields, dict)
        # It copies no identifier.
        return own_copy(part) if isinstance(part.get("_id"), dict) else part

    def _sorted(self, spec: Any, sort: list[tuple[str, int]]) -> Iterator[Stored]:
        if len(sort) == 1 and not sort[0][0].startswith("$"):
            ordered = self._store.ordered_candidates(spec, *sort[0])
            if ordered is not None:
                passes = _test_of(spec)
                return (stored for stored in ordered if passes(stored.document))
        found = self._matching(spec)
        for field, direction in reversed(sort):
            found = iter(_sorted_by(list(found), field, direction))
        return found

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
        changed = new is not old and new.document != old.document
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


def _shares_values(fields: Any) -> bool:
    """Tell whether mongomock's projection hands out parts of the document itself instead of copies."""
    return isinstance(fields, Mapping) and any(isinstance(value, Mapping) for value in fields.values())


def _sorted_by(found: list[Stored], field: str, direction: int) -> list[Stored]:
    if field == "$natural":
        return found[::-1] if direction < 0 else found
    keys: list[Any] = [sort_key(filtering.resolve_key(field, stored.document)) for stored in found]
    if any(key is None for key in keys):
        keys = [filtering.resolve_sort_key(field, stored.document) for stored in found]
    # ``reverse`` keeps the order of equals, as mongomock's own sort does.
    order = sorted(range(len(found)), key=keys.__getitem__, reverse=direction < 0)
    return [found[position] for position in order]
