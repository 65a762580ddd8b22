"""Arrhenius lines through diffusivities of which some are only known to lie below a bound.

ln D = ln D₀ - E_a/(k_B T). A diffusivity that was measured enters with its error, one that was too small to be measured
with the probability that it lies below its bound, Φ((ln U - ln D)/s): a one-sided likelihood, as of censored data
(Tobin, Econometrica 1958, 26, 24, 10.2307/1907382). It never enters as 0. Both coefficients are integrated over a grid,
with flat priors; values are medians, intervals the central 95 %.

What is measured alone gives the distribution of `ionloop.analysis.conductivity.arrhenius`: Student's t about the line
of least squares, errors widened by Birge's ratio where points scatter by more than they say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.units import kB
from pydantic import Field

from ...core.arrays import FloatArray
from ...core.errors import InputError
from ...core.settings import FrozenModel
from ..conductivity.arrhenius import ROOM_TEMPERATURE_K, ChargeCarriers
from ..conductivity.diffusion import CONFIDENCE, Estimate
from ..conductivity.transport import conductivity_mS_per_cm
from ..distributions import normal_probability

FEWEST_MEASURED = 2
"""Diffusivities that must be measured: bounds alone, or one value with bounds, leave an end of the line open."""
_BOUND_ERROR = 0.3
# Degrees of freedom of the errors of diffusivities, as where all are measured.
_FREEDOM = 6
_POINTS, _WIDTHS = 401, 40.0
_DEPTHS = 3
_NEGLIGIBLE = 1e-6


@dataclass(frozen=True)
class DiffusivityPoint:
    """A diffusivity at one temperature (K, Å²/ps): measured, or known to lie below ``bound``.

    Attributes
    ----------
    relative_error
        Of a value: its standard error over it. Of a bound: how sharp it is, in ln D.
    """

    temperature_K: float
    value_A2_per_ps: float | None = None
    bound_A2_per_ps: float | None = None
    relative_error: float = _BOUND_ERROR


class CensoredLine(FrozenModel):
    """The line, and what it says at another temperature."""

    temperatures_K: tuple[float, ...] = Field(description="Temperatures whose diffusivity is measured (K)")
    bounded_temperatures_K: tuple[float, ...] = Field(description="Temperatures of bounds (K)")
    activation_energy_eV: Estimate = Field(description="Activation energy (eV)")
    prefactor_A2_per_ps: Estimate = Field(description="Diffusivity at infinite temperature (Å²/ps)")
    extrapolated_temperature_K: float = Field(description="Temperature that is extrapolated to (K)")
    extrapolated_diffusivity_A2_per_ps: Estimate = Field(description="Diffusivity there (Å²/ps)")
    extrapolated_conductivity_mS_per_cm: Estimate = Field(
        description="Conductivity of ions without correlation there (mS/cm)"
    )
    threshold_mS_per_cm: float = Field(description="Conductivity whose probability is told (mS/cm)")
    probability_above_threshold: float = Field(description="That the conductivity there is above it (no unit)")
    scatter_ratio: float | None = Field(
        description="Square root of the reduced χ² of measured points; nothing of two (no unit)"
    )

    def diffusivity_A2_per_ps(self, temperature_K: float) -> float:
        """Return the diffusivity of the line at a temperature (Å²/ps)."""
        # Through the two values that were asked for: medians of a skewed distribution do not lie on one line.
        inverse = 1.0 / temperature_K - 1.0 / self.extrapolated_temperature_K
        return float(
            self.extrapolated_diffusivity_A2_per_ps.value * np.exp(-self.activation_energy_eV.value / kB * inverse)
        )


def fit_censored_arrhenius(
    points: Sequence[DiffusivityPoint],
    carriers: ChargeCarriers,
    *,
    threshold_mS_per_cm: float = 1.0,
    temperature_K: float = ROOM_TEMPERATURE_K,
) -> CensoredLine:
    """Fit diffusivities and bounds against temperature.

    Parameters
    ----------
    carriers
        What makes the extrapolated diffusivity a conductivity: the volume is that at ``temperature_K``.
    threshold_mS_per_cm
        Conductivity whose probability is told.

    Raises
    ------
    InputError
        If fewer than two different temperatures have a value, or a value, bound or error is not above 0.
    """
    measured = [one for one in points if one.value_A2_per_ps is not None]
    bounds = [one for one in points if one.value_A2_per_ps is None and one.bound_A2_per_ps is not None]
    if len({one.temperature_K for one in measured}) < FEWEST_MEASURED:
        raise InputError(
            f"a line needs diffusivities that are measured at {FEWEST_MEASURED} temperatures, not {len(measured)}"
        )
    numbers = [one.value_A2_per_ps or one.bound_A2_per_ps or 0.0 for one in (*measured, *bounds)]
    if min(numbers) <= 0 or min(min(one.temperature_K, one.relative_error) for one in (*measured, *bounds)) <= 0:
        raise InputError("diffusivities, bounds, their errors and temperatures must be above 0")
    line = _Measured.of(measured)
    weights, at_centre, energies = line.distribution(bounds)
    # ln D at 1/(k_B T) and its conductivity, for every line of the grid.
    room = at_centre[:, None] - energies[None, :] * (1.0 / (kB * temperature_K) - line.centre)
    infinite = at_centre[:, None] + energies[None, :] * line.centre
    per_diffusivity = conductivity_mS_per_cm(1.0, carriers.ions, carriers.volume_A3, carriers.charge_e, temperature_K)
    above = float(weights[room > np.log(threshold_mS_per_cm / per_diffusivity)].sum())
    diffusivity = _positive(room, weights)
    return CensoredLine(
        temperatures_K=tuple(one.temperature_K for one in measured),
        bounded_temperatures_K=tuple(one.temperature_K for one in bounds),
        activation_energy_eV=_estimate(np.broadcast_to(energies[None, :], weights.shape), weights),
        prefactor_A2_per_ps=_positive(infinite, weights),
        extrapolated_temperature_K=temperature_K,
        extrapolated_diffusivity_A2_per_ps=diffusivity,
        extrapolated_conductivity_mS_per_cm=diffusivity.scaled(per_diffusivity),
        threshold_mS_per_cm=threshold_mS_per_cm,
        probability_above_threshold=min(max(above, 0.0), 1.0),
        scatter_ratio=line.ratio if len(measured) > FEWEST_MEASURED else None,
    )


@dataclass(frozen=True)
class _Measured:
    """Least squares of what is measured: ln D at the weighted mean of 1/(k_B T), where it and E_a are independent.

    Attributes
    ----------
    centre
        That mean (1/eV).
    at_centre, energy_eV
        The line.
    errors
        Of both, widened by Birge's ratio.
    ratio
        Birge's ratio.
    """

    centre: float
    at_centre: float
    energy_eV: float
    errors: tuple[float, float]
    ratio: float

    @classmethod
    def of(cls, points: Sequence[DiffusivityPoint]) -> _Measured:
        inverse = np.array([1.0 / (kB * one.temperature_K) for one in points])
        logarithms = np.log([float(one.value_A2_per_ps or 0.0) for one in points])
        weights = np.array([one.relative_error for one in points]) ** -2.0
        centre = float(weights @ inverse / weights.sum())
        apart = inverse - centre
        energy = float(-(weights * apart) @ logarithms / (weights @ apart**2))
        mean = float(weights @ logarithms / weights.sum())
        left = logarithms - mean + energy * apart
        freedom = len(points) - 2
        ratio = float(np.sqrt(weights @ left**2 / freedom)) if freedom else 0.0
        wider = max(ratio, 1.0)
        errors = (wider / float(np.sqrt(weights.sum())), wider / float(np.sqrt(weights @ apart**2)))
        return cls(centre, mean, energy, errors, ratio)

    def distribution(self, bounds: Sequence[DiffusivityPoint]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return weights of lines [n, m] of sum 1, ln D at the centre [n], and activation energies [m] (eV).

        The grid is drawn together around what has weight: bounds may cut all but a corner away.
        """
        ranges = [(value - _WIDTHS * error, value + _WIDTHS * error) for value, error in self._axes]
        for _ in range(_DEPTHS):
            at_centre, energies = (np.linspace(low, high, _POINTS) for low, high in ranges)
            weights = self._weights(at_centre, energies, bounds)
            ranges = [
                _with_weight(at_centre, weights.sum(axis=1)),
                _with_weight(energies, weights.sum(axis=0)),
            ]
        return weights, at_centre, energies

    @property
    def _axes(self) -> tuple[tuple[float, float], tuple[float, float]]:
        return (self.at_centre, self.errors[0]), (self.energy_eV, self.errors[1])

    def _weights(self, at_centre: FloatArray, energies: FloatArray, bounds: Sequence[DiffusivityPoint]) -> FloatArray:
        first = ((at_centre - self.at_centre) / self.errors[0]) ** 2
        second = ((energies - self.energy_eV) / self.errors[1]) ** 2
        logarithms = -0.5 * (_FREEDOM + 2) * np.log1p((first[:, None] + second[None, :]) / _FREEDOM)
        for one in bounds:
            apart = 1.0 / (kB * one.temperature_K) - self.centre
            below = np.log(float(one.bound_A2_per_ps or 0.0)) - at_centre[:, None] + energies[None, :] * apart
            probability = normal_probability(below / one.relative_error)
            logarithms = logarithms + np.log(np.maximum(probability, np.finfo(float).tiny))
        weights = np.exp(logarithms - logarithms.max())
        return np.asarray(weights / weights.sum())


