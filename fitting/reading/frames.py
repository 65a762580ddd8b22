"""Frames of an extended-XYZ file with the lines they stand in: every line belongs to one, or is told.

ASE's reader ends at the first blank line, passes over further columns, and takes no notice of ``lattice=`` and
``properties=`` in small letters; a file of labels that was read so has fewer frames, no forces or no cell.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from ...core.errors import InputError
from .entries import numbers_of, real, split_entries, truth, whole
from .findings import Findings

_PLAIN_COLUMNS = "species:S:1:pos:R:3"
_SYMBOLS = frozenset({"species", "symbol", "symbols", "element", "elements"})
_NUMBERS = frozenset({"z", "numbers", "atomic_number", "atomic_numbers"})
_POSITIONS = frozenset({"pos", "position", "positions", "coord", "coords", "coordinates"})
_CONVERTERS: Mapping[str, Callable[[str], Any]] = {"R": real, "I": whole, "L": truth, "S": str}
_DTYPES = {"R": np.float64, "I": np.int64, "L": np.bool_, "S": np.str_}
_LARGEST_ATOMIC_NUMBER = 118
_SAME_POSITION_A = 1e-6
_OTHER_NAMES_OF_CELLS = frozenset({"cell", "box", "unit_cell", "unitcell", "cellpar"})


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame: structure as written (no units applied), entries of its comment line and further columns.

    Attributes
    ----------
    number
        From 0, as ASE counts.
    line
        Of the number of atoms, from 1.
    entries
        Values as text by their name as written.
    columns
        Arrays of shape [n_atoms, width] by their name as written.
    """

    number: int
    line: int
    atoms: Atoms
    entries: Mapping[str, str]
    columns: Mapping[str, np.ndarray]


@dataclass
class _Lines:
    """Lines of a file with their numbers."""

    path: Path
    lines: Iterator[str]
    number: int = 0
    ended: bool = True
    """Whether the last line had an end."""

    def next(self) -> str | None:
        """Return the next line, None at the end.

        Raises
        ------
        InputError
            If the file cannot be read on.
        """
        try:
            line = next(self.lines, None)
        except UnicodeDecodeError as error:
            raise InputError(f"{self.path} is not a text file: a byte after line {self.number} is not UTF-8") from error
        except EOFError as error:
            raise InputError(f"{self.path} is cut short: the compressed data end after line {self.number}") from error
        except (OSError, ValueError, LZMAError) as error:
            raise InputError(f"{self.path} cannot be read after line {self.number}: {error}") from error
        if line is None:
            return None
        self.number += 1
        self.ended = line.endswith("\n")
        if "\0" in line:
            raise InputError(f"{self.path} is not a text file: line {self.number} has a null byte")
        return line.rstrip("\r\n")


@dataclass(frozen=True)
class FrameFile:
    """All frames of a file.

    Attributes
    ----------
    ended
        Whether the last line has an end; where it has none, its last number may be cut.
    """

    path: Path
    frames: tuple[Frame, ...]
    ended: bool


@dataclass(frozen=True)
class _Raw:
    """The words of one frame, and why its comment line cannot be read, if it cannot."""

    number: int
    line: int
    entries: Sequence[tuple[str, str]]
    objection: str
    rows: Sequence[Sequence[str]]


class _Problem(Exception):
    """Why one frame cannot be used."""


def read_frames(path: Path) -> FrameFile:
    """Read every frame of a plain or compressed file.

    Raises
    ------
    InputError
        If the file cannot be read, has text between frames or frames that are cut short, or if frames are not
        usable; every kind of fault is named with its frames.
    """
    problems = Findings()
    frames = []
    ended = True
    for raw, has_end in _raw_frames(path):
        ended = has_end
        try:
            frames.append(_parse(raw))
        except _Problem as problem:
            problems.add(str(problem), raw)
    if problems:
        raise InputError(f"{path} cannot be read:\n  " + "\n  ".join(problems.lines()))
    return FrameFile(path, tuple(frames), ended)


def _raw_frames(path: Path) -> Iterator[tuple[_Raw, bool]]:
    """Yield the lines of every frame, and whether the last of them has an end."""

    from ase.io.formats import open_with_compression

    if path.is_dir():
        raise InputError(f"{path} is a folder; name an extended-XYZ file")
    try:
        stream = open_with_compression(str(path), "rb")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    with stream:
        lines = _Lines(path, _decoded(stream))
        number = 0
        while (line := lines.next()) is not None:
            if not line.strip():
                continue
            yield _raw_frame(lines, line, number), lines.ended
            number += 1


def _decoded(stream: Iterable[bytes]) -> Iterator[str]:
    for index, line in enumerate(stream):
        text = line.decode("utf-8-sig" if index == 0 else "utf-8")
        # Old Macintosh files end lines with a carriage return alone.
        yield from text.replace("\r\n", "\n").replace("\r", "\n").splitlines(keepends=True) if "\r" in text else (text,)


