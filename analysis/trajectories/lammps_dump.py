"""LAMMPS text dumps (``dump atom`` and ``dump custom``): symbols, positions, cell, step, time, and what is unwrapped.

Format and conversion of the bounding box: https://docs.lammps.org/dump.html and
https://docs.lammps.org/Howto_triclinic.html; units: https://docs.lammps.org/units.html. Where a box flips its tilt,
LAMMPS changes image flags with it: x + ix a + iy b + iz c goes on as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from ase.data import atomic_masses, atomic_numbers
from ase.units import Bohr
from numpy.typing import NDArray

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError
from .frames import Lines, RawFrame, TornFrame, TrajectoryReadError, checked_symbols, shown, wrong_line

# In the order of preference: unwrapped before wrapped.
_COLUMNS = (("xu", "yu", "zu"), ("xsu", "ysu", "zsu"), ("x", "y", "z"), ("xs", "ys", "zs"))
_IMAGES = ("ix", "iy", "iz")
# Length in Å and time in fs of each style of units; lj has none.
_UNITS = {
    b"real": (1.0, 1.0),
    b"metal": (1.0, 1e3),
    b"electron": (Bohr, 1.0),
    b"si": (1e10, 1e15),
    b"cgs": (1e8, 1e15),
    b"micro": (1e4, 1e9),
    b"nano": (10.0, 1e6),
}
# Masses in input files are rounded (u).
_SAME_MASS = 0.05
_STARTS = (b"ITEM: TIMESTEP", b"ITEM: TIME", b"ITEM: UNITS")
_ITEM = b"ITEM:"
_NO_ATOMS = (b"ITEM: NUMBER OF ENTRIES", b"ITEM: ENTRIES", b"ITEM: NUMBER OF GRID", b"ITEM: GRID")


class LammpsDumpError(TrajectoryReadError):
    """The dump cannot be used; the message says why and what to write instead."""


class _Torn(Exception):
    """The frame is not whole; the message says where."""


class _Header(NamedTuple):
    line: int
    step: int
    time_fs: float | None
    n_atoms: int
    cell_A: FloatArray
    origin_A: FloatArray
    names: tuple[str, ...]


def read_lammps_dump(
    lines: Lines, types: Sequence[str] = (), notes: list[str] | None = None
) -> Iterator[RawFrame | TornFrame]:
    """Yield the frames of a dump, atoms sorted by identifier.

    Parameters
    ----------
    types
        Chemical symbols of types 1, 2, ...; not needed where the dump has a column ``element``, before which they go.
    notes
        What a reader of the results should know is added to it.

    Raises
    ------
    LammpsDumpError
        If columns are missing, species unknown, atoms change, or a position is no finite number.
    """
    dump = _Dump(lines, types, [] if notes is None else notes)
    number, torn = 1, False
    while True:
        stray = dump.skip_to_frame()
        if stray and not torn:
            yield TornFrame(number, stray, f"line {stray} belongs to no frame")
            number += 1
        line = lines.number + 1
        try:
            frame = dump.frame(number)
        except _Torn as error:
            torn = True
            yield TornFrame(number, line, str(error))
        else:
            if frame is None:
                break
            torn = False
            yield frame
        number += 1
    if lines.damaged:
        yield TornFrame(number, lines.number, "its compressed data end early or are damaged")


@dataclass
class _Dump:
    lines: Lines
    types: Sequence[str]
    notes: list[str]
    length_A: float = 1.0
    unit_time_fs: float | None = None
    atoms: _Atoms | None = None
    # The last box as it is written, and what it is: most boxes stay.
    box: tuple[tuple[object, ...], tuple[FloatArray, FloatArray]] | None = None

    @property
    def name(self) -> str:
        return str(self.lines.path)

    def skip_to_frame(self) -> int:
        """Go to the next line that begins a frame; return the first line passed over that is not empty, else 0."""
        stray = 0
        while line := self.lines.next():
            at = line.rfind(_ITEM)
            if at >= 0 and line[at:].startswith(_STARTS):
                stray = stray or (self.lines.number if at else 0)
                self.lines.give_back([line[at:]])
                break
            stray = stray or (self.lines.number if line.strip() else 0)
        return stray

    def frame(self, number: int) -> RawFrame | None:
        """Return the next frame, None at the end of the file."""
        header = self._header()
        if header is None:
            return None
        names, count = header.names, header.n_atoms
        first = self.lines.number + 1
        block = self.lines.block(count)
        text = b"".join(block)
        if _ITEM in text:
            self._give_back_from_item(block)
        words = text.split()
        column = {name: index for index, name in enumerate(names)}
        width = len(names)
        where = f"{self.name}: frame {number} (line {header.line})"
        chosen = _position_columns(column, self.name)
        images = chosen[0] in {"x", "xs"} and set(_IMAGES) <= column.keys()
        numeric = [column[name] for name in (*chosen, *(_IMAGES if images else ()))]
        if len(block) < count or len(words) != count * width or not block[-1].endswith(b"\n"):
            self._torn_at(block, width, numeric, first)
            raise _Torn(f"the file ends after {len(block)} of its {count} atoms")
        if "id" not in column:
            raise LammpsDumpError(f"{self.name}: the dump has no column id, without which atoms cannot be followed")
        table = np.empty((count, len(numeric)))
        try:
            for index, at in enumerate(numeric):
                table[:, index] = list(map(float, words[at::width]))
            order, symbols = self._follow(words, column, width, where)
        except ValueError:
            self._torn_at(block, width, [*numeric, column["id"]], first)
            raise LammpsDumpError(f"{where} has identifiers that are no whole numbers") from None
        bad = ~np.isfinite(table).all(axis=1)
        if bad.any():
            atom = int(bad.argmax())
            raise LammpsDumpError(
                f"{where}: atom {shown(words[atom * width + column['id']])} (line {first + atom}) has a position"
                " that is no finite number"
            )
        if order is not None:
            table = table[order]
        positions = table[:, :3]
        cell = header.cell_A
        positions = positions @ cell if chosen[0].startswith("xs") else positions * self.length_A - header.origin_A
        if images:
            positions = positions + table[:, 3:] @ cell
        unwrapped = images or chosen[0].endswith("u")
        unknown = header.time_fs is not None and self.unit_time_fs is None
        return RawFrame(
            symbols,
            positions,
            cell,
            header.time_fs,
            unwrapped,
            header.step,
            number,
            header.line,
            unknown,
            identified=True,
        )

    def _torn_at(self, block: list[bytes], width: int, numeric: list[int], first: int) -> None:
        wrong = wrong_line(block, width, numeric)
        if wrong is not None:
            raise _Torn(f"line {first + wrong[0]} {wrong[1]}")

    def _give_back_from_item(self, block: list[bytes]) -> None:
        at = next(index for index, line in enumerate(block) if _ITEM in line)
        inside = block[at].find(_ITEM)
        # A line that was cut off lies before the next frame's first one; together they are one line of the file.
        self.lines.give_back([block[at][inside:], *block[at + 1 :]])
        whole = at - (1 if inside else 0)
        raise _Torn(f"another frame begins in line {self.lines.number + 1}, after {max(whole, at)} atoms")

    def _header(self) -> _Header | None:
        line = self.lines.number + 1
        if not (start := self.lines.next()):
            return None
        self.lines.give_back([start])
        step, count, time = None, None, None
        box: tuple[FloatArray, FloatArray] | None = None
        seen: set[bytes] = set()
        while True:
            item = self._line()
            key = item.strip()
            if item.startswith(_STARTS) and (key in seen or step is not None):
                self.lines.give_back([item])
                raise _Torn(f"another frame begins in line {self.lines.number + 1}, before its atoms")
            seen.add(key)
            if key == b"ITEM: TIMESTEP":
                step = int(self._number(int, "a time step"))
            elif key == b"ITEM: TIME":
                time = float(self._number(float, "a time"))
            elif key == b"ITEM: UNITS":
                self._set_units(self._value().strip())
            elif key == b"ITEM: NUMBER OF ATOMS":
                count = int(self._number(int, "a number of atoms"))
            elif key.startswith(b"ITEM: BOX BOUNDS"):
                box = self._box(item)
            elif key.startswith(b"ITEM: ATOMS"):
                if step is None or count is None or box is None:
                    raise _Torn(f"line {self.lines.number} has atoms without time step, number of atoms or box before")
                if count < 1:
                    raise LammpsDumpError(f"{self.name}: step {step} (line {line}) has no atoms")
                factor = self.unit_time_fs or 1.0
                names = tuple(item.decode(errors="replace").split()[2:])
                return _Header(line, step, None if time is None else time * factor, count, *box, names)
            elif key.startswith(_NO_ATOMS):
                raise LammpsDumpError(
                    f"{self.name} is a dump of {'a grid' if b'GRID' in key else 'local quantities'}, not of atoms: give"
                    " that of dump custom"
                )
            elif item.startswith(_ITEM):
                self._value()
            else:
                raise _Torn(f"line {self.lines.number} ({shown(item)}) belongs to no frame")

    def _line(self) -> bytes:
        """Return the next line of a header; one that was cut off, or where another frame begins, is torn."""
        line = self.lines.next()
        if not line.endswith(b"\n"):
            raise _Torn(f"the file ends in line {self.lines.number}, before its atoms")
        inside = line.find(_ITEM, 1)
        if inside > 0:
            self.lines.give_back([line[inside:]])
            raise _Torn(f"line {self.lines.number + 1} is cut off")
        return line

    def _value(self) -> bytes:
        line = self._line()
        if line.startswith(_ITEM):
            self.lines.give_back([line])
            raise _Torn(f"line {self.lines.number} is followed by another item instead of its value")
        return line

    def _number(self, kind: type[int] | type[float], what: str) -> float:
        line = self._value()
        try:
            return kind(line)
        except ValueError:
            raise _Torn(f"line {self.lines.number} has {shown(line)} in place of {what}") from None

    def _set_units(self, units: bytes) -> None:
        if units == b"lj":
            raise LammpsDumpError(
                f"{self.name} is in reduced units (ITEM: UNITS lj), which have no Å and no fs: scale it first"
            )
        if units not in _UNITS:
            known = ", ".join(name.decode() for name in _UNITS)
            raise LammpsDumpError(f"{self.name}: ITEM: UNITS {shown(units)} is not known; known are {known}")
        self.length_A, self.unit_time_fs = _UNITS[units]

    def _box(self, item: bytes) -> tuple[FloatArray, FloatArray]:
        first = self.lines.number + 1
        rows = [self._value() for _ in range(3)]
        written = (self.length_A, item, *rows)
        if self.box is not None and self.box[0] == written:
            return self.box[1]
        words = [row.split() for row in rows]
        width = len(words[0])
        wrong = wrong_line(rows, width, range(width)) if width in {2, 3, 4} else (0, f"has {width} words")
        if wrong is not None:
            raise _Torn(f"line {first + wrong[0]} (the box) {wrong[1]}")
        bounds = np.array([[float(word) for word in row] for row in words])
        if not np.isfinite(bounds).all():
            raise LammpsDumpError(f"{self.name}: the box in line {first} is not finite")
        flags = item.split()[-3:]
        for axis, flag in zip("xyz", flags, strict=False):
            if set(flag) & set(b"sm") and len(flag) == 2:
                raise LammpsDumpError(
                    f"{self.name}: along {axis} the box follows the atoms (boundary {flag.decode()}): it is no cell"
                    " of a crystal, and its volume means nothing"
                )
            if flag in {b"ff", b"f"}:
                note = f"{self.name} is not periodic along {axis}: its box need not be the volume of the conductor"
                if note not in self.notes:
                    self.notes.append(note)
        cell, origin = _cell(bounds)
        self.box = written, (cell * self.length_A, origin * self.length_A)
        return self.box[1]

    def _follow(
        self, words: list[bytes], column: dict[str, int], width: int, where: str
    ) -> tuple[IntArray | None, tuple[str, ...]]:
        """Return the order of atoms by identifier (None: as they are), and their symbols, the same in every frame."""
        ids = words[column["id"] :: width]
        kinds = words[column["type"] :: width] if "type" in column else []
        named = next((name for name in ("element", "typelabel") if name in column), None)
        elements = words[column[named] :: width] if named else []
        if self.atoms is None:
            self.atoms = _Atoms.first(ids, kinds, elements, self.types, self.name, self.notes)
            if "mass" in column and not elements:
                _check_masses(words[column["mass"] :: width], ids, self.atoms, self.name)
        return self.atoms.order(ids, kinds, elements, where), self.atoms.symbols


@dataclass
class _Atoms:
    """The atoms of the first frame, with which all others are compared."""

    sorted_ids: IntArray
    kinds: NDArray[np.bytes_]
    elements: NDArray[np.bytes_]
    symbols: tuple[str, ...]
    # Of the last frame: most dumps have the same order in all of them.
    last: tuple[list[bytes], list[bytes], list[bytes]] | None = None
    last_order: IntArray | None = None

    @classmethod
    def first(
        cls,
        ids: list[bytes],
        kinds: list[bytes],
        elements: list[bytes],
        types: Sequence[str],
        name: str,
        notes: list[str],
    ) -> _Atoms:
        identifiers = np.array(list(map(int, ids)))
        order = np.argsort(identifiers, kind="stable")
        identifiers = identifiers[order]
        twice = identifiers[1:][np.diff(identifiers) == 0]
        if len(twice):
            raise LammpsDumpError(f"{name}: the first frame has atom {twice[0]} more than once")
        of_kind, of_element = np.array(kinds)[order] if kinds else np.array([]), np.array(elements)
        of_element = of_element[order] if elements else of_element
        return cls(identifiers, of_kind, of_element, _symbols(of_kind, of_element, types, name, notes))

    def order(self, ids: list[bytes], kinds: list[bytes], elements: list[bytes], where: str) -> IntArray | None:
        if self.last is not None and ids == self.last[0] and kinds == self.last[1] and elements == self.last[2]:
            return self.last_order
        identifiers = np.array(list(map(int, ids)))
        order = np.argsort(identifiers, kind="stable")
        self._check_identifiers(identifiers[order], where)
        for words, known, what in ((kinds, self.kinds, "type"), (elements, self.elements, "element")):
            if len(words) != len(known):
                raise LammpsDumpError(f"{where} has other columns than the first: {what} came or went")
            if not words:
                continue
            found = np.array(words)[order]
            changed = np.flatnonzero(found != known)
            if len(changed):
                atom = changed[0]
                raise LammpsDumpError(
                    f"{where}: atom {self.sorted_ids[atom]} has {what} {shown(found[atom])}, in the first frame"
                    f" {shown(known[atom])}; only a fixed list of atoms can be followed"
                )
        self.last = (ids, kinds, elements)
        self.last_order = None if np.array_equal(order, np.arange(len(order))) else order
        return self.last_order

    def _check_identifiers(self, identifiers: IntArray, where: str) -> None:
        if np.array_equal(identifiers, self.sorted_ids):
            return
        twice = identifiers[1:][np.diff(identifiers) == 0]
        if len(twice):
            raise LammpsDumpError(f"{where} has atom {twice[0]} more than once")
        gone, new = np.setdiff1d(self.sorted_ids, identifiers), np.setdiff1d(identifiers, self.sorted_ids)
        changes = [
            f"{word} {', '.join(map(str, some[:5]))}{', ...' if len(some) > 5 else ''}"
            for word, some in (("misses the atoms", gone), ("has the new atoms", new))
            if len(some)
        ]
        raise LammpsDumpError(
            f"{where} {' and '.join(changes)} (identifiers); only a fixed list of atoms can be followed"
        )


def _position_columns(column: dict[str, int], name: str) -> tuple[str, str, str]:
    found = next((names for names in _COLUMNS if set(names) <= column.keys()), None)
    if found is None:
        raise LammpsDumpError(f"{name}: the dump has no positions; write the columns xu yu zu")
    return found


def _cell(bounds: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return cell vectors as rows [3, 3] and origin [3] from the bounds of the box."""
    if bounds.shape[1] == 4:
        return bounds[:, :3], bounds[:, 3]
    low, high = bounds[:, 0].copy(), bounds[:, 1].copy()
    if bounds.shape[1] == 2:
        return np.diag(high - low), low
    xy, xz, yz = bounds[:, 2]
    low -= (min(0.0, xy, xz, xy + xz), min(0.0, yz), 0.0)
    high -= (max(0.0, xy, xz, xy + xz), max(0.0, yz), 0.0)
    lengths = high - low
    return np.array([[lengths[0], 0.0, 0.0], [xy, lengths[1], 0.0], [xz, yz, lengths[2]]]), low


