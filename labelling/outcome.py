"""What a label came to: a state, a reason, the numbers if it finished, and the attempts that led there."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, JsonValue

from ..core.arrays import FloatArray
from ..core.settings import FrozenModel
from ..core.states import State

LABEL_STATES = frozenset({State.FINISHED, State.UNCONVERGED, State.REJECTED, State.KILLED, State.FAILED})


class Attempt(FrozenModel):
    """One run of the engine for a label."""

    settings: dict[str, JsonValue] = Field(description="All settings of this attempt (units in their names)")
    state: State = Field(description="How the attempt ended (name)")
    reason: str = Field(description="Why, in one line; empty if it finished (text)")
    wall_time_s: float = Field(ge=0.0, description="Wall time of the attempt (s)")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an engine computed, not yet checked.

    Attributes
    ----------
    energy
        Total energy consistent with the forces (eV); nan if the engine gave none.
    forces
        Forces (eV/Å), shape (n_atoms, 3) if all is well.
    stress
        Stress in ASE's sign and Voigt order xx, yy, zz, yz, xz, xy (eV/Å³), shape (6,), or None.
    charges
        Charges of the atoms (e), shape (n_atoms,), or None.
    dipole
        Dipole moment (e Å), shape (3,), of a crystal modulo e times its lattice vectors, or None.
    """

    energy: float
    forces: FloatArray
    stress: FloatArray | None = None
    charges: FloatArray | None = None
    dipole: FloatArray | None = None

    def to_document(self) -> dict[str, Any]:
        """Return the evaluation as JSON values."""
        return {
            "energy": self.energy,
            "forces": self.forces.tolist(),
            "stress": None if self.stress is None else self.stress.tolist(),
            "charges": None if self.charges is None else self.charges.tolist(),
            "dipole": None if self.dipole is None else self.dipole.tolist(),
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Return the evaluation that `to_document` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            If the document is no such thing.
        """
        return cls(
            energy=float(document["energy"]),
            forces=np.asarray(document["forces"], dtype=float),
            stress=optional_array(document["stress"]),
            charges=optional_array(document["charges"]),
            dipole=optional_array(document.get("dipole")),
        )


@dataclass(frozen=True, eq=False)
class LabelOutcome:
    """How a label ended; only a finished one carries numbers.

    Attributes
    ----------
    state
        Finished, unconverged, rejected, killed or failed.
    reason
        Why, in one line; empty if finished.
    evaluation
        The numbers of a finished label, checked; None of any other. They are its own attributes, too.
    wall_time_s
        Wall time of all attempts (s).
    attempts
        Every run of the engine, in order; empty if the structure was rejected before.
    engine_version
        What the engine says of itself.
    """

    state: State
    reason: str
    evaluation: Evaluation | None = None
    wall_time_s: float = 0.0
    attempts: tuple[Attempt, ...] = ()
    engine_version: str = ""

    def __post_init__(self) -> None:
        if self.state not in LABEL_STATES:
            raise ValueError(f"a label cannot end {self.state.value}")
        if self.state is State.FINISHED and self.evaluation is None:
            raise ValueError("a finished label needs an energy and forces")
        if self.state is not State.FINISHED and self.evaluation is not None:
            raise ValueError(f"a label that is {self.state.value} must not carry numbers")

    @property
    def energy(self) -> float | None:
        """Total energy consistent with the forces (eV), or None."""
        return None if self.evaluation is None else self.evaluation.energy

    @property
    def forces(self) -> FloatArray | None:
        """Forces (eV/Å), shape (n_atoms, 3), or None."""
        return None if self.evaluation is None else self.evaluation.forces

    @property
    def stress(self) -> FloatArray | None:
        """Stress in ASE's sign and Voigt order (eV/Å³), shape (6,), or None."""
        return None if self.evaluation is None else self.evaluation.stress

    @property
    def charges(self) -> FloatArray | None:
        """Charges of the atoms (e), shape (n_atoms,), or None."""
        return None if self.evaluation is None else self.evaluation.charges

    @property
    def dipole(self) -> FloatArray | None:
        """Dipole moment (e Å), shape (3,), of a crystal modulo e times its lattice vectors, or None."""
        return None if self.evaluation is None else self.evaluation.dipole

    def to_document(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        return {
            "state": self.state.value,
            "reason": self.reason,
            **numbers_of(self.evaluation),
            "wall_time_s": self.wall_time_s,
            "attempts": [attempt.model_dump(mode="json") for attempt in self.attempts],
            "engine_version": self.engine_version,
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Return the outcome that `to_document` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            If the document is no such thing.
        """
        return cls(
            state=State(document["state"]),
            reason=str(document["reason"]),
            evaluation=None if document["energy"] is None else Evaluation.from_document(document),
            wall_time_s=float(document["wall_time_s"]),
            attempts=tuple(Attempt.model_validate(attempt) for attempt in document["attempts"]),
            engine_version=str(document["engine_version"]),
        )


def numbers_of(evaluation: Evaluation | None) -> dict[str, Any]:
    """Return an evaluation as JSON values, None for each of its numbers where there is none."""
    if evaluation is None:
        return {field.name: None for field in fields(Evaluation)}
    return evaluation.to_document()


def optional_array(values: ArrayLike | None) -> FloatArray | None:
    """Return ``values`` as an array of floats, or None."""
    return None if values is None else np.asarray(values, dtype=float)
