"""What results on the properties hold that a campaign wants to know: numbers with their statistical and model error."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from ...core.settings import FrozenModel
from ...store.result_kinds import ResultKind, ResultValues

PropertyUnit = Literal["eV", "%"]
"""In what the tolerance of a property is given: in its own unit, or relative to its value."""


class PropertyNumber(FrozenModel):
    """One number of a property, and half-widths of the 95 % intervals of its errors.

    What is absent is not known, and never 0: an error that there is none of is given as 0.
    """

    label: str = Field(description="Which of the property's numbers it is (text)")
    unit: str = Field(description="Unit of value and half-widths (name)")
    value: float | None = Field(default=None, description="The number (unit of the quantity)")
    statistical: float | None = Field(default=None, description="Half-width, sampling (unit of the quantity)")
    model: float | None = Field(default=None, description="Half-width, model (unit of the quantity)")
    reason: str = Field(default="", description="Why value or error is not known (text)")

    def half_width(self) -> float | None:
        """Return the half-width of both errors in quadrature, None where one is not known."""
        if self.value is None or self.statistical is None or self.model is None:
            return None
        width = math.hypot(self.statistical, self.model)
        return width if math.isfinite(width) else None

    def error(self, unit: PropertyUnit) -> float | None:
        """Return the error in the unit of the property's tolerance, None where it is not known."""
        width = self.half_width()
        if width is None or self.value is None or unit == "eV":
            return width
        return 100.0 * width / abs(self.value) if self.value else None

    @property
    def text(self) -> str:
        """The number with the half-width of its 95 % interval, "0.31 ± 0.04 eV"."""
        if self.value is None:
            return self.reason or "not known"
        width = self.half_width()
        # Three digits: beside a tolerance of 0.2 a width of 0.204 must not read 0.2.
        told = "" if width is None else f" ± {width:.3g}"
        return f"{self.value:.4g}{told} {self.unit}".rstrip()


class PropertyValues(ResultValues):
    """A property of an analysis in one generation, with the model that drives."""

    name: str = Field(description="The analysis (name)")
    unit: PropertyUnit = Field(description="Unit of its tolerance (name)")
    data_set: str = Field(description="What the model was fitted to (name)")
    numbers: tuple[PropertyNumber, ...] = Field(description="All of its numbers")
    reason: str = Field(default="", description="Why there is none (text)")

    @property
    def error(self) -> float | None:
        """The largest error of its numbers in the unit of the tolerance; None where one is not known."""
        errors = [number.error(self.unit) for number in self.numbers]
        known = [error for error in errors if error is not None]
        return max(known) if known and len(known) == len(errors) else None

    @property
    def why_not_known(self) -> str:
        """What is missing for its error to be known, empty where it is."""
        if self.error is not None:
            return ""
        reasons = [number.reason for number in self.numbers if number.error(self.unit) is None]
        return "; ".join(dict.fromkeys(filter(None, (self.reason, *reasons)))) or "nobody said why"

    @property
    def text(self) -> str:
        """What is known, for a person to read: the number whose error is largest, or what is missing."""
        worst = self.worst
        if worst is None:
            return self.why_not_known
        which = f" ({worst.label})" if worst.label and len(self.numbers) > 1 else ""
        return f"{worst.text}{which}"

    @property
    def worst(self) -> PropertyNumber | None:
        """The number whose error is largest, None where the error is not known."""
        if self.error is None:
            return None
        return max(self.numbers, key=lambda number: number.error(self.unit) or 0.0)


PROPERTIES = ResultKind("property", PropertyValues)
