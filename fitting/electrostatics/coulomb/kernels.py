"""Compiled loops of the electrostatic baseline. Imported on first use: numba takes half a second to load.

Atoms come sorted into bins, coordinates as [3, n_atoms], so that neighbours in space are neighbours in memory.
Every kernel runs on one thread, adds in a fixed order and keeps nothing: equal input gives equal bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...compiler import numba

# Sums may be reassociated and fused: without that no reduction is vectorised. Never more: NaN must stay NaN.
compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})


@compiled
def sort_into_bins(positions, inverse_cell, cell, bins):  # type: ignore[no-untyped-def]
    """Wrap atoms into the cell and sort them by bin, in the order of their index within one.

    Parameters
    ----------
    positions
        Å. Shape [n_atoms, 3].
    inverse_cell
        Of ``cell``. Shape [3, 3].
    cell
        Rows are lattice vectors, Å. Shape [3, 3].
    bins
        Number of bins along each lattice vector. Shape [3].

    Returns
    -------
    The sorted atoms' indices [n_atoms], first place of each bin [n_bins + 1], coordinates in Å
    [3, n_atoms] and fractional coordinates in [0, 1) [3, n_atoms], both sorted.
    """
    n_atoms = len(positions)
    fractions = np.empty((3, n_atoms))
    bin_of = np.empty(n_atoms, np.int64)
    start = np.zeros(bins[0] * bins[1] * bins[2] + 1, np.int64)
    for i in range(n_atoms):
        index = 0
        for axis in range(3):
            s = 0.0
            for x in range(3):
                s += positions[i, x] * inverse_cell[x, axis]
            s -= math.floor(s)
            # A tiny negative coordinate rounds up to 1.
            if s >= 1.0:
                s = 0.0
            fractions[axis, i] = s
            index = index * bins[axis] + min(int(s * bins[axis]), bins[axis] - 1)
        bin_of[i] = index
        start[index + 1] += 1
    for index in range(len(start) - 1):
        start[index + 1] += start[index]
    place = start[:-1].copy()
    order = np.empty(n_atoms, np.int64)
    sorted_fractions = np.empty((3, n_atoms))
    coordinates = np.zeros((3, n_atoms))
    for i in range(n_atoms):
        m = place[bin_of[i]]
        place[bin_of[i]] += 1
        order[m] = i
        for axis in range(3):
            sorted_fractions[axis, m] = fractions[axis, i]
            for x in range(3):
                coordinates[x, m] += fractions[axis, i] * cell[axis, x]
    return order, start, coordinates, sorted_fractions


@compiled
def _collect_segments(column, grid, start, segments, shifts):  # type: ignore[no-untyped-def]
    """Runs of consecutive atoms that can be partners of the atoms in one bin, each with its translation.

    ``column`` is the bin's index along each axis; ``segments`` [n, 2] (first, last + 1) and ``shifts`` [n, 3]
    (Å) are filled. The first segment begins in the bin itself. Returns their number.
    """
    bins, cell, rows = grid
    count = 0
    for row in range(len(rows)):
        first_x, first_y = column[0] + rows[row, 0], column[1] + rows[row, 1]
        cell_x, cell_y = first_x // bins[0], first_y // bins[1]
        base = ((first_x - cell_x * bins[0]) * bins[1] + first_y - cell_y * bins[1]) * bins[2]
        z, last = column[2] + rows[row, 2], column[2] + rows[row, 3]
        while z <= last:
            cell_z = z // bins[2]
            end = min(last, (cell_z + 1) * bins[2] - 1)
            first_place = start[base + z - cell_z * bins[2]]
            end_place = start[base + end - cell_z * bins[2] + 1]
            if end_place > first_place or count == 0:
                segments[count, 0], segments[count, 1] = first_place, end_place
                for x in range(3):
                    shifts[count, x] = cell_x * cell[0, x] + cell_y * cell[1, x] + cell_z * cell[2, x]
                count += 1
            z = end + 1
    return count


@compiled
def _copy_candidates(atoms, segments, shifts, near, partner):  # type: ignore[no-untyped-def]
    """Lay the atoms of all segments side by side: ``near`` [≥ 3, n] coordinates, ``partner`` [2, n] place, kind."""
    coordinates, kinds = atoms[0], atoms[1]
    count = 0
    for segment in range(len(segments)):
        first, length = segments[segment, 0], segments[segment, 1] - segments[segment, 0]
        for axis in range(3):
            run, shift = coordinates[axis, first : first + length], shifts[segment, axis]
            target = near[axis, count : count + length]
            for m in range(length):
                target[m] = run[m] + shift
        places, run_kinds = partner[0, count : count + length], partner[1, count : count + length]
        from_kinds = kinds[first : first + length]
        for m in range(length):
            places[m] = first + m
            run_kinds[m] = from_kinds[m]
        count += length
    return count


@compiled
def select_within(limits, origin, near, partner_kinds, hits):  # type: ignore[no-untyped-def]
    """Candidates within their kind's squared distance of the origin: fills ``near[3]`` and ``hits``."""
    xs, ys, zs, squares = near[0], near[1], near[2], near[3]
    x0, y0, z0 = origin[0], origin[1], origin[2]
    for m in range(len(xs)):
        x, y, z = xs[m] - x0, ys[m] - y0, zs[m] - z0
        squares[m] = x * x + y * y + z * z
    count = 0
    for m in range(len(xs)):
        # Without a branch, which would be mispredicted every other time.
        hits[count] = m
        count += int(squares[m] < limits[partner_kinds[m]])
    return count


