"""Smooth particle-mesh Ewald: the reciprocal half of the Ewald sum of point charges in N log N.

Charges are spread on a mesh with cardinal B-splines, the potential follows from two fast Fourier transforms,
and forces are the analytic gradient of the mesh's energy (Essmann et al., J. Chem. Phys. 1995, 103, 8577,
10.1063/1.470117, eqs 4.1 to 4.9)::

    E/k_e = (2π/V) Σ_{G≠0} exp(-G²/4α²)/G² |B(G)|² |F[Q](G)|²

An ion also feels its own charge through the mesh. What it should feel is known, so the mean of this
self-interaction and its first harmonic along each axis, Σ q² cos(2πu), are taken out of energy, forces and
stress alike: what Ballenegger, Cerdà and Holm (J. Chem. Theory Comput. 2012, 8, 936, 10.1021/ct2001792) do
for forces. What remains conserves energy, as forces and stress are derivatives of one energy.

The error of a pair's force, averaged over the positions of both ions relative to the mesh, is a sum over
waves and their aliases (Hockney, Eastwood, Computer Simulation Using Particles, 1988; for analytic gradients
Wang, Dommert, Holm, J. Chem. Phys. 2010, 133, 034117, 10.1063/1.3446812)::

    χ² = (1/V²) Σ_k Σ_{m,n} |g(k) U(k_m) U(k_n) k_m - δ_mn R(k_m) k_m|²

with U the transform of the spline, g the influence function and R(k) = 4π exp(-k²/4α²)/k². To leading order
it is a sum over the three axes of a function of order and α times spacing alone, tabulated here once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft

from ....core.arrays import FloatArray, IntArray
from .ewald import COULOMB_CONSTANT_EV_A, ChargedCell, Contribution, Costs, Splitting, candidate_alphas, real_cutoffs

# Even orders only: the transform of an odd spline vanishes at the edge of the zone, by which it is divided.
_ORDERS = (4, 6, 8, 10, 12)
_ALIASES = 4
# α times spacing: from far finer than double precision can use to coarser than any target allows.
_SPACINGS = np.geomspace(0.05, 2.5, 60)
_QUADRATURE_POINTS = 48
# Measured seconds per atom and mesh point that a spline touches (both ways), and per mesh point and log2 of
# their number (both transforms and the influence function): they only steer the choice.
_SECONDS_PER_TOUCH = 1.8e-9
_SECONDS_PER_POINT = 1.8e-9
_MOST_POINTS = 2.0e8


@dataclass(frozen=True)
class MeshSplitting:
    """Splitting of the Ewald sum for a mesh: its shape along the lattice vectors and the splines' order."""

    splitting: Splitting
    shape: tuple[int, int, int]
    order: int


def choose_mesh(
    charged: ChargedCell, cell: FloatArray, accuracy: float, alpha: float | None, costs: Costs
) -> MeshSplitting | None:
    """The cheapest mesh whose force error, as estimated, stays at ``accuracy``; None where no mesh reaches it.

    Parameters
    ----------
    charged
        The cell and its ions.
    cell
        Rows are lattice vectors, Å. Shape [3, 3].
    accuracy
        root-mean-square error of a force from each of the two sums, eV/Å.
    alpha
        Use this α (1/Å) instead of the cheapest.
    costs
        Of the real-space loop.
    """
    alphas = candidate_alphas(alpha)
    near = real_cutoffs(charged, alphas, accuracy)
    pair_costs = costs.pair * charged.n_pairs(near)
    lengths = np.linalg.norm(cell, axis=1)
    best: tuple[float, MeshSplitting] | None = None
    for order in _ORDERS:
        spacings = _largest_spacings(charged, alphas, order, accuracy)
        # Every axis takes at least as many points as a spline touches.
        points = np.maximum(lengths / np.maximum(spacings, 1e-9)[:, None], order)
        n_points = np.prod(points, axis=1)
        mesh_costs = charged.n_atoms * order**3 * _SECONDS_PER_TOUCH
        mesh_costs = mesh_costs + _SECONDS_PER_POINT * n_points * np.log2(n_points)
        total = np.where((spacings > 0) & (n_points < _MOST_POINTS), pair_costs + mesh_costs, np.inf)
        index = int(np.argmin(total))
        if math.isfinite(total[index]) and (best is None or total[index] < best[0]):
            shape = tuple(scipy.fft.next_fast_len(math.ceil(n), real=True) for n in points[index])
            edge = math.pi / float(spacings[index])
            splitting = Splitting(float(alphas[index]), float(near[index]), edge)
            best = (float(total[index]), MeshSplitting(splitting, (shape[0], shape[1], shape[2]), order))
    return None if best is None else best[1]


