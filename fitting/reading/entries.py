"""Entries of the comment line of an extended-XYZ frame: names and values as text, and numbers from text.

ASE's `key_val_str_to_dict` refuses a whole file for an entry ``stress`` of six numbers, and the later of two entries
of one name takes the place of the first without a word; both matter here.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

_QUOTES = "\"'"
_BRACKETS = {"{": "}", "[": "]"}
_TRUE = frozenset({"t", "true", ".true.", "1"})
_FALSE = frozenset({"f", "false", ".false.", "0"})
_LARGEST_WHOLE = 2**53
_BLANKS = re.compile(r"\s*")
_PLAIN_NAME = re.compile(r"[^\s\"'{\[=]+")
_PLAIN_VALUE = re.compile(r"[^\s\"'{\[]+")
_PLAIN_QUOTED = re.compile(r"[^\"'\\]+")
_SEPARATORS = re.compile(r"[\s,]+")
_FORTRAN_EXPONENT = re.compile(r"(?<=[\d.])[dD](?=[+-]?\d)")


def split_entries(comment: str) -> list[tuple[str, str]]:
    """Return names and values of a comment line; a name alone has the value ``T``.

    Raises
    ------
    ValueError
        If a quote or bracket is not closed.
    """
    entries: list[tuple[str, str]] = []
    place = 0
    while True:
        place = _skip_blanks(comment, place)
        if place == len(comment):
            return entries
        key, place = _read_word(comment, place, stop_at_equals=True)
        after = _skip_blanks(comment, place)
        if after < len(comment) and comment[after] == "=":
            value, place = _read_word(comment, _skip_blanks(comment, after + 1), stop_at_equals=False)
        else:
            value = "T"
        if key:
            entries.append((key, value))


def _skip_blanks(text: str, place: int) -> int:
    match = _BLANKS.match(text, place)
    return match.end() if match else place


def _read_word(text: str, place: int, *, stop_at_equals: bool) -> tuple[str, int]:
    """Return one word, which quotes or brackets may hold together, and the place after it."""
    parts: list[str] = []
    while place < len(text) and not text[place].isspace() and not (stop_at_equals and text[place] == "="):
        character = text[place]
        plain = (_PLAIN_NAME if stop_at_equals else _PLAIN_VALUE).match(text, place)
        if plain:
            part, place = plain[0], plain.end()
        elif character in _QUOTES:
            part, place = _read_quoted(text, place)
        elif character in _BRACKETS and not parts:
            part, place = _read_bracketed(text, place)
        else:
            part, place = character, place + 1
        parts.append(part)
    return "".join(parts), place


def _read_quoted(text: str, place: int) -> tuple[str, int]:
    quote, parts = text[place], list[str]()
    place += 1
    while place < len(text) and text[place] != quote:
        plain = _PLAIN_QUOTED.match(text, place)
        if plain:
            parts.append(plain[0])
            place = plain.end()
            continue
        if text[place] == "\\" and place + 1 < len(text):
            place += 1
        parts.append(text[place])
        place += 1
    if place == len(text):
        raise ValueError(f"a quote {quote} is not closed")
    return "".join(parts), place + 1


def _read_bracketed(text: str, place: int) -> tuple[str, int]:
    """Return what stands in brackets; square ones, which may hold others, are kept as JSON is written with them."""
    opening, closing, start, depth = text[place], _BRACKETS[text[place]], place, 0
    for end in range(place, len(text)):
        depth += (text[end] == opening) - (text[end] == closing)
        if depth == 0:
            inside = text[start : end + 1]
            return (inside if opening == "[" else inside[1:-1]), end + 1
    raise ValueError(f"a bracket {opening} is not closed")


def numbers_of(text: str) -> np.ndarray | None:
    """Return the numbers that a value holds, in the shape that JSON gives them or in a row; None if it holds others."""
    bare = text.strip().removeprefix("_JSON").strip()
    if bare.startswith("["):
        try:
            return _as_reals(json.loads(bare))
        except ValueError:
            bare = bare.translate({ord(bracket): " " for bracket in "[]"})
    words = [word for word in _SEPARATORS.split(bare) if word]
    try:
        return np.array([real(word) for word in words], dtype=np.float64) if words else None
    except ValueError:
        return None


def _as_reals(values: Any) -> np.ndarray | None:
    array = np.array(values)
    return array.astype(np.float64) if array.dtype.kind in "if" else None


def real(text: str) -> float:
    """Return a real number, Fortran's exponent ``1.0D-3`` too.

    Raises
    ------
    ValueError
        If it is none.
    """
    if "_" in text:
        raise ValueError(f"{text!r} is not a number")
    try:
        return float(text)
    except ValueError:
        return float(_FORTRAN_EXPONENT.sub("e", text))


def whole(text: str) -> int:
    """Return a whole number, also where it is written as a real one.

    Raises
    ------
    ValueError
        If it is none.
    """
    value = real(text)
    if not value.is_integer() or abs(value) > _LARGEST_WHOLE:
        raise ValueError(f"{text!r} is not a whole number, or too large")
    return int(value)


def truth(word: str) -> bool:
    """Return a truth value as extended XYZ writes it.

    Raises
    ------
    ValueError
        If it is none.
    """
    lowered = word.lower()
    if lowered in _TRUE or lowered in _FALSE:
        return lowered in _TRUE
    raise ValueError(f"{word!r} is neither T nor F")
