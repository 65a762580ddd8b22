"""Compiled loops of the SOAP expansion, its power spectrum, and the way back to pair gradients.

Array layouts: an expansion is c[atom, lm, channel] with lm = l² + l + m and channel = species · n_max + n; a power
spectrum is p[atom, l · n_products + product]. Solid harmonics R_lm = r^l Y_lm are real and orthonormal on the
sphere; their recursions need no trigonometry and are exact at the poles (Bigi, Fraux, Browning, Ceriotti, J. Chem.
Phys. 2023, 159, 064802, 10.1063/5.0156307).
"""
# mypy cannot see through numba's decorator, and the arguments of kernels are arrays throughout.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False

from __future__ import annotations

import math

import numpy as np

from ...core.arrays import FloatArray
from ..compiler import numba

# Contraction and reassociation vectorise sums; infinities and NaN keep their meaning. Loops that sum do not store:
# with a store the compiler asks at run time whether arrays overlap, and two versions of a loop, chosen by where the
# arrays happen to lie, would differ in the last bit.
_FAST = {"contract", "reassoc", "nsz"}


def harmonic_prefactors(l_max: int) -> FloatArray:
    """sqrt((2l+1)/(4π) (l-m)!/(l+m)!), times sqrt(2) for m > 0. Shape [(l_max + 1)²], at l² + l + m, m ≥ 0."""
    prefactors = np.zeros((l_max + 1) ** 2)
    for degree in range(l_max + 1):
        for m in range(degree + 1):
            ratio = math.factorial(degree - m) / math.factorial(degree + m)
            factor = math.sqrt((2 * degree + 1) / (4 * math.pi) * ratio) * (math.sqrt(2.0) if m else 1.0)
            prefactors[degree * degree + degree + m] = factor
            prefactors[degree * degree + degree - m] = factor
    return prefactors


