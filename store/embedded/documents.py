"""The documents of a file: rows with index rows, and a cache of decoded documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized
from itertools import islice
from typing import Any

import bson
from bson.codec_options import CodecOptions

from .catalog import Catalog, CollectionRecord, new_revision
from .database_file import DatabaseFile
from .keys import UNSORTABLE, document_keys
from .planner import Lookup
from .views import Views, plain_fields, taken_fields

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
"""The limit of a MongoDB server. FireWorks puts what exceeds it into GridFS, so that it must be enforced."""

_CACHE_BYTES = 64 * 1024 * 1024
_LARGEST_CACHED_BYTES = 1024 * 1024

_WRITE_BRIEF = "INSERT OR REPLACE INTO briefs (document, fields, revision, body) VALUES (?, ?, ?, ?)"

_AT_ONCE = 1000
"""So many briefs are decoded at once: one by one that takes three times as long."""

_LAST_BITS = 2**40 - 1
"""Of so many bits, the sum of millions still fits into SQLite's numbers."""
_FEW = 64
"""Up to so many candidates are cheaper to load and sort than to walk along the index of the sort field."""


# A text that is no UTF-8 must not make a collection unreadable.
_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(unicode_decode_error_handler="replace")


def _decode(body: bytes) -> dict[str, Any]:
    return bson.decode(body, _OPTIONS)


class Stored:
    """One document as stored: ``document`` is shared with the cache and must not be changed."""

    __slots__ = ("_document", "body", "identifier", "revision")

    def __init__(self, identifier: int, revision: int, body: bytes) -> None:
        self.identifier = identifier
        self.revision = revision
        self.body = body
        self._document: dict[str, Any] | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The decoded document, shared: read only."""
        if self._document is None:
            self._document = _decode(self.body)
        return self._document

    def copy(self) -> dict[str, Any]:
        """Return the document as the caller's own."""
        return _decode(self.body)


def _brief_of(document: Mapping[str, Any], names: Sequence[str]) -> bytes:
    wanted = plain_fields(tuple((name, 1) for name in names)) or {}
    return bson.encode(taken_fields(document, {"_id": None, **wanted}))


def encode_document(document: Mapping[str, Any]) -> bytes:
    """Return a document as BSON.

    Raises
    ------
    pymongo.errors.DocumentTooLarge
        Above 16 MB, as a server does.
    """
    body = bson.encode(document)
    if len(body) > MAX_DOCUMENT_BYTES:
        from pymongo.errors import DocumentTooLarge

        raise DocumentTooLarge(
            f"BSON document too large ({len(body)} bytes): the store takes at most {MAX_DOCUMENT_BYTES} bytes. "
            "Keep large data in files"
        )
    return body


