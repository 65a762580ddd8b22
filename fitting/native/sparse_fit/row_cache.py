"""Rows of configurations on the disk, named by the digest of everything that they depend on.

A file is a digest of its content followed by the content: what was half-written, cut short or altered is not
taken, and computed again. Files are written under a temporary name and renamed, so that several fits can
share a folder. Nothing depends on the cache but time: where it cannot be written, fits go on without it, and
what was not used for longest makes room.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ....core.arrays import FloatArray
from ....core.errors import IonloopError
from ....core.files import replacement

ROWS_VERSION = "1"
"""Part of every key: rows computed with another version of the kernels are not found."""
DEFAULT_CACHE_LIMIT_MB = 10_000.0
_FREE_BYTES = 5e8
_DIGEST_BYTES = 32
_SUFFIX = ".rows"
_PARTIAL_LIFETIME_S = 86_400.0
logger = logging.getLogger(__name__)


def digest_of(parts: Iterable[bytes | str]) -> str:
    """Return a digest (64 hexadecimal digits) of some parts, each marked off from its neighbours by its length."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


class RowCache:
    """A folder of row blocks, one file per key. Thread-safe.

    Parameters
    ----------
    folder
        Made when it does not exist.
    limit_MB
        Of all files together, after `prune`, and of those that one fit uses (MB, 10⁶ bytes).

    Raises
    ------
    IonloopError
        If the folder cannot be made.
    """

    def __init__(self, folder: Path, limit_MB: float = DEFAULT_CACHE_LIMIT_MB) -> None:
        self.folder = Path(folder)
        self._limit_bytes = limit_MB * 1e6
        self._used: dict[str, int] = {}
        self._used_bytes = 0
        self._lock = threading.Lock()
        self._writable = True
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise IonloopError(
                f"the cache folder {folder} cannot be made: {error}; choose another one, or none"
            ) from error

    def path(self, key: str) -> Path:
        """Return the file of a key."""
        return self.folder / key[:2] / f"{key}{_SUFFIX}"

    @property
    def has_room(self) -> bool:
        """Whether more rows can be kept; this fit's own do not push each other out."""
        return self._writable and self._used_bytes < self._limit_bytes and self._lacking_bytes() <= 0

    def may_have(self, key: str) -> bool:
        """Return whether there are rows of a key, whole or damaged."""
        return self.path(key).exists()

    def read(self, key: str, shape: tuple[int, int]) -> FloatArray | None:
        """Return the rows of a key, or None if there are none, or damaged ones."""
        path = self.path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        if len(content) != _DIGEST_BYTES + 8 * shape[0] * shape[1]:
            return None
        if (
            hashlib.blake2b(memoryview(content)[_DIGEST_BYTES:], digest_size=_DIGEST_BYTES).digest()
            != content[:_DIGEST_BYTES]
        ):
            return None
        self._count(key, len(content))
        # The time of the last use; another process may have removed the file meanwhile.
        with contextlib.suppress(OSError):
            os.utime(path)
        return np.frombuffer(content, dtype="<f8", offset=_DIGEST_BYTES).reshape(shape)

    def write(self, key: str, rows: FloatArray) -> None:
        """Keep rows under a key, if there is room and the disk takes them."""
        if not self.has_room:
            return
        path = self.path(key)
        content = np.ascontiguousarray(rows, dtype="<f8")
        try:
            path.parent.mkdir(exist_ok=True)
            # Not flushed to the disk: the digest tells what a crash has left, and it is computed again.
            with replacement(path, flushed=False) as temporary, open(temporary, "wb") as stream:
                stream.write(hashlib.blake2b(content.data, digest_size=_DIGEST_BYTES).digest())
                stream.write(content.data)
            self._count(key, content.nbytes + _DIGEST_BYTES)
        except OSError as error:
            self._writable = False
            logger.warning("rows are not kept in %s any more: %s; later fits compute them again", self.folder, error)

    def prune(self) -> None:
        """Remove files until the rest is within the limit and leaves the disk some room, the longest unused first."""
        found = []
        now = time.time()
        for path in self.folder.glob("*/*"):
            # Another process may remove it at the same time.
            with contextlib.suppress(OSError):
                status = path.stat()
                if path.name.startswith("."):
                    if now - status.st_mtime > _PARTIAL_LIFETIME_S:
                        path.unlink()
                elif path.suffix == _SUFFIX:
                    found.append((status.st_mtime_ns, status.st_size, path))
        excess = max(sum(size for _, size, _ in found) - self._limit_bytes, self._lacking_bytes())
        for _, size, path in sorted(found, key=lambda item: item[0]):
            if excess <= 0:
                break
            excess -= size
            with contextlib.suppress(OSError):
                path.unlink()

    def _lacking_bytes(self) -> float:
        """Return how much of the space is not free that models and labels are to find; negative if more is."""
        try:
            return _FREE_BYTES - shutil.disk_usage(self.folder).free
        except OSError:
            return 0.0

    def _count(self, key: str, size: int) -> None:
        with self._lock:
            self._used_bytes += size - self._used.get(key, 0)
            self._used[key] = size
