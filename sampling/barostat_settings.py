"""How the cell follows the pressure."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..core.settings import FrozenSettings

CellChange = Literal["isotropic", "flexible"]


class BarostatSettings(FrozenSettings):
    """How the cell follows the pressure; none of these changes the mean volume or its fluctuations."""

    cell: CellChange = Field(
        default="isotropic",
        description="isotropic scales the cell and keeps its shape; flexible changes all of its lengths and angles"
        " (for solids: a liquid's cell would flatten).",
    )
    time_fs: float = Field(
        default=1000.0, gt=0, description="Time in which the volume relaxes if the compressibility is right (fs)"
    )
    compressibility_per_GPa: float = Field(
        default=0.04, gt=0, description="Estimate of the isothermal compressibility (1/GPa)"
    )
    every: int = Field(
        default=20, ge=1, description="Steps between two trial strains, each one more evaluation (number)"
    )
    maximum_volume_factor: float = Field(
        default=1.5,
        gt=1,
        description="The trajectory stops where the volume exceeds that of the first frame by this factor, or falls"
        " below it by the same (number)",
    )
