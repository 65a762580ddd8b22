"""What a native fit is given: inputs that determine the potential, resources that do not, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...data_sets import DataSet
from ...settings import GapSettings
from .row_cache import DEFAULT_CACHE_LIMIT_MB
from .sparse_points import SparsePoints

Stage = Literal["selection", "rows", "factorisation", "charges", "errors"]
ParallelMap = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[Any]]
"""Applies a function to every item on all threads, yielding results in the order of the items."""


@dataclass(frozen=True)
class FitProgress:
    """How far a stage of a fit is: ``done`` of ``total`` configurations."""

    stage: Stage
    done: int
    total: int


ProgressCallback = Callable[[FitProgress], None]


@dataclass(frozen=True, eq=False)
class FitInputs:
    """What determines a fitted potential.

    Attributes
    ----------
    data_set
        Labelled configurations and energies of the isolated atoms.
    settings
        Hyperparameters.
    seed
        For the selection of sparse points.
    sparse_points
        Used as they are, nothing is selected; None selects.
    earlier
        Sparse points of an earlier fit that are kept; points for what they do not cover join them, as
        `growth` says. Rows in the cache stay valid for them.
    leave_out
        Whether leave-out errors are wanted.
    left_out_together
        Groups of configurations (their places in the data set) that are left out at once; all others one by one.
    """

    data_set: DataSet
    settings: GapSettings
    seed: int
    sparse_points: SparsePoints | None = None
    earlier: SparsePoints | None = None
    leave_out: bool = True
    left_out_together: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class FitResources:
    """What a fit may use; the potential does not depend on it beyond rounding.

    Attributes
    ----------
    threads
        With one, equal inputs give equal bytes on one machine; so do equal numbers of threads.
    memory_limit_MB
        Of arrays of the fit (MB, 10⁶ bytes); rows beyond it wait in a temporary file.
    cache_folder
        Where rows are kept for later fits; None keeps none.
    cache_limit_MB
        Of the cache (MB, 10⁶ bytes); what was not used for longest goes first.
    """

    threads: int = 1
    memory_limit_MB: float = 1000.0
    cache_folder: Path | None = None
    cache_limit_MB: float = DEFAULT_CACHE_LIMIT_MB
