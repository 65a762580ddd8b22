"""Activation energies: ln D = ln D₀ - E_a/(k_B T), and diffusivity and conductivity at another temperature.

Weighted least squares of ln D, whose variance is (σ_D/D)²; the intervals are those of a parametric bootstrap, which
draws every ln D anew from its own uncertainty. That is itself taken from few blocks, and the part of it that comes from
the unknown crossover (back-hops) is alike at all temperatures and largest at the lowest: intervals are those of
Student's t with `_FREEDOM` degrees of freedom (the benchmark of coverage has activation energies and 300 K among its
rows). Where the points scatter about the line by more than their errors
say, all errors are widened by the square root of the reduced χ² (Birge's ratio, Phys. Rev. 1932, 40, 207,
10.1103/PhysRev.40.207); where no errors are given, the scatter is all there is, and Student's t takes the place of
the normal distribution.
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
from ..distributions import normal_probability
from .diffusion import CONFIDENCE, Estimate

FEWEST_TEMPERATURES = 3
ROOM_TEMPERATURE_K = 300.0
# Degrees of freedom of the errors of diffusivities.
_FREEDOM = 6


@dataclass(frozen=True)
class ChargeCarriers:
    """How many ions of which formal charge there are in a volume: what makes a diffusivity a conductivity."""

    ions: int
    charge_e: float
    volume_A3: float


class ArrheniusResult(FrozenModel):
    """The fitted line and what it says at another temperature."""

    temperatures_K: tuple[float, ...] = Field(description="Temperatures of the points (K)")
    activation_energy_eV: Estimate = Field(description="Activation energy (eV)")
    prefactor_A2_per_ps: Estimate = Field(description="Diffusivity at infinite temperature (Å²/ps)")
    extrapolated_temperature_K: float = Field(description="Temperature that is extrapolated to (K)")
    extrapolated_diffusivity_A2_per_ps: Estimate = Field(description="Diffusivity there (Å²/ps)")
    extrapolated_conductivity_mS_per_cm: Estimate | None = Field(
        default=None, description="Conductivity of ions without correlation there (mS/cm)"
    )
    scatter_ratio: float | None = Field(
        description="Square root of the reduced χ² of the points about the line; nothing where no errors were given "
        "(no unit)"
    )

    def diffusivity_A2_per_ps(self, temperature_K: float) -> float:
        """Return the diffusivity of the fitted line at a temperature (Å²/ps)."""
        exponent = -self.activation_energy_eV.value / (kB * temperature_K)
        return float(self.prefactor_A2_per_ps.value * np.exp(exponent))


@dataclass(frozen=True)
class ArrheniusSettings:
    """To which temperature to extrapolate, and the bootstrap's size and seed."""

    temperature_K: float = ROOM_TEMPERATURE_K
    samples: int = 4000
    seed: int = 1


def fit_arrhenius(
    temperatures_K: Sequence[float],
    diffusivities_A2_per_ps: Sequence[float],
    standard_errors_A2_per_ps: Sequence[float] | None = None,
    carriers: ChargeCarriers | None = None,
    settings: ArrheniusSettings | None = None,
) -> ArrheniusResult:
    """Fit diffusivities against temperature.

    Parameters
    ----------
    temperatures_K
        At least three different ones, shape [n] (K).
    diffusivities_A2_per_ps, standard_errors_A2_per_ps
        Shape [n] (Å²/ps), above zero; without errors all points weigh the same.
    carriers
        Turns the extrapolated diffusivity into a conductivity.

    Raises
    ------
    InputError
        If there are fewer than three temperatures, or a value or an error is not above zero.
    """

    from .transport import conductivity_mS_per_cm

    settings = settings or ArrheniusSettings()
    temperatures, values = np.asarray(temperatures_K, dtype=float), np.asarray(diffusivities_A2_per_ps, dtype=float)
    if len(np.unique(temperatures)) < FEWEST_TEMPERATURES or len(temperatures) != len(values):
        raise InputError(
            f"an Arrhenius fit needs diffusivities at {FEWEST_TEMPERATURES} different temperatures or more, not"
            f" {len(values)} at {len(np.unique(temperatures))}"
        )
    if not (np.all(values > 0) and np.all(temperatures > 0)):
        raise InputError("an Arrhenius fit needs diffusivities and temperatures above zero: leave out the others")
    errors = np.ones_like(values)
    if standard_errors_A2_per_ps is not None:
        errors = np.asarray(standard_errors_A2_per_ps, dtype=float) / values
        if errors.shape != values.shape or not np.all(errors > 0):
            raise InputError("every diffusivity needs a standard error above zero, or none has one")
    line = _Line.through(temperatures, np.log(values), errors)
    drawn, widened, ratio = _bootstrap(line, np.log(values), standard_errors_A2_per_ps is not None, settings)
    inverse = 1.0 / (kB * settings.temperature_K)
    at_temperature = np.array([1.0, -inverse])
    extrapolated = _positive(line.at(inverse), drawn @ at_temperature, widened @ at_temperature)
    conductivity = None
    if carriers is not None:
        conductivity = extrapolated.scaled(
            conductivity_mS_per_cm(1.0, carriers.ions, carriers.volume_A3, carriers.charge_e, settings.temperature_K)
        )
    energy = line.energy_eV
    low, high = _quantiles(widened[:, 1])
    return ArrheniusResult(
        temperatures_K=tuple(float(value) for value in temperatures),
        activation_energy_eV=Estimate(value=energy, low=low, high=high, standard_error=_width(drawn[:, 1])),
        prefactor_A2_per_ps=_positive(line.at(0.0), drawn[:, 0], widened[:, 0]),
        extrapolated_temperature_K=settings.temperature_K,
        extrapolated_diffusivity_A2_per_ps=extrapolated,
        extrapolated_conductivity_mS_per_cm=conductivity,
        scatter_ratio=ratio,
    )


