"""How a kind looks in figures and tables, wherever it is shown: its name, its colour, its symbol."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

SPARE_COLOURS = ("#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f5539", "#6a4c93")
"""Of kinds that bring none; with those of ionloop's own kinds they can be told apart by the colour-blind
(M. Okabe, K. Ito, Color Universal Design, 2008)."""
SPARE_SYMBOLS = ("triangle-up", "cross", "star", "pentagon", "hexagram", "x")


@dataclass(frozen=True)
class Look:
    """How something looks in figures.

    Attributes
    ----------
    label
        What a person calls it: "ES-GAP".
    colour
        As #rrggbb.
    symbol
        Name of a plotly symbol.
    """

    label: str
    colour: str
    symbol: str


def spare_look(name: str, label: str = "") -> Look:
    """Return a look for a kind that brings none: the same for the same name, in every process."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    # By one remainder colour and symbol would go together, and names that share one could not be told apart.
    number, place = divmod(number, len(SPARE_COLOURS))
    colour, symbol = SPARE_COLOURS[place], SPARE_SYMBOLS[number % len(SPARE_SYMBOLS)]
    return Look(label or name, colour, symbol)
