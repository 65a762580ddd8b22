"""Files that commands write for the user."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import InputError
from ...core.files import write_whole


def write_new_file(path: Path, text: str, *, force: bool) -> None:
    """Write a text file whole or not at all; refuse to replace one unless forced.

    Raises
    ------
    InputError
        If the file exists or cannot be written.
    """
    if path.exists() and not force:
        raise InputError(f"{path} exists already; use --force to overwrite it, or name another folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None
