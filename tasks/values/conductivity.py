"""What results on diffusion and conductivity hold."""

from __future__ import annotations

from pydantic import Field

from ...analysis.conductivity.arrhenius import ArrheniusResult
from ...analysis.conductivity.transport import ConductivityResult
from ...store.result_kinds import ResultKind, ResultValues


class ConductivityValues(ConductivityResult, ResultValues):
    """Transport of one potential at one temperature."""

    missing_replicas: int = Field(description="Replicas that failed or ended early (number)")


class ArrheniusValues(ArrheniusResult, ResultValues):
    """The line through one potential's diffusivities."""

    temperatures_left_out: int = Field(default=0, description="Temperatures whose diffusivity is not reliable (number)")


CONDUCTIVITIES = ResultKind("conductivity", ConductivityValues)
ARRHENIUS_LINES = ResultKind("arrhenius", ArrheniusValues)
