"""What a curve of energy against volume asks for: which cells, and whether their ions may relax."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...core.settings import FrozenSettings
from ..fixed_cell_relaxation_settings import FixedCellRelaxation

PARAMETERS = 4
"""Parameters of the equation of state: energy, volume, bulk modulus and its derivative."""


class EnergyVolumeSettings(FrozenSettings):
    """Which cells, and whether their ions may relax."""

    strain: float = Field(
        0.03, gt=0, le=0.15, description="Largest change of the cell's lengths, in both directions (no unit)"
    )
    points: int = Field(
        9, ge=PARAMETERS + 1, le=101, description="Cells, evenly spread over the range of lengths (number)"
    )
    relax_ions: bool = Field(
        True,
        description="Whether ions relax in every cell; scaled rigidly, a crystal of stiff molecules seems far too hard",
    )
    reference: Literal["single-points", "relax", "none"] = Field(
        "single-points",
        description="What the reference engine does: single points on the cells that the driver relaxed, relaxations "
        "of its own, or nothing (name)",
    )
    relaxation: FixedCellRelaxation = Field(default_factory=FixedCellRelaxation, description="How ions are relaxed")

    @property
    def strains(self) -> tuple[float, ...]:
        """Relative changes of the cell's lengths, ascending (no unit)."""
        import numpy as np

        return tuple(float(strain) for strain in np.linspace(-self.strain, self.strain, self.points))
