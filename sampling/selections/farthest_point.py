"""Farthest-point sampling: greedily the frame farthest from everything known so far."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from ...core.citations import Citation
from ..soap import SoapDescriptor, species_of
from .base import Choice, DescriptorSelectionSettings, SelectionRequest
from .fingerprints import SAME_FINGERPRINT, distances, fingerprints, most_central


class FarthestPointSelection(DescriptorSelectionSettings):
    """Greedily the frame farthest from everything known so far."""

    method: Literal["farthest-point"] = Field(
        default="farthest-point", description="Farthest-point sampling on SOAP fingerprints."
    )


class FarthestPoint:
    """Farthest-point sampling on SOAP fingerprints.

    A score is the distance to the nearest known fingerprint when the frame was chosen, or √2, the largest there can
    be, where none was known.
    """

    name = "farthest-point"
    rank = 10.0
    settings_type = FarthestPointSelection
    needs_variance = False
    citations = (
        Citation(
            "Farthest-point sampling",
            "T. F. Gonzalez, Theor. Comput. Sci. 1985, 38, 293",
            "10.1016/0304-3975(85)90224-5",
        ),
    )

    def methods(self, settings: FarthestPointSelection) -> str:
        """Return how frames were chosen."""
        return "by farthest-point sampling on SOAP fingerprints"

    def choose(self, request: SelectionRequest[FarthestPointSelection]) -> Choice:
        """Choose frames far from what is known and from each other."""
        descriptor = SoapDescriptor(species_of([*request.frames, *request.existing]), request.settings.descriptor)
        new, known = fingerprints(request.frames, descriptor), fingerprints(request.existing, descriptor)
        return farthest_points(new, known, request.settings.count)


def farthest_points(new: np.ndarray, known: np.ndarray, count: int) -> Choice:
    """Greedily add the fingerprint whose nearest known neighbour is farthest.

    At most twice as far from the best covering of the candidates (Gonzalez, Theor. Comput. Sci. 1985, 38,
    293, 10.1016/0304-3975(85)90224-5). With nothing known it begins at the most central candidate.

    Parameters
    ----------
    new, known
        Fingerprints, [n, d] and [m, d] (no unit).
    count
        At most so many are chosen.
    """
    chosen: list[int] = []
    scores: list[float] = []
    if len(known):
        nearest = distances(new, known).min(axis=1)
    else:
        first = most_central(new)
        nearest = distances(new, new[first : first + 1])[:, 0]
        chosen, scores = [first], [float(np.sqrt(2.0))]
    while len(chosen) < min(count, len(new)):
        farthest = int(np.argmax(nearest))
        if nearest[farthest] < SAME_FINGERPRINT:
            return Choice(chosen, scores, "the others are known structures, moved or with atoms renumbered")
        chosen.append(farthest)
        scores.append(float(nearest[farthest]))
        nearest = np.minimum(nearest, distances(new, new[farthest : farthest + 1])[:, 0])
    return Choice(chosen, scores)


FARTHEST_POINT = FarthestPoint()
