"""What results on energy against volume hold."""

from __future__ import annotations

from pydantic import Field

from ...analysis.energy_volume.curves import BirchMurnaghanFit
from ...store.result_kinds import ResultKind, ResultValues
from .model_intervals import NumbersOfOneModel


class PointValues(ResultValues):
    """One cell of a curve."""

    strain: float = Field(description="Relative change of the cell's lengths (no unit)")
    volume_A3: float = Field(description="Volume of the cell (Å³)")
    energy_eV: float = Field(description="Energy of the cell (eV)")
    atoms: int = Field(description="Atoms in the cell (number)")
    converged: bool = Field(description="Whether the ions' relaxation converged (yes or no)")
    reason: str = Field(description="Why it did not (text)")


class CurveValues(NumbersOfOneModel):
    """One potential's curve and its equation of state."""

    volumes_A3_per_atom: tuple[float, ...] = Field(description="Volumes of the cells that are used (Å³/atom)")
    energies_eV_per_atom: tuple[float, ...] = Field(description="Their energies (eV/atom)")
    fit: BirchMurnaghanFit | None = Field(description="The equation of state; none where no curve fits")
    reason: str = Field(description="Why there is no fit, or why it is doubtful (text)")
    ions_relaxed_with: str | None = Field(description="Potential that relaxed the ions; none: scaled (name)")
    unconverged: int = Field(description="Cells whose ions did not converge (number)")
    missing: int = Field(description="Cells that failed (number)")
    volume_model_half_width_A3_per_atom: float | None = Field(
        default=None, description="Half-width of the 95 % model interval of the volume at the minimum (Å³/atom)"
    )
    bulk_modulus_model_half_width_GPa: float | None = Field(
        default=None, description="The same of the bulk modulus (GPa)"
    )
    bulk_modulus_derivative_model_half_width: float | None = Field(
        default=None, description="The same of its derivative by pressure (no unit)"
    )
    energy_model_half_width_eV_per_atom: float | None = Field(
        default=None,
        description="The same of the energy at the minimum itself, whatever it shares with other structures (eV/atom)",
    )
    energies_model_half_width_eV_per_atom: tuple[float, ...] = Field(
        default=(), description="The same of the cells' energies against that of the lowest one (eV/atom)"
    )


VOLUME_CURVES = ResultKind("energy-volume", CurveValues)
VOLUME_POINTS = ResultKind("energy-volume-point", PointValues)
