"""Constant pressure: random strains of the cell, drawn by stochastic cell rescaling and accepted exactly.

Every few steps a strain ε is drawn from the discretised equations of Bernetti and Bussi (J. Chem. Phys. 2020, 153,
114107, 10.1063/5.0020514, isotropic) or Del Tatto, Raiteri, Bernetti and Bussi (Appl. Sci. 2022, 12, 1139,
10.3390/app12031139, flexible), and positions and cell are multiplied by exp(ε), momenta by exp(-ε). The move is then
accepted or rejected by Metropolis' rule (Roberts and Tweedie, Bernoulli 1996, 2, 341, 10.2307/3318418), so that
the step of the barostat, its compressibility and even errors of the stress change how fast the volume relaxes and
never where it relaxes to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from ase import units

from ..core.arrays import FloatArray
from .barostat_settings import BarostatSettings

__all__ = ["CellState", "StrainSampler", "deformation", "strain_sampler"]


# One ln V from the measure dV = V d ln V, one from the centre of mass, which may lie anywhere in the cell.
_POWER_OF_VOLUME = 2.0


class CellState(NamedTuple):
    """What a trial strain depends on.

    Attributes
    ----------
    volume_A3, potential_eV
        Of the cell.
    stress
        ∂U/∂ε / V, eV/Å³. [3, 3]
    kinetic
        Σ p⊗p/m of momenta that sum to zero, eV. [3, 3]
    """

    volume_A3: float
    potential_eV: float
    stress: FloatArray
    kinetic: FloatArray

    @property
    def energy_eV(self) -> float:
        """Potential and kinetic energy."""
        return self.potential_eV + 0.5 * float(np.trace(self.kinetic))


@dataclass(frozen=True)
class StrainSampler:
    """Draws strains and says how probably each is accepted.

    The density sampled, with respect to the invariant measure of the strains (for the flexible cell that of Martyna,
    Tobias and Klein, J. Chem. Phys. 1994, 101, 4177, 10.1063/1.467468), is
    π = V² exp(-(U + K + P V)/kT), K without the centre of mass. A strain ε = Σ_a x_a M_a has the drift
    μ_a = D_a (∂ ln π/∂x_a - tr M_a) Δt and the variance 2 D_a Δt with D_a = w_a kT β / (V τ); the trace comes from
    D's dependence on V. For M = 1/3, w = 1 this is dε = -β/τ (P - P_int) dt + (2 kT β / V τ)^½ dW, the
    equation of Bernetti and Bussi, apart from the centre of mass.

    Attributes
    ----------
    modes
        M_a, symmetric. [n_modes, 3, 3]
    diffusion_A3
        D_a V Δt. [n_modes]
    kT_eV, pressure_eV_per_A3
        Of the ensemble.
    """

    modes: FloatArray
    diffusion_A3: FloatArray
    kT_eV: float
    pressure_eV_per_A3: float

    def draw(self, state: CellState, random: np.random.Generator) -> FloatArray:
        """Return the amplitudes x of a trial strain. [n_modes]"""
        mean, variance = self._proposal(state)
        return mean + np.sqrt(variance) * random.standard_normal(len(mean))

    def log_acceptance(self, before: CellState, after: CellState, amplitudes: FloatArray) -> float:
        """Return the logarithm of π(after) q(after → before) / (π(before) q(before → after))."""
        forward = self._log_proposal(before, amplitudes)
        backward = self._log_proposal(after, -amplitudes)
        return self._log_density(after) - self._log_density(before) + backward - forward

    def strain(self, amplitudes: FloatArray) -> FloatArray:
        """Return ε = Σ_a x_a M_a. [3, 3]"""
        return np.asarray(np.einsum("a,aij->ij", amplitudes, self.modes))

    def _log_density(self, state: CellState) -> float:
        enthalpy_eV = state.energy_eV + self.pressure_eV_per_A3 * state.volume_A3
        return -enthalpy_eV / self.kT_eV + _POWER_OF_VOLUME * math.log(state.volume_A3)

    def _proposal(self, state: CellState) -> tuple[FloatArray, FloatArray]:
        work = state.volume_A3 * (state.stress + self.pressure_eV_per_A3 * np.eye(3)) - state.kinetic
        gradient = np.einsum("ij,aij->a", _POWER_OF_VOLUME * np.eye(3) - work / self.kT_eV, self.modes)
        diffusion = self.diffusion_A3 / state.volume_A3
        return diffusion * (gradient - np.einsum("aii->a", self.modes)), 2.0 * diffusion

    def _log_proposal(self, state: CellState, amplitudes: FloatArray) -> float:
        mean, variance = self._proposal(state)
        return float(-0.5 * ((amplitudes - mean) ** 2 / variance + np.log(variance)).sum())


def strain_sampler(
    settings: BarostatSettings, *, temperature_K: float, pressure_GPa: float, timestep_fs: float
) -> StrainSampler:
    """Return the sampler of ``settings``: one mode (dilation) where isotropic, six where flexible."""
    if settings.cell == "isotropic":
        modes, weights = np.eye(3)[np.newaxis] / 3.0, np.ones(1)
    else:
        modes, weights = _symmetric_modes()
    kT_eV = units.kB * temperature_K
    compressibility_A3_per_eV = settings.compressibility_per_GPa / units.GPa
    elapsed = settings.every * timestep_fs / settings.time_fs
    return StrainSampler(
        modes=modes,
        diffusion_A3=weights * kT_eV * compressibility_A3_per_eV * elapsed,
        kT_eV=kT_eV,
        pressure_eV_per_A3=pressure_GPa * units.GPa,
    )


def _symmetric_modes() -> tuple[FloatArray, FloatArray]:
    """Return the six symmetric strains and their weights, which add up to the isotropic noise of ln V."""
    modes, weights = [], []
    for i in range(3):
        for j in range(i, 3):
            mode = np.zeros((3, 3))
            mode[i, j] = mode[j, i] = 1.0
            modes.append(mode)
            weights.append(1.0 / 3.0 if i == j else 1.0 / 6.0)
    return np.array(modes), np.array(weights)


def deformation(strain: FloatArray) -> FloatArray:
    """Return exp(ε) of a symmetric strain, to be multiplied from the right to rows of positions. [3, 3]"""
    stretches, axes = np.linalg.eigh(strain)
    return np.asarray((axes * np.exp(stretches)) @ axes.T)
