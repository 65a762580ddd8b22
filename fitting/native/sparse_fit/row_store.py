"""Rows between their two uses in a fit: in memory as far as allowed, beyond that in a temporary file."""

from __future__ import annotations

import os
import tempfile
from types import TracebackType
from typing import IO, Self

import numpy as np

from ....core.arrays import FloatArray
from ....core.errors import IonloopError


class RowStore:
    """Blocks of rows by number. Reading is thread-safe, keeping is for one thread.

    Parameters
    ----------
    memory_bytes
        What those in memory may take; the rest goes to the folder for temporary files.
    """

    def __init__(self, memory_bytes: float) -> None:
        self._left_bytes = memory_bytes
        self._blocks: dict[int, FloatArray] = {}
        self._places: dict[int, tuple[int, tuple[int, int]]] = {}
        self._file: IO[bytes] | None = None
        self._end = 0

    @property
    def left_bytes(self) -> float:
        """What more may stay in memory."""
        return self._left_bytes

    @property
    def bytes_on_disk(self) -> int:
        """Size of the temporary file."""
        return self._end

    def keep(self, number: int, rows: FloatArray) -> None:
        """Keep a block [n_rows, n_columns].

        Raises
        ------
        IonloopError
            If the temporary file cannot be written.
        """
        if rows.nbytes <= self._left_bytes:
            self._left_bytes -= rows.nbytes
            self._blocks[number] = rows
            return
        try:
            if self._file is None:
                # Closed when this store is left.
                self._file = tempfile.TemporaryFile(prefix="ionloop-rows-")  # noqa: SIM115
            self._file.seek(self._end)
            self._file.write(np.ascontiguousarray(rows).data)
            self._file.flush()
        except OSError as error:
            raise IonloopError(
                f"rows of the fit do not fit into the folder for temporary files ({tempfile.gettempdir()}): {error}; "
                "raise memory_limit_MB, or set TMPDIR to a folder with more space"
            ) from error
        self._places[number] = (self._end, rows.shape)
        self._end += rows.nbytes

    def read(self, number: int) -> FloatArray:
        """Return a block that was kept."""
        if self._file is None or number in self._blocks:
            return self._blocks[number]
        offset, shape = self._places[number]
        block = np.empty(shape)
        view = block.data.cast("B")
        done = 0
        while done < block.nbytes:
            read = os.preadv(self._file.fileno(), [view[done:]], offset + done)
            if read == 0:
                raise IonloopError("the temporary file of the fit was cut short; is the disk full?")
            done += read
        return block

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
