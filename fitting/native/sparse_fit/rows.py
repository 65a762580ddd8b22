"""Rows of the linear system of a fit: what each sparse point adds to a configuration's energy, forces, virial.

For a central atom i with density coefficients c, normalised power spectrum p̂ and a sparse point s,
k = δ² (p̂·x_s)^ζ and dk/dr_j = ζ δ² (p̂·x_s)^(ζ-1) / |p| [D_j (X_s c) - (p̂·x_s) D_j v]: X_s is the sparse
point as a symmetric matrix over the channels for every l, so that X_s c = d(p·x_s)/dc, v = d|p|/dc, and
D_j = dc/dr_j has entries in the channels of j's element only. The first product is one matrix product over
the channels, the second one over the angular momenta and radial functions, for all sparse points at once:
about 50 Mflop per atom at n_max 8, l_max 4, 600 sparse points and 45 neighbours.

Rows are unscaled: neither σ nor labels enter, so that they can be kept and used again.
Order: energy; 3 n_atoms derivatives of it (minus the forces); 6 virial components xx, xy, xz, yy, yz, zz,
negative, as the sum over pairs of r (x) dE/dr.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ....core.arrays import FloatArray, IntArray
from ...compiler import numba
from ..environments import Environments, power_spectra

N_VIRIAL_ROWS = 6
POINTS_PER_TILE = 60
"""Sparse points whose adjoints are in memory at once: with more, the second product waits for memory."""
FEW_POINTS = 6
"""Sparse points up to which a tile is no matter for matrix products."""
ATOMS_PER_CHUNK = 32
"""Atoms whose gradients are in memory at once."""


def n_rows(n_atoms: int) -> int:
    """Return the number of rows of a configuration."""
    return 1 + 3 * n_atoms + N_VIRIAL_ROWS


@dataclass(frozen=True, eq=False)
class SoapPoints:
    """Sparse points of one central element, laid out for the matrix products.

    Attributes
    ----------
    points
        [n_points, n_components], without the appended constant.
    tiles
        For each tile of points, neighbour element and l: [n_channels, n_max * n_tile].
    amplitude
        δ², eV².
    zeta
        Exponent.
    """

    points: FloatArray
    tiles: tuple[tuple[tuple[FloatArray, ...], ...], ...]
    amplitude: float
    zeta: int


def expand_points(points: FloatArray, shape: tuple[int, int, int]) -> list[FloatArray]:
    """Return vectors in the space of power spectra as symmetric matrices, whose product with c is d(p·x)/dc.

    Parameters
    ----------
    points
        [n_points, n_components].
    shape
        Elements, n_max and l_max.

    Returns
    -------
    For each l an array [n_points, n_channels, n_channels].
    """
    n_elements, n_max, l_max = shape
    n_channels = n_elements * n_max
    lower = np.tril_indices(n_channels)
    factor = np.where(lower[0] == lower[1], 2.0, np.sqrt(2.0))
    components = points.reshape(len(points), len(factor), l_max + 1)
    matrices = []
    for l_value in range(l_max + 1):
        matrix = np.zeros((len(points), n_channels, n_channels))
        values = components[:, :, l_value] * (factor / np.sqrt(2 * l_value + 1))
        matrix[:, lower[0], lower[1]] = values
        matrix[:, lower[1], lower[0]] = values
        matrices.append(matrix)
    return matrices


def prepare_points(points: FloatArray, shape: tuple[int, int, int], delta_eV: float, zeta: int) -> SoapPoints:
    """Return sparse points, whose last component is the appended constant, laid out for `add_soap_rows`."""
    n_elements, n_max, _ = shape
    spectra = np.ascontiguousarray(points[:, :-1])
    tiles = []
    for start in range(0, len(spectra), POINTS_PER_TILE):
        part = spectra[start : start + POINTS_PER_TILE]
        by_l = expand_points(part, shape)
        tiles.append(
            tuple(
                tuple(
                    np.ascontiguousarray(
                        matrix[:, :, element * n_max : (element + 1) * n_max].transpose(1, 2, 0)
                    ).reshape(n_elements * n_max, n_max * len(part))
                    for matrix in by_l
                )
                for element in range(n_elements)
            )
        )
    return SoapPoints(spectra, tuple(tiles), delta_eV**2, zeta)


def norm_gradient(coefficients: FloatArray, norms: FloatArray) -> FloatArray:
    """Return d|p|/dc, shape of c: for each l, 2 / ((2l + 1) |p|) (c cᵀ) c."""
    gradient = np.empty_like(coefficients)
    l_max = int(np.sqrt(coefficients.shape[1])) - 1
    for l_value in range(l_max + 1):
        angular = slice(l_value**2, (l_value + 1) ** 2)
        part = coefficients[:, angular]
        overlaps = part.transpose(0, 2, 1) @ part
        gradient[:, angular] = (part @ overlaps) * (2.0 / (2 * l_value + 1) / norms)[:, None, None]
    return gradient


def add_soap_rows(rows: FloatArray, environments: Environments, points: SoapPoints) -> None:
    """Add what some atoms contribute to the rows of their configuration.

    Parameters
    ----------
    rows
        The columns of the points' coordinate. Shape [n_rows, n_points].
    environments
        Atoms of the element that the points belong to.
    points
        The sparse points.
    """
    everywhere = np.tile([0, len(rows)], (len(environments.centres), 1))
    layout = _Layout(len(rows), everywhere, environments.centres, environments.neighbours)
    covariances = _add_to_blocks(rows, layout, environments, points)
    rows[0] += points.amplitude * covariances.sum(axis=0)


@dataclass(frozen=True, eq=False)
class AtomRows:
    """Rows of single atoms of one element: every atom has a block of them, one after the other.

    A block is laid out as the rows of a configuration of the atom and its neighbours alone.

    Attributes
    ----------
    values
        Shape [n_block_rows, n_points].
    places
        Which of the rows of the configuration each is. Shape [n_block_rows].
    centres
        The atom that each belongs to. Shape [n_block_rows].
    """

    values: FloatArray
    places: IntArray
    centres: IntArray

    def add_weighted(self, rows: FloatArray, weights: FloatArray) -> None:
        """Add the rows of Σ_i w_i k_is, the weights [n_atoms] constants, to rows [n_rows, n_points]."""
        _add_weighted(rows, self.values, self.places, weights[self.centres])

    def add_derivatives(self, derivatives: FloatArray, coefficients: FloatArray) -> None:
        """Add the derivatives of each atom's Σ_s b_s k_is, as `add_atom_derivatives`; b [n_points]."""
        of_positions = np.flatnonzero(self.places > 0)
        sums = (self.values @ coefficients)[of_positions]
        derivatives[self.centres[of_positions], self.places[of_positions] - 1] += sums


