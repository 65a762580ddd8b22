"""What keeping the posterior of a fit takes: asked before there is a fit, and without what computes one."""

from __future__ import annotations

from typing import Final

MOST_BYTES: Final = 400_000_000
"""Of the file: 10,000 sparse points."""
_BYTES_PER_REAL = 8


def posterior_bytes(columns: int) -> int:
    """Return the size of a posterior's file, 0 where it is too large to be kept."""
    size = _BYTES_PER_REAL * columns * (columns + 1) // 2
    return size if size <= MOST_BYTES else 0
