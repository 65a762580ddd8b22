"""How the baseline's charges are fitted."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from ...core.settings import FrozenSettings


class ChargeFitSettings(FrozenSettings):
    """How the baseline's charges are fitted to the locality of the reference method."""

    radius_A: float = Field(
        6.0, gt=0, le=50, description="Radius beyond which atoms are displaced when forces are compared (Å)"
    )
    transferable: bool = Field(
        False,
        description="Fit one number, the part of the formal charges: neutral at other compositions too (yes or no)",
    )
    displacement_A: float = Field(
        0.1, gt=0, le=1, description="Standard deviation of the displacements along each axis (Å)"
    )
    samples: int = Field(20, ge=1, le=10_000, description="Random displacements around each centre (number)")
    centres: int = Field(4, ge=1, le=10_000, description="Centres of each species (number)")
    supercell: tuple[PositiveInt, PositiveInt, PositiveInt] | None = Field(
        None,
        description="Repetitions of the campaign's cell; null takes the smallest cell that holds the sphere (number)",
    )
    exponent_factors: tuple[Annotated[float, Field(gt=0, le=10)], ...] = Field(
        (1.0,),
        min_length=1,
        max_length=20,
        description="Factors of all Slater exponents, of which the fit to the error takes the best (no unit)",
    )
