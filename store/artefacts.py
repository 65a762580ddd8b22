"""Files of the store: written whole or not at all, confined to the store's root, verified by checksum."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..core.errors import InputError, IonloopError
from .records import Artefact

_CHUNK_BYTES = 1 << 20
_OUT_OF_ROOM = {errno.ENOSPC, errno.EDQUOT}


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the file at ``path``."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()


def explain_os_error(error: OSError, path: Path) -> IonloopError:
    """Return the error that tells a user what is wrong with the disk, from the system's own."""
    if error.errno in _OUT_OF_ROOM:
        return IonloopError(f"{path}: no space left; free some and run the same command again, nothing is lost")
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return InputError(f"{path}: not writable ({error.strerror}); choose another folder or change its rights")
    if isinstance(error, IsADirectoryError):
        return InputError(f"{path}: is a folder; name a file in it")
    if isinstance(error, NotADirectoryError | FileExistsError):
        return InputError(f"{path}: a part of it is a file, not a folder; choose another place")
    return IonloopError(f"{path}: {error.strerror or error}")


class ArtefactStore:
    """The files below one root folder.

    Parameters
    ----------
    root
        The folder; made when the first file is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def path(self, relative: str | Path) -> Path:
        """Return the absolute path of ``relative``, refusing what leads out of the root.

        Raises
        ------
        InputError
            If the path is absolute or leaves the root (also through a symbolic link).
        """
        path = (self.root / relative).resolve()
        if Path(relative).is_absolute() or not path.is_relative_to(self.root):
            raise InputError(f"path {str(relative)!r} leads out of the store's root {self.root}")
        return path

    def folder(self, relative: str | Path) -> Path:
        """Return the folder ``relative`` below the root, made if needed."""
        path = self.path(relative)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain_os_error(error, path) from error
        return path

    def register(self, path: Path) -> Artefact:
        """Return the record of the finished file at ``path`` (below the root)."""
        relative = path.resolve().relative_to(self.root)
        return Artefact(path=relative.as_posix(), size=path.stat().st_size, sha256=sha256_of(path))

    def is_there(self, artefact: Artefact) -> bool:
        """Return whether a file of the recorded size is there; its content is not read."""
        path = self.path(artefact.path)
        return path.is_file() and path.stat().st_size == artefact.size

    def is_whole(self, artefact: Artefact) -> bool:
        """Return whether the file is there with the recorded size and checksum."""
        path = self.path(artefact.path)
        return path.is_file() and path.stat().st_size == artefact.size and sha256_of(path) == artefact.sha256


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success sync and rename it, on failure remove it.

    Raises
    ------
    IonloopError
        If the disk is full or the folder not writable, naming the path.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def artefacts_in(value: Any) -> Iterator[Artefact]:
    """Yield every file that a document refers to, wherever in it."""
    if isinstance(value, Mapping):
        if set(value) == {"path", "size", "sha256"}:
            yield Artefact.model_validate(value)
        else:
            for one in value.values():
                yield from artefacts_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from artefacts_in(one)
