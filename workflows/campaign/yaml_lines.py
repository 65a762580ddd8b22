"""YAML text of a campaign file -> plain data with the line of every key; nothing in it can run or explode.

Values follow the core schema of YAML 1.2.2 (https://yaml.org/spec/1.2.2/#103-core-schema) in its decimal part:
``no`` and ``on`` are words, ``1e-3`` is a number. What a campaign file has no use for is refused: aliases and
anchors (YAML bombs), tags (``!!python/object``), several documents, numbers that are not finite.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from .problems import Key, Problem

MAX_DEPTH = 12
MAX_NUMBER = 1e12
MAX_NUMBER_LENGTH = 40

_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass
class YamlDocument:
    """What was read: plain data (None for an empty document), lines counted from 1, and what was refused."""

    data: Any = None
    lines: dict[Key, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


class _UnreadableError(Exception):
    """Reading cannot go on behind this problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def parse_yaml(text: str) -> YamlDocument:
    """Read one YAML document; every problem is in ``problems``, nothing is raised."""
    document = YamlDocument()
    try:
        _Composer(text, document).compose()
    except _UnreadableError as error:
        document.problems.append(error.problem)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"not valid YAML: {error.problem or error.context}"
        line = mark.line + 1 if mark else None
        if mark and (stray := _stray_blank(text.split("\n")[: mark.line + 1])):
            line, message = stray
        document.problems.append(Problem((), message, line=line))
    except (YAMLError, ValueError, OverflowError, IndexError, AttributeError, TypeError) as error:
        # ruamel.yaml lets some malformed escapes, directives and control characters through as plain errors.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        document.problems.append(Problem((), f"not valid YAML: {reason}"))
    return document


class _Composer:
    """Turns the parser's events into plain data, keeping line numbers and collecting problems."""

    def __init__(self, text: str, document: YamlDocument) -> None:
        self.events: Iterator[Event] = iter(YAML(typ="safe", pure=True).parse(text))
        self.document = document

    def compose(self) -> None:
        for event in self.events:
            if isinstance(event, ScalarEvent | MappingStartEvent | SequenceStartEvent | AliasEvent):
                self.document.data = self.node(event, ())
                break
        for event in self.events:
            if isinstance(event, DocumentStartEvent):
                raise _UnreadableError(
                    Problem((), "a second document starts here; one file, one campaign", line=_line(event))
                )

    def node(self, event: Event, key: Key) -> Any:
        if len(key) > MAX_DEPTH:
            raise _UnreadableError(Problem(key[:3], "nested too deeply for a campaign file", line=_line(event)))
        if isinstance(event, AliasEvent):
            self.refuse(key, event, "YAML aliases (*name) are not allowed: write the value out")
            return None
        if getattr(event, "anchor", None):
            self.refuse(key, event, "YAML anchors (&name) are not allowed: write the value out")
        if isinstance(event, ScalarEvent):
            return self.scalar(event, key)
        if _explicit_tag(event):
            self.refuse(key, event, f"YAML tags ({_explicit_tag(event)}) are not allowed")
        if isinstance(event, SequenceStartEvent):
            return self.sequence(key)
        return self.mapping(key)

    def sequence(self, key: Key) -> list[Any]:
        items: list[Any] = []
        for event in self.events:
            if isinstance(event, SequenceEndEvent):
                break
            item = (*key, len(items))
            self.document.lines[item] = _line(event)
            items.append(self.node(event, item))
        return items

    def mapping(self, key: Key) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        for event in self.events:
            if isinstance(event, MappingEndEvent):
                break
            if not isinstance(event, ScalarEvent):
                raise _UnreadableError(Problem(key, "a key must be a plain word", line=_line(event)))
            name = event.value
            entry = (*key, name)
            if _not_encodable(name):
                raise _UnreadableError(Problem(key, "a key holds half a surrogate pair", line=_line(event)))
            if name != name.strip() and event.style in (None, ""):
                raise _UnreadableError(Problem((*key, name.strip()), _false_blank(name), line=_line(event)))
            duplicate = name in entries
            if duplicate:
                first = self.document.lines[entry]
                self.refuse(entry, event, f"given twice (first on line {first}): keep one of them")
            else:
                self.document.lines[entry] = _line(event)
            value = self.node(next(self.events), entry)
            if not duplicate:
                entries[name] = value
        return entries

    def scalar(self, event: ScalarEvent, key: Key) -> Any:
        text = event.value
        if _explicit_tag(event):
            self.refuse(key, event, f"YAML tags ({_explicit_tag(event)}) are not allowed")
            return None
        if _not_encodable(text):
            self.refuse(key, event, "holds half a surrogate pair, which is not text")
            return None
        if event.style is not None and event.style != "":
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _NOT_FINITE.fullmatch(text):
            self.refuse(key, event, "must be a finite number", value=text)
            return None
        if _FLOAT.fullmatch(text):
            return self.number(event, key)
        if text != text.strip():
            self.refuse(key, event, _false_blank(text), value=text)
            return None
        return text

    def number(self, event: ScalarEvent, key: Key) -> int | float | None:
        text = event.value
        if len(text) > MAX_NUMBER_LENGTH:
            self.refuse(key, event, f"a number of {len(text)} characters; at most {MAX_NUMBER_LENGTH} make sense")
            return None
        value = float(text)
        if not math.isfinite(value) or abs(value) > MAX_NUMBER:
            self.refuse(key, event, f"is too large: no number in a campaign file exceeds {MAX_NUMBER:g}", value=text)
            return None
        return int(text) if _INTEGER.fullmatch(text) else value

    def refuse(self, key: Key, event: Event, message: str, **details: Any) -> None:
        self.document.problems.append(Problem(key, message, line=_line(event), **details))


def _line(event: Event) -> int:
    return event.start_mark.line + 1


def _explicit_tag(event: Event) -> str | None:
    tag = getattr(event, "tag", None)
    return str(tag) if tag not in (None, "", "!") else None


def _not_encodable(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _false_blank(text: str) -> str:
    """Return what is wrong with a plain text that begins or ends with a blank that YAML takes for a letter."""
    character = next(one for one in (text[0], text[-1]) if one.isspace())
    name = unicodedata.name(character, "a control character").lower()
    return f"begins or ends with an invisible character (U+{ord(character):04X}, {name}): delete it and type a blank"


def _stray_blank(lines: list[str]) -> tuple[int, str] | None:
    """Return the last of these lines that holds nothing but blanks of which YAML takes one for a letter."""
    for number, line in reversed(list(enumerate(lines, start=1))):
        text = line.strip(" \t\r")
        if text and not text.strip():
            return number, _false_blank(text)
    return None
