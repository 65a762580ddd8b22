"""What the labelling process is asked and what it answers: JSON in both directions, never code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ...core.states import State
from ..common_settings import CommonSettings
from ..outcome import Evaluation
from ..registry import read_settings

# The first message of the labelling process: everything is imported.
READY = b"ready"


@dataclass(frozen=True)
class Request:
    """Compute ``atoms`` in ``folder``, or only parse what an interrupted run left there."""

    atoms: Atoms
    settings: CommonSettings
    folder: Path
    only_parse: bool = False

    def to_bytes(self) -> bytes:
        """Return the request as JSON."""
        document = {
            "atoms": atoms_document(self.atoms),
            "settings": self.settings.model_dump(mode="json"),
            "folder": str(self.folder),
            "only_parse": self.only_parse,
        }
        return json.dumps(document).encode()

    @classmethod
    def from_bytes(cls, message: bytes) -> Request:
        """Return the request that `to_bytes` wrote."""
        document = json.loads(message)
        return cls(
            atoms=_atoms_of(document["atoms"]),
            settings=read_settings(document["settings"]),
            folder=Path(document["folder"]),
            only_parse=bool(document["only_parse"]),
        )


@dataclass(frozen=True)
class Answer:
    """What became of a request.

    Attributes
    ----------
    state
        Finished, or how the engine failed.
    reason
        Why, in one line; empty if finished.
    evaluation
        What the engine computed; None if it failed, or if there was nothing to parse.
    engine_version
        What the engine says of itself; empty if it could not be asked.
    disk_error
        The number of the operating system's error if the engine could not write its files.
    """

    state: State
    reason: str = ""
    evaluation: Evaluation | None = None
    engine_version: str = ""
    disk_error: int | None = None

    def to_bytes(self) -> bytes:
        """Return the answer as JSON (with NaN where the engine gave it)."""
        document = {
            "state": self.state.value,
            "reason": self.reason,
            "evaluation": None if self.evaluation is None else self.evaluation.to_document(),
            "engine_version": self.engine_version,
            "disk_error": self.disk_error,
        }
        return json.dumps(document).encode()

    @classmethod
    def from_bytes(cls, message: bytes) -> Answer:
        """Return the answer that `to_bytes` wrote."""
        document = json.loads(message)
        evaluation = document["evaluation"]
        return cls(
            state=State(document["state"]),
            reason=document["reason"],
            evaluation=None if evaluation is None else Evaluation.from_document(evaluation),
            engine_version=document["engine_version"],
            disk_error=document["disk_error"],
        )


def atoms_document(atoms: Atoms) -> dict[str, Any]:
    """Return as JSON what an engine may see of ``atoms``: no initial charges, no arrays of other programs."""
    return {
        "numbers": atoms.numbers.tolist(),
        "positions": atoms.positions.tolist(),
        "cell": atoms.cell.array.tolist(),
        "pbc": atoms.pbc.tolist(),
        "magnetic_moments": atoms.get_initial_magnetic_moments().tolist(),
    }


def _atoms_of(document: dict[str, Any]) -> Atoms:
    atoms = Atoms(
        numbers=document["numbers"],
        positions=np.array(document["positions"], dtype=float).reshape(-1, 3),
        cell=document["cell"],
        pbc=document["pbc"],
    )
    if any(document["magnetic_moments"]):
        atoms.set_initial_magnetic_moments(document["magnetic_moments"])
    return atoms
