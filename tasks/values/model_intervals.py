"""What values have in common whose numbers came from a model: half-widths of model intervals, or why there are none."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from ...store.result_kinds import ResultValues

_HALF_WIDTH: Final = "_model_half_width"
"""In the names of fields: after the quantity, before its unit."""
_REASON: Final = "model_interval_reason"


class NumbersOfModel(ResultValues):
    """Values with half-widths of the 95 % model intervals of numbers beside them.

    Where there are none, records stay what they were before models knew their errors: nothing is written.
    """

    @model_serializer(mode="wrap")
    def _without_nothing(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = serialise(self)
        return {
            name: value
            for name, value in values.items()
            if value not in (None, "", (), [], {}) or not (_HALF_WIDTH in name or name == _REASON)
        }


class NumbersOfOneModel(NumbersOfModel):
    """The same, of all numbers that one model gave."""

    model_interval_reason: str = Field(default="", description="Why these numbers have no model interval (text)")
