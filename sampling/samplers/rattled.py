"""Cells with random strains and random displacements."""

from __future__ import annotations

from typing import Literal

import numpy as np
from ase import Atoms
from pydantic import Field

from ...core.errors import IonloopError
from ..barostat import deformation
from ..guard import ContactGuard
from .base import CommonSamplerSettings, Count, DrawingSampler, SamplerRequest
from .trajectories import number_of

_ATTEMPTS = 50


class RattledSettings(CommonSamplerSettings):
    """How far atoms and cells are moved."""

    kind: Literal["rattled"] = Field("rattled", description="Rattled and strained cells (name)")
    count: Count = Field(20, description="Configurations (number)")
    displacement_A: float = Field(
        0.1, ge=0, le=2, description="Standard deviation of the Gaussian displacements along each axis (Å)"
    )
    strain: float = Field(
        0.03,
        ge=0,
        le=0.3,
        description="Largest strain: each of the six components of a cell's is drawn evenly up to it, down to its "
        "negative (no unit)",
    )
    contacts: ContactGuard = Field(
        default_factory=ContactGuard, description="Shortest distances that a configuration may have"
    )


class Rattled(DrawingSampler[RattledSettings]):
    """Every configuration is the system's structure, or one of the training set, strained and rattled anew."""

    name = "rattled"
    rank = 80.0
    settings_type = RattledSettings
    description = "Cells with random strains and random displacements: elastic and vibrational response at once"

    def runs(self, settings: RattledSettings) -> int:
        """One draws all."""
        return 1

    def frames(self, settings: RattledSettings) -> int:
        """So many."""
        return settings.count

    def draw(self, request: SamplerRequest[RattledSettings]) -> list[Atoms]:
        """Draw each with a stream of its own: the first ten of twenty are the ten that a count of ten gives."""
        starts = [request.atoms, *request.starts]
        return [
            self._drawn(starts[number % len(starts)], request.settings, request.seed, number)
            for number in range(request.settings.count)
        ]

    def _drawn(self, start: Atoms, settings: RattledSettings, seed: int, number: int) -> Atoms:
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
        for _ in range(_ATTEMPTS):
            components = np.triu(random.uniform(-settings.strain, settings.strain, (3, 3)))
            stretch = deformation(components + np.triu(components, 1).T)
            frame = Atoms(
                numbers=start.numbers,
                positions=start.positions @ stretch,
                cell=start.cell.array @ stretch,
                pbc=start.pbc,
            )
            frame.positions += random.normal(0.0, settings.displacement_A, frame.positions.shape)
            contact = settings.contacts.violation(frame)
            if contact is None:
                return frame
        raise IonloopError(
            f"{_ATTEMPTS} random displacements of {settings.displacement_A:g} Å all bring atoms too close; in the last"
            f" {contact}: lower displacement_A or strain"
        )

    def methods(self, settings: RattledSettings) -> str:
        """Return how many, moved how far."""
        return (
            f"{number_of(settings.count, 'configuration')} with random strains up to {100 * settings.strain:g} % and "
            f"Gaussian displacements of {settings.displacement_A:g} Å"
        )


RATTLED = Rattled()
