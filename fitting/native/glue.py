"""Embedded-atom and pair potentials of splines (QUIP's ``IP Glue``), which GAPs are fitted on top of as their core.

E = Σ_i F_i(Σ_j ρ_j(r_ij)) + 1/2 Σ_i Σ_j V_ij(r_ij) (Daw, Baskes, Phys. Rev. B 1984, 29, 6443,
10.1103/PhysRevB.29.6443). All are cubic splines through tabulated points, with the slope given at either end, or no
curvature there; below their first point they go on as straight lines. V and ρ end at their last point, also where
they are not zero there; F goes on straight. The usual core has F = 0 and a steep repulsion V.
"""
# mypy cannot see through numba's decorator, and the arguments of kernels are arrays throughout.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

from ...core.arrays import FloatArray, IntArray
from ...core.errors import IonloopError
from ..compiler import numba
from .descriptor_strings import WITH_QUIPPY
from .neighbours import NeighbourPairs
from .xml_elements import MalformedXml, integer, logical, only_child, real, to_real

NATURAL_SLOPE = 1e30
"""A slope of this size or more means: no curvature at that end."""


@dataclass(frozen=True, eq=False)
class Spline:
    """A function through points.

    Attributes
    ----------
    x, y
        The points, x ascending. Shape [n_points], two or more.
    slopes
        At the first and the last point; `NATURAL_SLOPE` or more for no curvature.
    """

    x: FloatArray
    y: FloatArray
    slopes: tuple[float, float]

    @property
    def is_zero(self) -> bool:
        """Whether the function is zero everywhere."""
        return not self.y.any() and all(slope == 0.0 or slope >= NATURAL_SLOPE for slope in self.slopes)

    def pieces(self) -> FloatArray:
        """Return start, value and three more coefficients of each piece, the straight lines at both ends too.

        Shape [n_points + 1, 5]; the first piece's start counts for its argument only.
        """

        from scipy.interpolate import CubicSpline

        first, last = ((2, 0.0) if slope >= NATURAL_SLOPE else (1, slope) for slope in self.slopes)
        spline = CubicSpline(self.x, self.y, bc_type=(first, last))
        inner = np.column_stack([self.x[:-1], *spline.c[::-1]])
        ends = [[x, spline(x), spline(x, 1), 0.0, 0.0] for x in (self.x[0], self.x[-1])]
        return np.ascontiguousarray(np.vstack([ends[0], inner, ends[1]]))


@dataclass(frozen=True, eq=False)
class GluePotential:
    """Pair potentials, and embedding functions of densities.

    Attributes
    ----------
    pairs
        V by the atomic numbers of both atoms, in ascending order, eV and Å.
    densities, embeddings
        ρ and F by atomic number; empty where F is zero, eV and Å.
    numbers
        Elements that it names.
    """

    pairs: Mapping[tuple[int, int], Spline]
    densities: Mapping[int, Spline]
    embeddings: Mapping[int, Spline]
    numbers: frozenset[int]

    @property
    def cutoff_A(self) -> float:
        """The longest reach, Å."""
        return max((float(spline.x[-1]) for spline in (*self.pairs.values(), *self.densities.values())), default=0.0)


def read_glue(element: ElementTree.Element) -> GluePotential:
    """Read a ``Glue_params`` element.

    Raises
    ------
    MalformedXml
        If it makes no sense.
    IonloopError
        If it has what is not supported.
    """
    numbers: dict[int, int] = {}
    densities: dict[int, Spline] = {}
    embeddings: dict[int, Spline] = {}
    for part in element.findall("per_type_data"):
        atomic_number = integer(part, "atomic_num")
        numbers[integer(part, "type")] = atomic_number
        embedding = _read_spline(only_child(part, "potential_density"), ("rho", "E"), ("y1", "yn"), NATURAL_SLOPE)
        if embedding.is_zero:
            continue
        density = only_child(part, "density")
        if not logical(density, "do_spline", False):
            raise IonloopError(f"its Glue has a density of element {atomic_number} without do_spline=T, which is not "
                               f"supported: {WITH_QUIPPY}")  # fmt: skip
        embeddings[atomic_number] = embedding
    if embeddings:
        for part in element.findall("per_type_data"):
            density = only_child(part, "density")
            densities[integer(part, "atomic_num")] = _read_spline(density, ("a", "rho"), ("density_y1", "density_yn"))
            if not logical(density, "do_spline", False):
                raise IonloopError(f"its Glue has a density without do_spline=T, which is not supported: {WITH_QUIPPY}")
    pairs: dict[tuple[int, int], Spline] = {}
    for part in element.findall("per_pair_data"):
        types = integer(part, "type1"), integer(part, "type2")
        if not set(types) <= set(numbers):
            raise MalformedXml(f"its Glue has a pair of types {types[0]} and {types[1]}, but only {sorted(numbers)}")
        first, second = sorted(numbers[kind] for kind in types)
        pairs[first, second] = _read_spline(only_child(part, "potential_pair"), ("r", "E"), ("y1", "yn"))
    return GluePotential(pairs, densities, embeddings, frozenset(numbers.values()))


