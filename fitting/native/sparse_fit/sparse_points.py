"""Sparse points of a fit: which environments and distances represent all the others.

Selection is a pure function of the descriptors, a number and a seed. ``cur_points`` samples by leverage
scores (Mahoney, Drineas, Proc. Natl. Acad. Sci. 2009, 106, 697, 10.1073/pnas.0803205106), as gap_fit does;
``farthest_points`` is the greedy cover of Gonzalez (Theor. Comput. Sci. 1985, 38, 293,
10.1016/0304-3975(85)90224-5). What joins the points of an earlier fit is chosen by `growth`, in a layer of its
own, so that rows computed for the earlier layers stay valid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import eigh

from ....core.arrays import FloatArray, IntArray
from ....core.errors import InputError
from ...settings import SparseMethod
from .row_cache import digest_of

CoordinateKey = tuple[int, ...]
"""A coordinate of the model: the central element (z,), a pair of elements (z1, z2) with z1 <= z2, or a triplet: in
ascending order, or the central element before the two others."""

_DUPLICATE_TOLERANCE = 1e-10
_MOST_GRID_DIMENSIONS = 3
_SMALLEST_RELATIVE_SINGULAR_VALUE = 1e-7  # what the eigenvalues of a Gram matrix resolve


@dataclass(frozen=True, eq=False)
class SparseLayer:
    """Sparse points that were chosen together: descriptors by coordinate, each [n_points, n_dimensions]."""

    points: Mapping[CoordinateKey, FloatArray]

    @cached_property
    def digest(self) -> str:
        """Digest of all points and of what they belong to."""
        parts: list[bytes | str] = []
        for key, points in sorted(self.points.items()):
            parts += [repr((key, points.shape)), np.ascontiguousarray(points, dtype="<f8").tobytes()]
        return digest_of(parts)

    @property
    def n_points(self) -> int:
        """Number of points of all coordinates."""
        return sum(len(points) for points in self.points.values())


@dataclass(frozen=True, eq=False)
class SparsePoints:
    """The sparse points of a model, layer by layer; a model's columns follow in this order."""

    layers: tuple[SparseLayer, ...]

    @property
    def n_points(self) -> int:
        """Number of points of all layers: the columns of the linear system."""
        return sum(layer.n_points for layer in self.layers)

    @cached_property
    def keys(self) -> tuple[CoordinateKey, ...]:
        """Coordinates that have points: triplets, pairs, elements, each in ascending order."""
        present = {key for layer in self.layers for key, points in layer.points.items() if len(points)}
        return tuple(sorted(present, key=lambda key: (-len(key), key)))

    def of(self, key: CoordinateKey) -> FloatArray:
        """Return all points of a coordinate, earlier layers first. Shape [n_points, n_dimensions], [0, 0] if none."""
        parts = [layer.points[key] for layer in self.layers if len(layer.points.get(key, ()))]
        return np.concatenate(parts) if parts else np.zeros((0, 0))

    def columns(self, key: CoordinateKey) -> IntArray:
        """Return the columns of a coordinate's points, in the order of `of`."""
        found = [columns for _, other, columns in self.column_ranges() if other == key]
        return np.concatenate([np.arange(part.start, part.stop) for part in found])

    def column_ranges(self) -> Iterator[tuple[int, CoordinateKey, slice]]:
        """Yield layer, coordinate and columns, which follow each other without gaps."""
        start = 0
        for number, layer in enumerate(self.layers):
            for key, points in layer.points.items():
                yield number, key, slice(start, start + len(points))
                start += len(points)


