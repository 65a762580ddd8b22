"""Identifiers derived from content, so that running a task twice names the same record.

An identifier is a short prefix that tells a reader what it names, and the first twenty hexadecimal digits
(80 bits) of a SHA-256 over the canonical JSON of what it was derived from.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from ase import Atoms

POSITION_DECIMALS = 8
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


def configuration_hash(atoms: Atoms) -> str:
    """Return the content hash of a structure: species, periodicity, cell and wrapped positions.

    Positions are wrapped into the cell along periodic axes and rounded to 1e-8 Å, so that neither a
    lattice translation of one atom nor a round trip through a file changes the hash.
    """
    positions = atoms.get_positions(wrap=bool(atoms.pbc.any()), eps=10.0**-POSITION_DECIMALS)
    # Adding zero turns -0.0 into 0.0, which would otherwise hash differently.
    content = [
        np.round(np.asarray(values, dtype=float), POSITION_DECIMALS) + 0.0
        for values in (atoms.numbers, atoms.pbc, atoms.cell.array, positions)
    ]
    hasher = hashlib.sha256()
    for values in content:
        hasher.update(values.tobytes())
    return hasher.hexdigest()
