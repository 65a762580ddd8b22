"""Buffers that are used again, so that repeated evaluations do not allocate memory anew."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

ALIGNMENT = 64
"""Bytes to which arrays are aligned: the order of sums inside BLAS depends on it, and with it the last bit."""


def aligned_empty(size: int, dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """A one-dimensional array that starts at a multiple of `ALIGNMENT` bytes."""
    item = np.dtype(dtype)
    raw = np.empty(size * item.itemsize + ALIGNMENT, np.uint8)
    offset = -raw.ctypes.data % ALIGNMENT
    return raw[offset : offset + size * item.itemsize].view(item)


def aligned_copy(array: NDArray[Any], dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """A C-contiguous copy that starts at a multiple of `ALIGNMENT` bytes."""
    copy = aligned_empty(array.size, dtype).reshape(array.shape)
    copy[...] = array
    return copy


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
            buffer = self._buffers[key] = aligned_empty(size, dtype)
        return buffer[:size].reshape(shape)
