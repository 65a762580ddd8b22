"""Order-preserving keys: what the index rows of a document hold, and what a query looks up.

A key is a byte string that sorts as MongoDB sorts values: first by the kind of value, then by the value.
Keys only narrow a search: whatever they find still passes through mongomock's own filter, so a key may stand
for several values (long texts are cut, all sub-documents share one key), but never miss one.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId, Regex

UNSORTABLE = b""
"""Index row of a document whose place in the sorted order the other keys do not tell exactly."""

_NULL = b"\x05"
_NUMBER = b"\x0a"
_TEXT = b"\x0f"
_DOCUMENT = b"\x14"
_ARRAY = b"\x19"
_BINARY = b"\x1e"
_OBJECT_ID = b"\x23"
_BOOLEAN = b"\x28"
_DATE = b"\x2d"
_OTHER = b"\xf0"

_LONGEST_KEY = 200
_EPOCH = datetime(1970, 1, 1)
_MILLISECOND = timedelta(milliseconds=1)
_SIGN = 1 << 63
_ALL_BITS = (1 << 64) - 1


def _number_key(value: int | float) -> bytes:
    """Return the key of a number: its double in sortable form, then what the double could not hold."""
    try:
        nearest = float(value)
    except OverflowError:
        nearest = float("inf") if value > 0 else float("-inf")
    # -0.0 equals 0.0, so that both need the same key.
    (bits,) = struct.unpack(">Q", struct.pack(">d", nearest + 0.0))
    ordered = bits ^ _ALL_BITS if bits & _SIGN else bits | _SIGN
    finite = nearest - nearest == 0.0
    rest = int(value) - int(nearest) if finite and isinstance(value, int) else 0
    return _NUMBER + struct.pack(">QQ", ordered, (rest + _SIGN) & _ALL_BITS)


def _cut(kind: bytes, content: bytes) -> tuple[bytes, bool]:
    return kind + content[:_LONGEST_KEY], len(content) <= _LONGEST_KEY


def encode(value: Any) -> tuple[bytes, bool]:
    """Return the key of one value that is not an array, and whether it determines the place in the order."""
    if value is None:
        return _NULL, True
    if isinstance(value, bool):
        return _BOOLEAN + (b"\x01" if value else b"\x00"), True
    if isinstance(value, (int, float)):
        # A NaN compares with nothing: no order can be promised.
        return _number_key(value), value == value
    if isinstance(value, str):
        return _cut(_TEXT, value.encode("utf-8", "surrogatepass"))
    if isinstance(value, Mapping):
        return _DOCUMENT, False
    if isinstance(value, (list, tuple)):
        return _ARRAY, False
    if isinstance(value, bytes):
        return _cut(_BINARY, struct.pack(">Q", len(value)) + value)
    if isinstance(value, ObjectId):
        return _OBJECT_ID + value.binary, True
    if isinstance(value, datetime) and value.tzinfo is None:
        return _DATE + struct.pack(">Q", (value - _EPOCH) // _MILLISECOND + _SIGN), True
    return _OTHER, False


def candidates_in(document: Mapping[str, Any], field: str) -> list[Any]:
    """Return the values that a (dotted) field names in a document, several where lists are on the way, None if missing.

    mongomock says which; where nothing but documents is on the way it need not be asked.
    """
    found: Any = document
    for name in field.split("."):
        if not isinstance(found, dict):
            break
        if name not in found:
            return [None]
        found = found[name]
    else:
        return [found]
    # Only here, because whoever reads need not wait for its import.
    from mongomock.filtering import NOTHING, iter_key_candidates

    return [None if one is NOTHING else one for one in iter_key_candidates(field, document)]


def document_keys(document: Mapping[str, Any], field: str) -> frozenset[bytes]:
    """Return the index rows of a document for one (dotted) field: one per value that a query can match.

    A field that is missing is indexed like null, an array under its elements and as an array.
    """
    if "." not in field:
        candidates: Iterable[Any] = (document.get(field),)
        sortable = True
    else:
        candidates = candidates_in(document, field)
        sortable = len(candidates) <= 1
        candidates = candidates or (None,)
    keys: set[bytes] = set()
    for candidate in candidates:
        if isinstance(candidate, (list, tuple)):
            sortable = False
            keys.add(_ARRAY)
            keys.update(encode(element)[0] for element in candidate)
        else:
            key, exact = encode(candidate)
            sortable = sortable and exact
            keys.add(key)
    if not sortable:
        keys.add(UNSORTABLE)
    return frozenset(keys)


def sort_key(value: Any) -> bytes | None:
    """Return the key by which a document with this value of the sort field sorts, None if keys cannot tell."""
    if isinstance(value, (list, tuple)):
        if not value:
            # mongomock, like the server, sorts an empty array before everything.
            return b""
        value = value[0]
    key, exact = encode(value)
    return key if exact else None


def search_keys(value: Any) -> frozenset[bytes] | None:
    """Return the keys under which documents that equal ``value`` can be found, None if keys cannot tell."""
    if isinstance(value, (re.Pattern, Regex)) or value != value:
        return None
    key, _ = encode(value)
    if key == _OTHER:
        return None
    keys = {key}
    # Python, and with it mongomock, takes True for 1 and False for 0.
    if isinstance(value, (bool, int, float)) and value in (0, 1):
        keys.update((encode(bool(value))[0], encode(int(value))[0]))
    if isinstance(value, ObjectId):
        # mongomock also finds the identifier's text in arrays.
        keys.add(encode(str(value))[0])
    return frozenset(keys)
