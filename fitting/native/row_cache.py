"""Rows of configurations on the disk, named by the digest of everything that they depend on.

A file is a digest of its content followed by the content: what was half-written, cut short or altered is not
taken, and computed again. Files are written under a temporary name and renamed, so that several fits can
share a folder.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import IonloopError

FloatArray = NDArray[np.float64]

#: Part of every key: rows computed with another version of the kernels are not found.
ROWS_VERSION = "1"
_DIGEST_BYTES = 32
_counter = itertools.count()


def digest_of(parts: Iterable[bytes | str]) -> str:
    """Return a digest (64 hexadecimal digits) of some parts, each marked off from its neighbours by its length."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


class RowCache:
    """A folder of row blocks, one file per key.

    Args:
        folder: made when it does not exist.

    Raises:
        IonloopError: if the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise IonloopError(
                f"the cache folder {folder} cannot be made: {error}; choose another one, or none"
            ) from error

    def path(self, key: str) -> Path:
        """Return the file of a key."""
        return self.folder / key[:2] / f"{key}.rows"

    def read(self, key: str, shape: tuple[int, int]) -> FloatArray | None:
        """Return the rows of a key, or None if there are none, or damaged ones."""
        try:
            content = self.path(key).read_bytes()
        except OSError:
            return None
        if len(content) != _DIGEST_BYTES + 8 * shape[0] * shape[1]:
            return None
        if (
            hashlib.blake2b(memoryview(content)[_DIGEST_BYTES:], digest_size=_DIGEST_BYTES).digest()
            != content[:_DIGEST_BYTES]
        ):
            return None
        return np.frombuffer(content, dtype="<f8", offset=_DIGEST_BYTES).reshape(shape)

    def write(self, key: str, rows: FloatArray) -> None:
        """Keep rows under a key.

        Raises:
            IonloopError: if they cannot be written.
        """
        path = self.path(key)
        content = np.ascontiguousarray(rows, dtype="<f8")
        # Threads of one process write the same folder too.
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{next(_counter)}.part")
        try:
            path.parent.mkdir(exist_ok=True)
            with open(temporary, "wb") as stream:
                stream.write(hashlib.blake2b(content.data, digest_size=_DIGEST_BYTES).digest())
                stream.write(content.data)
                # Not flushed to the disk: the digest tells what a crash has left, and it is computed again.
            temporary.replace(path)
        except OSError as error:
            raise IonloopError(
                f"rows cannot be kept in the cache folder {self.folder}: {error}; free some space, or fit without it"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
