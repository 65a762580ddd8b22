"""What every reader of trajectories shares: frames as files have them, and lines of compressed or plain files.

A reader yields `RawFrame` for every whole frame and `TornFrame` for every one that is not; what to make of torn ones,
restarts and gaps is decided in one place for all formats (`ionloop.analysis.trajectories.frame_sequence`).
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self, cast

import numpy as np
from ase.data import atomic_numbers

from ...core.arrays import FloatArray
from ...core.errors import InputError

# First bytes of compressed files; suffixes are not believed, and `cat` of such files is one of them again.
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_PACKED_BYTES = 1 << 16
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What readers of compressed data raise where these end early or are damaged.
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


_LABEL = re.compile(r"([A-Za-z]{1,2})(?:\d+|[_-]\w+|\d*[+-])")


class TrajectoryReadError(InputError):
    """The file holds no trajectory that can be analysed."""


class RawFrame(NamedTuple):
    """One frame as a file has it.

    Attributes
    ----------
    positions_A
        Shape [n_atoms, 3] (Å), from the cell's origin.
    cell_A
        Cell vectors as rows, shape [3, 3] (Å); None where the file has none.
    time_fs
        Time of the frame where the file says it (fs).
    unwrapped
        Whether the file says that positions are unwrapped.
    step
        The frame's counter where the file has one.
    number, line
        Of the frame in the file and of its first line, counted from 1; 0 where there are no lines.
    unit_unknown
        Whether ``time_fs`` is a time of unknown unit instead.
    identified
        Whether atoms bear identifiers, so that their order is known.
    """

    symbols: tuple[str, ...]
    positions_A: FloatArray
    cell_A: FloatArray | None
    time_fs: float | None
    unwrapped: bool
    step: float | None = None
    number: int = 0
    line: int = 0
    unit_unknown: bool = False
    identified: bool = False

    @property
    def place(self) -> str:
        """Where the frame is, for messages."""
        return place(self.number, self.line)


class TornFrame(NamedTuple):
    """A frame that is not whole, and why."""

    number: int
    line: int
    reason: str

    @property
    def place(self) -> str:
        """Where the frame is, for messages."""
        return place(self.number, self.line)


def place(number: int, line: int = 0) -> str:
    """Return where a frame is, for messages."""
    return f"frame {number} (line {line})" if line else f"frame {number}"


class Lines:
    """Lines of a text file, compressed or not, with their numbers.

    Attributes
    ----------
    number
        Of the line that was read last, counted from 1.
    damaged
        Whether compressed data ended early or could not be decompressed: what was read is only the beginning.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0
        self.damaged = False
        self._stream = open_binary(path)
        self._lines = self._read()
        self._returned: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def _read(self) -> Iterator[bytes]:
        try:
            yield next(self._stream, b"").removeprefix(BYTE_ORDER_MARK)
            yield from self._stream
        except DAMAGED:
            self.damaged = True
        except OSError as error:
            if error.errno is not None:
                raise
            self.damaged = True

    def next(self) -> bytes:
        """Return the next line with its end, empty at the end of the file."""
        line = self._returned.pop() if self._returned else next(self._lines, b"")
        self.number += bool(line)
        return line

    def block(self, count: int) -> list[bytes]:
        """Return the next ``count`` lines, fewer at the end of the file."""
        found = [self._returned.pop() for _ in range(min(count, len(self._returned)))]
        found += islice(self._lines, count - len(found))
        self.number += len(found)
        return found

    def give_back(self, lines: Sequence[bytes]) -> None:
        """Let ``lines``, the last that were read, be read again."""
        self._returned += reversed(lines)
        self.number -= len(lines)


def open_binary(path: Path) -> IO[bytes]:
    """Open a file for reading, decompressed where its first bytes say that it is compressed.

    Raises
    ------
    TrajectoryReadError
        If Python has no module for the compression.
    """
    with path.open("rb") as stream:
        start = stream.read(8)
    kind = next((name for magic, name in _COMPRESSED.items() if start.startswith(magic)), None)
    if kind == "gzip":
        return cast(IO[bytes], gzip.open(path))
    if kind == "bzip2":
        return cast(IO[bytes], bz2.open(path))
    if kind == "xz":
        return cast(IO[bytes], lzma.open(path))
    if kind == "zstd":
        return cast(IO[bytes], io.BufferedReader(StreamsInFile(path, *_zstandard(path)), _PACKED_BYTES))
    return path.open("rb")


