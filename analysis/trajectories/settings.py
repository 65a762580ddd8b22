"""Which trajectories of a campaign an analysis looks at that runs none itself."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from ...core.settings import FrozenSettings

SAMPLING: Final = "sampling"
"""What `ReadRunsSettings.of` calls the trajectories of the last generation."""


class ReadRunsSettings(FrozenSettings):
    """Which trajectories are looked at: those of another analysis, or of the last generation."""

    of: str = Field(
        "",
        description="Analysis whose trajectories are looked at, or sampling: those of the last generation at constant "
        "volume and temperature; nothing: of the first analysis of the campaign that has some, else sampling (name)",
    )
    models: tuple[str, ...] = Field(
        (),
        description="Potentials whose trajectories are looked at; nothing: all that there are (names)",
        json_schema_extra={"allowed": "a list, each a model of the campaign | reference"},
    )
