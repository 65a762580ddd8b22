"""How far and how carefully ions are relaxed at a fixed cell."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..core.settings import FrozenSettings

OptimizerName = Literal["fire", "lbfgs", "bfgs-line-search"]


class FixedCellRelaxation(FrozenSettings):
    """How far and how carefully ions are relaxed."""

    optimizer: Literal["fire", "lbfgs", "bfgs-line-search"] = Field(
        "fire",
        description="Optimiser of ASE; lbfgs is quicker near a minimum and may stall on the way down a slope (name)",
    )
    force_tolerance_eV_per_A: float = Field(
        0.01, gt=0, le=1, description="The relaxation ends once no force is larger (eV/Å)"
    )
    max_steps: int = Field(
        1000, ge=1, le=1_000_000, description="Steps after which the relaxation counts as unconverged (number)"
    )
    max_step_A: float = Field(
        0.05,
        gt=0,
        le=0.5,
        description="Farthest that an atom moves in one step; long steps may jump over a barrier (Å)",
    )
