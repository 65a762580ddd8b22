"""What in the settings of structure functions does not fit a campaign's structure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from ase import Atoms

from ....analysis.structure_functions.measured import with_points
from ....analysis.structure_functions.scattering import lengths
from ....analysis.structure_functions.settings import MeasuredSettings, StructureFunctionsSettings
from ....core.errors import InputError
from ....fitting.kinds.base import UnusableFile
from ...campaign.problems import Problem

_KEY = ("analyses", "structure_functions")


def measured_of_files(settings: Sequence[MeasuredSettings], folder: Path) -> tuple[MeasuredSettings, ...]:
    """Return measured curves with the points of their files.

    Raises
    ------
    UnusableFile
        If one cannot be used.
    """
    found = []
    for number, one in enumerate(settings):
        try:
            found.append(with_points(one, folder))
        except InputError as error:
            raise UnusableFile(("measured", str(number), "file"), one.file, str(error)) from error
    return tuple(found)


def structure_functions_problems(settings: StructureFunctionsSettings, atoms: Atoms) -> Iterator[Problem]:
    """Yield elements that are not there, and what nobody knows how it scatters."""
    species = tuple(sorted(set(atoms.symbols)))
    missing = settings.missing_elements(species)
    for key, names in missing.items():
        allowed = " | ".join(species)
        yield Problem((*_KEY, key), "names what the structure does not hold", value=names, allowed=allowed)
    if missing:
        return
    for radiation in settings.radiation:
        try:
            lengths(radiation, species, np.array([0.0, settings.q_max_per_A]), settings.isotopes, settings.lengths_fm)
        except InputError as error:
            yield Problem((*_KEY, "radiation"), f"cannot be used: {error}", value=radiation)
