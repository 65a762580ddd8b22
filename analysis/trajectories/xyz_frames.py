"""XYZ files of every kind: extended (ASE, GPUMD, OVITO, LAMMPS), CP2K, i-PI, LAMMPS ``dump xyz``, plain.

They differ by the comment line, which says cell, time and step, or nothing; what it does not say must be given.
Extended XYZ: https://github.com/libAtoms/extxyz; i-PI: https://docs.ipi-code.org; times are told in `.frame_times`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols
from ase.geometry import cellpar_to_cell
from ase.units import Bohr

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError
from ...fitting.reading.label_units import declared_length_A
from .frame_times import FrameTime, frame_time
from .frames import Lines, RawFrame, TornFrame, TrajectoryReadError, checked_symbols, numbers, shown, wrong_line
from .lammps_dump import of_types

# Keys may bear a unit in brackets.
_PAIR = re.compile(
    r"""([A-Za-z_][\w-]*(?:\s?[\[(]\w+[\])])?)\s*=\s*("[^"]*"|'[^']*'|\[(?:[^][]|\[[^][]*\])*\]|\{[^}]*\}|[^\s,]+)"""
)
_IPI_CELL = re.compile(r"CELL\(abcABC\):((?:\s+[-+.\deE]+){6})")
_IPI_UNIT = re.compile(r"\b(\w+)\{(\w+)\}")
_IPI_POSITIONS = {"positions", "x_centroid"}
_IPI_LENGTHS_A = {"angstrom": 1.0, "atomic_unit": Bohr}


class _BadComment(Exception):
    """The comment line cannot be right; the message says why."""


class _Comment(NamedTuple):
    cell_A: FloatArray | None
    length_A: float
    when: FrameTime
    properties: str | None
    periodic: str | None


class _Columns(NamedTuple):
    width: int
    species: int
    numbers: tuple[int, ...]
    unwrapped: bool
    identifier: int | None
    atomic_numbers: bool


def read_xyz(lines: Lines, types: Sequence[str] = (), notes: list[str] | None = None) -> Iterator[RawFrame | TornFrame]:
    """Yield the frames of an XYZ file.

    Parameters
    ----------
    types
        Chemical symbols of LAMMPS types 1, 2, ..., where the file has types in place of symbols.
    notes
        What a reader of the results should know is added to it.

    Raises
    ------
    TrajectoryReadError
        If the file is none, atoms change, or a position is no finite number.
    """
    reader = _Xyz(lines, types, [] if notes is None else notes)
    number = 1
    while reader.at_count():
        yield reader.frame(number)
        number += 1
    if lines.damaged:
        yield TornFrame(number, lines.number, "its compressed data end early or are damaged")