class Documents:
    """Reads and writes of rows. All methods belong inside a transaction or a read of the file."""

    def __init__(self, file: DatabaseFile) -> None:
        self.file = file
        self.catalog = Catalog(file)
        self.views = Views()
        self._cache: dict[int, Stored] = {}
        self._cached_bytes = 0

    # -- reading ---------------------------------------------------------------------------------------------

    def load(self, identifier: int, revision: int) -> Stored:
        """Return one document, from the cache where it holds this very revision."""
        stored = self._cache.get(identifier)
        if stored is None or stored.revision != revision:
            (body,) = self.file.execute("SELECT body FROM documents WHERE id = ?", (identifier,)).fetchone()
            stored = Stored(identifier, revision, body)
            self._remember(stored)
        return stored

    def _remember(self, stored: Stored) -> None:
        self._forget(stored.identifier)
        if len(stored.body) > _LARGEST_CACHED_BYTES:
            return
        self._cache[stored.identifier] = stored
        self._cached_bytes += len(stored.body)
        while self._cached_bytes > _CACHE_BYTES:
            self._forget(next(iter(self._cache)))

    def _forget(self, identifier: int) -> None:
        stored = self._cache.pop(identifier, None)
        if stored is not None:
            self._cached_bytes -= len(stored.body)

    def scan(self, record: CollectionRecord, conditions: Sequence[Lookup]) -> Iterator[Stored]:
        """Yield the candidates for some necessary conditions in the order of their insertion, each once."""
        for identifier, revision in self.revisions(record, conditions):
            yield self.load(identifier, revision)

    def revisions(self, record: CollectionRecord, conditions: Sequence[Lookup]) -> Iterator[tuple[int, int]]:
        """Return numbers and revisions of the same candidates, without reading them."""
        sql, parameters = self._select(record, conditions)
        rows: Iterator[Any] = self.file.rows(f"{sql} ORDER BY 1", parameters)
        return rows

    def briefs(
        self, record: CollectionRecord, conditions: Sequence[Lookup]
    ) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """Return numbers, revisions and briefs of the same candidates; a document where there is no brief of it."""
        sql, parameters = self._select(record, conditions)
        rows = self.file.rows(
            f"SELECT c.id, c.revision, b.body FROM ({sql} ORDER BY 1) c LEFT JOIN briefs b"
            " ON b.document = c.id AND b.revision = c.revision AND b.fields = ?",
            (*parameters, record.briefs),
        )
        while some := list(islice(rows, _AT_ONCE)):
            briefs = iter(bson.decode_all(b"".join(body for _, _, body in some if body), _OPTIONS))
            for identifier, revision, body in some:
                yield identifier, revision, next(briefs) if body else self.load(identifier, revision).document

    def brief(self, record: CollectionRecord, identifier: int, revision: int) -> dict[str, Any]:
        """Return the brief of one document; the document where there is none."""
        found = self.file.execute(
            "SELECT body FROM briefs WHERE document = ? AND revision = ? AND fields = ?",
            (identifier, revision, record.briefs),
        ).fetchone()
        return _decode(found[0]) if found else self.load(identifier, revision).document

    def state(self, record: CollectionRecord, conditions: Sequence[Lookup]) -> tuple[int, ...]:
        """Return a number of the same candidates and one that changes with each of them, without looking at each."""
        sql, parameters = self._select(record, conditions)
        # Revisions are drawn by chance: no two sets of them have the same sum of their last 40 bits.
        (count, revisions) = self.file.execute(
            f"SELECT count(*), sum(revision & {_LAST_BITS}) FROM ({sql})", parameters
        ).fetchone()
        return count, revisions or 0

    def walk(
        self, record: CollectionRecord, conditions: Sequence[Lookup], sort_field: str, *, descending: bool
    ) -> Iterator[Stored] | None:
        """Return the candidates in the order of an indexed field, ties by insertion: lazily, so the first is cheap.

        None where the index does not tell the order (arrays, sub-documents, long texts), or where loading and
        sorting is cheaper.
        """
        field = record.fields.get(sort_field)
        if field is None or self._count_up_to_few(record, conditions) < _FEW:
            return None
        if self._exists("SELECT 1 FROM keys WHERE field = ? AND key = ?", (field, UNSORTABLE)):
            return None
        return self._walk(record, conditions, field, descending=descending)

    def _walk(
        self, record: CollectionRecord, conditions: Sequence[Lookup], field: int, *, descending: bool
    ) -> Iterator[Stored]:
        if descending:
            first, following = "SELECT max(key) FROM keys WHERE field = ?", " AND key < ?"
        else:
            first, following = "SELECT min(key) FROM keys WHERE field = ?", " AND key > ?"
        probes, probe_parameters = self._probes(record, conditions, "k.document")
        (key,) = self.file.execute(first, (field,)).fetchone()
        while key is not None:
            rows = self.file.rows(
                "SELECT k.document, d.revision FROM keys k JOIN documents d ON d.id = k.document"
                f" WHERE k.field = ? AND k.key = ?{probes} ORDER BY k.document",
                (field, key, *probe_parameters),
            )
            for identifier, revision in rows:
                yield self.load(identifier, revision)
            (key,) = self.file.execute(first + following, (field, key)).fetchone()

    def _exists(self, sql: str, parameters: Sequence[Any]) -> bool:
        return self.file.execute(f"{sql} LIMIT 1", parameters).fetchone() is not None

    def _count_up_to_few(self, record: CollectionRecord, conditions: Sequence[Lookup]) -> int:
        counts = [self._count_lookup(record, lookup) for lookup in conditions]
        return min(counts, default=_FEW)

    def _count_lookup(self, record: CollectionRecord, lookup: Lookup) -> int:
        (count,) = self.file.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM keys WHERE field = ? AND key IN ({_marks(lookup.keys)})"
            f" LIMIT {_FEW})",
            (record.fields[lookup.field], *lookup.keys),
        ).fetchone()
        return count

    def _select(self, record: CollectionRecord, conditions: Sequence[Lookup]) -> tuple[str, list[Any]]:
        if not conditions:
            return "SELECT id, revision FROM documents WHERE collection = ?", [record.identifier]
        # The lookup that finds least drives; the others only filter what it finds.
        ordered = list(conditions)
        if len(ordered) > 1:
            ordered.sort(key=lambda lookup: self._count_lookup(record, lookup))
        driver, *others = ordered
        probes, probe_parameters = self._probes(record, others, "k.document")
        distinct = "DISTINCT " if len(driver.keys) > 1 else ""
        sql = (
            f"SELECT {distinct}k.document AS id, d.revision AS revision FROM keys k CROSS JOIN documents d"
            f" WHERE d.id = k.document AND k.field = ? AND k.key IN ({_marks(driver.keys)}){probes}"
        )
        return sql, [record.fields[driver.field], *driver.keys, *probe_parameters]

    def _probes(self, record: CollectionRecord, conditions: Sequence[Lookup], column: str) -> tuple[str, list[Any]]:
        sql, parameters = "", []
        for lookup in conditions:
            sql += (
                " AND EXISTS (SELECT 1 FROM keys p WHERE p.field = ?"
                f" AND p.key IN ({_marks(lookup.keys)}) AND p.document = {column})"
            )
            parameters += [record.fields[lookup.field], *lookup.keys]
        return sql, parameters

    def count(self, record: CollectionRecord) -> int:
        """Return the number of documents."""
        (count,) = self.file.execute(
            "SELECT count(*) FROM documents WHERE collection = ?", (record.identifier,)
        ).fetchone()
        return count

    def is_empty(self, record: CollectionRecord) -> bool:
        """Tell whether there is no document."""
        return not self._exists("SELECT 1 FROM documents WHERE collection = ?", (record.identifier,))

    # -- writing ---------------------------------------------------------------------------------------------

    def insert(self, record: CollectionRecord, document: Mapping[str, Any]) -> Stored:
        """Add a document at the end."""
        body = encode_document(document)
        revision = new_revision()
        cursor = self.file.execute(
            "INSERT INTO documents (collection, revision, body) VALUES (?, ?, ?)",
            (record.identifier, revision, body),
        )
        assert cursor.lastrowid is not None
        stored = Stored(cursor.lastrowid, revision, body)
        self._remember(stored)
        self._change_keys(record, stored.identifier, None, stored.document)
        self._note_brief(record, stored)
        return stored

    def replace(self, record: CollectionRecord, old: Stored, document: Mapping[str, Any]) -> Stored:
        """Write a document in place of ``old``; nothing is written where nothing changed."""
        body = encode_document(document)
        if body == old.body:
            return old
        stored = Stored(old.identifier, new_revision(), body)
        self.file.execute(
            "UPDATE documents SET revision = ?, body = ? WHERE id = ?",
            (stored.revision, body, stored.identifier),
        )
        self._remember(stored)
        self._change_keys(record, stored.identifier, old.document, stored.document)
        self._note_brief(record, stored)
        return stored

    def delete(self, record: CollectionRecord, stored: Stored) -> None:
        """Remove a document."""
        self._change_keys(record, stored.identifier, stored.document, None)
        self.file.execute("DELETE FROM documents WHERE id = ?", (stored.identifier,))
        if record.briefs is not None:
            self.file.execute("DELETE FROM briefs WHERE document = ?", (stored.identifier,))
        self._forget(stored.identifier)

    def _change_keys(
        self,
        record: CollectionRecord,
        identifier: int,
        old: Mapping[str, Any] | None,
        new: Mapping[str, Any] | None,
    ) -> None:
        removed: list[tuple[int, bytes, int]] = []
        added: list[tuple[int, bytes, int]] = []
        for name, field in record.fields.items():
            if old is not None and new is not None and _same_value(old.get(name), new.get(name), name):
                continue
            before = document_keys(old, name) if old is not None else frozenset()
            after = document_keys(new, name) if new is not None else frozenset()
            removed += [(field, key, identifier) for key in before - after]
            added += [(field, key, identifier) for key in after - before]
        if removed:
            self.file.execute_many("DELETE FROM keys WHERE field = ? AND key = ? AND document = ?", removed)
        if added:
            self.file.execute_many("INSERT INTO keys (field, key, document) VALUES (?, ?, ?)", added)

    # -- briefs ----------------------------------------------------------------------------------------------

    def keep_briefs(self, record: CollectionRecord, names: Sequence[str]) -> None:
        """Keep some fields of each document beside it, for questions that need no more: bodies may be large.

        A brief counts for the revision of its document that it was made of, so that releases which know of none may
        write to the file as well.
        """
        if record.brief_fields == tuple(names):
            return
        fields = self.catalog.set_brief_fields(record, names)
        rows = [
            (stored.identifier, fields, stored.revision, _brief_of(stored.document, names))
            for stored in self.scan(record, ())
        ]
        self.file.execute_many(_WRITE_BRIEF, rows)

    def _note_brief(self, record: CollectionRecord, stored: Stored) -> None:
        if record.briefs is not None:
            body = _brief_of(stored.document, record.brief_fields)
            self.file.execute(_WRITE_BRIEF, (stored.identifier, record.briefs, stored.revision, body))

    # -- indexes ---------------------------------------------------------------------------------------------

    def create_index(self, record: CollectionRecord, name: str, definition: dict[str, Any]) -> None:
        """Keep an index and index its fields, where they are not indexed already."""
        self.catalog.set_index(record, name, definition)
        new_fields = {
            field: self.catalog.add_field(record, field)
            for field in dict.fromkeys(field for field, _ in definition["key"])
            if field not in record.fields
        }
        if not new_fields:
            return
        rows = [
            (identifier, key, stored.identifier)
            for stored in list(self.scan(record, ()))
            for field, identifier in new_fields.items()
            for key in document_keys(stored.document, field)
        ]
        self.file.execute_many("INSERT INTO keys (field, key, document) VALUES (?, ?, ?)", rows)

    def drop_index(self, record: CollectionRecord, name: str) -> None:
        """Forget an index, and its fields where no other index needs them."""
        self.catalog.drop_index(record, name)
        still_needed = {"_id"} | {
            field for other, definition in record.indexes.items() if other != name for field, _ in definition["key"]
        }
        for field, _ in record.indexes[name]["key"]:
            identifier = record.fields.get(field)
            if field not in still_needed and identifier is not None:
                self.catalog.drop_field(identifier)


def _same_value(old: Any, new: Any, name: str) -> bool:
    """Tell, where that is cheap, that a field has not changed: most writes leave most fields alone."""
    if "." in name or type(old) is not type(new):
        return False
    if isinstance(old, (list, dict)):
        # Python takes 1 for True inside of them, keys do not.
        return bson.encode({"value": old}) == bson.encode({"value": new})
    return bool(old == new)


def _marks(values: Sized) -> str:
    return ",".join("?" * len(values))
