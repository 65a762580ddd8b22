"""A selection: the densest frames."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from ionloop.core.citations import Citation
from ionloop.sampling.selections.base import Choice, CommonSelectionSettings, SelectionRequest


class ShortestBondSettings(CommonSelectionSettings):
    """Frames with the shortest distance between two atoms."""

    method: Literal["shortest-bond"] = Field("shortest-bond", description="Frames with the shortest distance.")
    longest_A: float = Field(10.0, gt=0, description="Frames whose shortest distance is longer are left out (Å)")


class ShortestBond:
    """Frames with the shortest distances, which are the scores (Å)."""

    name = "shortest-bond"
    rank = 1.0
    settings_type = ShortestBondSettings
    needs_variance = False
    citations = (Citation("Shortest bonds", "A. Toy, J. Toys 2026, 1, 1"),)

    def methods(self, settings: ShortestBondSettings) -> str:
        return "for their shortest bonds"

    def choose(self, request: SelectionRequest[ShortestBondSettings]) -> Choice:
        shortest = []
        for atoms in request.frames:
            distances = atoms.get_all_distances(mic=bool(atoms.pbc.any()))
            shortest.append(float(distances[~np.eye(len(atoms), dtype=bool)].min(initial=np.inf)))
        order = sorted(range(len(shortest)), key=lambda index: (shortest[index], index))
        kept = [index for index in order if shortest[index] <= request.settings.longest_A][: request.settings.count]
        reason = "the others have no short bond" if len(kept) < len(order) else ""
        return Choice(kept, [shortest[index] for index in kept], reason)


SHORTEST_BOND = ShortestBond()