@compiled
def no_candidates():  # type: ignore[no-untyped-def]
    """Return ``near``, ``partner`` and ``hits`` without room, which `candidates` makes."""
    return np.empty((4, 0)), np.empty((2, 0), np.uint32), np.empty(0, np.uint32)


@compiled
def candidates(index, atoms, grid, near, partner, hits):  # type: ignore[no-untyped-def]
    """Return how many partners a bin's atoms may have, those of the bin itself first, and them; as in `sum_pairs`."""
    start, bins, rows = atoms[3], grid[0], grid[2]
    n_segments = 0
    for row in range(len(rows)):
        n_segments += rows[row, 3] - rows[row, 2] + 1
    segments, shifts = np.empty((n_segments, 2), np.int64), np.empty((n_segments, 3))
    column = np.empty(3, np.int64)
    column[0], column[1] = index // (bins[2] * bins[1]), index // bins[2] % bins[1]
    column[2] = index % bins[2]
    used = _collect_segments(column, grid, start, segments, shifts)
    count = 0
    for segment in range(used):
        count += segments[segment, 1] - segments[segment, 0]
    if count > near.shape[1]:
        near, hits = np.empty((4, 2 * count)), np.empty(2 * count, np.uint32)
        partner = np.empty((2, 2 * count), np.uint32)
    _copy_candidates(atoms, segments[:used], shifts, near, partner)
    return count, near, partner, hits


@compiled
def _add_pairs(i, atoms, near, partner, hits, potential, totals):  # type: ignore[no-untyped-def]
    """Add the pairs of atom i with the candidates in ``hits``.

    ``totals`` are the gradient and the potential [4, n_atoms], energy and strain derivative (Voigt order) [7].
    Returns the smallest squared distance and its partner.
    """
    coordinates, kinds, charges = atoms[0], atoms[1], atoms[2]
    numbers, table, per_length = potential[1][kinds[i]], potential[2], potential[3]
    gradient, sums = totals
    xs, ys, zs, squares = near[0], near[1], near[2], near[3]
    gradient_x, gradient_y, gradient_z, potentials = gradient[0], gradient[1], gradient[2], gradient[3]
    places, partner_kinds = partner[0], partner[1]
    x0, y0, z0 = coordinates[0, i], coordinates[1, i], coordinates[2, i]
    gx, gy, gz, energy, own_potential = 0.0, 0.0, 0.0, 0.0, 0.0
    xx, yy, zz, yz, xz, xy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    closest, closest_j = np.inf, places[0]
    for hit in range(len(hits)):
        m = hits[hit]
        j = places[m]
        if squares[m] < closest:
            closest, closest_j = squares[m], j
        r = math.sqrt(squares[m])
        u = r * per_length
        interval = np.int32(u)
        t = 2.0 * (u - interval) - 1.0
        c = table[numbers[partner_kinds[m]], np.uint32(interval)]
        psi = ((((((c[7] * t + c[6]) * t + c[5]) * t + c[4]) * t + c[3]) * t + c[2]) * t + c[1]) * t + c[0]
        slope = (((((7 * c[7] * t + 6 * c[6]) * t + 5 * c[5]) * t + 4 * c[4]) * t + 3 * c[3]) * t + 2 * c[2]) * t + c[1]
        product = charges[i] * charges[j]
        inverse = 1.0 / r
        unit = psi * inverse
        value = product * unit
        energy += value
        own_potential += charges[j] * unit
        potentials[j] += charges[i] * unit
        pull = (2.0 * per_length * product * slope - value) * inverse * inverse
        x, y, z = xs[m] - x0, ys[m] - y0, zs[m] - z0
        fx, fy, fz = pull * x, pull * y, pull * z
        gx, gy, gz = gx - fx, gy - fy, gz - fz
        gradient_x[j] += fx
        gradient_y[j] += fy
        gradient_z[j] += fz
        xx, yy, zz = xx + fx * x, yy + fy * y, zz + fz * z
        yz, xz, xy = yz + fy * z, xz + fx * z, xy + fx * y
    gradient_x[i] += gx
    gradient_y[i] += gy
    gradient_z[i] += gz
    potentials[i] += own_potential
    for index, value in enumerate((energy, xx, yy, zz, yz, xz, xy)):
        sums[index] += value
    return closest, closest_j