class _Xyz:
    def __init__(self, lines: Lines, types: Sequence[str], notes: list[str]) -> None:
        self.lines = lines
        self.types = types
        self.notes = notes
        self.name = str(lines.path)
        self.count: int | None = None
        self.known: dict[tuple[str | None, int], _Columns] = {}
        self.words: list[bytes] = []
        self.symbols: tuple[str, ...] = ()
        self.identifiers: IntArray | None = None

    def at_count(self) -> bool:
        """Go to the next line that is not empty; false at the end of the file."""
        while line := self.lines.next():
            if line.strip():
                self.lines.give_back([line])
                return True
        return False

    def frame(self, number: int) -> RawFrame | TornFrame:
        line = self.lines.number + 1
        count = self._count(number)
        if isinstance(count, TornFrame):
            return count
        comment_line = self.lines.next()
        block = self.lines.block(count)
        first = line + 2
        where = f"{self.name}: frame {number} (line {line})"
        if not comment_line.endswith(b"\n") or not block:
            return TornFrame(number, line, "the file ends before its atoms")
        try:
            comment = _comment(comment_line, where)
            columns = self._columns(comment.properties, block[0], where)
        except _BadComment as error:
            return self._torn(number, line, count, (comment_line, *block), (0, str(error)))
        table = numbers(block, columns.numbers, columns.width) if columns is not None else None
        if columns is None or table is None or len(block) < count or not block[-1].endswith(b"\n"):
            wrong = (0, "is no atom") if columns is None else wrong_line(block, columns.width, columns.numbers)
            return self._torn(number, line, count, (comment_line, *block), wrong and (wrong[0] + 1, wrong[1]))
        self.count = count
        if self._swallowed_the_next(block[-1]):
            return TornFrame(number, line, f"line {first + count - 1} is cut off")
        bad = ~np.isfinite(table).all(axis=1)
        if bad.any():
            atom = int(bad.argmax())
            raise TrajectoryReadError(
                f"{where}: atom {atom + 1} (line {first + atom}) has a position that is no finite number"
            )
        self._say_what_is_not_periodic(comment)
        words = b"".join(block).split()
        symbols = self._species(words[columns.species :: columns.width], columns, where)
        if columns.identifier is not None:
            order = self._order(words[columns.identifier :: columns.width], where)
            table, symbols = table[order], tuple(symbols[atom] for atom in order)
        if comment.length_A != 1.0:
            table *= comment.length_A
            self._say(f"{self.name}: its lengths are converted to Å (one is {comment.length_A:g} Å)")
        return RawFrame(
            symbols,
            table,
            comment.cell_A,
            comment.when.time,
            columns.unwrapped,
            comment.when.step,
            number,
            line,
            comment.when.unit_unknown,
            identified=columns.identifier is not None,
        )

    def _count(self, number: int) -> int | TornFrame:
        line = self.lines.next()
        word = line.strip()
        if not line.endswith(b"\n"):
            return TornFrame(number, self.lines.number, "the file ends before its atoms")
        if word.isdigit() and int(word) > 0 and self.count in {None, int(word)}:
            return int(word)
        if self.count is None:
            raise TrajectoryReadError(
                f"{self.name} is no XYZ file: line {self.lines.number} has {shown(line)} in place of a number of atoms"
            )
        if word.isdigit() and not word.endswith(b"%d" % self.count):
            raise TrajectoryReadError(
                f"{self.name}: frame {number} (line {self.lines.number}) has {int(word)} atoms, those before"
                f" {self.count}; only a fixed list of atoms can be followed"
            )
        torn = TornFrame(number, self.lines.number, f"line {self.lines.number} ({shown(line)}) belongs to no frame")
        self._go_on_after(line)
        return torn

    def _go_on_after(self, line: bytes) -> None:
        """Go to the next line that begins a frame, perhaps in the middle of ``line``, where another was cut off."""
        ending = b"%d" % self.count if self.count is not None else None
        while line:
            if ending is not None and line.strip().endswith(ending):
                following = self.lines.next()
                after = self.lines.next()
                self.lines.give_back([one for one in (following, after) if one])
                # Behind a number of atoms come a comment and an atom, not another number of atoms.
                if following and (not _looks_like_an_atom(following) or line.strip() == ending):
                    self.lines.give_back([ending + b"\n"])
                    return
            line = self.lines.next()

    def _torn(
        self, number: int, line: int, count: int, behind: tuple[bytes, ...], wrong: tuple[int, str] | None
    ) -> TornFrame:
        """Return the torn frame, and go to the next one; ``behind`` are the lines behind its number of atoms."""
        if wrong is None:
            return TornFrame(number, line, f"the file ends after {len(behind) - 1} of its {count} atoms")
        index, reason = wrong
        if self.count is None:
            self.count = count
        # Where another frame begins in the middle of this one, its number of atoms may end the line before.
        ending = b"%d" % self.count
        at = max(index, 1)
        self.lines.give_back(behind[at:])
        if at < len(behind) and behind[at - 1].strip().endswith(ending) and not _looks_like_an_atom(behind[at]):
            if not behind[at].strip().isdigit():
                self.lines.give_back([ending + b"\n"])
        else:
            self._go_on_after(self.lines.next())
        return TornFrame(number, line, f"line {line + 1 + index} {reason}" if index else reason)

    def _swallowed_the_next(self, last: bytes) -> bool:
        """Return whether the last line has swallowed the number of atoms of a frame that was written after a kill."""
        following = self.lines.next()
        if following:
            self.lines.give_back([following])
        ending = b"%d" % (self.count or 0)
        if not following.strip() or following.strip().isdigit() or not last.rstrip().endswith(ending):
            return False
        self.lines.give_back([ending + b"\n"])
        return True

    def _columns(self, properties: str | None, atom: bytes, where: str) -> _Columns | None:
        width = len(atom.split())
        key = (properties, 0 if properties else width)
        if key not in self.known:
            if self.known and (properties is None) != (next(iter(self.known))[0] is None):
                return None
            found = _of_properties(properties) if properties else _of_plain(width)
            if found is None:
                if self.known:
                    return None
                raise TrajectoryReadError(f"{where}: its atoms have {width} columns, not a symbol and three numbers")
            if self.known and not properties:
                return next(iter(self.known.values()))
            self.known[key] = found
        return self.known[key]

    def _species(self, words: list[bytes], columns: _Columns, where: str) -> tuple[str, ...]:
        if words == self.words:
            return self.symbols
        written = [str(word, "utf-8", "replace") for word in words]
        if columns.atomic_numbers:
            symbols = _of_atomic_numbers(written, where)
        elif all(word.isdigit() for word in written):
            if not self.types:
                raise TrajectoryReadError(
                    f"{self.name} has numbers ({', '.join(sorted(set(written))[:5])}) in place of symbols: if they are"
                    " LAMMPS types, give the symbols of the types (--lammps-types Li,P,S)"
                )
            # GPUMD's movie.xyz counts types from 0.
            symbols = of_types(words, self.types, self.name, first=0 if "0" in written else 1)
        else:
            symbols = checked_symbols(written, where, "write the element's symbol", self.notes)
            if self.types and not self.words:
                self.notes.append(f"{self.name} names its elements; the symbols given for LAMMPS types are not used")
        self.words, self.symbols = words, symbols
        return symbols

    def _order(self, words: list[bytes], where: str) -> IntArray:
        """Return the order of atoms by identifier; identifiers are the same in every frame."""
        try:
            identifiers = np.array(list(map(int, words)))
        except ValueError:
            raise TrajectoryReadError(f"{where} has identifiers that are no whole numbers") from None
        order = np.argsort(identifiers, kind="stable")
        if self.identifiers is None:
            self.identifiers = identifiers[order]
        if (np.diff(identifiers[order]) == 0).any() or not np.array_equal(identifiers[order], self.identifiers):
            raise TrajectoryReadError(
                f"{where} has other identifiers than the first, or one twice; only a fixed list of atoms can be"
                " followed"
            )
        return order

    def _say_what_is_not_periodic(self, comment: _Comment) -> None:
        if comment.periodic is None or comment.cell_A is None:
            return
        flags = comment.periodic.upper().replace(",", " ").split()
        axes = [axis for axis, flag in zip("abc", flags, strict=False) if flag in {"F", "FALSE", "0"}]
        note = f"{self.name} says that it is not periodic along {', '.join(axes)}; it is taken as periodic"
        if axes:
            self._say(note)

    def _say(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def _looks_like_an_atom(line: bytes) -> bool:
    words = line.split()
    if len(words) < 4 or not words[0].isalnum():
        return False
    try:
        list(map(float, words[1:4]))
    except ValueError:
        return False
    return True


def _of_atomic_numbers(written: Sequence[str], where: str) -> tuple[str, ...]:
    known = {word: int(word) if word.isdigit() else 0 for word in set(written)}
    for word, number in known.items():
        if not 0 < number < len(chemical_symbols):
            raise TrajectoryReadError(f"{where}: {word!r} in the column Z is no atomic number")
    return tuple(chemical_symbols[known[word]] for word in written)


def _comment(line: bytes, where: str) -> _Comment:
    text = line.decode("utf-8", errors="replace").strip()
    written = {key: value.strip("\"'[]{}") for key, value in _PAIR.findall(text)}
    pairs = {key.lower(): value for key, value in written.items()}
    cell = next((_lattice(name, pairs[name.lower()]) for name in ("Lattice", "cell") if name.lower() in pairs), None)
    length_A = _length_A(pairs, where)
    if cell is not None:
        cell *= length_A
    if match := _IPI_CELL.search(text):
        length_A, cell_unit_A = _ipi_lengths_A(text, where)
        values = np.array([float(word) for word in match.group(1).split()])
        cell = np.array(cellpar_to_cell([*values[:3] * cell_unit_A, *values[3:]]))
    # Only where there are no pairs do words count: an extended comment may say anything in its strings.
    when = frame_time(written, "" if "properties" in pairs else text)
    return _Comment(cell, length_A, when, pairs.get("properties"), pairs.get("pbc"))


def _ipi_lengths_A(text: str, where: str) -> tuple[float, float]:
    """Return the units of i-PI's positions and cell (Å)."""
    units = dict(_IPI_UNIT.findall(text))
    what = next((name for name in units if name != "cell"), None)
    if what is None or "cell" not in units:  # older i-PI means Bohr where it says nothing
        raise TrajectoryReadError(f"{where}: i-PI does not say the units of positions and cell; write angstrom")
    if what not in _IPI_POSITIONS:
        raise TrajectoryReadError(f"{where}: i-PI wrote {what} here; positions are needed")
    for name, unit in units.items():
        if unit.lower() not in _IPI_LENGTHS_A:
            raise TrajectoryReadError(f"{where}: i-PI wrote its {name} in {unit}; known are angstrom and atomic_unit")
    return _IPI_LENGTHS_A[units[what].lower()], _IPI_LENGTHS_A[units["cell"].lower()]


def _length_A(pairs: Mapping[str, str], where: str) -> float:
    """Return the unit of positions and cell (Å), which an extended comment may declare as files of labels do."""
    declared = {key: value for key, value in pairs.items() if "unit" in key}
    try:
        return (declared_length_A(declared) if declared else None) or 1.0
    except InputError as error:
        raise TrajectoryReadError(f"{where}: {error}") from error


def _lattice(name: str, text: str) -> FloatArray:
    try:
        values = np.array([float(word) for word in re.sub(r"[][{},]", " ", text).split()])
    except ValueError:
        values = np.empty(0)
    if len(values) not in {3, 9}:
        raise _BadComment(f"{name} must be nine numbers (or three, of a cell with right angles), not {text!r}")
    return np.diag(values) if len(values) == 3 else values.reshape(3, 3)


def _of_properties(properties: str) -> _Columns | None:
    """Return the columns that ``Properties=species:S:1:pos:R:3...`` names."""
    words = properties.split(":")
    at, starts = 0, {}
    try:
        for name, _, width in zip(words[::3], words[1::3], words[2::3], strict=True):
            starts[name.lower()] = (at, int(width))
            at += int(width)
    except ValueError:
        raise _BadComment(f"Properties={properties} is not name:type:columns, repeated") from None
    unwrapped = starts.get("unwrapped_position", (0, 0))[1] == 3
    positions = starts.get("unwrapped_position") if unwrapped else starts.get("pos", starts.get("position"))
    species = starts.get("species", starts.get("element", starts.get("z")))
    if positions is None or positions[1] != 3 or species is None:
        raise _BadComment(f"Properties={properties} names no species, or no pos with three columns")
    start = positions[0]
    return _Columns(
        at,
        species[0],
        (start, start + 1, start + 2),
        unwrapped,
        starts["id"][0] if "id" in starts else None,
        "species" not in starts and "element" not in starts,
    )


def _of_plain(width: int) -> _Columns | None:
    return None if width < 4 else _Columns(width, 0, (1, 2, 3), False, None, False)
