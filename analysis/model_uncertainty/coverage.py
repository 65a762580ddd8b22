"""Whether errors are as large as a model said, as results hold it; who looks at stored ones loads no physics."""

from __future__ import annotations

from pydantic import Field

from ...core.settings import FrozenModel


class DeviationBin(FrozenModel):
    """Errors whose predicted deviations are about equal."""

    predicted: float = Field(description="Root mean square of the predicted deviations (unit of the quantity)")
    observed: float = Field(description="Root mean square of the errors (unit of the quantity)")
    count: int = Field(description="Errors (number)")


class Coverage(FrozenModel):
    """How often errors lie inside the intervals that the model gave beforehand."""

    count: int = Field(description="Errors (number)")
    rms_z: float = Field(description="Root mean square of error over predicted deviation; 1 is right (no unit)")
    inside_50: float = Field(description="Share inside the 50 % interval (no unit)")
    inside_90: float = Field(description="Share inside the 90 % interval (no unit)")
    inside_95: float = Field(description="Share inside the 95 % interval (no unit)")
    bins: tuple[DeviationBin, ...] = Field(default=(), description="By the predicted deviation, ascending")


class ModelCoverage(FrozenModel):
    """The same of energies and forces of labels that no fit had seen."""

    energy_eV: Coverage | None = Field(
        default=None,
        description="Total energies against the mean of their composition, since a constant cancels; none where no "
        "composition has two labels",
    )
    force_eV_per_A: Coverage | None = Field(default=None, description="Force components; none without forces")
    force_by_element_eV_per_A: dict[str, Coverage] = Field(
        default_factory=dict, description="Force components on the atoms of one element"
    )