def distinct_rows(descriptors: FloatArray) -> IntArray:
    """Return the indices of descriptors without their duplicates, of which the first stays.

    Equal are two whose components differ by less than 1e-10, as in gap_fit.
    """
    sums = np.abs(descriptors).sum(axis=1)
    order = np.argsort(sums, kind="stable")
    if descriptors.shape[1] == 1:
        steps = np.diff(sums[order], prepend=-np.inf)
        return np.sort(order[steps >= _DUPLICATE_TOLERANCE])
    kept: list[int] = []
    duplicate = np.zeros(len(descriptors), dtype=bool)
    ordered_sums = sums[order]
    starts = np.searchsorted(ordered_sums, ordered_sums - _DUPLICATE_TOLERANCE, side="left")
    for position, first in enumerate(starts.tolist()):
        index = order[position]
        others = [other for other in order[first:position] if not duplicate[other]]
        if others and np.any(np.abs(descriptors[others] - descriptors[index]).max(axis=1) < _DUPLICATE_TOLERANCE):
            duplicate[index] = True
            continue
        kept.append(int(index))
    return np.array(sorted(kept), dtype=np.int64)


def rows_not_in(descriptors: FloatArray, others: FloatArray) -> FloatArray:
    """Return the descriptors that none of some others equals, in the sense of `distinct_rows`."""
    equal = np.zeros(len(descriptors), dtype=bool)
    for other in others:
        equal |= np.abs(descriptors - other).max(axis=1) < _DUPLICATE_TOLERANCE
    return descriptors[~equal]


