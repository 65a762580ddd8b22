"""What results on diffusion and conductivity hold."""

from __future__ import annotations

from pydantic import Field

from ...analysis.conductivity.arrhenius import ArrheniusResult
from ...analysis.conductivity.transport import ConductivityResult
from ...core.settings import FrozenModel
from ...store.result_kinds import ResultKind, ResultValues


class SampledDiffusivity(FrozenModel):
    """The ions' diffusivity with one model drawn from the posterior."""

    sample: int = Field(description="Which one (number)")
    diffusivity_A2_per_ps: float = Field(description="Tracer diffusivity (Å²/ps)")
    standard_error_A2_per_ps: float = Field(description="Its statistical error (Å²/ps)")


class ConductivityValues(ConductivityResult, ResultValues):
    """Transport of one potential at one temperature."""

    missing_replicas: int = Field(description="Replicas that failed or ended early (number)")
    sampled: tuple[SampledDiffusivity, ...] = Field(
        default=(), description="Of models drawn from the posterior, those that diffuse (Å²/ps)"
    )
    samples_left_out: int = Field(
        default=0, description="Models drawn from the posterior that failed, ended early or gave no slope (number)"
    )
    logarithm_model_half_width: float | None = Field(
        default=None,
        description="Half-width of the 95 % model interval of the logarithm of diffusivities and conductivities, from "
        "the ions' diffusivities with models drawn from the posterior (no unit)",
    )
    model_interval_reason: str = Field(default="", description="Why these numbers have no model interval (text)")


class ArrheniusValues(ArrheniusResult, ResultValues):
    """The line through one potential's diffusivities."""

    temperatures_left_out: int = Field(default=0, description="Temperatures whose diffusivity is not reliable (number)")
    activation_energy_model_half_width_eV: float | None = Field(
        default=None, description="Half-width of the 95 % model interval of the activation energy (eV)"
    )


CONDUCTIVITIES = ResultKind("conductivity", ConductivityValues)
ARRHENIUS_LINES = ResultKind("arrhenius", ArrheniusValues)
