"""Work shared by threads: compiled functions that release the interpreter's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def default_threads() -> int:
    """OMP_NUM_THREADS where it is a positive number, else 1."""
    text = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return max(1, int(text)) if text.isdecimal() else 1


def in_threads(function: Callable[[Item], Result], items: Sequence[Item], threads: int) -> list[Result]:
    """Return the function of every item, in order; this thread takes its share. Raises what the function raises."""
    if threads <= 1 or len(items) <= 1:
        return [function(item) for item in items]
    share = max(1, len(items) // threads)
    others = [_pool(os.getpid(), threads - 1).submit(function, item) for item in items[share:]]
    try:
        own = [function(item) for item in items[:share]]
    finally:
        results = [other.result() for other in others]
    return own + results


@lru_cache(maxsize=8)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads that wait for work. A forked process inherits the pool without its threads and needs another."""
    del process
    return ThreadPoolExecutor(threads)