def _with_weight(values: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """Return the ends of what holds all but a negligible part of the weight, and one step more."""
    kept = np.flatnonzero(weights > _NEGLIGIBLE * weights.max())
    step = values[1] - values[0]
    return float(values[kept[0]] - step), float(values[kept[-1]] + step)


def _quantiles(values: FloatArray, weights: FloatArray, levels: Sequence[float]) -> list[float]:
    order = np.argsort(values, axis=None)
    chosen = weights.reshape(-1)[order]
    # A point of the grid stands for what lies half a step to either side.
    sums = np.cumsum(chosen) - 0.5 * chosen
    return [float(one) for one in np.interp(levels, sums, values.reshape(-1)[order])]


def _levels() -> list[float]:
    tail = (1.0 - CONFIDENCE) / 2
    return [0.5, tail, 1.0 - tail, *normal_probability([-1.0, 1.0]).tolist()]


def _estimate(values: FloatArray, weights: FloatArray) -> Estimate:
    middle, low, high, lower, upper = _quantiles(values, weights, _levels())
    return Estimate(value=middle, low=low, high=high, standard_error=0.5 * (upper - lower))


def _positive(logarithms: FloatArray, weights: FloatArray) -> Estimate:
    """Return the estimate of what has these logarithms; its error is that of the logarithm times it."""
    found = _estimate(logarithms, weights)
    value, low, high = (float(np.exp(one)) for one in (found.value, found.low, found.high))
    return Estimate(value=value, low=low, high=high, standard_error=value * found.standard_error)