@compiled
def sum_pairs(own, atoms, grid, potential):  # type: ignore[no-untyped-def]
    """Σ q_i q_j ψ(r)/r over pairs, ψ tabulated per pair of kinds as polynomials of degree 7.

    Parameters
    ----------
    own
        The first bin and the one after the last whose pairs are wanted, each pair belonging to one bin [2].
    atoms
        Coordinates (Å) [3, n_atoms], kinds (unsigned: an index needs no check of its sign) [n_atoms],
        charges (e) [n_atoms], all sorted, and the first atom of each bin [n_bins + 1].
    grid
        Number of bins along each axis [3], cell (rows are lattice vectors, Å) [3, 3], and (dx, dy, first
        dz, last dz) of the bins within reach, one half space of them [n_rows, 4].
    potential
        Squared cutoffs (Å²) [n_kinds, n_kinds], which table a pair of kinds has [n_kinds, n_kinds],
        coefficients of t⁰ ... t⁷, t in [-1, 1] across an interval [n_tables, n_intervals, 8], and
        intervals per Å.

    Returns
    -------
    Gradient (e²/Å²) and potential (e/Å) [4, n_atoms], energy and strain derivative (Voigt order) [7] (e²/Å), the
    smallest squared distance (Å²) and the places of the two atoms that have it.
    """
    coordinates, kinds, start = atoms[0], atoms[1], atoms[3]
    totals = (np.zeros((4, coordinates.shape[1])), np.zeros(7))
    near, partner, hits = no_candidates()
    closest, closest_i, closest_j = np.inf, 0, 0
    for index in range(own[0], own[1]):
        if start[index] == start[index + 1]:
            continue
        count, near, partner, hits = candidates(index, atoms, grid, near, partner, hits)
        for i in range(start[index], start[index + 1]):
            # Of the atoms in the bin itself, which come first, only those behind this one.
            skip = i + 1 - start[index]
            if skip == count:
                continue
            behind, behind_partner = near[:, skip:count], partner[:, skip:count]
            limits = potential[0][kinds[i]]
            n_hits = select_within(limits, coordinates[:, i], behind, behind_partner[1], hits)
            square, j = _add_pairs(i, atoms, behind, behind_partner, hits[:n_hits], potential, totals)
            if square < closest:
                closest, closest_i, closest_j = square, i, j
    return totals[0], totals[1], closest, closest_i, closest_j


@compiled
def _start_row(h, k, fractions, wave):  # type: ignore[no-untyped-def]
    """Real and imaginary part of exp(2πi (h s_1 + k s_2)) into ``wave`` [2, n_atoms]."""
    for i in range(fractions.shape[1]):
        phase = 2.0 * math.pi * (h * fractions[0, i] + k * fractions[1, i])
        wave[0, i], wave[1, i] = math.cos(phase), math.sin(phase)


@compiled
def _advance_row(step, wave):  # type: ignore[no-untyped-def]
    """Multiply ``wave`` [2, n_atoms] by exp(2πi s_2): from k to k + 1."""
    real, imag, step_real, step_imag = wave[0], wave[1], step[0], step[1]
    for i in range(len(real)):
        product = real[i] * step_real[i] - imag[i] * step_imag[i]
        imag[i] = real[i] * step_imag[i] + imag[i] * step_real[i]
        real[i] = product


@compiled
def _structure_factors(wave, cosines, sines):  # type: ignore[no-untyped-def]
    """Real and imaginary parts of S(h, k, l) and S(h, k, -l), for one l; the charges are in cosines and sines."""
    real, imag = wave[0], wave[1]
    rc, rs, ic, is_ = 0.0, 0.0, 0.0, 0.0
    for i in range(len(real)):
        rc += real[i] * cosines[i]
        rs += real[i] * sines[i]
        ic += imag[i] * cosines[i]
        is_ += imag[i] * sines[i]
    return rc - is_, rs + ic, rc + is_, ic - rs


