"""Numba with a folder for its compiled code that can be written: modules import it from here.

Numba keeps compiled code beside the sources or in the user's cache, and refuses to compile where it can write to
neither: an installation by an administrator, a container's image, a compute node without a home.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

CACHE_VARIABLE = "NUMBA_CACHE_DIR"


def is_writable(folder: Path) -> bool:
    """Return whether a file can be made in a folder, or in the folder that it would be made in."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _users_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numba"


def has_numbas_own_folder() -> bool:
    """Return whether numba finds a folder by itself: the one that was named, that of the sources, or the user's."""
    if CACHE_VARIABLE in os.environ or is_writable(Path(__file__).parent / "__pycache__"):
        return True
    try:
        return is_writable(_users_cache())
    except RuntimeError:  # there is no home
        return False


def private_folder() -> Path:
    """Return a folder of this user alone among the temporary ones: what lies in it is run."""
    folder = Path(tempfile.gettempdir()) / f"ionloop-compiled-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return Path(tempfile.mkdtemp(prefix="ionloop-compiled-"))
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return folder if is_ours and is_writable(folder) else Path(tempfile.mkdtemp(prefix="ionloop-compiled-"))


if not has_numbas_own_folder():
    # For the processes that this one starts, too.
    os.environ[CACHE_VARIABLE] = str(private_folder())

import numba  # noqa: E402 - it reads the variable when it is imported
import numba.extending  # noqa: E402

# Where another library had imported it before.
numba.config.CACHE_DIR = os.environ.get(CACHE_VARIABLE, numba.config.CACHE_DIR)

__all__ = ["numba"]