class StreamsInFile(io.RawIOBase):
    """The compressed streams of a file behind each other, decompressed.

    zstandard's own reader has no lines, and takes a file that ends early for one that ends.

    Parameters
    ----------
    decompressor
        Makes an object for one stream, with ``decompress``, ``eof`` and ``unused_data`` as Python's have.
    failure
        What it raises where data are damaged; `EOFError` is raised in its place.
    """

    def __init__(self, path: Path, decompressor: Callable[[], Any], failure: type[Exception]) -> None:
        self._file = path.open("rb")
        self._decompressor, self._failure = decompressor, failure
        self._stream: Any = None
        self._unused, self._decompressed = b"", memoryview(b"")

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill ``buffer``; return with how many bytes, 0 at the end."""
        while not self._decompressed:
            packed = self._unused or self._file.read(_PACKED_BYTES)
            if not packed:
                if self._stream is not None:
                    raise EOFError("compressed data end early")
                return 0
            self._decompress(packed)
        into = memoryview(buffer).cast("B")
        count = min(len(into), len(self._decompressed))
        into[:count] = self._decompressed[:count]
        self._decompressed = self._decompressed[count:]
        return count

    def _decompress(self, packed: bytes) -> None:
        if self._stream is None:
            self._stream = self._decompressor()
        try:
            self._decompressed = memoryview(self._stream.decompress(packed))
        except self._failure as error:
            raise EOFError("compressed data are damaged") from error
        self._unused = b""
        if self._stream.eof:
            self._unused, self._stream = self._stream.unused_data, None

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def _zstandard(path: Path) -> tuple[Callable[[], Any], type[Exception]]:
    import importlib

    with suppress(ImportError):  # since Python 3.14
        module = importlib.import_module("compression.zstd")
        return module.ZstdDecompressor, module.ZstdError
    with suppress(ImportError):
        module = importlib.import_module("zstandard")
        return module.ZstdDecompressor().decompressobj, module.ZstdError
    raise TrajectoryReadError(
        f"{path} is compressed by zstd, which this Python cannot read: unzstd it, or install the package zstandard"
    )


def is_compressed(path: Path) -> bool:
    """Return whether the file's first bytes are those of a compressed one."""
    with path.open("rb") as stream:
        start = stream.read(8)
    return any(start.startswith(magic) for magic in _COMPRESSED)


def numbers(lines: Sequence[bytes], columns: Sequence[int], width: int) -> FloatArray | None:
    """Return ``columns`` of lines of ``width`` words as numbers, shape [n_lines, n_columns]; None if that fails."""
    words = b"".join(lines).split()
    if len(words) != len(lines) * width:
        return None
    found = np.empty((len(lines), len(columns)))
    try:
        for index, column in enumerate(columns):
            found[:, index] = list(map(float, words[column::width]))
    except ValueError:
        return None
    return found


def wrong_line(lines: Sequence[bytes], width: int, columns: Sequence[int]) -> tuple[int, str] | None:
    """Return the first line that has not ``width`` words, numbers in ``columns``, or an end, and what is wrong."""
    for index, line in enumerate(lines):
        words = line.split()
        if len(words) != width:
            return index, f"has {len(words)} words instead of {width}"
        for column in columns:
            try:
                float(words[column])
            except ValueError:
                return index, f"has {shown(words[column])} in place of a number"
        if not line.endswith(b"\n"):
            return index, "is cut off"
    return None


def shown(word: bytes, length: int = 20) -> str:
    """Return a part of the file as messages quote it."""
    text = word.decode("utf-8", errors="replace").strip()
    return repr(text if len(text) <= length else text[:length] + "...")


def listed(words: Sequence[str], most: int = 5) -> str:
    """Return words with commas, the first few of many."""
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def listed_torn(torn: Sequence[TornFrame]) -> str:
    """Return where frames are not whole, and why; neighbours of one reason are told once."""
    groups: list[list[TornFrame]] = []
    for one in torn:
        if groups and groups[-1][-1].reason == one.reason and groups[-1][-1].number == one.number - 1:
            groups[-1].append(one)
        else:
            groups.append([one])
    return listed([f"{a[0].place}{f' to {a[-1].place}' if len(a) > 1 else ''}: {a[0].reason}" for a in groups])


def checked_symbols(words: Sequence[str], name: str, advice: str, notes: list[str] | None = None) -> tuple[str, ...]:
    """Return ``words`` as chemical symbols, their letters' case put right.

    Parameters
    ----------
    notes
        With it, labels (Li1, Li_a, Li+) are read as their elements, which is noted; without, they are none.

    Raises
    ------
    TrajectoryReadError
        If one of them is none.
    """
    known = {word: word.strip().capitalize() for word in set(words)}
    labels = {
        word: match.group(1).capitalize()
        for word in sorted(known)
        if notes is not None and not atomic_numbers.get(known[word], 0) and (match := _LABEL.fullmatch(word.strip()))
    }
    known |= labels
    unknown = sorted(word for word, symbol in known.items() if atomic_numbers.get(symbol, 0) == 0)
    if unknown:
        listed = ", ".join(map(repr, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
        raise TrajectoryReadError(
            f"{name}: {listed} {'is not a chemical symbol' if len(unknown) == 1 else 'are not chemical symbols'};"
            f" {advice}"
        )
    if labels and notes is not None:
        listed = ", ".join(f"{label} as {symbol}" for label, symbol in labels.items())
        notes.append(f"{name}: labels are read as their elements: {listed}")
    return tuple(known[word] for word in words)
