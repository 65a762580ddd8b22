"""The frames that the driving model is least sure of."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...core.citations import Citation
from ...core.errors import InputError
from ..soap import SoapDescriptor, species_of
from .base import Choice, DescriptorSelectionSettings, SelectionRequest
from .farthest_point import farthest_points
from .fingerprints import fingerprints


class VarianceSelection(DescriptorSelectionSettings):
    """The frames that the driving model is least sure of, spread out among themselves."""

    method: Literal["variance"] = Field(
        default="variance", description="Frames with the largest predicted variance of an atom's energy."
    )
    pool: int = Field(
        default=3,
        ge=1,
        description="The most uncertain frames, pool times count of them, are thinned to count by"
        " farthest-point sampling, because neighbouring frames are alike; 1 takes the most uncertain ones (number)",
    )


class Variance:
    """Frames with the largest predicted variance of an atom's energy, which is the score (eV²)."""

    name = "variance"
    rank = 20.0
    settings_type = VarianceSelection
    needs_variance = True
    citations: tuple[Citation, ...] = ()

    def methods(self, settings: VarianceSelection) -> str:
        """Return how frames were chosen."""
        return "by the largest predicted variance of an atom's energy"

    def choose(self, request: SelectionRequest[VarianceSelection]) -> Choice:
        """Take the most uncertain frames and thin them out, the most uncertain one first.

        Raises
        ------
        InputError
            If there are no uncertainties.
        """
        uncertainties, settings = request.uncertainties, request.settings
        if uncertainties is None:
            raise InputError("selection by variance needs one uncertainty per candidate")
        order = sorted(range(len(request.frames)), key=lambda index: (-uncertainties[index], index))
        pool = order[: settings.pool * settings.count]
        if len(pool) > settings.count:
            descriptor = SoapDescriptor(species_of(request.frames), settings.descriptor)
            rows = fingerprints([request.frames[index] for index in pool], descriptor)
            thinned = farthest_points(rows[1:], rows[:1], settings.count - 1).indices
            pool = [pool[0], *(pool[1 + index] for index in thinned)]
        return Choice(pool, [float(uncertainties[index]) for index in pool])


VARIANCE = Variance()
