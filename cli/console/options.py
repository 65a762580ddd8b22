"""Options that several commands share, defined once."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ...store.connection import Store

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


def existing_store(
    location: str | None, root: Path | None, *, read_only: bool = False, guess_root: bool = True
) -> Store:
    """Open a store that must be there, for reading only or also for writing; see `open_store`.

    Raises
    ------
    InputError
        If there is none.
    """
    from ...store.connection import open_store

    return open_store(location, root=root, must_exist=True, read_only=read_only, guess_root=guess_root)


def store_hint(opened: Store) -> str:
    """Return the options that name this store again, empty where the command would find it by itself."""
    from ...store.connection import ROOT_VARIABLE, default_location, is_embedded, root_beside

    found = str(Path(default_location()).resolve()) == opened.location
    hint = "" if found else f" --store {shlex.quote(opened.location)}"
    own = os.environ.get(ROOT_VARIABLE)
    expected = Path(own) if own else root_beside(opened.location) if is_embedded(opened.location) else None
    if expected is not None and expected.resolve() != opened.root:
        hint += f" --root {shlex.quote(str(opened.root))}"
    return hint


def quoted(value: object) -> str:
    """Return a name or a path as a shell takes it: what is printed to be copied."""
    return shlex.quote(str(value))
