"""Which folder holds a store's files: remembered by the store, so that a forgotten ``--root`` loses nothing.

The store has a name of its own that no other has, and its folder a small file with that name. The folder is remembered
by its path from the store's file and by its whole path: moved, copied or linked together they still find each other.
"""

from __future__ import annotations

import json
import os
import shlex
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.files import atomic_file
from .artefacts import ArtefactStore, artefacts_in

COLLECTION = "home"
MARK = ".ionloop-store"
"""Name of the file in the folder that says whose it is."""
_KEY = "files"
_FILES_LOOKED_AT = 20
_WITH_FILES = ("models", "trajectories", "results")


@dataclass(frozen=True)
class Home:
    """What a store remembers of its folder.

    Attributes
    ----------
    store
        The store's own name.
    relative
        Path from the folder of the store's file; None for a server.
    absolute
        The whole path.
    """

    store: str
    relative: str | None
    absolute: str

    def places(self, beside: Path | None) -> list[Path]:
        """Return where the folder may be, the likelier first; ``beside`` is the folder of the store's file."""
        here = [] if self.relative is None or beside is None else [beside / self.relative]
        return [*here, Path(self.absolute)]


def remembered(database: Any) -> Home | None:
    """Return what the store remembers of its folder, None where that is nothing yet."""
    document = database[COLLECTION].find_one({"_id": _KEY})
    return None if document is None else Home(document["store"], document.get("relative"), document["absolute"])


def remembered_root(database: Any, beside: Path | None) -> Path | None:
    """Return the folder that the store remembers, None where there is none or it is not there any more."""
    home = remembered(database)
    return None if home is None else next(iter(_there(home, beside)), None)


def remember(database: Any, root: Path, beside: Path | None) -> None:
    """Note the folder in the store, and the store in the folder, which is made if need be."""
    relative = None if beside is None else os.path.relpath(root, beside)
    home = remembered(database)
    if home is None or (home.relative, home.absolute) != (relative, str(root)):
        # Another process may open a new store at the same moment: the first one names it.
        name, paths = {"store": uuid.uuid4().hex}, {"relative": relative, "absolute": str(root)}
        database[COLLECTION].update_one({"_id": _KEY}, {"$setOnInsert": name, "$set": paths}, upsert=True)
        home = remembered(database)
        assert home is not None
    if _marked(root) is None:
        ArtefactStore(root).folder(".")
        with atomic_file(root / MARK) as temporary:
            temporary.write_text(json.dumps({"store": home.store}) + "\n", "utf-8")


def check_root(database: Any, root: Path, beside: Path | None, location: str) -> None:
    """Refuse a folder that is not the one of the store's files, before anything is done with it.

    Raises
    ------
    InputError
        If the store remembers another folder that is there, or records name files of which none is in ``root``.
    """
    home = remembered(database)
    owner = _marked(root)
    if home is not None:
        places = home.places(beside)
        if any(_same(root, place) for place in places):
            return
        there = _there(home, beside)
        # On a server every host may have the folder under another path.
        if owner == home.store and (beside is None or not there):
            return
        if there:
            raise InputError(
                f"store: the files of {location} are in {there[0]}, not in {root}: "
                f"name that folder with --root {shlex.quote(str(there[0]))}, or set IONLOOP_ROOT to it"
            )
        if owner is not None and owner != home.store:
            raise InputError(f"store: {root} holds files of another store than {location}: name another with --root")
    named = [artefact.path for artefact in _some_files(database)]
    if named and not any((root / name).exists() for name in named) and not _was_here(root, named):
        was = "" if home is None else f" (they were in {home.absolute})"
        raise InputError(
            f"store: records of {location} name files that are not in {root}{was}, such as {named[0]}: "
            "name their folder with --root, or set IONLOOP_ROOT to it"
        )


def _there(home: Home, beside: Path | None) -> list[Path]:
    """Return the folders that the store remembers, those that are gone or another store's left out."""
    return [place for place in home.places(beside) if place.is_dir() and _marked(place) in (home.store, None)]


def _was_here(root: Path, named: list[str]) -> bool:
    """Return whether files have been purged from this very folder: the folders that held them are still there."""
    return any((root / name).parent.is_dir() for name in named)


def _some_files(database: Any) -> Iterator[Any]:
    documents = chain.from_iterable(database[name].find().limit(_FILES_LOOKED_AT) for name in _WITH_FILES)
    return islice(chain.from_iterable(artefacts_in(one) for one in documents), _FILES_LOOKED_AT)


def _marked(root: Path) -> str | None:
    """Return the name of the store whose folder this is, None where nothing says so."""
    try:
        document = json.loads((root / MARK).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    name = document.get("store") if isinstance(document, dict) else None
    return name if isinstance(name, str) else None


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return os.path.normpath(one) == os.path.normpath(other)
