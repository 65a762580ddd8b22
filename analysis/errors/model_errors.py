"""Sizes of errors as results hold them; who looks at stored ones loads no physics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ...core.errors import InputError
from ...core.settings import FrozenModel

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

FORCE_TOLERANCE_EV_PER_A = 1e-5
"""Two evaluators of one potential must agree to this, or one of them is wrong."""


class ErrorStatistics(FrozenModel):
    """Size of a set of errors, in the unit of the quantity."""

    rmse: float = Field(description="Root of the mean squared error (unit of the quantity)")
    mae: float = Field(description="Mean absolute error (unit of the quantity)")
    maximum: float = Field(description="Largest absolute error (unit of the quantity)")
    count: int = Field(description="Values compared (count)")

    @classmethod
    def from_errors(cls, errors: ArrayLike) -> ErrorStatistics:
        """Return the statistics of predicted minus reference values of any shape.

        Raises
        ------
        ValueError
            If there are no values.
        """
        import numpy as np

        absolute = np.abs(np.asarray(errors, dtype=np.float64)).ravel()
        if absolute.size == 0:
            raise ValueError("there are no errors to take statistics of")
        return cls(
            rmse=float(np.sqrt(np.mean(absolute**2))),
            mae=float(absolute.mean()),
            maximum=float(absolute.max()),
            count=absolute.size,
        )


class ForceBin(FrozenModel):
    """Errors of the forces on atoms whose reference force lies in one range of magnitudes."""

    lower_eV_per_A: float = Field(description="Smallest magnitude of the reference force, included (eV/Å)")
    upper_eV_per_A: float | None = Field(description="Largest magnitude, excluded; null: no limit (eV/Å)")
    reference_rms_eV_per_A: float = Field(description="Root mean square of the reference components here (eV/Å)")
    errors: ErrorStatistics = Field(description="Error of the force components (eV/Å)")
    by_element: dict[str, ErrorStatistics] = Field(description="The same on the atoms of one element (eV/Å)")

    @property
    def label(self) -> str:
        """The range in words: ``0.5 to 1``."""
        if self.upper_eV_per_A is None:
            return f"above {self.lower_eV_per_A:g}"
        return f"{self.lower_eV_per_A:g} to {self.upper_eV_per_A:g}"

    @property
    def relative_error(self) -> float:
        """Root-mean-square error over the root mean square of the reference: 1 for a model without forces."""
        return self.errors.rmse / self.reference_rms_eV_per_A if self.reference_rms_eV_per_A else float("inf")


class ModelErrors(FrozenModel):
    """Errors of a potential on a set of configurations."""

    energy_eV_per_atom: ErrorStatistics = Field(description="Error of the energy per atom (eV/atom)")
    force_eV_per_A: ErrorStatistics | None = Field(
        description="Error of the force components, null where no structure has forces (eV/Å)"
    )
    force_by_element_eV_per_A: dict[str, ErrorStatistics] = Field(
        description="Error of the force components on the atoms of one element (eV/Å)"
    )
    force_by_magnitude_eV_per_A: tuple[ForceBin, ...] = Field(
        default=(),
        description="Error of the force components by magnitude of the reference force, ranges without atoms left "
        "out (eV/Å)",
    )

    @property
    def forces(self) -> ErrorStatistics:
        """Error of the force components (eV/Å).

        Raises
        ------
        InputError
            If no structure has forces.
        """
        if self.force_eV_per_A is None:
            raise InputError("none of the structures has forces to compare with: they have energies alone")
        return self.force_eV_per_A


class Agreement(FrozenModel):
    """The largest differences between two calculators over some configurations."""

    energy_eV_per_atom: float = Field(description="Largest difference of the energy per atom (eV/atom)")
    force_eV_per_A: float = Field(description="Largest difference of a force component (eV/Å)")
    stress_eV_per_A3: float | None = Field(description="Largest difference of a stress component (eV/Å³)")
    configurations: int = Field(description="Configurations compared (count)")

    @property
    def holds(self) -> bool:
        """Whether the forces agree within the tolerance."""
        return self.force_eV_per_A <= FORCE_TOLERANCE_EV_PER_A
