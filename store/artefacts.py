"""Files of the store: written whole or not at all, confined to the store's root, verified by checksum."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.files import explain_os_error, sha256_of
from .records import Artefact


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
