"""What is asked of a slab that is cut from a crystal."""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, Self

from pydantic import Field, PositiveFloat, field_validator, model_validator

from ...core.settings import FrozenSettings

DEFAULT_THICKNESS_A: Final = 12.0
"""Least thickness of a slab of which neither layers nor a thickness are said."""

Index = Annotated[int, Field(ge=-20, le=20)]


class SlabSettings(FrozenSettings):
    """A slab: a crystal that is cut along two parallel planes, with vacuum above."""

    of: str = Field(
        min_length=1,
        max_length=1024,
        description="Crystal that is cut: built-in structure, or a file with one structure",
        json_schema_extra={"allowed": "the name of a built-in structure or the path of a file"},
    )
    miller: tuple[Index, Index, Index] = Field(
        description="Miller indices of the surface in the cell of that crystal as it stands, e.g. [1, 1, 1] (no unit)"
    )
    termination: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Which of the terminations that `ionloop check` lists; nothing: of those without a dipole the one "
        "whose cut has the widest gap (number)",
    )
    layers: int | None = Field(
        None, ge=1, le=200, description="Thickness in repeat distances of the crystal along the normal (number)"
    )
    thickness_A: float | None = Field(
        None,
        gt=0,
        le=500,
        description="Instead of layers: as many as are together at least so thick; "
        f"{DEFAULT_THICKNESS_A:g} where neither is given (Å)",
    )
    vacuum_A: float = Field(15.0, ge=4, le=500, description="Empty space between the slab and its next image (Å)")
    symmetric: bool = Field(
        False,
        description="Whether atomic planes are added until both surfaces are alike, though the slab may then no longer "
        "have the composition of the crystal (yes or no)",
    )
    uncut_A: dict[str, PositiveFloat] = Field(
        default_factory=dict,
        description="Bonds that no cut may break, by pair of elements, and up to which length, e.g. {P-S: 2.5} (Å)",
    )
    charges: dict[str, float] = Field(
        default_factory=dict,
        description="Charges by element that tell whether planes and slab are polar; nothing: oxidation states (e)",
    )
    polar: bool = Field(
        False,
        description="Whether a slab with a dipole along its normal is let pass, in spite of the field between its "
        "images (yes or no)",
    )
    plane_tolerance_A: float = Field(
        0.1, gt=0, le=2, description="Atoms whose heights differ by less than this are one plane (Å)"
    )

    @field_validator("miller")
    @classmethod
    def _a_plane(cls, value: tuple[int, int, int]) -> tuple[int, int, int]:
        if not any(value):
            raise ValueError("[0, 0, 0] is no plane")
        if (divisor := math.gcd(*value)) > 1:
            smallest = [index // divisor for index in value]
            raise ValueError(f"{list(value)} have a common divisor: the same plane is {smallest}")
        return value

    @field_validator("uncut_A")
    @classmethod
    def _pairs_of_elements(cls, value: dict[str, float]) -> dict[str, float]:
        from ..guard import ContactGuard

        ContactGuard(minimum_distances_A=value)
        return value

    @model_validator(mode="after")
    def _one_thickness(self) -> Self:
        if self.layers is not None and self.thickness_A is not None:
            raise ValueError("layers and thickness_A both say how thick the slab is: give one of them")
        return self


class SlabStructure(FrozenSettings):
    """A structure that is a slab."""

    slab: SlabSettings = Field(description="Slab that is cut from a crystal")

    @property
    def has_vacuum(self) -> bool:
        """Whether a part of the cell is empty."""
        return True

    @property
    def origin(self) -> str:
        """Where the structure comes from, in words."""
        return f"slab of {self.formula}"

    @property
    def formula(self) -> str:
        """The slab in words: "Li2S (111)"."""
        return f"{self.slab.of} ({miller_text(self.slab.miller)})"


def miller_text(miller: Any) -> str:
    """Return indices as they are written: "111", "1 0 -1" where one is negative or has two digits."""
    texts = [str(int(index)) for index in miller]
    return ("" if all(len(text) == 1 for text in texts) else " ").join(texts)
