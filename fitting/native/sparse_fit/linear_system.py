"""The linear system of a fit for one or several sets of targets: its triangle, its weights, and its residuals.

Weights and residuals are linear in the targets. Several sets of them share the rows, the decomposition and the
leave-out factors, which are all the cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.linalg.blas import dgemm
from threadpoolctl import threadpool_limits

from ....core.arrays import FloatArray, IntArray
from ...data_sets import LabelledConfiguration
from .design import RowBuilder
from .fit_inputs import FitProgress, ParallelMap, ProgressCallback, Stage
from .row_source import RowCounts, RowSource
from .row_store import RowStore
from .rows import N_VIRIAL_ROWS
from .solve import StreamingLeastSquares, left_out, prior_factor

_BYTES = 8
_LARGEST_BLOCK_ROWS = 2048


@dataclass(frozen=True, eq=False)
class ScaledTargets:
    """What a configuration's rows are fitted to, and the standard deviations of that.

    ``values`` [n_rows, n_sets]; ``sigmas`` [n_rows]; ``rows`` says which of all rows of the configuration these are.
    """

    values: FloatArray
    sigmas: FloatArray
    rows: slice | IntArray


@dataclass(frozen=True, eq=False)
class Residuals:
    """What a fit says of a configuration's rows.

    Attributes
    ----------
    fitted
        Prediction minus target [n_rows, n_sets].
    left_out
        The same, had the configuration not been fitted; None if not wanted.
    deviations
        Standard deviations of those predictions, as far as the fit itself knows [n_rows]; None if not wanted.
    """

    fitted: FloatArray
    left_out: FloatArray | None = None
    deviations: FloatArray | None = None


@dataclass(eq=False)
class Workshop:
    """Threads of a fit, its clock, and who is told about its progress."""

    pool: ThreadPoolExecutor
    threads: int
    progress: ProgressCallback
    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        """Add the time spent inside to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.timings[stage] = self.timings.get(stage, 0.0) + time.perf_counter() - start

    def in_order(self, stage: Stage) -> ParallelMap:
        """Return a parallel map over configurations that reports progress and keeps their order."""

        def mapped(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
            for done, result in enumerate(self.pool.map(function, items), start=1):
                yield result
                self.progress(FitProgress(stage, done, len(items)))

        return mapped


def factorise(
    source: RowSource, targets: Sequence[ScaledTargets], jitter: float, store: RowStore, workshop: Workshop
) -> tuple[StreamingLeastSquares, RowCounts]:
    """Return the decomposed system of all configurations, whose rows go into the store.

    Raises
    ------
    SingularFitError
        If the prior is not positive definite, or a row not finite.
    """
    builder = source.builder
    n_columns, n_sets = builder.n_columns, targets[0].values.shape[1]
    with workshop.timed("factorisation"):
        system = StreamingLeastSquares(prior_factor(builder.prior_blocks(), n_columns, jitter), n_sets)
    counts = RowCounts()
    n_done, n_steps = 0, len(targets)
    if source.keeps_rows:
        n_done, n_steps = len(targets), 2 * len(targets)
        with workshop.timed("rows"):
            progress = _progress_of(workshop, n_steps)
            counts = source.fill(lambda function, items: progress(workshop.pool.map(function, items)))
    filled = counts.computed
    for block in blocks_of(targets, n_columns):
        with workshop.timed("rows"):
            n_rows = sum(len(targets[index].values) for index in block)
            matrix = np.empty((n_rows, n_columns + n_sets), order="F")
            start = 0
            for index, (rows, found) in zip(block, workshop.pool.map(source.rows, block), strict=True):
                scaled = targets[index]
                rows = rows[scaled.rows]
                store.keep(index, rows)
                stop = start + len(rows)
                np.divide(rows, scaled.sigmas[:, None], out=matrix[start:stop, :n_columns])
                np.divide(scaled.values, scaled.sigmas[:, None], out=matrix[start:stop, n_columns:])
                start = stop
                counts += found
                n_done += 1
                workshop.progress(FitProgress("rows", n_done, n_steps))
        with workshop.timed("factorisation"), threadpool_limits(workshop.threads):
            system.add(matrix)
        del matrix
    # What this fit itself has put into the cache was not there before.
    return system, RowCounts(counts.computed, counts.read - filled)


def _progress_of(workshop: Workshop, n_steps: int) -> Callable[[Iterator[RowCounts]], Iterator[RowCounts]]:
    def reported(found: Iterator[RowCounts]) -> Iterator[RowCounts]:
        for done, counts in enumerate(found, start=1):
            yield counts
            workshop.progress(FitProgress("rows", done, n_steps))

    return reported


def residuals_of(
    system: StreamingLeastSquares,
    targets: Sequence[ScaledTargets],
    store: RowStore,
    workshop: Workshop,
    *,
    leave_out: bool,
    together: Sequence[Sequence[int]] = (),
) -> list[Residuals]:
    """Return the residuals of every configuration, fitted and, if wanted, left out.

    Configurations of a group in ``together`` are left out at once, all others one by one.
    """
    weights = np.asfortranarray(system.solve())
    grouped = {index for group in together for index in group}
    groups = [*together, *([index] for index in range(len(targets)) if index not in grouped)]

    def residuals(group: Sequence[int]) -> list[Residuals]:
        rows = [store.read(index) for index in group]
        fitted = [
            dgemm(1.0, own.T, weights, trans_a=1) - targets[index].values
            for index, own in zip(group, rows, strict=True)
        ]
        if not leave_out:
            return [Residuals(one) for one in fitted]
        sigmas = np.concatenate([targets[index].sigmas for index in group])[:, None]
        found = left_out(np.concatenate(rows) / sigmas, np.concatenate(fitted) / sigmas, system.triangle)
        ends = np.cumsum([len(one) for one in fitted])[:-1]
        without = np.split(found.residuals * sigmas, ends)
        deviations = np.split(found.deviations * sigmas[:, 0], ends)
        return [Residuals(*one) for one in zip(fitted, without, deviations, strict=True)]

    found: list[Any] = [None] * len(targets)
    for group, results in zip(groups, workshop.in_order("errors")(residuals, groups), strict=True):
        for index, result in zip(group, results, strict=True):
            found[index] = result
    return found


def blocks_of(targets: Sequence[ScaledTargets], n_columns: int) -> Iterator[list[int]]:
    """Yield consecutive configurations whose rows together do not exceed the columns, one of them at least."""
    limit = min(max(n_columns, 256), _LARGEST_BLOCK_ROWS)
    block: list[int] = []
    n_rows = 0
    for index, scaled in enumerate(targets):
        if block and n_rows + len(scaled.values) > limit:
            yield block
            block, n_rows = [], 0
        block.append(index)
        n_rows += len(scaled.values)
    if block:
        yield block


def required_bytes(
    builder: RowBuilder, configurations: Sequence[LabelledConfiguration], threads: int, n_sets: int = 1
) -> int:
    """Return what a fit holds at once (bytes) when it keeps no rows in memory.

    That are the triangle, the prior's factor, a block of rows and its copy, sparse points as matrices, and
    each thread's work space.
    """
    columns = builder.n_columns
    largest_atoms = max(configuration.n_atoms for configuration in configurations)
    largest_rows = 1 + 3 * largest_atoms + N_VIRIAL_ROWS
    block_rows = max(min(max(columns, 256), _LARGEST_BLOCK_ROWS), largest_rows)
    return _BYTES * (
        2 * (columns + n_sets) ** 2
        + 2 * block_rows * (columns + n_sets)
        + builder.expanded_numbers
        + threads * (2 * largest_rows * columns + builder.workspace_numbers)
    )
