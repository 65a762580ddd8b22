"""Every n-th frame."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...core.citations import Citation
from .base import Choice, CommonSelectionSettings, SelectionRequest


class StrideSelection(CommonSelectionSettings):
    """Every n-th frame, in the order of the candidates."""

    method: Literal["stride"] = Field(default="stride", description="Every n-th frame.")
    stride: int | None = Field(
        default=None,
        ge=1,
        description="Take every n-th frame; left out, count frames are spread evenly over all (number)",
    )


class Stride:
    """Every n-th frame; scores are 1."""

    name = "stride"
    rank = 50.0
    settings_type = StrideSelection
    needs_variance = False
    citations: tuple[Citation, ...] = ()

    def methods(self, settings: StrideSelection) -> str:
        """Return how frames were chosen."""
        return "at even intervals" if settings.stride is None else f"as every {settings.stride}th"

    def choose(self, request: SelectionRequest[StrideSelection]) -> Choice:
        """Take every n-th, or spread evenly."""
        total, settings = len(request.frames), request.settings
        if settings.stride is None:
            count = min(settings.count, total)
            return Choice([k * total // count for k in range(count)], [1.0] * count)
        chosen = list(range(0, total, settings.stride))[: settings.count]
        reason = f"every {settings.stride}th was taken" if settings.stride > 1 else ""
        return Choice(chosen, [1.0] * len(chosen), reason)


STRIDE = Stride()
