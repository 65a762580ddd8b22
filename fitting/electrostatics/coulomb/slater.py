"""Coulomb interaction of two spherical Slater charge clouds, and what it adds to that of point charges.

Every ion carries the charge density of a normalised Slater s function, ρ(r) = (ζ³/π) exp(-2ζr). The
interaction energy of two unit clouds is J(R); the *correction* J(R) - 1/R decays exponentially and is
summed in real space on top of an Ewald sum of point charges.

For unequal exponents a, b, with s = a+b and d = a-b (Rappé, Goddard, J. Phys. Chem. 1991, 95, 3358,
10.1021/j100161a070; the two-centre integral in closed form as in Streitz, Mintmire, Phys. Rev. B 1994, 50,
11996, 10.1103/PhysRevB.50.11996)::

    J = 1/R - exp(-2aR) (A1 + B1/R) - exp(-2bR) (A2 + B2/R)
    A1 = a b⁴/(s²d²)        B1 =  (3a²b⁴ - b⁶)/(s³d³)
    A2 = b a⁴/(s²d²)        B2 = -(3b²a⁴ - a⁶)/(s³d³)

A point charge is the limit b -> ∞, where A1 = a, B1 = 1, A2 = B2 = 0. Where a and b nearly agree the closed
form loses digits as (s/d)³; there J is expanded in h = d/2 about the mean exponent m. All odd orders vanish::

    J = 1/R - exp(-2mR) [1/R + 11m/8 + 3m²R/4 + m³R²/6
                         + h² (3/(4m) + 3R/2 + 5mR²/4 + m²R³/2 + m³R⁴/15)
                         + h⁴ (-1/(8m³) - R/(4m²) + R³/3 + 19mR⁴/60 + m²R⁵/10 + m³R⁶/105)] + O(h⁶)

All of them are one form, correction = -exp(-2uR) p(R) - exp(-2vR) q(R), with polynomials p and q that start
at 1/R: it is what `SlaterPairTable` tabulates per pair of species and evaluates without branches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ....core.arrays import FloatArray, IntArray
from ....core.errors import InputError

# At |d| = NEARLY_EQUAL * s the neglected h⁶ and the closed form's rounding are both near 1e-11.
NEARLY_EQUAL = 0.01
# Below 2ζR = SERIES_LIMIT (ζ the larger finite exponent) J is summed as a power series, free of 1/R - 1/R.
SERIES_LIMIT = 0.5
_SERIES_TERMS = 16
_FIRST_TERMS = 8  # powers R^-1 ... R^6
_SECOND_TERMS = 2  # powers R^-1, R^0


@dataclass(frozen=True)
class _PairForm:
    """Correction of one pair: -exp(-2 u R) Σ p_k R^(k-1) - exp(-2 v R) Σ q_k R^(k-1)."""

    first_decay: float
    second_decay: float
    first: tuple[float, ...]
    second: tuple[float, ...]
    series_radius: float  # Å, 0 for two point charges


def _pair_form(first_exponent: float, second_exponent: float) -> _PairForm:
    """Coefficients for exponents in 1/Å; ``math.inf`` stands for a point charge."""
    a, b = sorted((first_exponent, second_exponent))
    if math.isinf(a):
        return _PairForm(0.0, 0.0, (0.0,), (0.0,), 0.0)
    if math.isinf(b):
        return _PairForm(a, a, (1.0, a), (0.0,), SERIES_LIMIT / (2 * a))
    total, difference = a + b, a - b
    radius = SERIES_LIMIT / (2 * b)
    if abs(difference) >= NEARLY_EQUAL * total:
        square, cube = (total * difference) ** 2, (total * difference) ** 3
        first: tuple[float, ...] = ((3 * a**2 * b**4 - b**6) / cube, a * b**4 / square)
        second = (-(3 * b**2 * a**4 - a**6) / cube, b * a**4 / square)
        return _PairForm(a, b, first, second, radius)
    m, h2 = total / 2, (difference / 2) ** 2
    order_0 = np.array([1.0, 11 * m / 8, 3 * m**2 / 4, m**3 / 6, 0, 0, 0, 0])
    order_2 = np.array([0, 3 / (4 * m), 3 / 2, 5 * m / 4, m**2 / 2, m**3 / 15, 0, 0])
    order_4 = np.array([0, -1 / (8 * m**3), -1 / (4 * m**2), 0, 1 / 3, 19 * m / 60, m**2 / 10, m**3 / 105])
    first = tuple(float(c) for c in order_0 + h2 * order_2 + h2**2 * order_4)
    return _PairForm(m, m, first, (0.0,), radius)


def _taylor_coefficients(form: _PairForm) -> FloatArray:
    """Coefficients of R^0, R^1, ... of J, from those of the pair's closed form. Shape [_SERIES_TERMS]."""
    coefficients = np.zeros(_SERIES_TERMS)
    for decay, polynomial in ((form.first_decay, form.first), (form.second_decay, form.second)):
        for k, c in enumerate(polynomial):
            for n in range(max(k - 1, 0), _SERIES_TERMS):
                order = n - (k - 1)
                coefficients[n] -= c * (-2 * decay) ** order / math.factorial(order)
    # J is flat at the origin (J' -> 0): what is left here is rounding.
    coefficients[1] = 0.0
    return coefficients