@compiled
def _add_power(power, g, alpha, strain):  # type: ignore[no-untyped-def]
    """Add -w [δ - G G (2/G² + 1/2α²)] of one vector to the strain derivative [3, 3]."""
    factor = power * (2.0 / (g[0] * g[0] + g[1] * g[1] + g[2] * g[2]) + 0.5 / (alpha * alpha))
    for a in range(3):
        strain[a, a] -= power
        for b in range(3):
            strain[a, b] += factor * g[a] * g[b]


@compiled
def _add_response(of_waves, index, cosines, sines, sums):  # type: ignore[no-untyped-def]
    """Add what the waves ±l of a row give at each atom: its value, and its derivative by 2πi s_3 [4, n_atoms]."""
    cos_real, cos_imag, sin_real, sin_imag = of_waves
    for i in range(len(cosines)):
        c, s = cosines[i], sines[i]
        sums[0, i] += cos_real * c + sin_real * s
        sums[1, i] += cos_imag * c + sin_imag * s
        sums[2, i] += index * (sin_imag * c - cos_imag * s)
        sums[3, i] += index * (cos_real * s - sin_real * c)


@compiled
def sum_waves(fractions, charges, row_indices, prefactors, vectors, alpha):  # type: ignore[no-untyped-def]
    """½ Σ p(G) |S(G)|² over rows of vectors G = h b1 + k b2 + l b3, l = -l_max ... l_max.

    Parameters
    ----------
    fractions
        Fractional coordinates. Shape [3, n_atoms].
    charges
        e. Shape [n_atoms].
    row_indices
        h ≥ 0 and k of each row. Shape [2, n_rows].
    prefactors
        p, 0 outside the sphere. Shape [n_rows, 2 l_max + 1].
    vectors
        G, 1/Å. Shape [n_rows, 2 l_max + 1, 3].
    alpha
        1/Å.

    Returns
    -------
    Energy (unit of p times e²), its gradient by the fractional coordinates [3, n_atoms] and its strain
    derivative [3, 3].
    """
    l_max = (prefactors.shape[1] - 1) // 2
    cosines, sines = np.empty((l_max + 1, len(charges))), np.empty((l_max + 1, len(charges)))
    charged_cosines, charged_sines = np.empty((l_max + 1, len(charges))), np.empty((l_max + 1, len(charges)))
    for index in range(l_max + 1):
        for i in range(len(charges)):
            phase = 2.0 * math.pi * index * fractions[2, i]
            cosine, sine = math.cos(phase), math.sin(phase)
            cosines[index, i], sines[index, i] = cosine, sine
            charged_cosines[index, i], charged_sines[index, i] = cosine * charges[i], sine * charges[i]
    wave, step, sums = np.empty((2, len(charges))), np.empty((2, len(charges))), np.empty((4, len(charges)))
    _start_row(0, 1, fractions, step)
    gradient, potentials = np.zeros((3, len(charges))), np.zeros(len(charges))
    strain = np.zeros((3, 3))
    energy = 0.0
    last_h, last_k = -1, 0
    for row in range(row_indices.shape[1]):
        h, k = row_indices[0, row], row_indices[1, row]
        if h == last_h and k == last_k + 1:
            _advance_row(step, wave)
        else:
            _start_row(h, k, fractions, wave)
        last_h, last_k = h, k
        for part in range(4):
            for i in range(len(charges)):
                sums[part, i] = 0.0
        for index in range(l_max + 1):
            plus, minus = prefactors[row, l_max + index], prefactors[row, l_max - index] if index else 0.0
            if plus == 0.0 and minus == 0.0:
                continue
            factors = _structure_factors(wave, charged_cosines[index], charged_sines[index])
            real_plus, imag_plus, real_minus, imag_minus = factors
            power_plus = 0.5 * plus * (real_plus * real_plus + imag_plus * imag_plus)
            power_minus = 0.5 * minus * (real_minus * real_minus + imag_minus * imag_minus)
            energy += power_plus + power_minus
            if plus > 0.0:
                _add_power(power_plus, vectors[row, l_max + index], alpha, strain)
            if minus > 0.0:
                _add_power(power_minus, vectors[row, l_max - index], alpha, strain)
            # Of the weighted conjugates P(±l): the factors of cos and sin, P+ + P- and i (P+ - P-).
            cos_real, cos_imag = plus * real_plus + minus * real_minus, -plus * imag_plus - minus * imag_minus
            sin_real, sin_imag = plus * imag_plus - minus * imag_minus, plus * real_plus - minus * real_minus
            of_waves = (cos_real, cos_imag, sin_real, sin_imag)
            _add_response(of_waves, index, cosines[index], sines[index], sums)
        for i in range(len(charges)):
            potentials[i] += wave[0, i] * sums[0, i] - wave[1, i] * sums[1, i]
            response = charges[i] * (wave[0, i] * sums[1, i] + wave[1, i] * sums[0, i])
            gradient[0, i] -= 2.0 * math.pi * h * response
            gradient[1, i] -= 2.0 * math.pi * k * response
            gradient[2, i] -= 2.0 * math.pi * charges[i] * (wave[0, i] * sums[3, i] + wave[1, i] * sums[2, i])
    return energy, gradient, strain, potentials


