"""Buffers that are used again, so that repeated evaluations do not allocate memory anew."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Scratch:
    """Named arrays, grown when needed; an array is valid until its name is asked for again.

    Not safe for several threads: give each its own.
    """

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, str], NDArray[Any]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """A C-contiguous array with contents left over from its last use."""
        size = math.prod(shape)
        key = (name, np.dtype(dtype).str)
        buffer = self._buffers.get(key)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[key] = np.empty(size, dtype)
        return buffer[:size].reshape(shape)
