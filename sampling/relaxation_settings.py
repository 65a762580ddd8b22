"""What a short relaxation and rattle ask for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..core.settings import FrozenSettings
from .guard import ContactGuard

OptimizerName = Literal["fire", "lbfgs"]


class RelaxationSettings(FrozenSettings):
    """A brief relaxation at fixed cell, followed by random displacements."""

    optimizer: OptimizerName = Field(default="fire", description="fire or lbfgs (name)")
    steps: int = Field(default=20, ge=0, description="Largest number of relaxation steps (number)")
    force_tolerance_eV_per_A: float = Field(
        default=0.1, gt=0, description="The relaxation ends once no force is larger (eV/Å)"
    )
    maximum_step_A: float = Field(
        default=0.1, gt=0, description="Farthest that an atom moves in one relaxation step (Å)"
    )
    maximum_displacement_A: float = Field(
        default=1.0,
        gt=0,
        description="The relaxation ends before an atom is farther than this from where it began, so that the"
        " drawn distribution is kept (Å)",
    )
    rattle_A: float = Field(
        default=0.05,
        ge=0,
        description="Standard deviation of the Gaussian displacement along each axis (Å)",
    )
    contacts: ContactGuard = Field(
        default_factory=ContactGuard, description="Shortest distances that the result may have (Å)"
    )
