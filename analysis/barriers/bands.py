"""Minimum-energy paths between two minima, and the barriers along them.

Nudged elastic bands by ASE with the improved tangent (Henkelman, Jónsson, J. Chem. Phys. 2000, 113, 9978,
10.1063/1.1323224) and then a climbing image (Henkelman, Uberuaga, Jónsson, ibid. 9901, 10.1063/1.1329672). The
first guess interpolates pair distances (IDPP: Smidstrup et al., ibid. 2014, 140, 214106, 10.1063/1.4878664).
A band can be stopped anywhere: its checkpoint holds all that the optimiser needs to go on as if nothing had been.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.singlepoint import SinglePointCalculator
from ase.geometry import find_mic

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError, IonloopError
from ...fitting.pair_lists import periodic_pairs
from .checkpoints import BandOrigin, BandState, Checkpoint
from .settings import LOWEST_BARRIER_EV, BandSettings

if TYPE_CHECKING:
    from ase.mep import NEB


_METHOD = "improvedtangent"
_CURVE_POINTS = 121
_INTERPOLATION_CUTOFF_A = 5.0
_INTERPOLATION_FORCE = 0.1
_INTERPOLATION_STEPS = 100
_SHORTEST_STEP_A = 1e-6


class BandFailed(IonloopError):
    """No path was found; the message says why."""


@dataclass(frozen=True)
class Band:
    """A path.

    Attributes
    ----------
    positions
        Å, continuous from image to image, shape [n_images, n_atoms, 3].
    energies, forces
        eV, [n_images]; eV/Å, [n_images, n_atoms, 3].
    largest_force_eV_per_A
        Largest force of the band (perpendicular to it; along it at the climbing image) at the end (eV/Å).
    steps
        Steps taken in all.
    reason
        Why it did not converge, empty where it did.
    """

    positions: FloatArray
    energies: FloatArray
    forces: FloatArray
    largest_force_eV_per_A: float
    steps: int
    converged: bool
    reason: str = ""


@dataclass(frozen=True)
class Profile:
    """Energy along a path, fitted through energies and slopes.

    Attributes
    ----------
    coordinate_A
        Distance along the path in the space of all atoms, [n_images].
    energies_eV
        Relative to the first image, [n_images].
    curve_coordinate_A, curve_energies_eV
        The fitted curve.
    forward_eV, reverse_eV
        Barriers from the first and the last image to the fitted maximum; at least 0.
    maximum_A
        Where the maximum is.
    fit_error_eV
        How far the maximum moves if slopes are left out of the fit: what the number of images leaves open.
    """

    coordinate_A: FloatArray
    energies_eV: FloatArray
    curve_coordinate_A: FloatArray
    curve_energies_eV: FloatArray
    forward_eV: float
    reverse_eV: float
    maximum_A: float
    fit_error_eV: float


def profile(positions: FloatArray, energies: FloatArray, forces: FloatArray) -> Profile:
    """Fit the energy along a path by cubic Hermite polynomials; slopes are forces along the path's tangent.

    Parameters
    ----------
    positions
        Å, continuous from image to image, [n_images, n_atoms, 3].
    energies, forces
        eV, [n_images]; eV/Å, [n_images, n_atoms, 3].

    Raises
    ------
    InputError
        If there are fewer than three images, or two neighbours are the same.
    """

    from scipy.interpolate import CubicHermiteSpline, CubicSpline

    images = positions.reshape(len(positions), -1)
    steps = np.linalg.norm(np.diff(images, axis=0), axis=1)
    if len(images) < 3:
        raise InputError(f"a path needs three images or more, not {len(images)}")
    if steps.min() < _SHORTEST_STEP_A:
        raise InputError(
            f"images {steps.argmin() + 1} and {steps.argmin() + 2} of {len(images)} lie in the same place; where one of"
            " them is an end, the path climbs to it, and it is no minimum"
        )
    coordinate = np.concatenate([[0.0], np.cumsum(steps)])
    tangents = CubicSpline(coordinate, images)(coordinate, 1)
    slopes = -np.einsum("ix,ix->i", forces.reshape(len(images), -1), tangents)
    relative = energies - energies[0]
    spline = CubicHermiteSpline(coordinate, relative, slopes)
    stationary = spline.derivative().roots(extrapolate=False)
    # Where a piece is constant, its roots are marked as not a number.
    places = np.concatenate([coordinate, stationary[np.isfinite(stationary)]])
    heights = spline(places)
    top = int(np.argmax(heights))
    fine = np.linspace(0.0, coordinate[-1], _CURVE_POINTS)
    without_slopes = max(float(CubicSpline(coordinate, relative)(fine).max()), 0.0)
    return Profile(
        coordinate_A=coordinate,
        energies_eV=relative,
        curve_coordinate_A=fine,
        curve_energies_eV=spline(fine),
        forward_eV=float(heights[top]),
        reverse_eV=float(heights[top] - relative[-1]),
        maximum_A=float(places[top]),
        fit_error_eV=abs(float(heights[top]) - without_slopes),
    )


def doubts(found: Profile, forces: FloatArray, force_tolerance_eV_per_A: float) -> tuple[str, ...]:
    """Return what makes one doubt that a path leads from minimum to minimum.

    Parameters
    ----------
    forces
        Of the images (eV/Å), [n_images, n_atoms, 3].
    force_tolerance_eV_per_A
        Above it an end is not relaxed.
    """
    told = []
    for name, index, barrier_eV in (("start", 0, found.forward_eV), ("end", -1, found.reverse_eV)):
        largest = float(np.linalg.norm(forces[index], axis=1).max())
        if largest > force_tolerance_eV_per_A:
            told.append(f"the {name} of the path is not relaxed: there are forces of {largest:.2f} eV/Å")
        elif barrier_eV < LOWEST_BARRIER_EV:
            told.append(f"no barrier is seen from the {name} of the path: it is no minimum, or images are too few")
    return tuple(told)


def aligned_end(initial: Atoms, final: Atoms, framework: IntArray) -> Atoms:
    """Return ``final`` without the translation of the framework (indices) relative to ``initial``."""
    aligned = final.copy()
    if len(framework):
        aligned.positions -= (final.positions - initial.positions)[framework].mean(axis=0)
    return aligned


def continuous_end(initial: Atoms, final: Atoms) -> Atoms:
    """Return ``final`` with every atom at the periodic image nearest to where it is in ``initial``.

    Raises
    ------
    InputError
        If the two have other atoms, another order or other cells.
    """
    if list(initial.numbers) != list(final.numbers) or not np.allclose(initial.cell, final.cell, atol=1e-6):
        raise InputError("the two ends of a path must have the same atoms in the same order and the same cell")
    moved = final.copy()
    vectors, _ = find_mic(final.positions - initial.positions, initial.cell, initial.pbc)
    moved.positions = initial.positions + vectors
    return moved


def interpolated_path(initial: Atoms, final: Atoms, images: int) -> FloatArray:
    """Return a first guess that keeps atoms apart: pair distances as nearly linear as can be, [n_images, n_atoms, 3].

    The ends are taken as they are: continuous, not wrapped. Pairs are counted with all their periodic images.
    """

    from ase.mep import NEB
    from ase.optimize import MDMin

    shares = np.linspace(0.0, 1.0, images)
    whole = final.positions - initial.positions
    path = [initial.copy() for _ in range(images)]
    for share, image in zip(shares, path, strict=True):
        image.positions = initial.positions + share * whole
    targets = [_pair_targets(initial.positions, whole, float(share), initial.cell.array) for share in shares]
    for image, target in zip(path, targets, strict=True):
        image.calc = _PairDistances(target)
    band = NEB(path, method=_METHOD)
    MDMin(band, logfile=None, maxstep=0.1).run(fmax=_INTERPOLATION_FORCE, steps=_INTERPOLATION_STEPS)
    return np.array([image.positions for image in path])


@dataclass(frozen=True)
class _PairTarget:
    first: IntArray
    second: IntArray
    shifts: FloatArray
    distances: FloatArray


def _pair_targets(start: FloatArray, whole: FloatArray, share: float, cell: FloatArray) -> _PairTarget:
    """Return the pairs near each other at the start, here or at the end, with linearly interpolated distances."""
    found = []
    for point in sorted({0.0, share, 1.0}):
        positions = start + point * whole
        pairs = periodic_pairs(positions, cell, _INTERPOLATION_CUTOFF_A)
        shift = pairs.vectors - (positions[pairs.second] - positions[pairs.first])
        images = np.rint(shift @ np.linalg.inv(cell)).astype(np.int64)
        found.append(np.column_stack([pairs.first, pairs.second, images]))
    table = np.unique(np.concatenate(found), axis=0)
    # The distance of an atom from its own images never changes.
    table = table[table[:, 0] != table[:, 1]]
    first, second, shift = table[:, 0], table[:, 1], table[:, 2:] @ cell
    before = np.linalg.norm(start[second] - start[first] + shift, axis=1)
    end = start + whole
    after = np.linalg.norm(end[second] - end[first] + shift, axis=1)
    return _PairTarget(first, second, shift, (1 - share) * before + share * after)


class _PairDistances(Calculator):
    """S = Σ_pairs (d - d_target)² / d⁴, the image-dependent pair potential of one image."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012 (ASE's interface)

    def __init__(self, target: _PairTarget) -> None:
        super().__init__()
        self._target = target

    def calculate(self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        target, positions = self._target, self.atoms.positions
        vectors = positions[target.second] - positions[target.first] + target.shifts
        distances = np.linalg.norm(vectors, axis=1)
        excess = distances - target.distances
        slope = 2 * excess / distances**4 - 4 * excess**2 / distances**5
        pull = (slope / distances)[:, None] * vectors
        forces = np.zeros_like(positions)
        np.add.at(forces, target.first, pull)
        np.add.at(forces, target.second, -pull)
        self.results = {"energy": float(np.sum(excess**2 / distances**4)), "forces": forces}


class _Remembering(Calculator):
    """One image's view of the potential that all images share: ASE asks each of them several times per step."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012 (ASE's interface)

    def __init__(self, potential: Calculator) -> None:
        super().__init__()
        self._potential = potential

    def calculate(self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        energy, forces = evaluate(self.atoms, self._potential)
        self.results = {"energy": energy, "forces": forces}


def relax_band(
    initial: Atoms,
    final: Atoms,
    calculator: Calculator,
    settings: BandSettings,
    *,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Band:
    """Return the minimum-energy path from ``initial`` to ``final``, both relaxed already and continuous.

    Raises
    ------
    BandFailed
        If the calculator fails, or energies or forces are not finite.
    CheckpointRefused
        If the checkpoint is that of another band (atoms, cell, ends, images, model, settings), or broken.
    """

    from ase.mep import NEB

    origin = BandOrigin(initial, final, settings.images, settings.model_dump())
    if checkpoint is not None and checkpoint.path.exists():
        state = BandState.load(checkpoint, origin)
    else:
        state = BandState(interpolated_path(initial, final, settings.images))
    images = [initial.copy() for _ in state.positions]
    for image, positions in zip(images, state.positions, strict=True):
        image.positions = positions
    ends = [_evaluated(images[end], calculator) for end in (0, -1)]
    for image in images[1:-1]:
        image.calc = _Remembering(calculator)
    band = NEB(images, k=settings.spring_eV_per_A2, method=_METHOD)
    if not state.climbing:
        _optimise(band, state, settings, checkpoint, origin, progress)
        state = BandState(band_positions(images), climbing=True, steps=state.steps)
    largest = _optimise(band, state, settings, checkpoint, origin, progress)
    energies, forces = np.array(band.energies), np.array(band.real_forces)
    for end, (energy, force) in zip((0, -1), ends, strict=True):
        energies[end], forces[end] = energy, force
    converged = largest <= settings.climbing_force_eV_per_A
    reason = (
        ""
        if converged
        else (
            f"the largest force is {largest:.3g} eV/Å after {state.steps} steps, above "
            f"{settings.climbing_force_eV_per_A:g} eV/Å; raise band.climbing_steps"
        )
    )
    return Band(band_positions(images), energies, forces, largest, state.steps, converged, reason)


def band_positions(images: list[Atoms]) -> FloatArray:
    """Return the positions of all images, [n_images, n_atoms, 3] (Å)."""
    return np.array([image.positions for image in images])


def _evaluated(image: Atoms, calculator: Calculator) -> tuple[float, FloatArray]:
    """Evaluate an end and freeze what it gave."""
    energy, forces = evaluate(image, calculator)
    image.calc = SinglePointCalculator(image, energy=energy, forces=forces)
    return energy, forces


def evaluate(atoms: Atoms, calculator: Calculator) -> tuple[float, FloatArray]:
    """Return energy (eV) and forces (eV/Å, [n_atoms, 3]); ``atoms`` stays as it is.

    Raises
    ------
    BandFailed
        If the calculator fails or gives numbers that are none.
    """
    asked = atoms.copy()
    asked.calc = calculator
    try:
        energy, forces = float(asked.get_potential_energy()), np.array(asked.get_forces())
    except (MemoryError, OSError, IonloopError):
        # The machine failed, or the reason is already told.
        raise
    except Exception as error:  # a calculator is foreign code and may raise anything
        raise BandFailed(f"the calculator failed ({type(error).__name__}: {error})") from error
    if not (np.isfinite(energy) and np.all(np.isfinite(forces))):
        raise BandFailed("energy or forces are not finite numbers")
    return energy, forces


def _optimise(
    band: NEB,
    state: BandState,
    settings: BandSettings,
    checkpoint: Checkpoint | None,
    origin: BandOrigin,
    progress: Callable[[int, int], None] | None,
) -> float:
    """Run one stage from ``state`` on, which is kept up to date; return the largest force at its end."""

    from ase.optimize import FIRE

    band.climb = state.climbing
    tolerance = settings.climbing_force_eV_per_A if state.climbing else settings.band_force_eV_per_A
    most = settings.climbing_steps if state.climbing else settings.band_steps
    optimizer = FIRE(band, logfile=None, maxstep=settings.max_step_A, dt=state.timestep, a=state.mixing)
    optimizer.vel, optimizer.Nsteps = state.velocity, state.downhill
    stage_start, before = state.taken, state.steps
    for _ in optimizer.irun(fmax=tolerance, steps=most - state.taken):
        state.taken, state.steps = stage_start + optimizer.nsteps, before + optimizer.nsteps
        if progress is not None:
            progress(state.steps, settings.band_steps + settings.climbing_steps)
        if checkpoint is not None and optimizer.nsteps and state.taken % checkpoint.every == 0:
            state.positions = band_positions(band.images)
            state.velocity, state.downhill = optimizer.vel, optimizer.Nsteps
            state.timestep, state.mixing = optimizer.dt, optimizer.a
            state.save(checkpoint, origin)
    return float(np.linalg.norm(band.get_forces(), axis=1).max())
