"""Settings of the species of a network in trajectories."""

from __future__ import annotations

from pydantic import Field

from ...core.settings import FrozenSettings
from ...sampling.networks.settings import NetworkSettings
from ..trajectories.settings import ReadRunsSettings


class SpeciesSettings(FrozenSettings):
    """Which network is looked at, and how long its bonds remember."""

    network: NetworkSettings = Field(
        default_factory=NetworkSettings, description="Centres, ligands and their longest bonds"
    )
    patience_fs: float = Field(
        50.0,
        ge=0,
        le=10_000,
        description="How long a bond must be too long before it counts as broken, in trajectories with times (fs)",
    )
    most_frames: int = Field(
        20_000, ge=2, description="Frames that are looked at, evenly spaced, of all trajectories together (number)"
    )


class SpeciationSettings(SpeciesSettings, ReadRunsSettings):
    """Species of the network in a campaign's trajectories."""