def estimated_error(charged: ChargedCell, alpha: float, order: int, spacings: FloatArray) -> float:
    """Root-mean-square error (eV/Å) of a force from a mesh with these spacings (Å) along its axes. Shape [3]."""
    logs = np.log(np.clip(alpha * spacings, _SPACINGS[0], _SPACINGS[-1]))
    squares = np.exp(np.interp(logs, np.log(_SPACINGS), _log_squared_errors(order)))
    return math.sqrt(float(squares.sum())) * math.sqrt(alpha) * _pair_strength(charged)


def _pair_strength(charged: ChargedCell) -> float:
    """Force error of an ion per √α and unit of the tabulated error: k_e Σq² √(2/πNV), Å^½ eV/Å."""
    return COULOMB_CONSTANT_EV_A * charged.squared_charges * math.sqrt(2 / (math.pi * charged.n_atoms * charged.volume))


def _largest_spacings(charged: ChargedCell, alphas: FloatArray, order: int, accuracy: float) -> FloatArray:
    """Spacing (Å) along every axis at which the estimated error is ``accuracy``; 0 where none is fine enough."""
    wanted = 2 * np.log(accuracy / (_pair_strength(charged) * np.sqrt(3 * alphas)))
    squares = _log_squared_errors(order)
    spacings = np.exp(np.interp(wanted, squares, np.log(_SPACINGS))) / alphas
    return np.where(wanted >= squares[0], spacings, 0.0)


@lru_cache(maxsize=len(_ORDERS))
def _log_squared_errors(order: int) -> FloatArray:
    """Logarithm of one axis' χ² πV/2α at the tabulated products of α and spacing. Shape [n_spacings]."""
    nodes, node_weights = np.polynomial.legendre.leggauss(_QUADRATURE_POINTS)
    # Across the axis, in units of α: the Gaussian exp(-x²/2) is gone at 9.
    across, across_weights = 4.5 * (nodes + 1), 4.5 * node_weights
    logs = np.empty(len(_SPACINGS))
    for index, spacing in enumerate(_SPACINGS):
        edge = math.pi / spacing
        along, along_weights = 0.5 * edge * (nodes + 1), 0.5 * edge * node_weights
        ratios, shifts = _alias_ratios(along / (2 * edge), order)
        total = 1 + ratios.sum(axis=0)
        own = ((1 / total**2 - 1) ** 2)[:, None] * np.ones(_QUADRATURE_POINTS)
        squares = along[:, None] ** 2 + across**2
        relative = own
        for ratio, shift in zip(ratios, shifts, strict=True):
            alias_squares = (along[:, None] + 2 * edge * shift) ** 2 + across**2
            relative = relative + ((ratio / total**2) ** 2)[:, None] * (1 + alias_squares / squares)
        integrand = np.exp(-squares / 2) / squares * relative * 2 * math.pi * across
        value = 2 * float(along_weights @ integrand @ across_weights)
        beyond = edge + 4.5 * (nodes + 1)
        squares = beyond[:, None] ** 2 + across**2
        integrand = np.exp(-squares / 2) / squares * 2 * math.pi * across
        value += 2 * float(4.5 * node_weights @ integrand @ across_weights)
        logs[index] = math.log(value)
    return np.maximum.accumulate(logs + 1e-9 * np.arange(len(logs)))


