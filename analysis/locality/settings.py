"""What a test of locality asks for: its protocol, radii, centres and displacements."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from ...core.settings import FrozenSettings

Protocol = Literal["displacement", "frozen-sphere"]


class FrozenSphereSettings(FrozenSettings):
    """Dynamics of protocol (ii): everything outside the sphere moves."""

    temperature_K: float = Field(500.0, gt=0, le=20_000, description="Temperature of the atoms that move (K)")
    timestep_fs: float = Field(2.0, gt=0, le=5, description="Time step (fs)")
    friction_per_ps: float = Field(5.0, gt=0, le=1000, description="Friction of the Langevin thermostat (1/ps)")
    equilibration_steps: int = Field(500, ge=0, le=10**7, description="Steps before the first frame (number)")
    frames: int = Field(100, ge=2, le=10**6, description="Frames in which the centre's force is taken (number)")
    steps_per_frame: int = Field(50, ge=1, le=10**6, description="Steps from one frame to the next (number)")


class LocalitySettings(FrozenSettings):
    """A locality test: how far the forces of a potential reach."""

    protocol: Protocol = Field(
        "displacement",
        description="displacement: far atoms are displaced at random; frozen-sphere: they move at a temperature (name)",
    )
    radii_A: tuple[Annotated[float, Field(gt=0, le=100)], ...] = Field(
        (3.0, 4.0, 5.0, 6.0, 7.0, 8.0),
        min_length=1,
        description="Radii of the sphere around a centre in which nothing moves, ascending; frozen-sphere: twice "
        "the cutoff that they stand for (Å)",
    )
    displacement_A: float = Field(
        0.1, gt=0, le=1, description="Standard deviation of the displacements along each axis (Å)"
    )
    samples: int = Field(
        20, ge=1, le=10_000, description="Random displacements around each centre, shared by all radii (number)"
    )
    frozen_sphere: FrozenSphereSettings = Field(
        default_factory=FrozenSphereSettings, description="Dynamics of the protocol frozen-sphere"
    )
    centres: int = Field(4, ge=1, le=10_000, description="Centres of each species (number)")
    potential: str = Field(
        "reference",
        description="Potential that is tested: the reference engine, or a fitted model (name)",
        json_schema_extra={"allowed": "reference | a model of the campaign"},
    )
    supercell: tuple[PositiveInt, PositiveInt, PositiveInt] | None = Field(
        None,
        description="Repetitions of the campaign's cell; null takes the smallest cell that holds the largest sphere "
        "(number)",
    )

    @model_validator(mode="after")
    def _radii_ascend(self) -> Self:
        if any(later <= earlier for earlier, later in itertools.pairwise(self.radii_A)):
            raise ValueError(f"radii_A must ascend, each radius once: {list(self.radii_A)}")
        return self

    def evaluations(self, centres: int) -> int:
        """Return the evaluations that so many centres take; all compare with one of the crystal."""
        if self.protocol == "displacement":
            return centres * len(self.radii_A) * self.samples + 1
        dynamics = self.frozen_sphere
        steps = dynamics.equilibration_steps + dynamics.frames * dynamics.steps_per_frame
        return centres * len(self.radii_A) * (steps + 1)