def _read_spline(
    element: ElementTree.Element, names: tuple[str, str], slopes: tuple[str, str], default: float = 0.0
) -> Spline:
    points = element.findall("point")
    x, y = (np.array([real(point, name) for point in points]) for name in names)
    if len(x) < 2 or np.any(np.diff(x) <= 0) or integer(element, "num_points") != len(x):
        raise MalformedXml(f"{element.tag} of its Glue needs num_points points, two or more, {names[0]} ascending")
    ends = [default if element.get(name) is None else to_real(element.get(name, ""), name) for name in slopes]
    return Spline(x, y, (ends[0], ends[1]))


def glue_lines(glue: GluePotential) -> list[str]:
    """Return a potential as the lines of its XML element: the same for equal potentials."""
    types = {atomic_number: kind for kind, atomic_number in enumerate(sorted(glue.numbers), start=1)}
    nothing = Spline(np.array([0.0, 1.0]), np.zeros(2), (0.0, 0.0))
    lines = [f'<Glue_params n_types="{len(types)}">']
    for atomic_number, kind in types.items():
        density, embedding = glue.densities.get(atomic_number, nothing), glue.embeddings.get(atomic_number, nothing)
        lines.append(f'  <per_type_data atomic_num="{atomic_number}" type="{kind}">')
        lines += _spline_lines("density", density, ("a", "rho"), ("density_y1", "density_yn"), ' do_spline="T"')
        lines += _spline_lines("potential_density", embedding, ("rho", "E"), ("y1", "yn"))
        lines.append("  </per_type_data>")
    for (first, second), spline in sorted(glue.pairs.items()):
        lines.append(f'  <per_pair_data type1="{types[first]}" type2="{types[second]}">')
        lines += _spline_lines("potential_pair", spline, ("r", "E"), ("y1", "yn"))
        lines.append("  </per_pair_data>")
    return [*lines, "</Glue_params>"]


def _spline_lines(
    tag: str, spline: Spline, names: tuple[str, str], slopes: tuple[str, str], more: str = ""
) -> list[str]:
    ends = " ".join(f'{name}="{value!r}"' for name, value in zip(slopes, spline.slopes, strict=True))
    points = zip(spline.x.tolist(), spline.y.tolist(), strict=True)
    return [
        f'    <{tag} num_points="{len(spline.x)}" {ends}{more}>',
        *(f'      <point {names[0]}="{x!r}" {names[1]}="{y!r}"/>' for x, y in points),
        f"    </{tag}>",
    ]


class GlueTerm:
    """A spline potential, ready for evaluation."""

    def __init__(self, glue: GluePotential) -> None:
        self.glue = glue
        self._pairs = [(*numbers, float(spline.x[-1]), spline.pieces()) for numbers, spline in glue.pairs.items()]
        self._densities = {n: (float(spline.x[-1]), spline.pieces()) for n, spline in glue.densities.items()}
        self._embeddings = {n: spline.pieces() for n, spline in glue.embeddings.items()}

    def add(self, pairs: NeighbourPairs, numbers: IntArray, energies: FloatArray, gradients: FloatArray) -> None:
        """Add the atoms' energies (eV) [n_atoms] and their gradients on the pairs (eV/Å) [n_pairs, 3]."""
        first = pairs.first
        own, other = numbers[first], numbers[pairs.second]
        low, high = np.minimum(own, other), np.maximum(own, other)
        for a, b, cutoff, pieces in self._pairs:
            chosen = np.flatnonzero((low == a) & (high == b) & (pairs.distances < cutoff))
            value, slope = _evaluate(pieces, pairs.distances[chosen])
            energies += 0.5 * np.bincount(first[chosen], value, len(numbers))
            _pull(pairs, chosen, 0.5 * slope, gradients)
        if not self._embeddings:
            return
        density, slopes = np.zeros(len(own)), np.zeros(len(own))
        for b, (cutoff, pieces) in self._densities.items():
            chosen = np.flatnonzero((other == b) & (pairs.distances < cutoff))
            density[chosen], slopes[chosen] = _evaluate(pieces, pairs.distances[chosen])
        total = np.bincount(first, density, len(numbers))
        embedding_slopes = np.zeros(len(numbers))
        for a, pieces in self._embeddings.items():
            atoms = np.flatnonzero(numbers == a)
            value, embedding_slopes[atoms] = _evaluate(pieces, total[atoms])
            energies[atoms] += value
        _pull(pairs, np.arange(len(own)), embedding_slopes[first] * slopes, gradients)


def _pull(pairs: NeighbourPairs, chosen: IntArray, slope: FloatArray, gradients: FloatArray) -> None:
    gradients[chosen] += (slope / pairs.distances[chosen])[:, None] * pairs.vectors[chosen]


@numba.njit(cache=True, nogil=True)
def _evaluate(pieces, x):
    values, slopes = np.empty(len(x)), np.empty(len(x))
    for index in range(len(x)):
        # The last piece that starts at x or before; the first where none does. `searchsorted` takes seconds to compile.
        low, high = 0, len(pieces) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if pieces[middle, 0] <= x[index]:
                low = middle
            else:
                high = middle - 1
        piece = pieces[low]
        t = x[index] - piece[0]
        values[index] = piece[1] + t * (piece[2] + t * (piece[3] + t * piece[4]))
        slopes[index] = piece[2] + t * (2.0 * piece[3] + t * 3.0 * piece[4])
    return values, slopes
