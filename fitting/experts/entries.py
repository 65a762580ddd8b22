"""What a library knows of its models: one small file each, read without the models and without what fits them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import Field, ValidationError

from ...core.errors import InputError
from ...core.files import explain_os_error
from ...core.settings import FrozenSettings

VARIABLE: Final = "IONLOOP_LIBRARY"
SCHEMA_VERSION: Final = 1
_ENTRIES = "entries"


class Entry(FrozenSettings):
    """What a library knows of one model."""

    schema_version: int = Field(SCHEMA_VERSION, description="Version of this file's layout (count)")
    name: str = Field(description="Name in the library")
    inputs_hash: str = Field(description="Hash of all that determines the model (SHA-256)")
    kind: str = Field(description="Kind of model (name)")
    elements: tuple[str, ...] = Field(description="Elements that it knows (symbols)")
    compositions: dict[str, int] = Field(description="Configurations of each reduced formula (count)")
    configurations: int = Field(description="Configurations that it was fitted to (count)")
    references: tuple[str, ...] = Field(description="What labelled them (names)")
    isolated_atom_energies_eV: dict[str, float] = Field(description="Zeros of its energies (eV)")
    computed_isolated_atoms: tuple[str, ...] = Field(
        description="Elements whose isolated atom was computed; of the others an energy stands in (symbols)"
    )
    descriptors: dict[str, Any] = Field(description="Settings that models must share to be combined (units in names)")
    baseline: dict[str, Any] | None = Field(description="The same of the electrostatic baseline; null without one")
    points: dict[str, int] = Field(description="SOAP sparse points by element (count)")
    environments: dict[str, tuple[tuple[str, int], ...]] | None = Field(
        description="Configuration and atom that each point is, by element; null where they cannot be found: the model "
        "combines with models of the same elements only"
    )
    force_rmse_eV_per_A: float | None = Field(
        None, description="Left-out error of its forces, that of the training data where nothing was left out (eV/Å)"
    )
    energy_rmse_eV_per_atom: float | None = Field(None, description="The same of energies (eV/atom)")


def library_folder(given: Path | None = None) -> Path:
    """Return the folder of the library: the one given, else $IONLOOP_LIBRARY, else one among the user's data."""
    if given is not None:
        return given.absolute()
    if named := os.environ.get(VARIABLE):
        return Path(named).absolute()
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "ionloop" / "library"


def entry_path(library: Path, name: str) -> Path:
    """Return where the entry of a model is."""
    return library / _ENTRIES / f"{name}.json"


def read_entries(library: Path) -> tuple[Entry, ...]:
    """Return all entries of a library by name, none where there is no library.

    Raises
    ------
    InputError
        If one is damaged.
    """
    return tuple(read_entry(path) for path in sorted((library / _ENTRIES).glob("*.json")))


def read_entry(path: Path) -> Entry:
    """Return the entry in a file.

    Raises
    ------
    InputError
        If it is damaged, or of another version.
    """
    try:
        entry = Entry.model_validate_json(path.read_bytes())
    except OSError as error:
        raise explain_os_error(error, path) from error
    except ValidationError as error:
        raise InputError(
            f"{path} is damaged, or of another version: {error}; remove it and add the model again"
        ) from None
    if entry.schema_version != SCHEMA_VERSION:
        raise InputError(f"{path} has the version {entry.schema_version}; this ionloop reads {SCHEMA_VERSION}")
    return entry


def chosen_entries(library: Path, names: Sequence[str] = ()) -> tuple[Entry, ...]:
    """Return the entries of some names, in their order, or all.

    Raises
    ------
    InputError
        If the library is empty, or has none of a name.
    """
    by_name = {entry.name: entry for entry in read_entries(library)}
    if not by_name:
        raise InputError(f"the library {library} is empty: ionloop library add MODEL --name NAME")
    for name in names:
        if name not in by_name:
            close = get_close_matches(name, by_name, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else ""
            raise InputError(f"the library has no model {name!r}{meant}; it has {', '.join(by_name)}")
    if len(set(names)) < len(names):
        raise InputError(f"a name stands twice in {', '.join(names)}")
    return tuple(by_name[name] for name in names) if names else tuple(by_name.values())
