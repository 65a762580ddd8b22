"""What results of fits of the baseline's charges hold: to locality, or to the leave-out error of a model."""

from __future__ import annotations

from pydantic import Field

from ...analysis.locality.curves import Centre
from ...core.names import CHARGES
from ...fitting.electrostatics.charge_errors import ChargesByError, ErrorCurve
from ...fitting.electrostatics.charges import FittedCharges, ScaleCurve
from ...store.result_kinds import ResultKind, ResultValues

BY_LOCALITY = "locality"
BY_ERROR = "error"


class ChargeValues(ResultValues):
    """What all fits of charges have."""

    charges: dict[str, float] = Field(description="Charge of each species (e)")
    criterion: str = Field(description="What the charges were fitted to, locality or error (name)")
    mobile: str = Field(description="The mobile element (name)")


class LocalityChargeValues(FittedCharges, ChargeValues):
    """Charges that were fitted to the forces that far atoms induce."""

    radius_A: float = Field(description="Beyond which atoms were displaced (Å)")
    curve: ScaleCurve = Field(description="What remains of the induced forces against the scale of the charges")
    atoms: int = Field(description="Atoms in the cell (number)")
    samples: int = Field(description="Displacements of each centre's surroundings (number)")
    centres: int = Field(description="Centres (number)")
    missing: tuple[Centre, ...] = Field(description="Centres that failed (names)")


class ErrorChargeValues(ChargesByError, ChargeValues):
    """Charges that were fitted to the leave-out error of a model on them."""

    curve: ErrorCurve = Field(description="The error against the scale of the charges")
    configurations: int = Field(description="Configurations of the training set (number)")


FITTED_CHARGES = ResultKind(CHARGES, ChargeValues)
CHARGES_BY_LOCALITY = ResultKind(CHARGES, LocalityChargeValues)
CHARGES_BY_ERROR = ResultKind(CHARGES, ErrorChargeValues)
