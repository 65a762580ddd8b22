"""Rows of a fit's configurations: computed, or taken from the disk where an earlier or a simultaneous fit left them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ....core.arrays import FloatArray
from ...data_sets import LabelledConfiguration
from .design import RowBuilder
from .row_cache import RowCache


@dataclass(frozen=True)
class RowCounts:
    """Rows times columns that were computed, and that were read."""

    computed: int = 0
    read: int = 0

    def __add__(self, other: RowCounts) -> RowCounts:
        return RowCounts(self.computed + other.computed, self.read + other.read)


class RowSource:
    """Rows of configurations for given sparse points. Thread-safe.

    Parameters
    ----------
    builder
        Computes rows.
    configurations
        Of the fit.
    cache
        Keeps them; None keeps none.
    """

    def __init__(
        self, builder: RowBuilder, configurations: Sequence[LabelledConfiguration], cache: RowCache | None
    ) -> None:
        self.builder = builder
        self._configurations = configurations
        self._cache = cache

    @property
    def keeps_rows(self) -> bool:
        """Whether rows that are computed are found again."""
        return self._cache is not None and self._cache.has_room

    def fill(self, mapped: Callable[[Callable[[int], RowCounts], Sequence[int]], Iterable[RowCounts]]) -> RowCounts:
        """Compute the rows that the cache does not have, and return how many.

        Every process goes through the configurations in an order of its own, so that fits of GAP and ES-GAP to
        the same data, which start together and have the same rows, share the work instead of doing it twice.
        """
        order = np.random.default_rng(os.getpid()).permutation(len(self._configurations)).tolist()
        return sum(mapped(self._add_missing, order), RowCounts())

    def _add_missing(self, index: int) -> RowCounts:
        cache, atoms = self._cache, self._configurations[index].atoms
        if cache is None or not cache.has_room:
            return RowCounts()
        layers = range(len(self.builder.sparse_points.layers))
        keys = [self.builder.key(atoms, layer) for layer in layers]
        missing = [layer for layer in layers if not cache.may_have(keys[layer])]
        computed = 0
        for layer, part in zip(missing, self.builder.rows(atoms, missing) if missing else [], strict=True):
            cache.write(keys[layer], part)
            computed += part.size
        return RowCounts(computed=computed)

    def rows(self, index: int) -> tuple[FloatArray, RowCounts]:
        """Return the rows of a configuration [n_rows, n_columns]."""
        atoms = self._configurations[index].atoms
        layers = range(len(self.builder.sparse_points.layers))
        if self._cache is None:
            parts = self.builder.rows(atoms, layers)
            return _side_by_side(parts), RowCounts(computed=sum(part.size for part in parts))
        keys = [self.builder.key(atoms, layer) for layer in layers]
        found = {layer: self._cache.read(keys[layer], self.builder.shape(atoms, layer)) for layer in layers}
        missing = [layer for layer in layers if found[layer] is None]
        for layer, part in zip(missing, self.builder.rows(atoms, missing) if missing else [], strict=True):
            self._cache.write(keys[layer], part)
            found[layer] = part
        parts = [part for part in found.values() if part is not None]
        computed = sum(parts[layer].size for layer in missing)
        return _side_by_side(parts), RowCounts(computed, sum(part.size for part in parts) - computed)

    def close(self) -> None:
        """Make room for the rows of later fits."""
        if self._cache is not None:
            self._cache.prune()


def _side_by_side(parts: Sequence[FloatArray]) -> FloatArray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
