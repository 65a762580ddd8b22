"""Names for groups of elements, as filters use them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ase.data import chemical_symbols

from ...core.errors import InputError


def _symbols(*ranges: tuple[int, int]) -> tuple[str, ...]:
    return tuple(chemical_symbols[number] for first, last in ranges for number in range(first, last + 1))


ELEMENT_GROUPS: dict[str, tuple[str, ...]] = {
    "transition-metals": _symbols((21, 29), (39, 47), (72, 79)),
    "lanthanides": _symbols((57, 71)),
    "actinides": _symbols((89, 103)),
    "noble-gases": ("He", "Ne", "Ar", "Kr", "Xe", "Rn", "Og"),
}
"""Groups 3 to 11 are transition metals as IUPAC's Red Book (2005, IR-3.6.2) has them, as far as they live: Zn, Cd and
Hg are none. La and Ac are with the lanthanides and actinides."""
ELEMENTS = frozenset(chemical_symbols[1:])


def elements_of(names: Iterable[str]) -> tuple[str, ...]:
    """Return the elements that symbols and names of groups stand for, each once, in their order.

    Raises
    ------
    InputError
        For a name that is neither, with what was probably meant.
    """
    found: dict[str, None] = {}
    for name in names:
        if name in ELEMENTS:
            found[name] = None
        elif name in ELEMENT_GROUPS:
            found.update(dict.fromkeys(ELEMENT_GROUPS[name]))
        else:
            raise InputError(_unknown(name))
    return tuple(found)


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name.lower(), ELEMENT_GROUPS, n=1, cutoff=0.6)
    proper = name.capitalize() if name.capitalize() in ELEMENTS else ""
    meant = f"; did you mean {proper or close[0]}?" if proper or close else ""
    return f"{name!r} is neither an element nor one of the groups {', '.join(ELEMENT_GROUPS)}{meant}"
