"""The state of a band between attempts, and whether a file holds that of this one."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ...core.arrays import FloatArray
from ...core.errors import InputError
from ...core.files import OPEN, atomic_file

SAME_END_A = 1e-3
"""Ends that were relaxed again on another machine agree to this; so do lattice vectors."""


class CheckpointRefused(InputError):
    """A file holds no state of this band; the message says what it holds."""


@dataclass(frozen=True)
class Checkpoint:
    """Where the state of a band is kept between attempts.

    Attributes
    ----------
    every
        How often it is written (steps).
    model
        What tells the model from others; a state that another one made is refused.
    """

    path: Path
    every: int = 10
    model: str = ""


@dataclass(frozen=True)
class BandOrigin:
    """What a band is made of: its ends, the number of its images, and the settings that led to it."""

    initial: Atoms
    final: Atoms
    images: int
    settings: Mapping[str, Any]


@dataclass
class BandState:
    """Where an optimisation stands; all that FIRE remembers is among it."""

    positions: FloatArray
    climbing: bool = False
    steps: int = 0
    taken: int = 0
    velocity: FloatArray | None = None
    timestep: float = 0.1
    mixing: float = 0.1
    downhill: int = 0

    def save(self, checkpoint: Checkpoint, origin: BandOrigin) -> None:
        """Write the state; a file that was there before is replaced as a whole."""
        velocity = np.empty(0) if self.velocity is None else self.velocity
        numbers = np.array([self.climbing, self.steps, self.taken, self.timestep, self.mixing, self.downhill])
        made_by = {
            "model": checkpoint.model,
            "settings": dict(origin.settings),
            "symbols": origin.initial.get_chemical_symbols(),
            "cell_A": origin.initial.cell.array.tolist(),
        }
        with atomic_file(checkpoint.path, rights=OPEN, alone=True) as temporary, temporary.open("wb") as stream:
            np.savez(
                stream,
                positions=self.positions,
                velocity=velocity,
                numbers=numbers,
                made_by=np.array(json.dumps(made_by)),
            )

    @classmethod
    def load(cls, checkpoint: Checkpoint, origin: BandOrigin) -> BandState:
        """Read a state.

        Raises
        ------
        CheckpointRefused
            If it is broken, or that of another band.
        """
        path = checkpoint.path
        try:
            state, made_by = cls._read(path)
        except (OSError, ValueError, KeyError, TypeError, EOFError, OverflowError, zipfile.BadZipFile) as error:
            if isinstance(error, PermissionError):
                raise
            if isinstance(error, IsADirectoryError):
                raise CheckpointRefused(f"{path} is a folder, not the checkpoint of a band; name a file") from error
            raise CheckpointRefused(f"{path} is no checkpoint of a band, or was cut short; remove it") from error
        difference = _other_ends(state.positions, origin) or _other_origin(made_by, checkpoint.model, origin)
        if difference:
            raise CheckpointRefused(
                f"{path} is the checkpoint of another band: {difference}; name another file, or remove it"
            )
        return state

    @classmethod
    def _read(cls, path: Path) -> tuple[BandState, dict[str, Any]]:
        with path.open("rb") as stream, np.load(stream) as arrays:
            positions, velocity, numbers = (np.asarray(arrays[name]) for name in ("positions", "velocity", "numbers"))
            made_by = dict(json.loads(str(arrays["made_by"]))) if "made_by" in arrays else {}
        climbing, steps, taken, timestep, mixing, downhill = numbers.tolist()
        finite = all(np.isfinite(one).all() for one in (positions, velocity, numbers))
        inner = (len(positions) - 2) * positions[0].size
        if (
            not finite
            or numbers.min() < 0
            or (made_by and "settings" not in made_by)
            or velocity.size not in {0, inner}
        ):
            raise ValueError("a state must be finite, and velocities as many as coordinates")
        state = cls(
            positions=positions,
            climbing=bool(climbing),
            steps=int(steps),
            taken=int(taken),
            velocity=velocity if velocity.size else None,
            timestep=timestep,
            mixing=mixing,
            downhill=int(downhill),
        )
        return state, made_by


def _other_ends(positions: FloatArray, origin: BandOrigin) -> str:
    """Say how the images of a checkpoint do not belong to these ends, empty where they do."""
    count = len(origin.initial)
    if positions.ndim != 3 or positions.shape[1:] != (count, 3):
        return f"its images have {positions.shape[1] if positions.ndim > 1 else 0} atoms, the ends {count}"
    if len(positions) != origin.images:
        return f"it has {len(positions)} images, not {origin.images}"
    for name, image, end in (("start", positions[0], origin.initial), ("end", positions[-1], origin.final)):
        distance = float(np.linalg.norm(image - end.positions, axis=1).max())
        if distance > SAME_END_A:
            return f"an atom of its {name} lies {distance:.3g} Å from where it is in this one"
    return ""


def _other_origin(made_by: Mapping[str, Any], model: str, origin: BandOrigin) -> str:
    """Say which atoms, cell, model or setting of a checkpoint differ, empty where none does."""
    if not model and not made_by:
        # A campaign's own, of an earlier release: its name says what it belongs to.
        return ""
    # Those of earlier releases say neither atoms nor cell.
    symbols, cell = made_by.get("symbols"), made_by.get("cell_A")
    if symbols is not None and symbols != origin.initial.get_chemical_symbols():
        return f"it was made of {Atoms(symbols).get_chemical_formula()} or of another order of atoms"
    if cell is not None and not np.allclose(cell, origin.initial.cell.array, atol=SAME_END_A):
        return "it was made in another cell"
    if made_by.get("model") != model:
        return "it was made with another model" if made_by else "it does not say which model it was made with"
    theirs = made_by["settings"]
    return ", ".join(
        f"{name} was {theirs.get(name)}, not {value}"
        for name, value in origin.settings.items()
        if theirs.get(name) != value
    )
