"""Rows of single atoms of a fit's configurations: computed once, and weighted anew at every step of a fit of charges.

They depend on structures and sparse points alone, so that fits with one interaction or another share them. They take
some ten times as much room as the GAP's rows: where there is none they are computed each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import numpy as np

from ....core.arrays import IntArray
from ...data_sets import LabelledConfiguration
from ...native.sparse_fit.design import PairedAtoms, RowBuilder
from ...native.sparse_fit.fit_inputs import FitProgress
from ...native.sparse_fit.linear_system import Workshop
from ...native.sparse_fit.row_store import RowStore
from ...native.sparse_fit.rows import AtomRows, n_rows, soap_atom_rows

_BYTES_PER_REAL = 8


class AtomRowStore:
    """Rows of single atoms with the sparse points of their element. Thread-safe after `fill`.

    Parameters
    ----------
    builder
        Of the GAP's rows.
    configurations
        Of the fit.
    memory_bytes, disk_bytes
        What may be kept in memory, and beyond that in a temporary file.
    """

    def __init__(
        self,
        builder: RowBuilder,
        configurations: Sequence[LabelledConfiguration],
        memory_bytes: float,
        disk_bytes: float = 0.0,
    ) -> None:
        self._builder = builder
        self._configurations = configurations
        self._left_bytes = memory_bytes + disk_bytes
        self._store = RowStore(memory_bytes)
        self._parts: dict[int, list[tuple[int, int, IntArray, IntArray]]] = {}
        self._n_blocks = 0

    def __enter__(self) -> Self:
        self._store.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._store.__exit__(kind, error, traceback)

    def fill(self, workshop: Workshop) -> None:
        """Compute the rows of the first configurations that there is room for, and keep them."""
        chosen = []
        for index, size in enumerate(workshop.pool.map(self._bytes_of, range(len(self._configurations)))):
            if size > self._left_bytes:
                break
            self._left_bytes -= size
            chosen.append(index)
        # A few at a time: threads may be faster than a disk.
        for start in range(0, len(chosen), workshop.threads):
            part = chosen[start : start + workshop.threads]
            for index, found in zip(
                part, workshop.pool.map(lambda index: list(self._computed(index)), part), strict=True
            ):
                self._keep(index, found)
                workshop.progress(FitProgress("charges", len(self._parts), len(chosen)))

    def _keep(self, index: int, found: list[tuple[int, AtomRows]]) -> None:
        self._parts[index] = []
        for start, one in found:
            self._store.keep(self._n_blocks, one.values)
            self._parts[index].append((start, self._n_blocks, one.places, one.centres))
            self._n_blocks += 1

    def keeps(self, index: int) -> bool:
        """Whether the rows of a configuration are kept."""
        return index in self._parts

    def rows(self, index: int) -> Iterator[tuple[int, AtomRows]]:
        """Yield the rows of a configuration's atoms, each with the first of its sparse points' columns."""
        if not self.keeps(index):
            yield from self._computed(index)
            return
        for start, number, places, centres in self._parts[index]:
            yield start, AtomRows(self._store.read(number), places, centres)

    def _computed(self, index: int) -> Iterator[tuple[int, AtomRows]]:
        atoms = self._configurations[index].atoms
        structure = PairedAtoms.of(atoms, self._builder.descriptors)
        for found, parts in self._builder.soap_passes(structure, with_gradients=True):
            for columns, points in parts:
                if len(points.points):
                    yield columns.start, soap_atom_rows(found, points, len(atoms))

    def _bytes_of(self, index: int) -> int:
        """Return what a configuration takes at most."""
        atoms = self._configurations[index].atoms
        starts = PairedAtoms.of(atoms, self._builder.descriptors).soap_pairs.starts
        heights = np.minimum(n_rows(1) + 3 * (starts[:, -1] - starts[:, 0]), n_rows(len(atoms)))
        points = dict.fromkeys(self._builder.descriptors.species, 0)
        for _, key, columns in self._builder.sparse_points.column_ranges():
            if len(key) == 1:
                points[key[0]] += columns.stop - columns.start
        return _BYTES_PER_REAL * int(heights @ np.array([points[number] for number in atoms.numbers.tolist()]))
