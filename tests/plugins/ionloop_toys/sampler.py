"""A sampler: the crystal in cells that breathe, from compressed to stretched, with a shiver."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from ase import Atoms
from pydantic import Field

from ionloop.core.citations import Citation
from ionloop.sampling.samplers.base import CommonSamplerSettings, Count, DrawingSampler, SamplerRequest


class BreathingSettings(CommonSamplerSettings):
    """How many cells, and how far they breathe."""

    kind: Literal["breathing"] = Field("breathing", description="Cells that breathe (name)")
    count: Count = Field(5, description="Configurations (number)")
    largest_strain: float = Field(0.02, ge=0, le=0.2, description="Largest strain along each axis (no unit)")
    shiver_A: float = Field(0.05, ge=0, le=1, description="Standard deviation of the displacements (Å)")


class Breathing(DrawingSampler[BreathingSettings]):
    """Cells at even intervals between the smallest and the largest."""

    name = "breathing"
    rank = 5.0
    settings_type = BreathingSettings
    description = "Cells from compressed to stretched"
    citations: ClassVar[tuple[Citation, ...]] = (Citation("Breathing cells", "A. Toy, J. Toys 2026, 1, 3"),)

    def runs(self, settings: BreathingSettings) -> int:
        return 1

    def frames(self, settings: BreathingSettings) -> int:
        return settings.count

    def draw(self, request: SamplerRequest[BreathingSettings]) -> list[Atoms]:
        settings, frames = request.settings, []
        random = np.random.default_rng(np.random.SeedSequence(request.seed))
        for strain in np.linspace(-settings.largest_strain, settings.largest_strain, settings.count):
            frame = request.atoms.copy()
            frame.set_cell(frame.cell.array * (1 + strain), scale_atoms=True)
            frame.positions += random.normal(0, settings.shiver_A, frame.positions.shape)
            frames.append(frame)
        return frames

    def methods(self, settings: BreathingSettings) -> str:
        return f"{settings.count} breathing cells (strains up to {settings.largest_strain:g})"


BREATHING = Breathing()