def _symbols(
    kinds: NDArray[np.bytes_], elements: NDArray[np.bytes_], types: Sequence[str], name: str, notes: list[str]
) -> tuple[str, ...]:
    """Return symbols: those given for the types, else those of the column element."""
    written = [str(word, "utf-8", "replace") for word in elements.tolist()]
    if len(kinds) and types:
        symbols = of_types(kinds.tolist(), types, name)
        differ = sorted({(old, new) for old, new in zip(written, symbols, strict=False) if old != new})
        if differ:
            listed = ", ".join(f"{new} (the file says {old})" for old, new in differ[:5])
            notes.append(f"{name}: the symbols given for its types go before its column element: {listed}")
        return symbols
    if len(elements):
        if len(set(written)) == 1 and len(set(kinds.tolist())) > 1:
            raise LammpsDumpError(
                f"{name}: the column element says {written[0]} for all {len(set(kinds.tolist()))} types, as LAMMPS does"
                " where dump_modify ... element was forgotten: give the symbols of the types (--lammps-types)"
            )
        return checked_symbols(written, name, "give the symbols of the types instead (--lammps-types)", notes)
    if types:
        raise LammpsDumpError(f"{name} has no column type, for which symbols are given")
    raise LammpsDumpError(
        f"{name} does not say which element its atoms are: give the symbols of its types (--lammps-types Li,P,S), or"
        " write the column element (dump_modify ... element Li P S)"
    )


