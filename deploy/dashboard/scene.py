"""What the viewer in the browser draws: atoms with colours and radii, a cell, forces, images of a path. Plain data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from ase.data.colors import jmol_colors
from markupsafe import Markup
from numpy.typing import ArrayLike

from ...analysis.charges.environments import IONS
from ...core.arrays import FloatArray

MOST_ATOMS: Final = 5000
_DIGITS: Final = 4


def scene(
    numbers: ArrayLike,
    frames: Sequence[ArrayLike],
    cell: ArrayLike,
    *,
    pbc: Sequence[bool] = (True, True, True),
    forces: ArrayLike | None = None,
    deviations: ArrayLike | None = None,
    charges: ArrayLike | None = None,
    energies: Sequence[float] | None = None,
) -> dict[str, Any] | None:
    """Return the data of the viewer, None where there are too many atoms to draw.

    Parameters
    ----------
    numbers
        Atomic numbers, [n_atoms].
    frames
        Positions (Å) of every image, each [n_atoms, 3].
    cell
        Rows are lattice vectors (Å).
    forces
        Drawn as arrows (eV/Å), [n_atoms, 3].
    deviations
        Shown as colour (eV/Å), [n_atoms].
    charges
        Shown as colour (e), [n_atoms]; not beside deviations.
    energies
        Of the images (eV), shown beside the slider.
    """
    atoms = np.asarray(numbers, dtype=int)
    if len(atoms) > MOST_ATOMS:
        return None
    kinds = sorted(set(atoms.tolist()))
    return {
        "species": [
            {
                "symbol": chemical_symbols[number],
                "radius": round(float(covalent_radii[number]), 3),
                "colour": _hexadecimal(jmol_colors[number]),
                # Lines from lithium to everything would hide the framework.
                "bonds": chemical_symbols[number] not in IONS,
            }
            for number in kinds
        ],
        "kinds": [kinds.index(number) for number in atoms.tolist()],
        "frames": [_rounded(frame) for frame in frames],
        "cell": _rounded(cell),
        "pbc": [bool(one) for one in pbc],
        "forces": None if forces is None else _rounded(forces),
        "deviations": None if deviations is None else _rounded(deviations),
        "charges": None if charges is None else _rounded(charges),
        "energies": None if energies is None else _rounded(energies),
    }


def _hexadecimal(colour: FloatArray) -> str:
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in colour)


def _rounded(values: ArrayLike) -> Any:
    return np.round(np.nan_to_num(np.asarray(values, dtype=float)), _DIGITS).tolist()


def scene_json(data: dict[str, Any]) -> Markup:
    """Return the data as JSON that can stand in a page."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    escaped = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return Markup(escaped)  # all characters that HTML knows are escaped above
