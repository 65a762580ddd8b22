"""Identifiers derived from content, so that running a task twice names the same record.

An identifier is a short prefix that tells a reader what it names, and the first twenty hexadecimal digits
(80 bits) of a SHA-256 over the canonical JSON of what it was derived from.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

_DIGITS = 20


def digest(*parts: Any) -> str:
    """Return the SHA-256 of the canonical JSON of ``parts`` (numbers, strings, lists, dictionaries)."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def identifier(prefix: str, *parts: Any) -> str:
    """Return ``prefix-<20 hexadecimal digits>`` for what ``parts`` describe."""
    return f"{prefix}-{digest(*parts)[:_DIGITS]}"


def derive_seed(seed: int, *labels: str | int) -> int:
    """Return an independent 32-bit seed for the named purpose (so that jobs share no random stream)."""
    return int(digest(seed, *labels)[:8], 16)
