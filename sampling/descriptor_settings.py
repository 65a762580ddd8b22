"""The descriptor by which structures are selected."""

from __future__ import annotations

from pydantic import Field, model_validator

from ..core.settings import FrozenSettings


class DescriptorSettings(FrozenSettings):
    """The SOAP descriptor of selection: coarser, and much cheaper, than that of a fit."""

    n_max: int = Field(default=6, ge=1, le=16, description="Number of radial functions (number)")
    l_max: int = Field(default=4, ge=0, le=16, description="Highest angular momentum (number)")
    cutoff_A: float = Field(default=5.0, gt=0, description="Radius of an environment (Å)")
    transition_width_A: float = Field(
        default=1.0, gt=0, description="Width over which neighbours fade out at the cutoff (Å)"
    )
    atom_sigma_A: float = Field(default=0.5, gt=0, description="Width of the atomic Gaussians (Å)")
    zeta: int = Field(default=4, ge=1, description="Exponent of the kernel (number)")

    @model_validator(mode="after")
    def _transition_fits(self) -> DescriptorSettings:
        if self.transition_width_A >= self.cutoff_A:
            raise ValueError(
                f"transition_width_A ({self.transition_width_A:g}) must be below cutoff_A ({self.cutoff_A:g})"
            )
        return self