def soap_atom_rows(environments: Environments, points: SoapPoints, n_atoms: int) -> AtomRows:
    """Return the rows of single atoms in a configuration of ``n_atoms``; arguments as in `add_soap_rows`."""
    places, bounds, own = [], [], []
    neighbours = np.empty_like(environments.neighbours)
    strain = 1 + 3 * n_atoms + np.arange(N_VIRIAL_ROWS)
    end = 0
    for index, centre in enumerate(environments.centres.tolist()):
        first, last = environments.starts[index, [0, -1]].tolist()
        atoms, ranks = np.unique(np.append(environments.neighbours[first:last], centre), return_inverse=True)
        neighbours[first:last], own_rank = ranks[:-1], ranks[-1]
        places.append(np.concatenate([[0], (1 + 3 * atoms[:, None] + np.arange(3)).ravel(), strain]))
        bounds.append((end, end + len(places[-1])))
        own.append(own_rank)
        end += len(places[-1])
    layout = _Layout(end, np.array(bounds), np.array(own), neighbours)
    values = np.zeros((end, len(points.points)))
    values[layout.bounds[:, 0]] = points.amplitude * _add_to_blocks(values, layout, environments, points)
    return AtomRows(values, np.concatenate(places), np.repeat(environments.centres, np.diff(layout.bounds)[:, 0]))


@dataclass(frozen=True, eq=False)
class _Layout:
    """Where the rows of central atoms are.

    Attributes
    ----------
    n_rows
        Of all.
    bounds
        First and last row of each atom's block. Shape [n_centres, 2].
    own, neighbours
        Places of atoms and neighbours in the block. Shapes [n_centres] and [n_neighbours].
    """

    n_rows: int
    bounds: IntArray
    own: IntArray
    neighbours: IntArray