@compiled
def _spline(order, offset, weights, slopes):  # type: ignore[no-untyped-def]
    """Cardinal B-splines M_p(offset + p - 1 - c), c = 0 ... p-1, and their derivatives (Essmann, eq. 4.1)."""
    weights[0], weights[1] = 1.0 - offset, offset
    for p in range(3, order + 1):
        if p == order:
            slopes[0] = -weights[0]
            for c in range(1, p - 1):
                slopes[c] = weights[c - 1] - weights[c]
            slopes[p - 1] = weights[p - 2]
        scale = 1.0 / (p - 1)
        weights[p - 1] = scale * offset * weights[p - 2]
        for c in range(1, p - 1):
            weights[p - 1 - c] = scale * ((offset + c) * weights[p - 2 - c] + (p - c - offset) * weights[p - 1 - c])
        weights[0] *= scale * (1.0 - offset)


@compiled
def spread_charges(fractions, charges, shape, order, self_sums):  # type: ignore[no-untyped-def]
    """Charges on the mesh, with ``order`` - 1 more planes along the last axis that repeat the first ones.

    ``self_sums`` [3] gains Σ q² cos(2πu) for the mesh coordinate u along each axis.
    """
    mesh = np.zeros((shape[0], shape[1], shape[2] + order - 1))
    weights, slopes = np.empty((3, order)), np.empty(order)
    first = np.empty(3, np.int64)
    for i in range(len(charges)):
        for axis in range(3):
            u = fractions[axis, i] * shape[axis]
            # The fraction may round to the mesh's end.
            place = min(int(u), shape[axis] - 1)
            _spline(order, u - place, weights[axis], slopes)
            first[axis] = (place - order + 1) % shape[axis]
            self_sums[axis] += charges[i] * charges[i] * math.cos(2.0 * math.pi * u)
        for a in range(order):
            x = first[0] + a
            if x >= shape[0]:
                x -= shape[0]
            along_x = charges[i] * weights[0, a]
            for b in range(order):
                y = first[1] + b
                if y >= shape[1]:
                    y -= shape[1]
                factor = along_x * weights[1, b]
                line = mesh[x, y, first[2] : first[2] + order]
                for c in range(order):
                    line[c] += factor * weights[2, c]
    for x in range(shape[0]):
        for y in range(shape[1]):
            for c in range(order - 1):
                mesh[x, y, c] += mesh[x, y, shape[2] + c]
    return mesh


