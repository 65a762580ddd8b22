"""When an ion counts as being at a site, and when as having hopped."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from ...core.settings import FrozenSettings


class HopSettings(FrozenSettings):
    """When an ion counts as being at a site, and when as having hopped."""

    core_A: float = Field(0.8, gt=0, le=5, description="Radius within which an ion has arrived at a site (Å)")
    outer_A: float = Field(1.4, gt=0, le=5, description="Radius beyond which an ion has left a site (Å)")
    merge_A: float = Field(1.2, gt=0, le=5, description="Maxima of the density closer than this are one site (Å)")
    minimum_residence_ps: float = Field(0.5, ge=0, le=1000, description="Shorter stays do not count (ps)")
    return_residence_ps: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="A stay from which the ion goes back where it came from counts from here on (ps)",
    )
    concerted_window_ps: float = Field(
        0.15, ge=0, le=100, description="Hops closer in time than this are one event (ps)"
    )
    concerted_distance_A: float = Field(
        4.0, ge=0, le=100, description="... if their midpoints are closer together than this (Å)"
    )

    @model_validator(mode="after")
    def _core_inside_outer(self) -> Self:
        if self.outer_A < self.core_A:
            raise ValueError(f"outer_A ({self.outer_A:g}) must not be smaller than core_A ({self.core_A:g})")
        return self