def _alias_ratios(waves: FloatArray, order: int) -> tuple[FloatArray, IntArray]:
    """U(k + m)/U(k) of aliases m = ±1, ... of waves k in units of the zone. Shapes [n_aliases, n], [n_aliases]."""
    shifts = np.array([m for m in range(-_ALIASES, _ALIASES + 1) if m])
    return (waves / (waves + shifts[:, None])) ** order, shifts


@dataclass(frozen=True)
class ParticleMesh:
    """Everything of the mesh sum that depends on the cell and the splitting alone.

    ``factors`` [3, 3, largest K] are, for the waves along each axis, |B|² and what gives the mean and the
    first harmonic of the self-interaction: 1, Σ U_m² and 2 Σ U_m U_(m+1), over (Σ U_m)², sums over aliases.
    """

    volume: float
    alpha: float
    inverse_cell: FloatArray
    shape: IntArray
    order: int
    factors: FloatArray

    @classmethod
    def build(cls, cell: FloatArray, mesh: MeshSplitting) -> ParticleMesh:
        """Factors for a cell (rows are lattice vectors, Å) [3, 3]."""
        factors = np.zeros((3, 3, max(mesh.shape)))
        for axis, size in enumerate(mesh.shape):
            factors[:, axis, :size] = _axis_factors(size, mesh.order)
        return cls(
            abs(float(np.linalg.det(cell))),
            mesh.splitting.alpha,
            np.ascontiguousarray(np.linalg.inv(cell), dtype=np.float64),
            np.array(mesh.shape, dtype=np.int64),
            mesh.order,
            factors,
        )

    def contribution(self, fractions: FloatArray, charges: FloatArray, workers: int = 1) -> Contribution:
        """Energy, forces and strain derivative of (2π/V) Σ exp(-G²/4α²) |S|²/G², on the mesh.

        Parameters
        ----------
        fractions
            Fractional coordinates in [0, 1), best sorted in space. Shape [3, n_atoms].
        charges
            e. Shape [n_atoms].
        workers
            Threads of the Fourier transforms; the result does not depend on them.
        """
        from . import kernels

        self_sums = np.zeros(3)
        padded = kernels.spread_charges(fractions, charges, self.shape, self.order, self_sums)
        last = int(self.shape[2])
        waves = scipy.fft.rfftn(padded[:, :, :last], workers=workers)
        sums = np.array([float(charges @ charges), *self_sums])
        energy, strain, amplitudes, own = kernels.apply_influence(
            waves,
            self.shape,
            2 * math.pi * self.inverse_cell,
            self.alpha,
            self.factors,
            sums,
        )
        padded[:, :, :last] = scipy.fft.irfftn(waves, s=tuple(self.shape), workers=workers, norm="forward")
        padded[:, :, last:] = padded[:, :, : self.order - 1]
        gradient, potentials = kernels.gather(fractions, charges, padded, self.shape, self.order, (amplitudes, own))
        scale = 2 * math.pi * COULOMB_CONSTANT_EV_A / self.volume
        forces = -2 * scale * (gradient.T @ self.inverse_cell.T)
        return Contribution(scale * energy, forces, scale * strain, 2 * scale * potentials)


def _axis_factors(size: int, order: int) -> FloatArray:
    """|B|² and the factors of the self-interaction for the waves of one axis. Shape [3, size]."""
    waves = np.fft.fftfreq(size)
    aliases = np.arange(-_ALIASES, _ALIASES + 1)
    # U(k) = sinc(k)^p, and aliases of an even order all have the same sign.
    transforms = np.sinc(waves + aliases[:, None]) ** order
    total = transforms.sum(axis=0) ** 2
    own = (transforms**2).sum(axis=0)
    harmonic = 2 * (transforms[1:] * transforms[:-1]).sum(axis=0)
    return np.stack([1 / total, own / total, harmonic / total])
