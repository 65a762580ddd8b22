"""Fixed charges: every atom of a species has the same, the baseline of ES-GAP.

Staacke et al., ACS Appl. Energy Mater. 2021, 4, 12562 (10.1021/acsaem.1c02363).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from ..settings import BaselineSettings, CommonBaselineSettings
from .base import BaselineKind
from .sections import BaselineSection

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


class FixedSection(BaselineSection):
    """The electrostatic baseline of ES-GAP: fixed charges, each a Slater s density, in an Ewald sum."""

    # Never written: files and stores of before there were other kinds stay as they were.
    kind: Literal["fixed"] = Field(
        "fixed", exclude=True, description="Kind of baseline: every atom of a species has the same charge (name)"
    )


class FixedKind(BaselineKind):
    """Charges of species in an Ewald sum."""

    name = "fixed"
    rank = 10
    section_type = FixedSection
    settings_type = BaselineSettings
    has_species_charges = True
    sums_slater_charges = True

    def calculator(self, settings: CommonBaselineSettings) -> Calculator:
        """Return the Ewald sum."""
        from .baseline import baseline_calculator

        return baseline_calculator(settings)

    def methods(self, section: BaselineSection) -> str:
        """Return what it is made of."""
        return "an electrostatic baseline of Slater-distributed charges in an Ewald sum"


FIXED: Final = FixedKind()
