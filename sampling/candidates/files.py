"""Candidates from files that ASE reads, every structure in them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from ase import Atoms
from pydantic import BeforeValidator, Field

from ...core.citations import Citation
from ...core.errors import InputError
from ..structures.crystals import CRYSTALS, OCCUPANCY_TOLERANCE, check_crystal, load_frames
from .base import CommonSourceSettings, Findings, Gathered, SourceRequest
from .candidate import Candidate, Refusal, crystal_of

ENERGY_ABOVE_HULL_KEY = "energy_above_hull_eV_per_atom"
"""What the energy above the hull (eV per atom) is called beside a structure of an extended XYZ file."""
BAND_GAP_KEY = "band_gap_eV"
"""What the band gap (eV) is called there."""
IDENTIFIER_KEY = "identifier"
"""What a structure's own name is called there."""
_GLOB_CHARACTERS = frozenset("*?[")


def _as_tuple(value: Any) -> Any:
    # A file is read strictly, and lists are tuples to whoever comes after a validator.
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


class FileSource(CommonSourceSettings):
    """Files that ASE reads, every structure in them."""

    kind: Literal["files"] = Field(default="files", description="Files that ASE reads, every structure in them.")
    paths: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=1024)], ...], BeforeValidator(_as_tuple)] = (
        Field(
            min_length=1,
            description="Files, patterns of files with * and ?, or names of built-in structures (paths, relative to "
            "the survey file)",
        )
    )


class Files:
    """Files that ASE reads, every structure in them."""

    name = "files"
    rank = 10.0
    settings_type = FileSource
    citations: tuple[Citation, ...] = ()

    def describe(self, settings: FileSource) -> str:
        """Return where candidates come from, in words."""
        return f"the files {', '.join(settings.paths)}"

    def gather(self, request: SourceRequest[FileSource]) -> Gathered:
        """Read every structure of every file, files of a pattern by name.

        Raises
        ------
        InputError
            If there is no such file, or none of a pattern.
        """
        findings = Findings()
        largest = request.settings.max_candidates
        for name, place in _places(request.settings.paths, request.base_folder):
            try:
                frames = load_frames(place, request.base_folder)
            except InputError as error:
                findings.refusals.append(Refusal(Path(name).stem, name, str(error).rstrip(".")))
                continue
            if not frames:
                findings.refusals.append(Refusal(Path(name).stem, name, "it holds no structure"))
            for number, frame in enumerate(frames, start=1):
                if len(findings.candidates) == largest:
                    findings.incomplete = f"{name} and what follows hold more than the {largest} of max_candidates"
                    return findings.gathered()
                identifier = Path(name).stem if len(frames) == 1 else f"{Path(name).stem}-{number}"
                try:
                    findings.candidates.append(_candidate(frame, name, identifier))
                except InputError as error:
                    findings.refusals.append(Refusal(identifier, name, str(error).rstrip(".")))
        return findings.gathered()


FILES = Files()


def _places(paths: tuple[str, ...], base_folder: Path) -> Iterator[tuple[str, str]]:
    """Yield every file as it is named in messages and as it is read, each once; built-in names as they are."""
    seen: set[Path] = set()
    for path in paths:
        if path.lower() in CRYSTALS:
            yield path.lower(), path
            continue
        place = base_folder / Path(path).expanduser()
        found = [place]
        if _GLOB_CHARACTERS.intersection(path) and not place.is_file():
            anchor = Path(place.anchor)
            found = sorted(file for file in anchor.glob(str(place.relative_to(anchor))) if file.is_file())
            if not found:
                raise InputError(f"No file is called {place}: candidates were to be read from such files.")
        elif not place.is_file():
            kind = "is a folder: write folder/*.cif for its files" if place.is_dir() else "does not exist"
            raise InputError(f"The file of candidates {place} {kind}.")
        for file in found:
            if (resolved := file.resolve()) not in seen:
                seen.add(resolved)
                shown = file.relative_to(base_folder) if file.is_relative_to(base_folder) else file
                yield str(shown), str(file.absolute())


def _candidate(frame: Atoms, name: str, identifier: str) -> Candidate:
    """Return the candidate of one structure of a file.

    Raises
    ------
    InputError
        If it cannot be computed.
    """
    if partial := _partly_occupied(frame):
        raise InputError(f"it has partly occupied sites ({'; '.join(partial)}): order it first")
    check_crystal(frame, "it")
    own_name = frame.info.get(IDENTIFIER_KEY)
    return Candidate(
        atoms=crystal_of(frame.symbols, frame.positions, frame.cell.array),
        source=name,
        identifier=str(own_name) if isinstance(own_name, str) and own_name else identifier,
        energy_above_hull_eV_per_atom=_number(frame, ENERGY_ABOVE_HULL_KEY),
        band_gap_eV=_number(frame, BAND_GAP_KEY),
        is_ordered=True,
        provenance={"file": name},
    )


def _partly_occupied(frame: Atoms) -> list[str]:
    """Return the sites that are not fully occupied by one element, with where the first atom of each lies."""
    kinds = frame.arrays.get("spacegroup_kinds")
    told = []
    for key, site in frame.info.get("occupancy", {}).items():
        if len(site) == 1 and all(abs(share - 1) <= OCCUPANCY_TOLERANCE for share in site.values()):
            continue
        shares = ", ".join(f"{symbol} {share:g}" for symbol, share in site.items())
        members = np.flatnonzero(kinds == int(key)) if kinds is not None else np.array([], dtype=int)
        if len(members):
            where = " ".join(f"{x:.4g}" for x in frame.get_scaled_positions()[members[0]])
            shares += f" at ({where}), {len(members)} in the cell"
        told.append(shares)
    return told


def _number(frame: Atoms, key: str) -> float | None:
    value = frame.info.get(key)
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        return None
    return float(value) if math.isfinite(value) else None
