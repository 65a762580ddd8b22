"""Pairs as entries of a sparse matrix: the loop of `.kernels.sum_pairs`, of which no sum but the entries are kept."""

from __future__ import annotations

import math

import numpy as np

from .kernels import candidates, compiled, no_candidates, select_within


@compiled
def pair_entries(atoms, grid, potential, capacity):  # type: ignore[no-untyped-def]
    """ψ(r)/r of pairs, each once: entries of one triangle, by rows, of the matrix between sorted atoms.

    Parameters
    ----------
    atoms, grid, potential
        As in `.kernels.sum_pairs`.
    capacity
        How many entries there may be; more take more room.

    Returns
    -------
    First entry of every row [n_atoms + 1], columns and values (1/Å) [n_entries], the smallest squared distance (Å²) and
    the places of the two atoms that have it.
    """
    coordinates, kinds, start = atoms[0], atoms[1], atoms[3]
    table, per_length = potential[2], potential[3]
    starts = np.zeros(coordinates.shape[1] + 1, np.int32)
    columns, values = np.empty(capacity, np.int32), np.empty(capacity)
    n_entries = 0
    near, partner, hits = no_candidates()
    closest, closest_i, closest_j = np.inf, 0, 0
    for index in range(len(start) - 1):
        if start[index] == start[index + 1]:
            continue
        count, near, partner, hits = candidates(index, atoms, grid, near, partner, hits)
        for i in range(start[index], start[index + 1]):
            skip = i + 1 - start[index]
            behind, behind_partner = near[:, skip:count], partner[:, skip:count]
            numbers = potential[1][kinds[i]]
            n_hits = select_within(potential[0][kinds[i]], coordinates[:, i], behind, behind_partner[1], hits)
            if n_entries + n_hits > len(columns):
                more = 2 * (n_entries + n_hits)
                grown_columns, grown_values = np.empty(more, np.int32), np.empty(more)
                grown_columns[:n_entries], grown_values[:n_entries] = columns[:n_entries], values[:n_entries]
                columns, values = grown_columns, grown_values
            for hit in range(n_hits):
                m = hits[hit]
                square = behind[3, m]
                if square < closest:
                    closest, closest_i, closest_j = square, i, behind_partner[0, m]
                r = math.sqrt(square)
                u = r * per_length
                interval = np.int32(u)
                t = 2.0 * (u - interval) - 1.0
                c = table[numbers[behind_partner[1, m]], np.uint32(interval)]
                psi = ((((((c[7] * t + c[6]) * t + c[5]) * t + c[4]) * t + c[3]) * t + c[2]) * t + c[1]) * t + c[0]
                columns[n_entries + hit] = behind_partner[0, m]
                values[n_entries + hit] = psi / r
            n_entries += n_hits
            starts[i + 1] = n_entries
    return starts, columns[:n_entries], values[:n_entries], closest, closest_i, closest_j
