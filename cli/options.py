"""Options that several commands share, defined once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..store.connection import Store

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="The store: a file (embedded) or a mongodb:// URI. Default: $IONLOOP_STORE, else ionloop.db here.",
    ),
]
RootOption = Annotated[
    Path | None,
    typer.Option("--root", help="Folder of the store's files. Default: $IONLOOP_ROOT, else beside the store's file."),
]
NameArgument = Annotated[str | None, typer.Argument(help="The campaign; may be left out where the store has one.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def existing_store(location: str | None, root: Path | None) -> Store:
    """Open a store that must be there.

    Raises
    ------
    InputError
        If there is none.
    """
    from ..store.connection import open_store

    return open_store(location, root=root, must_exist=True)


def store_hint(opened: Store) -> str:
    """Return the option that names this store again, empty where the command would find it by itself."""
    from ..store.connection import default_location

    return "" if str(Path(default_location()).resolve()) == opened.location else f" --store {opened.location}"