def _raw_frame(lines: _Lines, count: str, number: int) -> _Raw:
    start = lines.number
    n_atoms = _count_of(lines, count, number)
    comment = lines.next()
    if comment is None:
        raise InputError(f"{lines.path} is cut short: frame {number} ends after its first line ({start})")
    try:
        entries, objection = split_entries(comment), ""
    except ValueError as error:
        entries, objection = [], f"{error} in the comment line"
    width = _declared_width(entries)
    rows = []
    for row in range(n_atoms):
        line = lines.next()
        if line is None:
            raise InputError(
                f"{lines.path} is cut short: frame {number} (line {start}) has {row} of its {n_atoms} atoms; remove "
                "the frame or write it again"
            )
        words = line.split()
        if words and width is None:
            width = len(words)
        if len(words) != width:
            raise InputError(_wrong_width(lines, words, width, (number, start, row, n_atoms)))
        rows.append(words)
    return _Raw(number, start, entries, objection, rows)


def _count_of(lines: _Lines, text: str, number: int) -> int:
    try:
        count = int(text)
    except ValueError:
        count = -1
    if count >= 0:
        return count
    shown = text if len(text) <= 60 else text[:59] + "…"
    before = (
        f"after frame {number - 1}: is its number of atoms right, or is this text between frames?"
        if number
        else "; is this an extended-XYZ file?"
    )
    raise InputError(
        f"{lines.path} is not a readable extended-XYZ file: line {lines.number} should hold the number of atoms of "
        f"frame {number}, but has {shown!r} {before}"
    )


def _declared_width(entries: Sequence[tuple[str, str]]) -> int | None:
    """Return the number of columns that ``Properties`` declares, None where it does not say."""
    try:
        declared = [value for key, value in entries if key.lower() == "properties"]
        return sum(int(width) for width in declared[0].split(":")[2::3]) if declared else None
    except ValueError:
        return None  # told when the frame is parsed


def _wrong_width(lines: _Lines, words: Sequence[str], width: int | None, place: tuple[int, int, int, int]) -> str:
    number, start, row, n_atoms = place
    found = f"line {lines.number}, atom {row + 1} of {n_atoms} in frame {number} (line {start}), "
    if not words:
        return f"{lines.path}: {found}is blank: is the number of atoms right?"
    hint = (
        "is the number of atoms right, or is the line cut short?"
        if len(words) < (width or 0)
        else ("write Properties=species:S:1:pos:R:3:... for all columns")
    )
    return f"{lines.path}: {found}has {len(words)} columns where {width or 'some'} are declared (Properties): {hint}"


def _parse(raw: _Raw) -> Frame:
    entries = _entries(raw)
    declared = entries.pop("properties", None)
    columns = _columns(raw, declared if declared is not None else _PLAIN_COLUMNS)
    numbers, positions = _numbers(columns), _positions(columns)
    lattice, pbc = entries.pop("lattice", None), entries.pop("pbc", None)
    if lattice is None:
        _check_other_cells(entries)
    cell = _cell(lattice)
    atoms = Atoms(numbers, positions=positions, cell=cell, pbc=_periodic(pbc, lattice is not None))
    if np.linalg.matrix_rank(cell[atoms.pbc]) < atoms.pbc.sum():
        raise _Problem('Lattice has no volume, or none in a periodic direction; write the cell, or pbc="F F F"')
    return Frame(raw.number, raw.line, atoms, entries, columns)


_STRUCTURAL = frozenset({"properties", "lattice", "pbc"})


def _entries(raw: _Raw) -> dict[str, str]:
    """Return the entries by name; those of the structure under small letters."""
    if raw.objection:
        raise _Problem(raw.objection)
    entries: dict[str, str] = {}
    for key, value in raw.entries:
        name = key.lower() if key.lower() in _STRUCTURAL else key
        if entries.setdefault(name, value) != value:
            raise _Problem(f"the comment line has two entries {key} that contradict each other; remove one")
    return entries


def _columns(raw: _Raw, declared: str) -> dict[str, np.ndarray]:
    words = declared.strip().split(":")
    if len(words) % 3 or not all(words[1::3]):
        raise _Problem(f"Properties={declared} is not a list of name:type:columns")
    columns: dict[str, np.ndarray] = {}
    start = 0
    for name, kind, width in zip(words[::3], words[1::3], words[2::3], strict=True):
        if kind.upper() not in _CONVERTERS or not width.isdecimal() or int(width) == 0:
            raise _Problem(f"Properties has {name}:{kind}:{width}; a type is R, I, S or L, a number of columns a count")
        end = start + int(width)
        found = _converted([row[start:end] for row in raw.rows], kind.upper(), (name, int(width)), raw.line)
        start = end
        known = columns.setdefault(name, found)
        if known is not found and not np.array_equal(known, found):
            raise _Problem(f"Properties has two columns {name} that contradict each other; name one of them otherwise")
    if raw.rows and len(raw.rows[0]) != start:
        raise _Problem(
            f"atoms have {len(raw.rows[0])} columns, but only {start} are declared; write Properties=species:S:1:"
            "pos:R:3:... for all columns"
        )
    return columns