@dataclass(frozen=True)
class _Line:
    """Weighted least squares of ln D = c₀ - c₁ x, x = 1/(k_B T): coefficients are ``solve`` @ ln D."""

    design: FloatArray
    solve: FloatArray
    errors: FloatArray
    coefficients: FloatArray

    @classmethod
    def through(cls, temperatures_K: FloatArray, logarithms: FloatArray, errors: FloatArray) -> _Line:
        design = np.stack([np.ones_like(temperatures_K), -1.0 / (kB * temperatures_K)], axis=1)
        solve = np.linalg.pinv(design / errors[:, None]) / errors
        return cls(design, solve, errors, solve @ logarithms)

    @property
    def energy_eV(self) -> float:
        return float(self.coefficients[1])

    def at(self, inverse_per_eV: float) -> float:
        """Return ln D at 1/(k_B T)."""
        return float(self.coefficients[0] - self.coefficients[1] * inverse_per_eV)

    def chi_squared(self, logarithms: FloatArray) -> float:
        return float(np.sum(((logarithms - self.design @ self.coefficients) / self.errors) ** 2))


def _bootstrap(
    line: _Line, logarithms: FloatArray, known_errors: bool, settings: ArrheniusSettings
) -> tuple[FloatArray, FloatArray, float | None]:
    """Return coefficients fitted to points drawn anew, [n_samples, 2], for errors and for intervals, and Birge's ratio.

    The ratio is None where errors are not known.
    """
    random = np.random.default_rng(settings.seed)
    count = len(logarithms)
    freedom = count - 2
    ratio = float(np.sqrt(line.chi_squared(logarithms) / freedom))
    noise = random.standard_normal((settings.samples, count))
    # An error is itself uncertain: a draw of its size for every sample makes Student's t of the noise.
    freedom = _FREEDOM if known_errors else freedom
    sizes = np.sqrt(freedom / random.chisquare(freedom, (settings.samples, 1)))
    moved = noise * (max(ratio, 1.0) if known_errors else ratio) * line.errors @ line.solve.T
    widened = line.coefficients + sizes * moved
    drawn = line.coefficients + moved if known_errors else widened
    return drawn, widened, ratio if known_errors else None


def _quantiles(values: FloatArray) -> tuple[float, float]:
    tail = (1.0 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return float(low), float(high)


def _width(values: FloatArray) -> float:
    """Return half of the central 68 %: a standard error also where Student's t has no variance."""
    low, high = np.quantile(values, normal_probability([-1.0, 1.0]))
    return 0.5 * float(high - low)


def _positive(logarithm: float, drawn: FloatArray, widened: FloatArray) -> Estimate:
    """Return the estimate of a quantity whose logarithm was drawn; its error is that of the logarithm times it."""
    low, high = np.exp(_quantiles(widened))
    value = float(np.exp(logarithm))
    return Estimate(value=value, low=float(low), high=float(high), standard_error=value * _width(drawn))