class SlaterPairTable:
    """Correction J(R) - 1/R and its derivative for every pair of a few kinds of ion.

    Parameters
    ----------
    exponents
        Slater exponent of each kind, 1/Å, ``math.inf`` for a point charge. Shape [n_kinds].
    """

    def __init__(self, exponents: ArrayLike) -> None:
        values = np.asarray(exponents, dtype=float)
        self.n_kinds = len(values)
        self._exponents = values
        forms = [_pair_form(float(a), float(b)) for a in values for b in values]
        n_first = max((len(np.trim_zeros(f.first, "b")) for f in forms), default=0)
        self._decays = np.array([(f.first_decay, f.second_decay) for f in forms])
        self._first = np.zeros((len(forms), _FIRST_TERMS))
        self._second = np.zeros((len(forms), _SECOND_TERMS))
        for row, form in enumerate(forms):
            self._first[row, : len(form.first)] = form.first
            self._second[row, : len(form.second)] = form.second
        self._first = self._first[:, : max(n_first, 2)]
        self._series = np.array([_taylor_coefficients(f) for f in forms])
        self._series_radii = np.array([f.series_radius for f in forms])

    @property
    def largest_decay(self) -> float:
        """Largest finite Slater exponent, 1/Å; 0 where all are point charges."""
        return float(self._decays.max(initial=0.0))

    @property
    def rate(self) -> float:
        """How fast the fastest correction decays (1/Å)."""
        return 2 * self.largest_decay

    @property
    def self_interaction(self) -> FloatArray:
        """J of each kind's cloud with itself at R = 0, 5ζ/8 (1/Å); infinite for a point charge. Shape [n_kinds]."""
        return 0.625 * self._exponents

    def pair_index(self, first_kinds: IntArray, second_kinds: IntArray) -> IntArray:
        """Row of the table for each pair of kinds. Shapes [n_pairs]."""
        return first_kinds * self.n_kinds + second_kinds

    def coulomb_series(self, pair_index: IntArray, distances: FloatArray) -> tuple[FloatArray, FloatArray]:
        """J and J' (1/Å, 1/Å²) from the power series, for distances within the series' radius, 0 included."""
        coefficients = self._series[pair_index]
        value = np.zeros_like(distances)
        slope = np.zeros_like(distances)
        for column in coefficients.T[::-1]:
            slope = slope * distances + value
            value = value * distances + column
        return value, slope

    def correction(self, pair_index: IntArray, distances: FloatArray) -> tuple[FloatArray, FloatArray]:
        """J - 1/R and J' + 1/R².

        Parameters
        ----------
        pair_index
            Rows from `pair_index`. Shape [n_pairs].
        distances
            R > 0 in Å. Shape [n_pairs].

        Returns
        -------
        The correction in 1/Å and its derivative in 1/Å². Shapes [n_pairs].
        """
        inverse = 1.0 / distances
        value = np.zeros_like(distances)
        slope = np.zeros_like(distances)
        for decays, table in ((self._decays[:, 0], self._first), (self._decays[:, 1], self._second)):
            decay = decays[pair_index]
            coefficients = table[pair_index].T
            polynomial = np.zeros_like(distances)
            polynomial_slope = np.zeros_like(distances)
            for column in coefficients[:0:-1]:
                polynomial_slope = polynomial_slope * distances + polynomial
                polynomial = polynomial * distances + column
            pole = coefficients[0] * inverse
            polynomial += pole
            polynomial_slope -= pole * inverse
            damping = np.exp(-2 * decay * distances)
            value -= damping * polynomial
            slope -= damping * (polynomial_slope - 2 * decay * polynomial)
        close = np.flatnonzero(distances < self._series_radii[pair_index])
        if len(close):
            near_value, near_slope = self.coulomb_series(pair_index[close], distances[close])
            value[close] = near_value - inverse[close]
            slope[close] = near_slope + inverse[close] ** 2
        return value, slope

    def cutoffs(self, strengths: FloatArray, threshold: float) -> FloatArray:
        """Distance beyond which the derivative of the scaled correction stays below a threshold.

        Parameters
        ----------
        strengths
            Factor in front of each pair's correction. Shape [n_kinds, n_kinds].
        threshold
            In the unit of ``strengths`` times 1/Å².

        Returns
        -------
        Cutoffs in Å, 0 where the correction is nowhere above it. Shape [n_kinds, n_kinds].
        """
        cutoffs = np.zeros(self.n_kinds**2)
        for row, strength in enumerate(np.abs(strengths).ravel()):
            slowest = min((d for d in self._decays[row] if d > 0), default=0.0)
            if slowest == 0.0 or strength == 0.0:
                continue
            # The correction falls as exp(-2ζR) times a low power: 60/ζ is beyond any double-precision target.
            grid = np.linspace(0.02, 60.0, 6000) / slowest
            _, slope = self.correction(np.full(len(grid), row), grid)
            above = np.flatnonzero(strength * np.abs(slope) > threshold)
            if len(above):
                cutoffs[row] = grid[min(above[-1] + 1, len(grid) - 1)]
        return cutoffs.reshape(self.n_kinds, self.n_kinds)


