"""Candidates from files: any format that ASE reads, whose cells are ordered."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from ase import Atoms

from ....core.errors import InputError
from .candidate import Candidate, Found, LeftOut, disorder_reason, partial_occupancies, periodic_problem

SOURCE = "files"


def read_files(patterns: Sequence[str], folder: Path) -> Found:
    """Return the crystals of files, one of each structure in them.

    Parameters
    ----------
    patterns
        File names, relative to ``folder``; may hold ``*`` and ``?``.

    Raises
    ------
    InputError
        If a pattern matches no file.
    """
    found = Found()
    for pattern in patterns:
        paths = _matching(pattern, folder)
        if not paths:
            raise InputError(f"candidates.files: no file matches {pattern!r} in {folder}")
        for path in paths:
            _read(path, found)
    return found


def _matching(pattern: str, folder: Path) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_absolute():
        return sorted(one for one in path.parent.glob(path.name) if one.is_file())
    return sorted(one for one in folder.glob(pattern) if one.is_file())


def _read(path: Path, found: Found) -> None:
    from ase.io import read

    try:
        with warnings.catch_warnings():
            # What ASE thinks of a file's symmetry is no reason to trust it more or less.
            warnings.simplefilter("ignore")
            structures = read(path, index=":")
    except Exception as error:  # readers of foreign formats raise anything
        found.left_out.append(LeftOut(SOURCE, path.name, f"it cannot be read ({type(error).__name__}: {error})"))
        return
    for place, atoms in enumerate(structures):
        name = path.stem if len(structures) == 1 else f"{path.stem}-{place + 1}"
        reason = _reason(atoms)
        if reason:
            found.left_out.append(LeftOut(SOURCE, name, reason))
            continue
        # Tags and results are no part of a crystal.
        plain = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
        found.candidates.append(Candidate(SOURCE, (name,), plain))


def _reason(atoms: Atoms) -> str:
    occupancy = atoms.info.get("occupancy")
    if occupancy:
        shared = list(partial_occupancies(occupancy.values()))
        if shared:
            return disorder_reason(shared)
    return periodic_problem(atoms)