def _check_masses(words: Sequence[bytes], ids: Sequence[bytes], atoms: _Atoms, name: str) -> None:
    """Refuse symbols of the types where the dump's masses are those of others among them."""
    try:
        masses = dict(zip(map(int, ids), map(float, words), strict=True))
    except ValueError:
        raise LammpsDumpError(f"{name}: the column mass has words that are no numbers") from None
    known = {symbol: atomic_masses[atomic_numbers[symbol]] for symbol in atoms.symbols}
    for identifier, symbol in zip(atoms.sorted_ids.tolist(), atoms.symbols, strict=True):
        mass = masses[identifier]
        likely = min(known, key=lambda one: abs(known[one] - mass))
        if likely != symbol and abs(known[likely] - mass) < _SAME_MASS:
            raise LammpsDumpError(
                f"{name}: atom {identifier} is to be {symbol} by its type, but has the mass of {likely} ({mass:g}):"
                " check the order of --lammps-types"
            )


def of_types(kinds: Sequence[bytes], types: Sequence[str], name: str, first: int = 1) -> tuple[str, ...]:
    """Return the symbols of types that count from ``first``, as LAMMPS' do from 1.

    Raises
    ------
    InputError
        If a type has none, or what is given is no chemical symbol.
    """
    symbols = checked_symbols(types, "--lammps-types", "it takes one symbol for every type, in their order: Li,P,S")
    try:
        present = {kind: int(kind) for kind in set(kinds)}
    except ValueError:
        raise LammpsDumpError(f"{name}: its types are names, not numbers; leave --lammps-types out") from None
    if max(present.values()) >= len(symbols) + first or min(present.values()) < first:
        raise InputError(
            f"{name} has types {min(present.values())} to {max(present.values())}; symbols are given for {len(symbols)}"
        )
    return tuple(symbols[present[kind] - first] for kind in kinds)