def _add_to_blocks(rows: FloatArray, layout: _Layout, environments: Environments, points: SoapPoints) -> FloatArray:
    """Add derivatives of δ² (p·p_s)^ζ to the blocks of atoms; return (p·p_s)^ζ. Shape [n_centres, n_points]."""
    spectra, norms = power_spectra(environments.coefficients)
    products = spectra @ points.points.T
    scales = points.zeta * points.amplitude * products ** (points.zeta - 1) / norms[:, None]
    norm_gradients = norm_gradient(environments.coefficients, norms)
    n_elements = environments.starts.shape[1] - 1
    start = 0
    for tile in points.tiles:
        n_tile = tile[0][0].shape[1] // environments.gradients.shape[3]
        columns = slice(start, start + n_tile)
        tile_rows = np.zeros((layout.n_rows, n_tile))
        for element in range(n_elements):
            # Matrix products of a few columns wait for memory and for Python.
            add = _add_few if n_tile <= FEW_POINTS else _add_tile
            add(
                (tile_rows, layout),
                environments,
                element,
                tile[element],
                norm_gradients,
                (products[:, columns], scales[:, columns]),
            )
        rows[:, columns] += tile_rows
        start += n_tile
    return np.asarray(products**points.zeta, dtype=np.float64)


def add_atom_derivatives(
    derivatives: FloatArray,
    environments: Environments,
    points: SoapPoints,
    shape: tuple[int, int, int],
    weights: FloatArray,
) -> None:
    """Add the derivatives of each atom's Σ_s b_s (p·p_s)^ζ by the positions of all atoms and by strain.

    Parameters
    ----------
    derivatives
        In the order of the rows of derivatives. Shape [n_atoms, 3 n_atoms + 6].
    environments
        Atoms of the element that the points belong to.
    points
        The sparse points.
    shape
        Elements, n_max and l_max.
    weights
        b. Shape [n_points].
    """
    spectra, norms = power_spectra(environments.coefficients)
    slopes = points.zeta * (spectra @ points.points.T) ** (points.zeta - 1) * weights
    by_spectrum = slopes @ points.points
    by_spectrum -= np.einsum("ic,ic->i", by_spectrum, spectra)[:, None] * spectra
    by_spectrum /= norms[:, None]
    adjoint = np.empty_like(environments.coefficients)
    for l_value, matrix in enumerate(expand_points(by_spectrum, shape)):
        angular = slice(l_value**2, (l_value + 1) ** 2)
        adjoint[:, angular] = environments.coefficients[:, angular] @ matrix
    n_max = environments.gradients.shape[3]
    for index, centre in enumerate(environments.centres.tolist()):
        for element in range(environments.starts.shape[1] - 1):
            first, last = environments.starts[index, element : element + 2].tolist()
            if first == last:
                continue
            own = np.ascontiguousarray(adjoint[index, :, element * n_max : (element + 1) * n_max]).ravel()
            pulls = environments.gradients[first:last].reshape(3 * (last - first), len(own)) @ own
            _scatter_derivatives(
                derivatives[centre],
                pulls.reshape(-1, 3),
                centre,
                environments.neighbours[first:last],
                environments.vectors[first:last],
            )


@numba.njit(cache=True, nogil=True)
def _scatter_derivatives(
    derivatives: FloatArray, pulls: FloatArray, centre: int, neighbours: IntArray, vectors: FloatArray
) -> None:
    first_strain = len(derivatives) - 6
    for pair in range(len(neighbours)):
        for axis in range(3):
            pull = pulls[pair, axis]
            derivatives[3 * neighbours[pair] + axis] += pull
            derivatives[3 * centre + axis] -= pull
            for row_axis in range(axis + 1):
                component = row_axis * (5 - row_axis) // 2 + axis
                derivatives[first_strain + component] += vectors[pair, row_axis] * pull


