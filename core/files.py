"""Files and folders that are written whole or not at all, whatever moment the process is killed at."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError, IonloopError

PRIVATE = 0o600
"""Rights of a file that its owner alone may read."""
OPEN = 0o666
"""Rights of a file that whoever the process's umask does not exclude may read."""
_OUT_OF_ROOM = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def replacement(path: Path, *, rights: int = OPEN, alone: bool = False, flushed: bool = True) -> Iterator[Path]:
    """Yield an empty file beside ``path``; on success flush it and give it that name, on failure remove it.

    Whoever reads ``path`` meanwhile sees the old content or the new, never half of one.

    Parameters
    ----------
    rights
        Of the file, before the umask.
    alone
        Whether no other process writes ``path`` at the same time: what a killed one left is then written over.
    flushed
        Whether the content must survive a power failure; without, the file may be empty after one.

    Raises
    ------
    OSError
        If the disk is full or the folder, which must be there, is not writable.
    """
    # The ending stays: writers go by it.
    temporary = path.with_name(f".{path.name}.{'new' if alone else secrets.token_hex(6)}{path.suffix}")
    # A name that another user could foresee is not followed where it is a link.
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | (os.O_TRUNC if alone else os.O_EXCL)
    os.close(os.open(temporary, flags, rights))
    try:
        yield temporary
        if flushed:
            flush(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_file(path: Path, *, rights: int = PRIVATE, alone: bool = False) -> Iterator[Path]:
    """Yield a `replacement` of ``path`` whose folder is made, and whose errors are told to a user.

    Raises
    ------
    IonloopError
        If the disk is full or the folder not writable, naming the path.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacement(path, rights=rights, alone=alone) as temporary:
            yield temporary
    except OSError as error:
        raise explain_os_error(error, path) from error


def write_whole(path: Path, content: str | bytes, *, rights: int = OPEN, alone: bool = False) -> None:
    """Write a file, its text in UTF-8, as `replacement` does.

    Raises
    ------
    OSError
        If the disk is full or the folder, which must be there, is not writable.
    """
    with replacement(path, rights=rights, alone=alone) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def flush(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Wait until a folder and all files that lie in it are on the disk, before it gets its name."""
    for path in (*folder.iterdir(), folder):
        flush(path)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the file at ``path``, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_out_of_room(error: OSError) -> bool:
    """Return whether a disk, or somebody's share of it, is full."""
    return error.errno in _OUT_OF_ROOM


def explain_os_error(error: OSError, path: Path) -> IonloopError:
    """Return the error that tells a user what is wrong with the disk, from the system's own."""
    if is_out_of_room(error):
        return IonloopError(f"{path}: no space left; free some and run the same command again, nothing is lost")
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return InputError(f"{path}: not writable ({error.strerror}); choose another folder or change its rights")
    if isinstance(error, IsADirectoryError):
        return InputError(f"{path}: is a folder; name a file in it")
    if isinstance(error, NotADirectoryError | FileExistsError):
        return InputError(f"{path}: a part of it is a file, not a folder; choose another place")
    return IonloopError(f"{path}: {error.strerror or error}")
