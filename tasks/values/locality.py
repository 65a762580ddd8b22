"""What results of locality tests hold."""

from __future__ import annotations

from pydantic import Field

from ...analysis.locality.curves import Centre, LocalityResult
from ...fitting.electrostatics.charges import ScaleCurve
from ...store.result_kinds import ResultKind, ResultValues


class LocalityValues(LocalityResult, ResultValues):
    """Curves of a locality test, and how it was made."""

    supercell: tuple[int, int, int] = Field(description="Repetitions of the campaign's cell (number)")
    samples: int = Field(description="Displacements, or frames, of each centre's surroundings (number)")
    displacement_A: float | None = Field(description="How far atoms were displaced along each axis; none: not (Å)")
    temperature_K: float | None = Field(description="At which atoms moved; none where they were displaced (K)")
    charges: dict[str, float] | None = Field(description="Charges of the baseline that was taken away (e)")
    baseline: str = Field(
        default="", description="The baseline that was taken away, where its charges are others (text)"
    )
    baseline_is_fitted: bool = Field(
        default=False,
        description="Whether it was fitted with a model, which makes up for its local part (yes or no)",
    )
    missing: tuple[Centre, ...] = Field(description="Centres that failed (names)")
    curve: ScaleCurve | None = Field(
        default=None, description="What remains of the induced forces against the scale of the charges"
    )
    curve_radius_A: float | None = Field(default=None, description="The radius of that (Å)")


LOCALITIES = ResultKind("locality", LocalityValues)
