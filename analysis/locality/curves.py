"""Locality of a potential: the force that far atoms induce on a centre, which no short-ranged model can follow.

Protocol (i), *displacement*: atoms farther than r from a centre are displaced at random; the mean size of the
change of its force is reported against r (Deringer, Csányi, Phys. Rev. B 2017, 95, 094203,
10.1103/PhysRevB.95.094203; Staacke et al., ACS Appl. Energy Mater. 2021, 4, 12562, 10.1021/acsaem.1c02363).
Protocol (ii), *frozen-sphere*, is in `ionloop.analysis.locality.frozen_sphere`.

A model that sees no farther than r answers all these displacements with one force, so their scatter is a lower
bound of its error. Distances are to the nearest image.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculationFailed, Calculator
from ase.geometry import minkowski_reduce
from numpy.typing import ArrayLike
from pydantic import Field

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError
from ...core.settings import FrozenModel
from .settings import Protocol

Evaluate = Callable[[Atoms], FloatArray]
"""Gives forces, or anything of the shape [..., n_atoms, 3], of a structure."""

OVERALL = "all"
"""The curve over all species, each with its share of the atoms."""
BOOTSTRAP = 400
LARGEST_REPETITION = 20
# Spheres that just touch are inside; a cell read from a file has as many digits.
_TOUCH_A = 1e-6


def largest_radius_A(cell: ArrayLike) -> float:
    """Return the radius of the largest sphere that does not meet its own periodic images (Å).

    It is half of the lattice's shortest vector, the inscribed sphere of the Wigner-Seitz cell. ``cell``: shape
    [3, 3] (Å).
    """
    reduced, _ = minkowski_reduce(np.asarray(cell, dtype=np.float64))
    return float(np.linalg.norm(reduced, axis=1).min() / 2)


def smallest_supercell(cell: ArrayLike, radius_A: float) -> tuple[int, int, int]:
    """Return the repetitions with the fewest atoms whose cell holds a sphere of that radius.

    Raises
    ------
    InputError
        If 20 repetitions along each axis are too few.
    """
    vectors = np.asarray(cell, dtype=np.float64)
    # Along an axis no more are needed than make the planes of the cell as far apart as the sphere is wide.
    widths = 1 / np.linalg.norm(np.linalg.inv(vectors), axis=0)
    most = [max(1, math.ceil((2 * radius_A - _TOUCH_A) / width)) for width in widths]
    if max(most) > LARGEST_REPETITION:
        raise InputError(
            f"a sphere of {radius_A:g} Å needs the cell {max(most)} times along an axis, more than "
            f"{LARGEST_REPETITION}; choose smaller radii"
        )
    a, b, c = (range(1, number + 1) for number in most)
    by_size = sorted(itertools.product(a, b, c), key=lambda repeats: (math.prod(repeats), max(repeats), repeats))
    return next(r for r in by_size if _holds(vectors * np.array(r)[:, np.newaxis], radius_A))


def _holds(cell: ArrayLike, radius_A: float) -> bool:
    return largest_radius_A(cell) >= radius_A - _TOUCH_A


def locality_cell(atoms: Atoms, radius_A: float, supercell: Sequence[int] | None = None) -> Atoms:
    """Return ``atoms`` repeated so that a sphere of ``radius_A`` around any atom does not meet its images.

    The first atoms are those of ``atoms``, in their order.

    Parameters
    ----------
    supercell
        Repetitions; None takes the smallest.

    Raises
    ------
    InputError
        If the cell is not periodic in three directions, or the given supercell is too small: with what would do.
    """
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        raise InputError("a locality test needs a cell that is periodic in three directions")
    enough = smallest_supercell(atoms.cell.array, radius_A)
    repeats = tuple(supercell) if supercell is not None else enough
    repeated = atoms.repeat(repeats)
    if not _holds(repeated.cell.array, radius_A):
        raise InputError(
            f"a supercell of {list(repeats)} holds spheres of at most {largest_radius_A(repeated.cell.array):.2f} Å, "
            f"less than the radius of {radius_A:g} Å: take {list(enough)}, or smaller radii"
        )
    return repeated


@dataclass(frozen=True)
class Centre:
    """An atom whose force is watched."""

    index: int
    symbol: str


def choose_centres(atoms: Atoms, per_species: int, seed: int) -> tuple[Centre, ...]:
    """Return ``per_species`` atoms of every species, or all there are; more centres include the fewer.

    ``atoms`` is the cell before it is repeated, so that no two centres are images of each other.
    """
    chosen: list[Centre] = []
    for number in sorted(set(atoms.numbers.tolist())):
        own = np.flatnonzero(atoms.numbers == number)
        drawn = np.random.default_rng([seed, number]).permutation(own)[:per_species]
        chosen.extend(Centre(int(index), str(atoms.symbols[index])) for index in drawn)
    return tuple(chosen)


@dataclass(frozen=True)
class Displacements:
    """The random displacements of protocol (i).

    One draw moves the atoms beyond every radius: the same atoms by the same vectors, so that the curve against
    radius is not blurred by the differences between draws; samples and centres are independent of each other.
    Equal ``seed``, centre and sample give equal structures for every potential.
    """

    radii_A: tuple[float, ...]
    samples: int
    displacement_A: float
    seed: int

    def draw(self, n_atoms: int, centre: int, sample: int) -> FloatArray:
        """Return the displacements of all atoms, shape [n_atoms, 3] (Å)."""
        generator = np.random.default_rng([self.seed, centre, sample])
        return generator.normal(0.0, self.displacement_A, (n_atoms, 3))

    def displaced(self, atoms: Atoms, centre: int, radius_A: float, sample: int) -> Atoms:
        """Return a copy in which every atom beyond the radius is displaced."""
        moved = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        far = distances_A(atoms, centre) > radius_A
        moved.positions[far] += self.draw(len(atoms), centre, sample)[far]
        return moved


def distances_A(atoms: Atoms, centre: int) -> FloatArray:
    """Return the distance of every atom to the nearest image of the centre, shape [n_atoms] (Å)."""
    distances: FloatArray = atoms.get_distances(centre, np.arange(len(atoms)), mic=True)
    return distances


def forces_of(calculator: Calculator) -> Evaluate:
    """Return the function that evaluates the forces by an ASE calculator."""

    def evaluate(atoms: Atoms) -> FloatArray:
        return np.array(calculator.get_property("forces", atoms), dtype=np.float64)

    return evaluate


def induced_response(
    evaluate: Evaluate,
    atoms: Atoms,
    centre: int,
    displacements: Displacements,
    *,
    known: FloatArray | None = None,
    on_sample: Callable[[FloatArray, int], None] | None = None,
) -> FloatArray:
    """Return what displacements beyond each radius change at the centre: F^k - F^0, or the like of other arrays.

    Parameters
    ----------
    evaluate
        `forces_of` a calculator, or anything that gives an array [..., n_atoms, 3].
    known
        What an interrupted call passed to ``on_sample`` last: values that are there are not computed again.
    on_sample
        Called after every evaluation with what there is (nan where nothing is yet) and the number of evaluations.

    Returns
    -------
    Shape [n_radii, n_samples, ..., 3]; nan where the calculator failed (`CalculationFailed`).

    Raises
    ------
    CalculationFailed
        If the undisplaced structure cannot be evaluated.
    """
    grid = (len(displacements.radii_A), displacements.samples)
    plain = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    if known is not None and known.shape[:2] == grid and np.all(np.isfinite(known)):
        return known
    still = evaluate(plain)[..., centre, :]
    shape = (*grid, *still.shape)
    found = known.copy() if known is not None and known.shape == shape else np.full(shape, np.nan)
    for done, (sample, index) in enumerate(itertools.product(range(grid[1]), range(grid[0])), start=1):
        if not np.all(np.isfinite(found[index, sample])):
            moved = displacements.displaced(plain, centre, displacements.radii_A[index], sample)
            try:
                found[index, sample] = evaluate(moved)[..., centre, :] - still
            except CalculationFailed:
                # One displacement that the engine cannot do says nothing about the others.
                continue
            if on_sample is not None:
                on_sample(found, done)
    return found


class LocalityCurve(FrozenModel):
    """Locality of one species, one value for each radius.

    The value is the mean of |F^k - F^0| over centres and samples (protocol i), or the mean of σ_f over centres
    (protocol ii), with the standard deviation of the same; the error is that of the value.
    """

    value_eV_per_A: tuple[float, ...] = Field(description="Mean induced force, or σ_f (eV/Å)")
    deviation_eV_per_A: tuple[float, ...] = Field(description="Standard deviation (eV/Å)")
    error_eV_per_A: tuple[float, ...] = Field(description="Standard error of the value, by bootstrap (eV/Å)")
    component_rms_eV_per_A: tuple[float, ...] = Field(
        description="Root-mean-square of one component, the bound of a model's force error (eV/Å)"
    )
    component_rms_error_eV_per_A: tuple[float, ...] = Field(description="Its standard error, by bootstrap (eV/Å)")
    centres: int = Field(description="Centres (number)")


class LocalityBound(FrozenModel):
    """Force error that no model of a cutoff can fall below."""

    cutoff_A: float = Field(description="Cutoff of the model (Å)")
    force_eV_per_A: float = Field(description="Root-mean-square error of a force component, all atoms (eV/Å)")
    error_eV_per_A: float = Field(description="Standard error of that (eV/Å)")
    by_element_eV_per_A: dict[str, float] = Field(description="The same for each element (eV/Å)")


class LocalityResult(FrozenModel):
    """A locality test, before and after the forces of a baseline are taken away."""

    protocol: Protocol = Field(description="displacement or frozen-sphere (name)")
    potential: str = Field(description="Potential that was tested (name)")
    radii_A: tuple[float, ...] = Field(description="Radii (Å)")
    atoms: int = Field(description="Atoms in the cell (number)")
    before: dict[str, LocalityCurve] = Field(description="Curves by species, and overall as 'all' (eV/Å)")
    after: dict[str, LocalityCurve] | None = Field(
        default=None, description="The same of the potential minus the baseline (eV/Å)"
    )

    def bound(self, cutoff_A: float, *, baseline: bool, is_fitted: bool = False) -> LocalityBound | None:
        """Return the bound for models of that cutoff, with or without the baseline, between the radii.

        It is read at r = cutoff (protocol i, as the ES-GAP paper does) or at 2 R_cut (protocol ii). A baseline that was
        fitted with a model follows the environment, too, and what of it is local the model makes up for: as far as its
        forces reach, 2 R_cut, there is no bound after it. None outside of the radii, where nothing is extrapolated, and
        where there is no baseline but it is asked for.
        """
        curves = self.after if baseline else self.before
        at = cutoff_A if self.protocol == "displacement" and not (baseline and is_fitted) else 2 * cutoff_A
        if curves is None or not self.radii_A[0] <= at <= self.radii_A[-1]:
            return None

        def read(values: Sequence[float]) -> float:
            # A decay is nearer to a straight line in the logarithm; zero has none.
            positive = np.maximum(values, np.finfo(float).tiny)
            return float(np.exp(np.interp(at, self.radii_A, np.log(positive))))

        overall = curves[OVERALL]
        return LocalityBound(
            cutoff_A=cutoff_A,
            force_eV_per_A=read(overall.component_rms_eV_per_A),
            error_eV_per_A=float(np.interp(at, self.radii_A, overall.component_rms_error_eV_per_A)),
            by_element_eV_per_A={
                symbol: read(curve.component_rms_eV_per_A) for symbol, curve in curves.items() if symbol != OVERALL
            },
        )


def locality_curves(
    responses: Sequence[tuple[str, FloatArray]],
    counts: Mapping[str, int],
    *,
    protocol: Protocol = "displacement",
    seed: int = 0,
) -> dict[str, LocalityCurve]:
    """Return the curve of every species that has centres and, as ``all``, of all atoms.

    Parameters
    ----------
    responses
        Species of each centre with its induced forces, shape [n_radii, n_samples, 3] (eV/Å); a sample that has nan
        at any radius is left out. For protocol (ii): the forces minus their mean over the frames.
    counts
        Atoms of each species: the weights of the overall curve. Where a species has no centres, there is none.
    seed
        Of the bootstrap over centres and, within each, samples (blocks of frames in protocol ii).

    Raises
    ------
    ValueError
        If no sample is whole.
    """
    squares: dict[str, list[FloatArray]] = {}
    for symbol, forces in responses:
        whole = np.all(np.isfinite(forces), axis=(0, 2))
        if np.any(whole):
            squares.setdefault(symbol, []).append(np.sum(np.square(forces[:, whole]), axis=-1))
    if not squares:
        raise ValueError("no sample around any centre is whole")
    curves = {
        symbol: _curve(squares[symbol], protocol, np.random.default_rng([seed, index]))
        for index, symbol in enumerate(sorted(squares))
    }
    if set(counts) <= set(curves):
        curves[OVERALL] = _overall({symbol: curves[symbol] for symbol in sorted(counts)}, counts)
    return curves


def _curve(squares: Sequence[FloatArray], protocol: Protocol, generator: np.random.Generator) -> LocalityCurve:
    """Return the curve of |ΔF|², for each centre of shape [n_radii, n_samples]."""
    resampled = []
    for _ in range(BOOTSTRAP):
        drawn = (squares[centre] for centre in generator.integers(len(squares), size=len(squares)))
        picked = [own[:, _resample(own.shape[1], protocol, generator)] for own in drawn]
        resampled.append((_sizes(picked, protocol).mean(axis=1), _component_rms(picked)))
    sizes = _sizes(squares, protocol)
    value_error, component_error = np.std(resampled, axis=0)
    return LocalityCurve(
        value_eV_per_A=tuple(sizes.mean(axis=1).tolist()),
        deviation_eV_per_A=tuple(sizes.std(axis=1).tolist()),
        error_eV_per_A=tuple(value_error.tolist()),
        component_rms_eV_per_A=tuple(_component_rms(squares).tolist()),
        component_rms_error_eV_per_A=tuple(component_error.tolist()),
        centres=len(squares),
    )


def _resample(n_samples: int, protocol: Protocol, generator: np.random.Generator) -> IntArray:
    """Return indices of samples drawn with replacement, shape [n_samples]; frames, which are alike, in runs."""
    run = 1 if protocol == "displacement" else math.ceil(math.sqrt(n_samples))
    starts = generator.integers(n_samples, size=math.ceil(n_samples / run))
    indices: IntArray = (starts[:, np.newaxis] + np.arange(run)).ravel()[:n_samples] % n_samples
    return indices


def _sizes(squares: Sequence[FloatArray], protocol: Protocol) -> FloatArray:
    """Return what is averaged, shape [n_radii, n]: |ΔF| of every sample, or σ_f of every centre."""
    if protocol == "frozen-sphere":
        return np.stack([np.sqrt(own.mean(axis=1)) for own in squares], axis=1)
    sizes: FloatArray = np.sqrt(np.concatenate(squares, axis=1))
    return sizes


def _component_rms(squares: Sequence[FloatArray]) -> FloatArray:
    """Return the root-mean-square force component, shape [n_radii]."""
    component: FloatArray = np.sqrt(np.concatenate(squares, axis=1).mean(axis=1) / 3)
    return component


def _overall(curves: Mapping[str, LocalityCurve], counts: Mapping[str, int]) -> LocalityCurve:
    """Return the curve of all atoms, from species that were drawn independently."""
    shares = np.array([counts[symbol] for symbol in curves], dtype=np.float64)
    shares /= shares.sum()

    def table(name: str) -> FloatArray:
        return np.array([getattr(curve, name) for curve in curves.values()])

    value, deviation = table("value_eV_per_A"), table("deviation_eV_per_A")
    component, component_error = table("component_rms_eV_per_A"), table("component_rms_error_eV_per_A")
    mean = shares @ value
    component_rms = np.sqrt(shares @ component**2)
    slope = shares[:, np.newaxis] * component / np.maximum(component_rms, np.finfo(float).tiny)
    return LocalityCurve(
        value_eV_per_A=tuple(mean.tolist()),
        deviation_eV_per_A=tuple(np.sqrt(np.maximum(shares @ (deviation**2 + value**2) - mean**2, 0)).tolist()),
        error_eV_per_A=tuple(np.sqrt(shares**2 @ table("error_eV_per_A") ** 2).tolist()),
        component_rms_eV_per_A=tuple(component_rms.tolist()),
        component_rms_error_eV_per_A=tuple(np.sqrt(np.sum((slope * component_error) ** 2, axis=0)).tolist()),
        centres=sum(curve.centres for curve in curves.values()),
    )