def slater_coulomb(first_exponent: float, second_exponent: float, distance: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Coulomb interaction J(R) of two unit Slater s charge clouds, and its derivative.

    Parameters
    ----------
    first_exponent
        ζ in 1/Å, > 0; ``math.inf`` for a point charge.
    second_exponent
        As ``first_exponent``.
    distance
        R in Å, ≥ 0, any shape.

    Returns
    -------
    J in 1/Å and J' in 1/Å², in the shape of ``distance``. Multiply by k_e q_i q_j for an energy.

    Raises
    ------
    InputError
        For an exponent that is not positive, a negative distance, or two point charges at R = 0.
    """
    for exponent in (first_exponent, second_exponent):
        check_exponent(exponent)
    distances = np.asarray(distance, dtype=float)
    flat = np.atleast_1d(distances).ravel()
    if not np.all(np.isfinite(flat)) or np.any(flat < 0):
        raise InputError("A distance between two charges must be a finite number of Å, at least 0.")
    if math.isinf(first_exponent) and math.isinf(second_exponent) and np.any(flat == 0):
        raise InputError("The interaction of two point charges at distance 0 is infinite.")
    table = SlaterPairTable([first_exponent, second_exponent])
    rows = np.full(len(flat), 1)
    at_origin = flat == 0
    safe = np.where(at_origin, 1.0, flat)
    value, slope = table.correction(rows, safe)
    value += 1 / safe
    slope -= 1 / safe**2
    close = flat < table._series_radii[1]
    value[close], slope[close] = table.coulomb_series(rows[close], flat[close])
    return value.reshape(distances.shape), slope.reshape(distances.shape)


def check_exponent(exponent: float, species: str = "") -> None:
    """Raise InputError unless the exponent (1/Å) is a positive number; infinity is a point charge."""
    if not exponent > 0:
        of_species = f" of {species}" if species else ""
        raise InputError(
            f"The Slater exponent{of_species} is {exponent}: it must be a positive number (1/Å); "
            "leave a species out to make it a point charge."
        )
