"""LAMMPS input files that name our pair style: what of them LAMMPS reads as it is, and where our evaluator joins.

A deck says ``pair_style ionloop`` and ``pair_coeff * * MODEL Li P S`` (with ``hybrid/overlay`` also among others). For
an evaluation by ``fix external`` the style is replaced by one that computes nothing, and the file is cut after its
``pair_coeff``, where the fix begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ...core.errors import InputError

STYLE: Final = "ionloop"
SUFFIX: Final = ".ion"
"""Of potentials that the plug-in reads."""
PLACEHOLDER: Final = "zero"
"""LAMMPS's pair style without forces, which makes ghost atoms and neighbour lists for others."""
REACH_A: Final = 6.0
_OVERLAY: Final = "hybrid/overlay"
_QUOTES = ("'", '"')


@dataclass(frozen=True)
class Coefficients:
    """What a ``pair_coeff`` of our style says.

    Attributes
    ----------
    model
        The model's path as it stands in the deck.
    elements
        Of the types of atoms, in order, as they stand there.
    line
        Number of its line.
    """

    model: str
    elements: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Part:
    """Some lines of a deck, and the coefficients of our style that stand at their end, if any."""

    text: str
    coefficients: Coefficients | None


def parts_of(text: str, name: str) -> list[Part]:
    """Return a deck in parts, each up to a ``pair_coeff`` of our style, and the rest.

    Parameters
    ----------
    name
        Of the deck, for messages.

    Raises
    ------
    InputError
        If the deck never names our style, or a line of it makes no sense.
    """
    parts: list[Part] = []
    kept: list[str] = []
    overlay = None
    for number, raw, words in _commands(text):
        where = f"{name}, line {number}"
        if words[:1] == ["pair_style"]:
            overlay = _overlay(words, where)
            kept.append(raw if overlay is None else _without_style(words, overlay))
        elif overlay is not None and words[:1] == ["pair_coeff"] and (not overlay or words[3:4] == [STYLE]):
            kept.append("pair_coeff * * zero" if overlay else "pair_coeff * *")
            parts.append(Part("\n".join(kept) + "\n", _coefficients(words, overlay, number, where)))
            kept = []
        else:
            kept.append(raw)
    if not parts:
        raise InputError(
            f"{name} has no `pair_style ionloop` with a `pair_coeff * * MODEL ELEMENTS` after it: without, nothing of "
            "ionloop takes part. Both stand in the file itself, not in one that it includes"
        )
    return [*parts, Part("\n".join(kept) + "\n", None)]


def _overlay(words: list[str], where: str) -> bool | None:
    """Return whether our style is one of several, None where it takes no part."""
    if STYLE not in words[1:]:
        return None
    if words[1] == STYLE:
        if len(words) > 2:
            raise InputError(f"{where}: pair_style ionloop takes no arguments, and has {' '.join(words[2:])}")
        return False
    if words[1] != _OVERLAY:
        raise InputError(
            f"{where}: ionloop takes part in pair_style hybrid/overlay, not in {words[1]}: all atoms are its neighbours"
        )
    if words.count(STYLE) > 1:
        raise InputError(f"{where}: pair_style names ionloop twice; one model evaluates all atoms")
    return True


def _without_style(words: list[str], overlay: bool) -> str:
    if not overlay:
        return f"pair_style {PLACEHOLDER} {REACH_A:g}"
    others = [f"{PLACEHOLDER} {REACH_A:g}" if word == STYLE else word for word in words]
    return " ".join(others)


def _coefficients(words: list[str], overlay: bool, number: int, where: str) -> Coefficients:
    if words[1:3] != ["*", "*"]:
        raise InputError(f"{where}: ionloop needs `pair_coeff * *`: one line for all types of atoms")
    rest = words[4:] if overlay else words[3:]
    if len(rest) < 2:
        raise InputError(f"{where}: give the model and the element of every type, as in `pair_coeff * * MODEL Li P S`")
    return Coefficients(rest[0], tuple(rest[1:]), number)


def _commands(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """Yield the number of each command's first line, the command as it stands there, and its words."""
    lines = text.splitlines()
    place = 0
    while place < len(lines):
        first = place
        # A line that ends in & goes on; a text in three quotes ends where they come again.
        while place < len(lines) - 1 and (
            lines[place].rstrip().endswith("&") or "\n".join(lines[first : place + 1]).count('"""') % 2
        ):
            place += 1
        raw = "\n".join(lines[first : place + 1])
        place += 1
        joined = " ".join(line.rstrip().removesuffix("&") for line in raw.split("\n"))
        yield first + 1, raw, _words(joined)


def _words(line: str) -> list[str]:
    """Return the words of a command without its comment; quotes hold words together."""
    words: list[str] = []
    word, quote, in_word = "", "", False
    for letter in line:
        if quote:
            if letter == quote:
                quote = ""
            else:
                word += letter
        elif letter in _QUOTES:
            quote, in_word = letter, True
        elif letter == "#":
            break
        elif letter.isspace():
            if in_word:
                words.append(word)
            word, in_word = "", False
        else:
            word, in_word = word + letter, True
    return [*words, word] if in_word else words