def _add_tile(
    target: tuple[FloatArray, _Layout],
    environments: Environments,
    element: int,
    matrices: Sequence[FloatArray],
    norm_gradients: FloatArray,
    kernels: tuple[FloatArray, FloatArray],
) -> None:
    """Add one tile of points, neighbours of one element."""
    (rows, layout), (products, scales) = target, kernels
    coefficients = environments.coefficients
    n_centres, n_angular, _ = coefficients.shape
    n_max = environments.gradients.shape[3]
    n_tile = rows.shape[1]
    adjoints = np.empty((n_centres, n_angular, n_max * n_tile))
    for l_value, matrix in enumerate(matrices):
        angular = slice(l_value**2, (l_value + 1) ** 2)
        # Strides, not copies: BLAS writes each angular momentum where the second product wants it.
        np.matmul(coefficients[:, angular].transpose(1, 0, 2), matrix, out=adjoints[:, angular].transpose(1, 0, 2))
    channels = slice(element * n_max, (element + 1) * n_max)
    for index in range(n_centres):
        first, last = environments.starts[index, element : element + 2].tolist()
        if first == last:
            continue
        gradients = environments.gradients[first:last].reshape(3 * (last - first), n_angular * n_max)
        begin, end = layout.bounds[index].tolist()
        _scatter(
            rows[begin:end],
            gradients @ adjoints[index].reshape(n_angular * n_max, n_tile),
            gradients @ np.ascontiguousarray(norm_gradients[index, :, channels]).ravel(),
            products[index],
            scales[index],
            int(layout.own[index]),
            layout.neighbours[first:last],
            environments.vectors[first:last],
        )


def _add_few(
    target: tuple[FloatArray, _Layout],
    environments: Environments,
    element: int,
    matrices: Sequence[FloatArray],
    norm_gradients: FloatArray,
    kernels: tuple[FloatArray, FloatArray],
) -> None:
    """Do what `_add_tile` does for a few points: every gradient is read once, for all points and the norm."""
    (rows, layout), (products, scales) = target, kernels
    coefficients = environments.coefficients
    n_centres, n_angular, _ = coefficients.shape
    n_max = environments.gradients.shape[3]
    n_tile = rows.shape[1]
    pulls = np.empty((n_centres, n_tile + 1, n_angular, n_max))
    for l_value, matrix in enumerate(matrices):
        angular = slice(l_value**2, (l_value + 1) ** 2)
        of_points = (coefficients[:, angular] @ matrix).reshape(n_centres, -1, n_max, n_tile)
        pulls[:, :n_tile, angular] = of_points.transpose(0, 3, 1, 2)
    pulls[:, n_tile] = norm_gradients[:, :, element * n_max : (element + 1) * n_max]
    _scatter_few(
        rows,
        layout.bounds,
        layout.own,
        environments.starts[:, element : element + 2],
        environments.gradients.reshape(len(environments.gradients), 3, n_angular * n_max),
        pulls.reshape(n_centres, n_tile + 1, n_angular * n_max),
        (np.ascontiguousarray(products), np.ascontiguousarray(scales)),
        (layout.neighbours, environments.vectors),
    )


@numba.njit(cache=True, nogil=True)
def _add_weighted(rows: FloatArray, values: FloatArray, places: IntArray, factors: FloatArray) -> None:
    for row in range(len(values)):
        own, factor = rows[places[row]], factors[row]
        for point in range(values.shape[1]):
            own[point] += factor * values[row, point]


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _scatter_few(
    rows: FloatArray,
    bounds: IntArray,
    own: IntArray,
    starts: IntArray,
    gradients: FloatArray,
    pulls: FloatArray,
    kernels: tuple[FloatArray, FloatArray],
    neighbourhood: tuple[IntArray, FloatArray],
) -> None:
    (products, scales), (neighbours, vectors) = kernels, neighbourhood
    n_points = rows.shape[1]
    derivatives = np.empty(n_points + 1)
    for index in range(len(starts)):
        begin, end = bounds[index, 0], bounds[index, 1]
        first_virial = end - 6
        centre = begin + 1 + 3 * own[index]
        for pair in range(starts[index, 0], starts[index, 1]):
            other = begin + 1 + 3 * neighbours[pair]
            for axis in range(3):
                gradient = gradients[pair, axis]
                for point in range(n_points + 1):
                    pull, total = pulls[index, point], 0.0
                    for channel in range(len(gradient)):
                        total += gradient[channel] * pull[channel]
                    derivatives[point] = total
                for point in range(n_points):
                    change = derivatives[point] - products[index, point] * derivatives[n_points]
                    value = scales[index, point] * change
                    rows[other + axis, point] += value
                    rows[centre + axis, point] -= value
                    for row_axis in range(axis + 1):
                        component = row_axis * (5 - row_axis) // 2 + axis
                        rows[first_virial + component, point] += vectors[pair, row_axis] * value