@numba.njit(cache=True, nogil=True, fastmath=_FAST, inline="always")
def cutoff_function(r, cutoff, width):
    """1 below cutoff - width, falling as a cosine to 0 at the cutoff; and its derivative."""
    if r <= cutoff - width:
        return 1.0, 0.0
    if r >= cutoff:
        return 0.0, 0.0
    phase = math.pi * (r - cutoff + width) / width
    return 0.5 * (1.0 + math.cos(phase)), -0.5 * math.pi / width * math.sin(phase)


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _polynomials(x, y, z, l_max, q, cosines, sines):
    """Q_lm(z, r²) at l² + l + m, and the real and imaginary parts of (x + iy)^m."""
    r2 = x * x + y * y + z * z
    cosines[0] = 1.0
    sines[0] = 0.0
    for m in range(1, l_max + 1):
        cosines[m] = x * cosines[m - 1] - y * sines[m - 1]
        sines[m] = x * sines[m - 1] + y * cosines[m - 1]
    q[0] = 1.0
    for l in range(1, l_max + 1):  # noqa: E741
        row = l * l + l
        below = l * l - l
        q[row + l] = (2 * l - 1) * q[below + l - 1]
        q[row + l - 1] = (2 * l - 1) * z * q[below + l - 1]
        lowest = l * l - 3 * l + 2
        for m in range(l - 1):
            q[row + m] = ((2 * l - 1) * z * q[below + m] - (l + m - 1) * r2 * q[lowest + m]) / (l - m)


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def expand(
    atoms, starts, second, vectors, distances, channel_of_atom, cutoffs, pieces_per_A, table, prefactors,
    central, coefficients,
):  # fmt: skip
    """Fill the expansion coefficients of some atoms.

    ``channel_of_atom`` is the species channel of every atom of the structure, -1 for none; ``central`` is what
    each of the atoms adds to its own c[0, :] (Shape [n, n_channels]).
    """
    cutoff, width = cutoffs
    n_pieces, _, n_functions = table.shape
    n_lm = len(prefactors)
    l_max = round(math.sqrt(n_lm)) - 1
    n_max = n_functions // (l_max + 1)
    q = np.zeros(n_lm)
    cosines = np.zeros(l_max + 1)
    sines = np.zeros(l_max + 1)
    radial = np.empty(n_functions)
    for a in range(len(atoms)):
        i = atoms[a]
        for lm in range(n_lm):
            for k in range(coefficients.shape[2]):
                coefficients[a, lm, k] = 0.0
        for k in range(coefficients.shape[2]):
            coefficients[a, 0, k] = central[a, k]
        for p in range(starts[i], starts[i + 1]):
            r = distances[p]
            channel = channel_of_atom[second[p]]
            if r >= cutoff or channel < 0:
                continue
            f, _ = cutoff_function(r, cutoff, width)
            place = r * pieces_per_A
            piece = min(int(place), n_pieces - 1)
            t = place - piece
            row = table[piece]
            for k in range(n_functions):
                radial[k] = f * (
                    row[0, k] + t * (row[1, k] + t * (row[2, k] + t * (row[3, k] + t * (row[4, k] + t * row[5, k]))))
                )
            _polynomials(vectors[p, 0], vectors[p, 1], vectors[p, 2], l_max, q, cosines, sines)
            first = channel * n_max
            for l in range(l_max + 1):  # noqa: E741
                middle = l * l + l
                for m in range(l + 1):
                    base = prefactors[middle + m] * q[middle + m]
                    value = base * cosines[m]
                    for n in range(n_max):
                        coefficients[a, middle + m, first + n] += value * radial[l * n_max + n]
                    if m:
                        value = base * sines[m]
                        for n in range(n_max):
                            coefficients[a, middle - m, first + n] += value * radial[l * n_max + n]


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _normalised(row):
    """Divide a row by its norm and return that; a row of zeros stays, with norm 1."""
    square = 0.0
    for k in range(len(row)):
        square += row[k] * row[k]
    if square == 0.0:
        return 1.0
    norm = math.sqrt(square)
    inverse = 1.0 / norm
    for k in range(len(row)):
        row[k] *= inverse
    return norm


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def power_spectrum(left_channels, right_channels, left, right, lengths, factors, normalise, spectrum, norms):
    """Products of channels summed over m, times their factors, each atom's divided by its norm."""
    n_atoms, n_lm, n_right = right_channels.shape
    l_max = round(math.sqrt(n_lm)) - 1
    n_products = spectrum.shape[1] // (l_max + 1)
    sums = np.empty(n_right)
    for a in range(n_atoms):
        for l in range(l_max + 1):  # noqa: E741
            place = l * n_products
            for run in range(len(left)):
                channel = left[run]
                start = right[run]
                length = lengths[run]
                sums[:length] = 0.0
                for lm in range(l * l, (l + 1) * (l + 1)):
                    value = left_channels[a, lm, channel]
                    for b in range(length):
                        sums[b] += value * right_channels[a, lm, start + b]
                for b in range(length):
                    spectrum[a, place + b] = factors[place + b] * sums[b]
                place += length
        norms[a] = _normalised(spectrum[a]) if normalise else 1.0


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def power_spectrum_adjoint(
    spectrum, norms, slopes, normalise, left_channels, right_channels, left, right, lengths, factors,
    left_adjoint, right_adjoint,
):  # fmt: skip
    """From dE/d(normalised spectrum) to dE/dY1 and dE/dY2, which are added up in one array where they are one."""
    n_atoms, n_lm, n_left = left_channels.shape
    l_max = round(math.sqrt(n_lm)) - 1
    n_right = right_channels.shape[2]
    n_products = spectrum.shape[1] // (l_max + 1)
    matrix = np.zeros((n_left, n_right))
    for a in range(n_atoms):
        along = 0.0
        if normalise:
            for k in range(spectrum.shape[1]):
                along += slopes[a, k] * spectrum[a, k]
        inverse = 1.0 / norms[a]
        for l in range(l_max + 1):  # noqa: E741
            place = l * n_products
            for run in range(len(left)):
                for b in range(lengths[run]):
                    matrix[left[run], right[run] + b] = (
                        factors[place + b] * (slopes[a, place + b] - along * spectrum[a, place + b]) * inverse
                    )
                place += lengths[run]
            for lm in range(l * l, (l + 1) * (l + 1)):
                for channel in range(n_left):
                    total = 0.0
                    for b in range(n_right):
                        total += matrix[channel, b] * right_channels[a, lm, b]
                    left_adjoint[a, lm, channel] = total
                right_adjoint[a, lm] = 0.0
                for channel in range(n_left):
                    value = left_channels[a, lm, channel]
                    for b in range(n_right):
                        right_adjoint[a, lm, b] += value * matrix[channel, b]


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def symmetric_power_spectrum(channels, factors, normalise, spectrum, norms):
    """`power_spectrum` for the full spectrum, all products of channels A ≥ B."""
    n_atoms, n_lm, n_channels = channels.shape
    l_max = round(math.sqrt(n_lm)) - 1
    matrix = np.empty((n_channels, n_channels))
    for a in range(n_atoms):
        place = 0
        for l in range(l_max + 1):  # noqa: E741
            first = l * l
            for left in range(n_channels):
                value = channels[a, first, left]
                for b in range(n_channels):
                    matrix[left, b] = value * channels[a, first, b]
            # Rows of full length and two m at a time: loops that the compiler turns into vector instructions.
            for lm in range(first + 1, first + 2 * l + 1, 2):
                for left in range(n_channels):
                    value, other = channels[a, lm, left], channels[a, lm + 1, left]
                    for b in range(n_channels):
                        matrix[left, b] += value * channels[a, lm, b] + other * channels[a, lm + 1, b]
            for left in range(n_channels):
                for b in range(left + 1):
                    spectrum[a, place + b] = factors[place + b] * matrix[left, b]
                place += left + 1
        norms[a] = _normalised(spectrum[a]) if normalise else 1.0


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def symmetric_spectrum_adjoint(spectrum, norms, slopes, normalise, channels, factors, adjoint):
    """`power_spectrum_adjoint` for the full spectrum, all products of channels A ≥ B."""
    n_atoms, n_lm, n_channels = channels.shape
    l_max = round(math.sqrt(n_lm)) - 1
    n_fours = n_channels - n_channels % 4
    matrix = np.empty((n_channels, n_channels))
    scaled = np.empty(spectrum.shape[1])
    for a in range(n_atoms):
        along = 0.0
        if normalise:
            for k in range(len(scaled)):
                along += slopes[a, k] * spectrum[a, k]
        inverse = 1.0 / norms[a]
        for k in range(len(scaled)):
            scaled[k] = factors[k] * (slopes[a, k] - along * spectrum[a, k]) * inverse
        place = 0
        for l in range(l_max + 1):  # noqa: E741
            for left in range(n_channels):
                for b in range(left):
                    component = scaled[place + b]
                    matrix[left, b] = component
                    matrix[b, left] = component
                matrix[left, left] = 2.0 * scaled[place + left]
                place += left + 1
            for lm in range(l * l, (l + 1) * (l + 1)):
                row = adjoint[a, lm]
                own = channels[a, lm]
                for b in range(n_channels):
                    row[b] = 0.0
                # Four rows at a time spare three of four loads and stores of the sums.
                for q in range(0, n_fours, 4):
                    v0, v1, v2, v3 = own[q], own[q + 1], own[q + 2], own[q + 3]
                    for b in range(n_channels):
                        row[b] += (
                            v0 * matrix[q, b] + v1 * matrix[q + 1, b] + v2 * matrix[q + 2, b] + v3 * matrix[q + 3, b]
                        )
                for q in range(n_fours, n_channels):
                    for b in range(n_channels):
                        row[b] += own[q] * matrix[q, b]


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def pair_gradients(
    atoms, starts, second, vectors, distances, channel_of_atom, cutoffs, pieces_per_A, table, prefactors, adjoint,
    gradients,
):  # fmt: skip
    """Add dE_i/dr_ij of some atoms i to the gradients of their pairs [n_pairs, 3], eV/Å."""
    cutoff, width = cutoffs
    n_pieces, _, n_functions = table.shape
    n_lm = len(prefactors)
    l_max = round(math.sqrt(n_lm)) - 1
    n_max = n_functions // (l_max + 1)
    q = np.zeros(n_lm)
    cosines = np.zeros(l_max + 2)
    sines = np.zeros(l_max + 2)
    radial = np.empty(n_functions)
    slope = np.empty(n_functions)
    for a in range(len(atoms)):
        i = atoms[a]
        for p in range(starts[i], starts[i + 1]):
            r = distances[p]
            channel = channel_of_atom[second[p]]
            if r >= cutoff or channel < 0:
                continue
            f, df = cutoff_function(r, cutoff, width)
            place = r * pieces_per_A
            piece = min(int(place), n_pieces - 1)
            t = place - piece
            row = table[piece]
            steep = f * pieces_per_A
            for k in range(n_functions):
                h = row[0, k] + t * (row[1, k] + t * (row[2, k] + t * (row[3, k] + t * (row[4, k] + t * row[5, k]))))
                dh = row[1, k] + t * (
                    2.0 * row[2, k] + t * (3.0 * row[3, k] + t * (4.0 * row[4, k] + t * 5.0 * row[5, k]))
                )
                radial[k] = f * h
                slope[k] = df * h + steep * dh
            x, y, z = vectors[p, 0], vectors[p, 1], vectors[p, 2]
            _polynomials(x, y, z, l_max, q, cosines, sines)
            first = channel * n_max
            along, gx, gy, gz = 0.0, 0.0, 0.0, 0.0
            for l in range(l_max + 1):  # noqa: E741
                middle = l * l + l
                below = l * l - l
                for m in range(l + 1):
                    even, even_slope, odd, odd_slope = 0.0, 0.0, 0.0, 0.0
                    for n in range(n_max):
                        weight = adjoint[a, middle + m, first + n]
                        even += weight * radial[l * n_max + n]
                        even_slope += weight * slope[l * n_max + n]
                    if m:
                        for n in range(n_max):
                            weight = adjoint[a, middle - m, first + n]
                            odd += weight * radial[l * n_max + n]
                            odd_slope += weight * slope[l * n_max + n]
                    factor = prefactors[middle + m]
                    value = factor * q[middle + m]
                    along += value * (even_slope * cosines[m] + odd_slope * sines[m])
                    turned = factor * (even * cosines[m] + odd * sines[m])
                    if m:
                        gx += value * m * (even * cosines[m - 1] + odd * sines[m - 1])
                        gy += value * m * (odd * cosines[m - 1] - even * sines[m - 1])
                    if m + 1 < l:
                        gx -= x * q[below + m + 1] * turned
                        gy -= y * q[below + m + 1] * turned
                    if m < l:
                        gz += (l + m) * q[below + m] * turned
            along /= r
            gradients[p, 0] += gx + along * x
            gradients[p, 1] += gy + along * y
            gradients[p, 2] += gz + along * z


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def dot_product_covariance(products, constants, weights, zeta, slopes, energies):
    """Energies Σ_s a_s k_s^ζ of some atoms, k_s = products + constants, and the slopes ζ a_s k_s^(ζ-1)."""
    n_atoms, n_sparse = products.shape
    whole = int(zeta)
    power = np.empty(n_sparse)
    for a in range(n_atoms):
        if whole == zeta:
            power[:] = 1.0
            for _ in range(whole - 1):
                for s in range(n_sparse):
                    power[s] *= products[a, s] + constants[s]
        else:
            for s in range(n_sparse):
                power[s] = (products[a, s] + constants[s]) ** (zeta - 1.0)
        for s in range(n_sparse):
            slopes[a, s] = zeta * weights[s] * power[s]
        total = 0.0
        for s in range(n_sparse):
            total += weights[s] * power[s] * (products[a, s] + constants[s])
        energies[a] = total


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def sum_pairs(starts, second, vectors, gradients, forces, virial):
    """Forces (eV/Å) and virial -Σ r ⊗ dE/dr (eV) from the gradients of the atoms' energies on their pairs."""
    for i in range(len(starts) - 1):
        for p in range(starts[i], starts[i + 1]):
            j = second[p]
            for axis in range(3):
                g = gradients[p, axis]
                forces[i, axis] += g
                forces[j, axis] -= g
                virial[0, axis] -= vectors[p, 0] * g
                virial[1, axis] -= vectors[p, 1] * g
                virial[2, axis] -= vectors[p, 2] * g