@compiled
def apply_influence(waves, shape, reciprocal, alpha, factors, sums):  # type: ignore[no-untyped-def]
    """Turn the transformed charges into the transformed potential, in place; sum up energy and strain.

    Parameters
    ----------
    waves
        Fourier transform of the charges on the mesh. Shape [K1, K2, K3 // 2 + 1].
    shape
        Of the mesh. Shape [3].
    reciprocal
        Columns are reciprocal vectors with 2π, 1/Å. Shape [3, 3].
    alpha
        1/Å.
    factors
        Sums over the aliases U_m of each wave along each axis: 1/(Σ U_m)², Σ U_m²/(Σ U_m)² and
        2 Σ U_m U_(m+1)/(Σ U_m)². Shape [3, 3, largest K].
    sums
        Σ q² and the three Σ q² cos(2πu). Shape [4].

    Returns
    -------
    Σ' exp(-G²/4α²)/G² times the power of each wave without its self-interaction, the strain derivative of
    it [3, 3], and the amplitude of the self-interaction's first harmonic along each axis [3].
    """
    moduli, own, first_harmonic = factors[0], factors[1], factors[2]
    energy = 0.0
    strain = np.zeros((3, 3))
    amplitudes = np.zeros(3)
    constant = 0.0
    g = np.empty(3)
    damping = -0.25 / (alpha * alpha)
    for x in range(shape[0]):
        h = x if 2 * x <= shape[0] else x - shape[0]
        for y in range(shape[1]):
            k = y if 2 * y <= shape[1] else y - shape[1]
            plane = moduli[0, x] * moduli[1, y]
            own_xy = own[0, x] * own[1, y]
            harmonic_x = first_harmonic[0, x] * own[1, y]
            harmonic_y = own[0, x] * first_harmonic[1, y]
            for z in range(shape[2] // 2 + 1):
                if x == 0 and y == 0 and z == 0:
                    waves[0, 0, 0] = 0.0
                    continue
                square = 0.0
                for a in range(3):
                    g[a] = h * reciprocal[a, 0] + k * reciprocal[a, 1] + z * reciprocal[a, 2]
                    square += g[a] * g[a]
                weight = math.exp(damping * square) / square
                # A wave with l > 0 stands for its complex conjugate too.
                twice = 1.0 if z == 0 or 2 * z == shape[2] else 2.0
                real, imag = waves[x, y, z].real, waves[x, y, z].imag
                filtered = plane * moduli[2, z]
                ax = harmonic_x * own[2, z]
                ay = harmonic_y * own[2, z]
                az = own_xy * first_harmonic[2, z]
                power = filtered * (real * real + imag * imag) - sums[0] * (own_xy * own[2, z] - 1.0)
                power -= sums[1] * ax + sums[2] * ay + sums[3] * az
                scaled = twice * weight
                constant += scaled * (own_xy * own[2, z] - 1.0)
                amplitudes[0] += scaled * ax
                amplitudes[1] += scaled * ay
                amplitudes[2] += scaled * az
                power *= scaled
                energy += power
                _add_power(power, g, alpha, strain)
                waves[x, y, z] *= weight * filtered
    return energy, strain, amplitudes, constant


@compiled
def gather(fractions, charges, potential, shape, order, of_itself):  # type: ignore[no-untyped-def]
    """Gradient of ½ Σ Q φ - Σ q² (C + Σ_axis A_axis cos(2πu))/2 by fractional coordinates, and by the charges.

    Shapes [3, n_atoms] and [n_atoms]. ``of_itself``: amplitudes A [3] and constant C of the self-interaction.
    ``potential`` has the shape [K1, K2, K3 + order - 1]; its last planes repeat the first ones.
    """
    amplitudes, constant = of_itself
    gradient, potentials = np.empty((3, len(charges))), np.empty(len(charges))
    weights, slopes = np.empty((3, order)), np.empty((3, order))
    first = np.empty(3, np.int64)
    own = np.empty(3)
    for i in range(len(charges)):
        for axis in range(3):
            u = fractions[axis, i] * shape[axis]
            place = min(int(u), shape[axis] - 1)
            _spline(order, u - place, weights[axis], slopes[axis])
            first[axis] = (place - order + 1) % shape[axis]
            own[axis] = math.pi * charges[i] * amplitudes[axis] * math.sin(2.0 * math.pi * u)
        dx, dy, dz, here = 0.0, 0.0, 0.0, -charges[i] * constant
        for axis in range(3):
            here -= charges[i] * amplitudes[axis] * math.cos(2.0 * math.pi * fractions[axis, i] * shape[axis])
        for a in range(order):
            x = first[0] + a
            if x >= shape[0]:
                x -= shape[0]
            for b in range(order):
                y = first[1] + b
                if y >= shape[1]:
                    y -= shape[1]
                line = potential[x, y, first[2] : first[2] + order]
                value, slope = 0.0, 0.0
                for c in range(order):
                    value += weights[2, c] * line[c]
                    slope += slopes[2, c] * line[c]
                dx += slopes[0, a] * weights[1, b] * value
                dy += weights[0, a] * slopes[1, b] * value
                dz += weights[0, a] * weights[1, b] * slope
                here += weights[0, a] * weights[1, b] * value
        potentials[i] = here
        gradient[0, i] = charges[i] * shape[0] * (dx + own[0])
        gradient[1, i] = charges[i] * shape[1] * (dy + own[1])
        gradient[2, i] = charges[i] * shape[2] * (dz + own[2])
    return gradient, potentials
