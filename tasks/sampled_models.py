"""What conductivities with models drawn from a posterior say of the model's part of the error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.conductivity.arrhenius import FEWEST_TEMPERATURES, fit_arrhenius
from ..analysis.conductivity.model_spread import model_half_width
from ..analysis.conductivity.model_spread_settings import FEWEST_SAMPLES
from ..analysis.conductivity.transport import ConductivityResult
from .values.conductivity import ConductivityValues, SampledDiffusivity

if TYPE_CHECKING:
    from .conductivity import ConductivityParameters


def of_sampled_models(found: Mapping[int, ConductivityResult], parameters: ConductivityParameters) -> dict[str, Any]:
    """Return fields of `ConductivityValues` from one trajectory of each sampled model, by its number.

    One that does not diffuse has no logarithm: it is counted and left out, and so are those that ended early.
    """
    if not parameters.sampled_runs:
        reason = "" if parameters.potential.engine is not None else "no models were drawn from its posterior"
        return {"model_interval_reason": reason}
    wanted = len(parameters.sampled_runs[0].trajectories)
    estimates = {number: one.diffusivity_A2_per_ps for number, one in found.items() if one.diffusive}
    sampled = [
        SampledDiffusivity(sample=number, diffusivity_A2_per_ps=one.value, standard_error_A2_per_ps=one.standard_error)
        for number, one in estimates.items()
        if one.value > 0
    ]
    fields: dict[str, Any] = {"sampled": tuple(sampled), "samples_left_out": wanted - len(sampled)}
    if len(sampled) < FEWEST_SAMPLES:
        reason = f"{len(sampled)} of {wanted} models drawn from the posterior diffuse, and {FEWEST_SAMPLES} are needed"
        return {**fields, "model_interval_reason": reason}
    logarithms, errors = zip(*(_logarithm(one) for one in sampled), strict=True)
    return {**fields, "logarithm_model_half_width": model_half_width(logarithms, errors)}


def activation_energy_half_width(results: Sequence[ConductivityValues]) -> float | None:
    """Return the half-width of the model interval of the activation energy (eV), None of too few sampled models.

    A sampled model counts where it diffuses at three temperatures at least.
    """
    by_sample: dict[int, list[tuple[float, SampledDiffusivity]]] = {}
    for result in results:
        for one in result.sampled:
            by_sample.setdefault(one.sample, []).append((result.temperature_K, one))
    energies = []
    for points in by_sample.values():
        known = [(temperature_K, one) for temperature_K, one in points if one.standard_error_A2_per_ps > 0]
        if len(known) >= FEWEST_TEMPERATURES:
            line = fit_arrhenius(
                [temperature_K for temperature_K, _ in known],
                [one.diffusivity_A2_per_ps for _, one in known],
                [one.standard_error_A2_per_ps for _, one in known],
            )
            energies.append(line.activation_energy_eV)
    if len(energies) < FEWEST_SAMPLES:
        return None
    return model_half_width([one.value for one in energies], [one.standard_error for one in energies])


def _logarithm(one: SampledDiffusivity) -> tuple[float, float]:
    return float(np.log(one.diffusivity_A2_per_ps)), one.standard_error_A2_per_ps / one.diffusivity_A2_per_ps