@numba.njit(cache=True, nogil=True)
def _scatter(
    rows: FloatArray,
    derivatives: FloatArray,
    norm_derivatives: FloatArray,
    products: FloatArray,
    scales: FloatArray,
    centre: int,
    neighbours: IntArray,
    vectors: FloatArray,
) -> None:
    n_points = rows.shape[1]
    first_virial = rows.shape[0] - 6
    value = np.empty(n_points)
    for neighbour in range(len(neighbours)):
        for axis in range(3):
            norm_derivative = norm_derivatives[3 * neighbour + axis]
            own = rows[1 + 3 * centre + axis]
            other = rows[1 + 3 * neighbours[neighbour] + axis]
            for point in range(n_points):
                change = derivatives[3 * neighbour + axis, point] - products[point] * norm_derivative
                value[point] = scales[point] * change
            for point in range(n_points):
                other[point] += value[point]
            for point in range(n_points):
                own[point] -= value[point]
            # xx, xy, xz, yy, yz, zz: r is the first factor.
            for row_axis in range(axis + 1):
                component = row_axis * (5 - row_axis) // 2 + axis
                distance = vectors[neighbour, row_axis]
                virial = rows[first_virial + component]
                for point in range(n_points):
                    virial[point] += distance * value[point]


@numba.njit(cache=True, nogil=True)
def _two_body_kernel(
    rows: FloatArray,
    centres: IntArray,
    neighbours: IntArray,
    vectors: FloatArray,
    points: FloatArray,
    weights: FloatArray,
    length_scale_A: float,
    cutoff_A: float,
    width_A: float,
) -> None:
    first_virial = rows.shape[0] - 6
    for pair in range(len(centres)):
        vector = vectors[pair]
        distance = np.sqrt(vector[0] ** 2 + vector[1] ** 2 + vector[2] ** 2)
        if distance >= cutoff_A:
            continue
        switch, slope = 1.0, 0.0
        if distance > cutoff_A - width_A:
            angle = np.pi * (distance - cutoff_A + width_A) / width_A
            switch = 0.5 * (1.0 + np.cos(angle))
            slope = -0.5 * np.pi / width_A * np.sin(angle)
        own = 1 + 3 * centres[pair]
        other = 1 + 3 * neighbours[pair]
        for point in range(len(points)):
            shift = (distance - points[point]) / length_scale_A
            kernel = weights[point] * np.exp(-0.5 * shift * shift)
            rows[0, point] += switch * kernel
            derivative = (slope - switch * shift / length_scale_A) * kernel / distance
            component = 0
            for axis in range(3):
                change = derivative * vector[axis]
                rows[other + axis, point] += change
                rows[own + axis, point] -= change
                for second_axis in range(axis, 3):
                    rows[first_virial + component, point] += change * vector[second_axis]
                    component += 1


@dataclass(frozen=True, eq=False)
class TwoBodyPoints:
    """Sparse distances of one pair of elements.

    ``distances`` in Å and ``weights`` in eV², the square of δ times the cutoff function there, each [n_points].
    """

    distances: FloatArray
    weights: FloatArray
    length_scale_A: float
    cutoff_A: float
    width_A: float


def cutoff_function(distances: FloatArray, cutoff_A: float, width_A: float) -> FloatArray:
    """Return the cosine switch from 1 at ``cutoff_A - width_A`` to 0 at ``cutoff_A``."""
    progress = np.clip((distances - cutoff_A + width_A) / width_A, 0.0, 1.0)
    return 0.5 * (1.0 + np.cos(np.pi * progress))


def add_two_body_rows(rows: FloatArray, pairs: tuple[IntArray, IntArray, FloatArray], points: TwoBodyPoints) -> None:
    """Add what ordered pairs (centres, neighbours, vectors in Å) of the points' elements contribute."""
    centres, neighbours, vectors = pairs
    _two_body_kernel(
        rows,
        centres,
        neighbours,
        vectors,
        points.distances,
        points.weights,
        points.length_scale_A,
        points.cutoff_A,
        points.width_A,
    )