def _converted(rows: Sequence[Sequence[str]], kind: str, column: tuple[str, int], line: int) -> np.ndarray:
    name, width = column
    words = [word for row in rows for word in row]
    try:
        if kind == "R" and "_" not in "".join(words):
            values: list[Any] = list(map(float, words))
        else:
            values = [_CONVERTERS[kind](word) for word in words]
    except (ValueError, OverflowError):
        for index, row in enumerate(rows):
            for word in row:
                _check_word(word, kind, name, line + 2 + index)
        values = [_CONVERTERS[kind](word) for word in words]
    return np.array(values, dtype=_DTYPES[kind]).reshape(len(rows), width)


def _check_word(word: str, kind: str, name: str, line: int) -> None:
    try:
        _CONVERTERS[kind](word)
    except (ValueError, OverflowError):
        expected = {"R": "a number", "I": "a whole number", "L": "T or F"}[kind]
        raise _Problem(f"line {line} has {word!r} in column {name}, which must be {expected}") from None


def _numbers(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Return the atomic numbers; columns of symbols and of numbers are taken out and must agree."""
    found: dict[str, np.ndarray] = {}
    for name in [name for name in columns if name.lower() in _SYMBOLS | _NUMBERS]:
        column = columns.pop(name)
        if column.shape[1] == 1:
            found[name] = np.array([_atomic_number(str(word)) for word in column[:, 0]], dtype=np.int64)
    if not found:
        raise _Problem("Properties names no column of elements (species:S:1)")
    first, *others = found.items()
    for name, numbers in others:
        if not np.array_equal(numbers, first[1]):
            raise _Problem(f"the columns {first[0]} and {name} name different elements; remove one")
    return first[1]


def _atomic_number(word: str) -> int:
    bare = word.removesuffix(".0")
    number = int(bare) if bare.isdecimal() else atomic_numbers.get(word.capitalize(), 0)
    if not 0 < number <= _LARGEST_ATOMIC_NUMBER:
        raise _Problem(f"{word!r} is not a chemical symbol")
    return number


def _positions(columns: dict[str, np.ndarray]) -> np.ndarray:
    found = {name: columns.pop(name) for name in list(columns) if name.lower() in _POSITIONS}
    usable = {name: one for name, one in found.items() if one.shape[1] == 3 and one.dtype.kind in "fi"}
    if not usable:
        raise _Problem("Properties names no column of positions (pos:R:3)")
    first, *others = usable.items()
    for name, positions in others:
        if not np.allclose(positions, first[1], atol=_SAME_POSITION_A, rtol=0, equal_nan=True):
            raise _Problem(f"the columns {first[0]} and {name} hold different positions; remove one")
    return first[1].astype(np.float64)


def _cell(lattice: str | None) -> np.ndarray:
    if lattice is None:
        return np.zeros((3, 3))
    numbers = numbers_of(lattice)
    if numbers is None or numbers.size != 9:
        size = "no" if numbers is None else numbers.size
        raise _Problem(f'Lattice has {size} numbers; needed are nine, "ax ay az bx by bz cx cy cz"')
    if not np.isfinite(numbers).all():
        raise _Problem("Lattice has numbers that are not finite")
    return numbers.reshape(3, 3)


def _periodic(text: str | None, has_cell: bool) -> list[bool]:
    if text is None:
        return [has_cell] * 3
    try:
        words = [truth(word) for word in text.strip("[] ").replace(",", " ").split()]
    except ValueError:
        words = []
    if len(words) not in (1, 3):
        raise _Problem(f'pbc="{text}" is not one or three of T and F')
    if any(words) and not has_cell:
        raise _Problem("pbc says that the frame is periodic, but it has no Lattice")
    return words * (3 // len(words))


def _check_other_cells(entries: Mapping[str, str]) -> None:
    """Refuse a cell under another name: without one the atoms would be a cluster in open space."""
    for key, value in entries.items():
        numbers = numbers_of(value)
        near = difflib.get_close_matches(key.lower(), ["lattice"], cutoff=0.75)
        if (near or key.lower() in _OTHER_NAMES_OF_CELLS) and numbers is not None and numbers.size in (3, 6, 9):
            raise _Problem(f'the cell is named {key}; extended XYZ names it Lattice="ax ay az bx by bz cx cy cz"')
