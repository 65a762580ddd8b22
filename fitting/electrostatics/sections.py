"""What the campaign file says about a baseline: charges of the species, and how they are come by.

Every kind of baseline adds what is its own (`ionloop.fitting.electrostatics.base`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from ...core.settings import FrozenSettings
from ..settings import ElementSymbol
from .charge_settings import ChargeFitSettings

Charge = Annotated[float, Field(ge=-8, le=8)]
ChargeCriterion = Literal["locality", "error"]


class ChargesFromFit(FrozenSettings):
    """Charges that are fitted, and to what."""

    model_config = ConfigDict(json_schema_extra={"allowed": "{fit: locality} | {fit: error}"})

    fit: ChargeCriterion = Field(
        "locality",
        description="Criterion: locality, induced forces of the reference beyond charge_fit.radius_A, once, before the "
        "first fit; error, ES-GAP's leave-out force error on the training set, in every generation (name)",
    )


def _charges_kind(value: Any) -> str:
    if isinstance(value, ChargesFromFit) or (isinstance(value, dict) and "fit" in value):
        return "criterion"
    return "table" if isinstance(value, dict) else "word"


Charges = Annotated[
    Annotated[Literal["fit", "formal"], Tag("word")]
    | Annotated[ChargesFromFit, Tag("criterion")]
    | Annotated[dict[ElementSymbol, Charge], Tag("table")],
    Discriminator(_charges_kind),
]


class BaselineSection(FrozenSettings):
    """What the section of every kind of baseline has; a constant field ``kind`` of each holds its name."""

    charges: Charges = Field(
        "fit",
        description="Charge of every species (e), e.g. {Li: 0.3, P: 1.5, S: -0.6}; formal: formal charges times "
        "formal_fraction; fit: fitted to the reference's locality; {fit: error}: fitted to ES-GAP's leave-out error",
    )
    charge_fit: ChargeFitSettings = Field(
        default_factory=ChargeFitSettings, description="How charges are fitted, where they are"
    )
    formal_fraction: float = Field(
        0.3, gt=0, le=1, description="Part of the formal charges that is used with charges: formal (no unit)"
    )
    exponents: dict[ElementSymbol, Annotated[float, Field(gt=0, le=20)]] = Field(
        default_factory=dict,
        description="Slater exponent of a species (1/Å) where it is not to follow from the radius",
    )
    accuracy: float = Field(1e-6, ge=1e-12, le=1e-2, description="Largest truncation error of a force component (eV/Å)")

    @property
    def charge_criterion(self) -> ChargeCriterion | None:
        """What the charges are fitted to, None where they are given."""
        if self.charges == "fit":
            return "locality"
        return self.charges.fit if isinstance(self.charges, ChargesFromFit) else None

    @property
    def kind_name(self) -> str:
        """Name of the kind of baseline that this section is about."""
        return str(type(self).model_fields["kind"].default)


class SectionNotInstalled(BaselineSection):
    """What all sections have, of a kind that is not installed here: for those who show a campaign."""

    kind: str = Field(description="Kind of baseline (name)")

    @property
    def kind_name(self) -> str:
        """Name of the kind."""
        return self.kind