def leverage_scores(descriptors: FloatArray) -> tuple[FloatArray, int]:
    """Return the weight of each descriptor in the leading half of their singular vectors, and the vectors' number.

    The scores sum to that number. Memory is the square of the smaller dimension.
    """
    n_points, n_dimensions = descriptors.shape
    small_side = n_points <= n_dimensions
    gram = descriptors @ descriptors.T if small_side else descriptors.T @ descriptors
    eigenvalues, vectors = eigh(gram, overwrite_a=True, check_finite=False)
    largest = max(float(eigenvalues[-1]), 0.0)
    rank = int(np.sum(eigenvalues > _SMALLEST_RELATIVE_SINGULAR_VALUE**2 * largest)) if largest else 0
    n_leading = max(1, rank // 2)
    leading = vectors[:, len(eigenvalues) - n_leading :]
    if not small_side:
        singular = np.sqrt(np.maximum(eigenvalues[len(eigenvalues) - n_leading :], np.finfo(float).tiny))
        leading = (descriptors @ leading) / singular
    return np.einsum("ij,ij->i", leading, leading), n_leading


def cur_points(descriptors: FloatArray, count: int, random: np.random.Generator) -> IntArray:
    """Return the indices of ``count`` descriptors, drawn with probabilities by their leverage scores."""
    scores, n_leading = leverage_scores(descriptors)
    probabilities = np.minimum(1.0, count / n_leading * scores)
    return np.argsort(random.uniform(size=len(scores)) - probabilities, kind="stable")[:count]


def farthest_points(descriptors: FloatArray, count: int, random: np.random.Generator) -> IntArray:
    """Return the indices of ``count`` descriptors, each the farthest from all before it; the first is random."""
    squares = np.einsum("ij,ij->i", descriptors, descriptors)
    nearest = np.full(len(descriptors), np.inf)
    chosen = [int(random.integers(len(descriptors)))]
    while len(chosen) < count:
        point = descriptors[chosen[-1]]
        np.minimum(nearest, squares + point @ point - 2.0 * (descriptors @ point), out=nearest)
        nearest[chosen] = -np.inf
        chosen.append(int(np.argmax(nearest)))
    return np.array(chosen[:count], dtype=np.int64)


def uniform_points(descriptors: FloatArray, count: int, random: np.random.Generator) -> IntArray:
    """Return the indices of ``count`` descriptors of few components, the first met in each cell of a grid, as gap_fit.

    The grid has as many nodes along each component as give ``count`` cells or more; the first ``count`` that are met
    are taken, and where there are fewer the rest is filled at random.

    Parameters
    ----------
    descriptors
        Shape [n, n_dimensions].
    count
        How many.
    random
        Fills.
    """
    n_dimensions = descriptors.shape[1]
    n_nodes = next(nodes for nodes in range(1, count + 1) if nodes**n_dimensions >= count)
    lowest, widths = descriptors.min(axis=0), np.ptp(descriptors, axis=0)
    scales = np.divide(n_nodes - 1, widths, out=np.zeros_like(widths), where=widths > 0)
    nodes = np.rint((descriptors - lowest) * scales).astype(np.int64)
    cells = nodes @ (n_nodes ** np.arange(n_dimensions))
    _, first = np.unique(cells, return_index=True)
    chosen = np.sort(first)[:count]
    rest = np.setdiff1d(np.arange(len(descriptors)), chosen)
    fill = random.choice(rest, size=count - len(chosen), replace=False)
    return np.concatenate([chosen, fill]).astype(np.int64)


def evenly_spaced_points(distances: FloatArray, count: int) -> FloatArray:
    """Return ``count`` distances from the shortest to the longest in equal steps. Shapes [n, 1] and [count, 1].

    No data stand there, which a sparse point needs not: the kernel is as well known at any distance. Those of
    `uniform_points` lie anywhere in their cells and leave gaps of up to two steps.
    """
    return np.linspace(distances.min(), distances.max(), count)[:, None]


def select_points(candidates: FloatArray, count: int, method: SparseMethod, random: np.random.Generator) -> FloatArray:
    """Return sparse points, fewer where there are fewer distinct candidates; in the order of the data, where they are.

    Parameters
    ----------
    candidates
        Descriptors of the data. Shape [n_candidates, n_dimensions].
    count
        Sparse points.
    method
        How they are chosen.
    random
        Draws what the method leaves open.

    Raises
    ------
    InputError
        If the method does not apply to these descriptors.
    """
    if method == "uniform" and candidates.shape[1] > _MOST_GRID_DIMENSIONS:
        raise InputError(
            "sparse_method uniform is for pairs and triplets; choose cur_points, farthest_points or random"
        )
    if method == "evenly_spaced" and candidates.shape[1] != 1:
        raise InputError("sparse_method evenly_spaced is for pairs; choose uniform for triplets, cur_points for SOAP")
    candidates = candidates[distinct_rows(candidates)]
    if count >= len(candidates):
        return candidates
    if method == "evenly_spaced":
        return evenly_spaced_points(candidates, count)
    return candidates[np.sort(_choose(candidates, count, method, random))]


def _choose(candidates: FloatArray, count: int, method: SparseMethod, random: np.random.Generator) -> IntArray:
    if method == "uniform":
        return uniform_points(candidates, count, random)
    if method == "farthest_points":
        return farthest_points(candidates, count, random)
    if method == "cur_points":
        return cur_points(candidates, count, random)
    return random.choice(len(candidates), size=count, replace=False)


def thin(indices: IntArray, limit: int, random: np.random.Generator) -> IntArray:
    """Return at most ``limit`` of the indices, drawn at random and in their order."""
    if len(indices) <= limit:
        return indices
    return np.sort(random.choice(indices, size=limit, replace=False))


def single_layer(
    points: Mapping[CoordinateKey, FloatArray] | Sequence[tuple[CoordinateKey, FloatArray]],
) -> SparsePoints:
    """Return sparse points given as a list, to be used as they are.

    Raises
    ------
    InputError
        If there are none, or arrays are not two-dimensional and finite.
    """
    checked = {key: np.array(values, dtype=np.float64) for key, values in dict(points).items()}
    for key, values in checked.items():
        if values.ndim != 2 or not np.isfinite(values).all():
            raise InputError(f"sparse points of {key} must be finite numbers [n_points, n_dimensions]")
    if not any(len(values) for values in checked.values()):
        raise InputError("a fit needs sparse points; none are given")
    return SparsePoints((SparseLayer(checked),))
