"""Where bonds end over which charge passes: what sections and settings of kinds with bonds have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, PositiveFloat, model_validator

from ...core.settings import FrozenSettings

if TYPE_CHECKING:
    from .joint.bonds import BondSwitch


class BondWidths(FrozenSettings):
    """Bonds fade below their cutoff."""

    bond_cutoff_A: PositiveFloat = Field(5.0, le=20, description="Distance at which atoms pass no more charge (Å)")
    bond_transition_A: PositiveFloat = Field(2.0, description="Width over which a bond fades below that (Å)")

    @model_validator(mode="after")
    def _bonds_fade_below_their_cutoff(self) -> Self:
        if self.bond_transition_A > self.bond_cutoff_A:
            raise ValueError(
                f"bond_transition_A is {self.bond_transition_A:g} Å, more than the cutoff of {self.bond_cutoff_A:g} Å"
            )
        return self

    def switch(self) -> BondSwitch:
        """Return how bonds fade."""
        from .joint.bonds import BondSwitch

        return BondSwitch(self.bond_cutoff_A - self.bond_transition_A, self.bond_cutoff_A)
