"""What is asked of an interface of two slabs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ...core.settings import FrozenSettings
from .slab_settings import SlabSettings, miller_text

Fraction = Annotated[float, Field(ge=0, lt=1)]


class InterfaceSettings(FrozenSettings):
    """Two slabs one on the other, in a cell that both have after one was strained."""

    lower: SlabSettings = Field(description="Slab below; its vacuum_A says nothing here")
    upper: SlabSettings = Field(description="Slab above; its vacuum_A says nothing here")
    maximum_strain: float = Field(
        0.05,
        gt=0,
        le=0.3,
        description="Largest principal strain in the plane that the common cell may ask for (no unit)",
    )
    maximum_area_A2: float = Field(400.0, gt=0, le=1000, description="Largest area of the common cell (Å²)")
    strained: Literal["upper", "lower"] = Field("upper", description="Which slab takes the strain (name)")
    gap_A: float = Field(2.0, gt=0, le=20, description="Height from the topmost atom below to the lowest one above (Å)")
    shift: tuple[Fraction, Fraction] = Field(
        (0.0, 0.0), description="Shift of the upper slab along the axes of the common cell (no unit)"
    )
    vacuum_A: float | None = Field(
        None,
        ge=4,
        le=500,
        description="Empty space above the upper slab; nothing: gap_A there, too, which makes a second interface (Å)",
    )


class InterfaceStructure(FrozenSettings):
    """A structure that is an interface."""

    interface: InterfaceSettings = Field(description="Two slabs one on the other, in a common cell")

    @property
    def has_vacuum(self) -> bool:
        """Whether a part of the cell is empty."""
        return self.interface.vacuum_A is not None

    @property
    def origin(self) -> str:
        """Where the structure comes from, in words."""
        return f"interface of {self.formula}"

    @property
    def formula(self) -> str:
        """The interface in words: "Li2S (111) on LiF (100)"."""
        upper, lower = (f"{one.of} ({miller_text(one.miller)})" for one in (self.interface.upper, self.interface.lower))
        return f"{upper} on {lower}"
