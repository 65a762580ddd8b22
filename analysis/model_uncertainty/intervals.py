"""Model intervals: how far numbers that a model gave may be from those of the reference, by the model's posterior.

The posterior (`ionloop.fitting.posterior`) gives every structure a vector; inner products of vectors are the
covariances of the errors of the total energies. A number that is a linear combination of energies at fixed structures,
q = Σ c_i E_i, has the vector Σ c_i v_i, whose length is its standard deviation: exact, without samples. What follows
from energies in another way (an equation of state) is computed for draws of the energies.

Structures are held fixed. Where they are stationary (ends and saddle of a path, relaxed defects) their own change with
the model is of second order in its error: the envelope theorem. What they would be in the reference is not asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.units import GPa
from numpy.typing import ArrayLike

from ...core.arrays import FloatArray
from ...core.errors import InputError
from ...fitting.posterior.base import INTERVAL_LEVEL, ModelPosterior
from ..barriers.bands import Profile
from ..energy_volume.curves import BirchMurnaghanFit
from ..energy_volume.settings import PARAMETERS

DRAWS = 400
SEED = 20240
"""Of the draws of energies: the same for every curve, so that draws of two curves of one model belong together."""


def half_widths(posterior: ModelPosterior, vectors: FloatArray) -> FloatArray:
    """Return the half-widths of the 95 % model intervals of quantities with these vectors, [..., k] -> [...]."""
    return np.asarray(posterior.factor() * np.linalg.norm(vectors, axis=-1))


@dataclass(frozen=True, eq=False)
class PathVectors:
    """Vectors of the energies along a path.

    Those of two paths of one model may be subtracted: the difference of two barriers has the vector of the difference.

    Attributes
    ----------
    images
        Of the images (eV), [n_images, k].
    maximum
        Of the structure at the maximum (eV), [k].
    """

    images: FloatArray
    maximum: FloatArray

    @property
    def relative(self) -> FloatArray:
        """Of the energies relative to the first image, [n_images, k]."""
        return np.asarray(self.images - self.images[0])

    @property
    def forward(self) -> FloatArray:
        """Of the barrier from the first image, [k]."""
        return np.asarray(self.maximum - self.images[0])

    @property
    def reverse(self) -> FloatArray:
        """Of the barrier from the last image, [k]."""
        return np.asarray(self.maximum - self.images[-1])


def path_vectors(posterior: ModelPosterior, atoms: Atoms, positions: FloatArray, found: Profile) -> PathVectors:
    """Return the vectors of the energies along a path that `profile` fitted.

    The fitted curve is linear in energies and slopes, and at its maximum a change of the place costs nothing, to first
    order: the maximum's error is that of the energy at the structure there, between the images where it lies between
    them. That the path is not the one that the reference would take is left out, as is the change of the path with
    the model: of second order, for a path of minimum energy.

    Parameters
    ----------
    atoms
        Elements and cell of the images.
    positions
        Å, continuous from image to image, [n_images, n_atoms, 3].
    """

    from scipy.interpolate import CubicSpline

    between = CubicSpline(found.coordinate_A, positions.reshape(len(positions), -1))
    top = between(found.maximum_A).reshape(-1, 3)
    vectors = posterior.energy_vectors([_placed(atoms, one) for one in (*positions, top)])
    return PathVectors(vectors[:-1], vectors[-1])


def _placed(atoms: Atoms, positions: FloatArray) -> Atoms:
    return Atoms(numbers=atoms.numbers, positions=positions, cell=atoms.cell, pbc=atoms.pbc)


def slope_weights(fields: ArrayLike) -> FloatArray:
    """Return the weights of energies at these fields in the slope at zero field, [n_fields], 1/(V/Å).

    The derivative at zero of the polynomial through zero and the nearest field on each side where there is one; other
    fields have no weight.

    Raises
    ------
    InputError
        If zero is not among the fields, or alone.
    """
    values = np.asarray(fields, dtype=np.float64)
    at_zero = np.flatnonzero(values == 0)
    sides = [np.flatnonzero(side) for side in (values < 0, values > 0)]
    nearest = [int(side[np.argmin(np.abs(values[side]))]) for side in sides if len(side)]
    if not len(at_zero) or not nearest:
        raise InputError("a slope at zero field needs zero and a field beside it")
    chosen = [int(at_zero[0]), *nearest]
    powers = values[chosen][None, :] ** np.arange(len(chosen))[:, None]
    weights = np.zeros(len(values))
    weights[chosen] = np.linalg.solve(powers, np.eye(len(chosen))[1])
    return weights


@dataclass(frozen=True)
class CurveIntervals:
    """Half-widths of the 95 % model intervals of an equation of state, per atom.

    Attributes
    ----------
    energy_eV_per_atom
        Of the energy at the minimum itself, whatever it shares with other structures.
    without_curve
        Share of the draws that have no equation of state; they count as outside.
    """

    energy_eV_per_atom: float
    volume_A3_per_atom: float
    bulk_modulus_GPa: float
    bulk_modulus_derivative: float
    without_curve: float


def curve_draws(
    volumes_A3_per_atom: ArrayLike,
    energies_eV_per_atom: ArrayLike,
    vectors_eV_per_atom: FloatArray,
    *,
    count: int = DRAWS,
    seed: int = SEED,
) -> FloatArray:
    """Return energy, volume, bulk modulus (GPa) and its derivative of draws of the energies, [count, 4].

    Rows without an equation of state, those without a minimum, are infinite. Draws of two curves of one model with the
    same seed belong together: their differences, say of the energies at two minima, are draws of the differences.

    Parameters
    ----------
    vectors_eV_per_atom
        Of the energies, each divided by its number of atoms, [n_points, k].
    """
    energies = np.asarray(energies_eV_per_atom, dtype=np.float64)
    normal = np.random.default_rng(seed).standard_normal((count, vectors_eV_per_atom.shape[1]))
    return birch_parameters(volumes_A3_per_atom, energies + normal @ vectors_eV_per_atom.T)


def birch_parameters(volumes_A3_per_atom: ArrayLike, energies_eV_per_atom: ArrayLike) -> FloatArray:
    """Return energy, volume, bulk modulus (GPa) and its derivative of many curves at the same volumes, [n_curves, 4].

    Birch's energy of third order is a polynomial of third degree in V^(-2/3): the least squares of
    `ionloop.analysis.energy_volume.curves.fit_birch_murnaghan`, without its search. Rows of energies without a minimum
    are infinite.

    Parameters
    ----------
    energies_eV_per_atom
        [n_curves, n_points].
    """
    # With y = V^(-2/3), at the minimum: B = 4/9 y^(7/2) E2 and B' = 4 + 2/3 y E3/E2, E2 and E3 derivatives by y.
    places = np.asarray(volumes_A3_per_atom, dtype=np.float64) ** (-2 / 3)
    middle, scale = places.mean(), np.ptp(places) / 2
    energies = np.asarray(energies_eV_per_atom, dtype=np.float64)
    # Total energies of all electrons are millions of times the depth of the curve.
    zero = energies.mean(axis=1)
    powers = np.vander((places - middle) / scale, PARAMETERS, increasing=True)
    _, first, second, third = coefficients = np.linalg.lstsq(powers, (energies - zero[:, None]).T, rcond=None)[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        curvature = np.sqrt(4 * second**2 - 12 * first * third)
        lowest = -2 * first / (2 * second + curvature)
        place = middle + scale * lowest
        modulus = 4 / 9 * place**3.5 * curvature / scale**2 / GPa
        derivative = 4 + 4 * place * third / scale / curvature
        depth = zero + np.sum(coefficients * lowest ** np.arange(PARAMETERS)[:, None], axis=0)
        found = np.array([depth, place**-1.5, modulus, derivative]).T
    return np.where(np.isfinite(found).all(axis=1, keepdims=True), found, np.inf)


def curve_intervals(
    posterior: ModelPosterior,
    fit: BirchMurnaghanFit,
    volumes_A3_per_atom: ArrayLike,
    energies_eV_per_atom: ArrayLike,
    vectors_eV_per_atom: FloatArray,
) -> CurveIntervals:
    """Return the model intervals of the equation of state ``fit`` through the points.

    The half-width holds 95 % of the draws, those without an equation of state outside, times Student's t over that of
    the normal distribution: quantiles, since the parameters are not linear in the energies. It is infinite where more
    than 5 % have none.
    """

    from scipy.special import ndtri

    found = (fit.energy_eV_per_atom, fit.volume_A3_per_atom, fit.bulk_modulus_GPa, fit.bulk_modulus_derivative)
    away = np.abs(curve_draws(volumes_A3_per_atom, energies_eV_per_atom, vectors_eV_per_atom) - np.array(found))
    quantiles = np.quantile(away, INTERVAL_LEVEL, axis=0, method="higher")
    factor = posterior.factor() / float(ndtri(0.5 + INTERVAL_LEVEL / 2))
    energy, volume, modulus, derivative = (factor * quantiles).tolist()
    return CurveIntervals(energy, volume, modulus, derivative, float(np.mean(~np.isfinite(away[:, 0]))))
