"""Temporary folders that say whose they are, so that those of killed processes can be removed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...core.processes import has_ended, process_name

_PREFIX = "ionloop-of-"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield an empty folder among the temporary files, which is removed afterwards."""
    # The name says who made it, and ends in a dot before what makes it unique.
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{process_name(os.getpid())}.") as name:
        yield Path(name)


def remove_leftovers() -> list[Path]:
    """Remove the temporary folders whose makers are known to be dead; return them.

    A process that cannot be looked at from here (in another container, on another machine that shares the folder) may
    be alive: what it made stays.
    """
    removed = []
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX).rpartition(".")[0]
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid() or not has_ended(owner):
                continue
            shutil.rmtree(folder)
            removed.append(folder)
    return removed
