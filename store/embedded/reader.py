"""Reading a collection: what passes a filter, whole or some of its fields, all of it or what has changed.

mongomock says what a filter means; the plain ones, nearly all, are answered without it: its import, with that of
pymongo, takes longer than most questions of whoever only looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from .catalog import CollectionRecord
from .collection_store import CollectionStore, Document
from .documents import Stored
from .keys import sort_key
from .planner import are_covered, lookups, plain_test
from .views import Part, View, own_copy, plain_fields, taken_fields

_FEW = 64
"""So many documents are read again as quickly as it is found out that they have not changed."""


def test_of(conditions: Any) -> Callable[[Document], bool]:
    """Return whether a document passes a filter, as mongomock says it, found out quickly where that is possible."""
    test = plain_test(conditions)

    def passes(document: Document) -> bool:
        answer = test(document) if test is not None else None
        return _passes_by_mongomock(conditions, document) if answer is None else answer

    return passes


def _passes_by_mongomock(conditions: Any, document: Document) -> bool:
    from mongomock.filtering import filter_applies

    return bool(filter_applies(_with_empty_documents_meant(conditions), document))


def _with_empty_documents_meant(conditions: Any) -> Any:
    """Return a filter in which an empty document is a value, as for a server; mongomock takes it for no condition."""
    if not isinstance(conditions, Mapping):
        return conditions
    meant = {}
    for field, condition in conditions.items():
        if str(field).startswith("$"):
            several = isinstance(condition, (list, tuple))
            meant[field] = [_with_empty_documents_meant(part) for part in condition] if several else condition
        else:
            meant[field] = {"$eq": condition} if condition == {} else condition
    return meant


def _check(conditions: Any) -> None:
    """Refuse a filter that means nothing, also where there is nothing to filter."""
    if plain_test(conditions) is None:
        _passes_by_mongomock(conditions, {})


class DocumentReader:
    """What reads a collection; `EmbeddedCollection` and `ReadingCollection` have its storage in ``_store``."""

    _store: CollectionStore

    def _copy_only_fields(self, document: Document, fields: Any, as_class: type) -> Any:
        """Return what mongomock's projection takes of a document."""
        raise NotImplementedError

    def _matching(self, conditions: Any) -> Iterator[Stored]:
        """Yield the documents that pass a filter, in the order of their insertion."""
        if self._store.is_empty:
            _check(conditions)
        passes = test_of(conditions)
        return (stored for stored in self._store.candidates(conditions) if passes(stored.document))

    def _get_dataset(self, spec: Any, sort: Any, fields: Any, as_class: type) -> Iterator[Document]:
        """Yield copies of the documents that pass a filter, sorted: lazily where an index tells the order."""
        if fields and not sort and as_class is dict and not _shares_values(fields):
            return self._parts(spec, fields)
        return self._whole(spec, sort, fields, as_class)

    def _whole(self, spec: Any, sort: Any, fields: Any, as_class: type) -> Iterator[Document]:
        for stored in self._sorted(spec, list(sort.items() if isinstance(sort, Mapping) else sort or ())):
            if not fields and as_class is dict:
                yield stored.copy()
            elif as_class is dict and not _shares_values(fields):
                yield self._part(stored.document, fields)
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
            _check(spec)
            nothing: tuple[Document, ...] = ()
            return (one for one in nothing)
        view = documents.views.view(record.identifier, spec, fields) if len(first) == _FEW else None
        passes = test_of(spec)
        if view is None:
            found = (documents.load(*one).document for one in chain(first, revisions))
            return (self._part(one, fields) for one in found if passes(one))
        return self._remembered(view.parts, chain(first, revisions), passes, fields)

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
        passes = test_of(spec)

        def of(document: Document) -> Any:
            if not passes(document):
                return None
            # Of a brief a digest takes what it wants: it is its own.
            return digest(document if has_briefs else self._part(document, fields))

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
        self,
        view: dict[int, Part],
        revisions: Iterable[tuple[int, int]],
        passes: Callable[[Document], bool],
        fields: Any,
    ) -> Iterator[Document]:
        documents = self._store.documents_of_file
        for identifier, revision in revisions:
            known = view.get(identifier)
            if known is None or known[0] != revision:
                document = documents.load(identifier, revision).document
                known = view[identifier] = (revision, self._part(document, fields) if passes(document) else None)
            if known[1] is not None:
                yield own_copy(known[1])
        documents.views.trim()

    def _part(self, document: Document, fields: Any) -> Document:
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
                passes = test_of(spec)
                return (stored for stored in ordered if passes(stored.document))
        found = self._matching(spec)
        for field, direction in reversed(sort):
            found = iter(_sorted_by(list(found), field, direction))
        return found


def _shares_values(fields: Any) -> bool:
    """Tell whether mongomock's projection hands out parts of the document itself instead of copies."""
    return isinstance(fields, Mapping) and any(isinstance(value, Mapping) for value in fields.values())


def _sorted_by(found: list[Stored], field: str, direction: int) -> list[Stored]:
    if field == "$natural":
        return found[::-1] if direction < 0 else found
    keys: list[Any] = [sort_key(_value_of(stored.document, field)) for stored in found]
    if any(key is None for key in keys):
        from mongomock import filtering

        keys = [filtering.resolve_sort_key(field, stored.document) for stored in found]
    # ``reverse`` keeps the order of equals, as mongomock's own sort does.
    order = sorted(range(len(found)), key=keys.__getitem__, reverse=direction < 0)
    return [found[position] for position in order]


def _value_of(document: Document, field: str) -> Any:
    """Return the value of a (dotted) field, None where it is missing."""
    if "." not in field:
        return document.get(field)
    from mongomock import filtering

    value = filtering.resolve_key(field, document)
    return None if value is filtering.NOTHING else value
