"""CUR: frames of the highest leverage in the space of fingerprints."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from ...core.citations import Citation
from ..soap import SoapDescriptor, species_of
from .base import Choice, DescriptorSelectionSettings, SelectionRequest
from .fingerprints import SAME_FINGERPRINT, fingerprints

# Directions weaker than this (relative to the strongest) are rounding errors of the fingerprints.
RELATIVE_RANK = 1e-8


class CurSelection(DescriptorSelectionSettings):
    """Frames of the highest leverage in the space of fingerprints."""

    method: Literal["cur"] = Field(default="cur", description="CUR leverage scores on SOAP fingerprints.")


class Cur:
    """CUR on SOAP fingerprints; a score is the leverage when the frame was chosen."""

    name = "cur"
    rank = 40.0
    settings_type = CurSelection
    needs_variance = False
    citations = (
        Citation("CUR", "M. W. Mahoney, P. Drineas, PNAS 2009, 106, 697", "10.1073/pnas.0803205106"),
        Citation("CUR on descriptors", "G. Imbalzano et al., J. Chem. Phys. 2018, 148, 241730", "10.1063/1.5024611"),
    )

    def methods(self, settings: CurSelection) -> str:
        """Return how frames were chosen."""
        return "by CUR leverage scores on SOAP fingerprints"

    def choose(self, request: SelectionRequest[CurSelection]) -> Choice:
        """Choose frames that add new directions to what is known."""
        descriptor = SoapDescriptor(species_of([*request.frames, *request.existing]), request.settings.descriptor)
        new, known = fingerprints(request.frames, descriptor), fingerprints(request.existing, descriptor)
        return highest_leverage(new, known, request.settings.count)


def highest_leverage(new: np.ndarray, known: np.ndarray, count: int) -> Choice:
    """Greedily add the fingerprint of the highest leverage, then take its direction out of all others.

    Leverage scores after Mahoney and Drineas (PNAS 2009, 106, 697, 10.1073/pnas.0803205106), one singular
    vector at a time with orthogonalisation after Imbalzano et al. (J. Chem. Phys. 2018, 148, 241730,
    10.1063/1.5024611). What the known fingerprints span is taken out first: only new directions count.

    Parameters
    ----------
    new, known
        Fingerprints, [n, d] and [m, d] (no unit).
    count
        At most so many are chosen.
    """
    from scipy.linalg import eigh

    residual = new
    if len(known):
        _, strengths, directions = np.linalg.svd(known, full_matrices=False)
        basis = directions[strengths > RELATIVE_RANK * strengths[0]]
        residual = new - (new @ basis.T) @ basis
    gram = residual @ residual.T
    chosen: list[int] = []
    scores: list[float] = []
    while len(chosen) < min(count, len(new)):
        alive = np.sqrt(np.clip(np.diag(gram), 0.0, None)) > SAME_FINGERPRINT
        if not alive.any():
            return Choice(chosen, scores, "the others add no direction to those that are known")
        last = len(gram) - 1
        _, vectors = eigh(gram, subset_by_index=[last, last])
        leverage = np.where(alive, vectors[:, 0] ** 2, -1.0)
        best = int(np.argmax(leverage))
        chosen.append(best)
        scores.append(float(leverage[best]))
        gram = gram - np.outer(gram[:, best], gram[best]) / gram[best, best]
        gram[best, :] = gram[:, best] = 0.0
    return Choice(chosen, scores)


CUR = Cur()
