"""What all results hold that come from trajectories of others."""

from __future__ import annotations

from pydantic import Field

from ...store.result_kinds import ResultValues


class RunsValues(ResultValues):
    """Which trajectories were looked at."""

    temperature_K: float = Field(description="Temperature of the trajectories (K)")
    trajectories: int = Field(description="Trajectories that were looked at (number)")
    missing_trajectories: int = Field(description="Planned ones that failed or ended too early (number)")
    duration_ps: float = Field(description="Length of all of them together, without equilibration (ps)")
