"""The whole analysis: frames in, curves and numbers with their intervals out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.arrays import FloatArray
from ...core.errors import InputError
from ..block_intervals import Interval, interval
from .bonds import coordination_counts, covalent_length_A
from .curves import (
    Partials,
    WaveVectors,
    pair_distribution,
    partials,
    running_coordination,
    seam,
    total,
    total_correlation,
    wave_vectors,
)
from .first_shells import FirstShell, first_shell
from .frames import StructureFrames
from .measured import compare_by
from .network import network_result
from .quantities import Quantity, Radiation
from .results import Agreement, Angle, Diffraction, Shell, StructureResult
from .scattering import faber_ziman_weights, lengths, mean_length
from .settings import StructureSettings, pair_key
from .sums import BlockSums, Grid, block_sums, grid_of, total_of

if TYPE_CHECKING:
    from .angles import AngleDistribution


_FIRST_PEAK_PER_A = (0.5, 4.0)
_LEAST_PEAK = 0.05
_EVEN_STEP_PER_A = 0.02
_DIGITS = 12


@dataclass(frozen=True)
class TotalCurves:
    """Total functions seen by one radiation.

    Attributes
    ----------
    radiation
        neutrons or x-rays.
    s
        S(q), shape [n_q], with the half width of its interval or why there is none.
    t
        T(r) as an experiment with that largest wave vector sees it, shape [bins] (1/Å²).
    """

    radiation: Radiation
    s: FloatArray
    s_interval: Interval
    t: FloatArray


@dataclass(frozen=True)
class Structure:
    """Structure functions of frames.

    Attributes
    ----------
    species
        In the order of all that is by species.
    partials
        Partial functions of all frames.
    g_interval, partial_s_interval
        Intervals of the partial functions.
    totals
        Total functions, one per radiation that has them.
    angles
        Distributions of bond angles.
    compared
        x, measured and computed of each measured curve, shape [3, n_points]; without points where it is not compared.
    result
        All that is a number.
    """

    species: tuple[str, ...]
    partials: Partials
    g_interval: Interval
    partial_s_interval: Interval
    totals: tuple[TotalCurves, ...]
    angles: tuple[AngleDistribution, ...]
    compared: tuple[FloatArray, ...]
    result: StructureResult

    def arrays(self) -> dict[str, FloatArray]:
        """Return all curves by name: what is kept beside the numbers, and what figures are drawn from.

        ``r_A``, ``g``, ``running_coordination``, ``q_per_A`` and ``s`` are partial, their first two axes species;
        ``compared_1``, ... are points of measured curves;
        ``RADIATION_s`` and ``RADIATION_t`` are total, ``angles_degrees`` and ``angle_NAME`` of bond angles;
        ``..._half`` is half of a 95 % interval, left out where there is none.
        """
        curves = self.partials
        found = {
            "r_A": curves.r_A,
            "g": curves.g,
            "running_coordination": curves.running_coordination,
            "q_per_A": curves.q_per_A,
            "s": curves.s,
        }
        halves = {"g": self.g_interval, "s": self.partial_s_interval}
        for one in self.totals:
            found |= {f"{one.radiation}_s": one.s, f"{one.radiation}_t": one.t}
            halves[f"{one.radiation}_s"] = one.s_interval
        for angle in self.angles:
            found |= {"angles_degrees": angle.angles_degrees, f"angle_{angle.name}": angle.per_degree}
        found |= {f"compared_{number}": points for number, points in enumerate(self.compared, start=1)}
        known = {f"{name}_half": one.half_width for name, one in halves.items() if one.half_width is not None}
        return found | known


def _as_measured(curves: Partials, one: TotalCurves, quantity: Quantity) -> tuple[FloatArray, FloatArray]:
    if quantity.axis == "q":
        factor = curves.q_per_A if quantity is Quantity.QI else 1.0
        return curves.q_per_A, one.s if quantity is Quantity.S else factor * (one.s - 1.0)
    flat = 4.0 * np.pi * curves.density_per_A3 * curves.r_A
    values = {Quantity.T: one.t, Quantity.D: one.t - flat, Quantity.G: one.t / flat}
    return curves.r_A, values[quantity]


@dataclass(frozen=True)
class _Sample:
    """What all parts of the analysis look at."""

    runs: Sequence[StructureFrames]
    settings: StructureSettings
    grid: Grid
    blocks: Sequence[BlockSums]
    sums: BlockSums
    waves: WaveVectors

    @property
    def of_run(self) -> list[int]:
        return [block.run for block in self.blocks]

    def interval(self, curve: Callable[[BlockSums], FloatArray]) -> Interval:
        return interval(self.blocks, self.of_run, BlockSums.__add__, curve)


def analyse_structure(runs: Sequence[StructureFrames], settings: StructureSettings, mobile: str = "") -> Structure:
    """Return the structure functions of frames, with 95 % intervals where frames are independent enough.

    Parameters
    ----------
    runs
        Trajectories, or structures, of the same atoms.
    mobile
        Species that is no part of the network; nothing: alkali metals and silver.

    Raises
    ------
    InputError
        If settings name what is not there, or the atoms differ.
    """
    share = max(1, settings.most_frames // len(runs))
    runs = [run.thinned(share) for run in runs]
    first = runs[0]
    _check(first, settings)
    grid = grid_of(min(run.half_width_A for run in runs), settings)
    blocks = block_sums(runs, grid)
    waves = wave_vectors(blocks, grid, settings.q_max_per_A, settings.q_step_per_A)
    sample = _Sample(runs, settings, grid, blocks, total_of(blocks), waves)
    found = partials(sample.sums, first.counts, grid, waves)
    g_interval = sample.interval(lambda block: pair_distribution(block, first.counts, grid))
    s_interval = sample.interval(lambda block: partials(block, first.counts, grid, waves).s)
    shells, cutoffs = _shells(sample, found)
    totals, diffraction = _totals(sample, found)
    chosen = _network_frames(runs, settings.network_frames)
    triplets = settings.angles or _triplets(shells)
    angles = _all_angles(chosen, triplets, cutoffs, settings.angle_step_degrees)
    agreements, compared = _agreements(settings, found, totals)
    result = StructureResult(
        species=first.species,
        atoms=len(first.symbols),
        frames=sample.sums.frames,
        density_per_A3=found.density_per_A3,
        density_g_per_cm3=float(np.mean([run.density_g_per_cm3 for run in runs])),
        r_max_A=grid.r_max_A,
        shells=_with_shares(shells, chosen, cutoffs),
        angles=tuple(
            Angle(
                name=one.name,
                angles=one.angles,
                mean_degrees=one.mean_degrees,
                spread_degrees=one.spread_degrees,
                peak_degrees=one.peak_degrees,
            )
            for one in angles
        ),
        diffraction=diffraction,
        network=network_result(chosen, settings, shells, cutoffs, mobile),
        agreements=agreements,
        pair_interval_reason=g_interval.reason,
        diffraction_interval_reason=s_interval.reason,
        notes=_notes(sample, first),
    )
    return Structure(first.species, found, g_interval, s_interval, totals, angles, compared, result)


def _agreements(
    settings: StructureSettings, found: Partials, totals: Sequence[TotalCurves]
) -> tuple[tuple[Agreement, ...], tuple[FloatArray, ...]]:
    """Return how far computed curves are from measured ones, and the points of both."""
    agreements, compared = [], []
    for one in settings.measured:
        said = Agreement(name=one.name, radiation=one.radiation, quantity=one.quantity)
        points = np.empty((3, 0))
        try:
            curves = next((each for each in totals if each.radiation == one.radiation), None)
            if curves is None:
                raise InputError(f"there is no total structure factor of {one.radiation}")
            seen = compare_by(one, *_as_measured(found, curves, one.quantity), found.density_per_A3)
            points = np.array([seen.x, seen.measured, seen.computed])
            numbers = {key: getattr(seen, key) for key in _NUMBERS_OF_AGREEMENT}
            said = said.model_copy(update={"points": len(seen.x), **numbers})
        except InputError as error:
            said = said.model_copy(update={"reason": str(error)})
        agreements.append(said)
        compared.append(points)
    return tuple(agreements), tuple(compared)


_NUMBERS_OF_AGREEMENT = (
    "scale",
    "offset",
    "r_chi",
    "control",
    "chi_square_per_point",
    "control_chi_square_per_point",
)


def _check(frames: StructureFrames, settings: StructureSettings) -> None:
    for key, names in settings.missing_elements(frames.species).items():
        raise InputError(f"{key} names {', '.join(names)}, and {frames.name} has only {', '.join(frames.species)}")


def _shells(sample: _Sample, found: Partials) -> tuple[list[Shell], dict[str, float]]:
    """Return the first shell of every ordered pair, and the distances up to which atoms are neighbours by pair."""
    species, given = sample.runs[0].species, sample.settings.cutoffs_A
    edges = sample.grid.edges_A[1:]
    shells: list[Shell] = []
    cutoffs: dict[str, float] = {}
    for a, centre in enumerate(species):
        for b, neighbour in enumerate(species):
            seen: FirstShell | None = first_shell(found.r_A, found.g[a, b])
            name = pair_key(centre, neighbour)
            end = given.get(name, seen.end_A if seen else None)
            shell = Shell(centre=centre, neighbour=neighbour, peak_A=seen.peak_A if seen else None)
            if end is not None and end <= edges[-1]:
                cutoffs[name] = end
                shell = shell.model_copy(update={"cutoff_A": end, "is_given": name in given})
            shells.append(shell)
    ended = [place for place, shell in enumerate(shells) if shell.cutoff_A is not None]
    if ended:
        bins = np.array([np.searchsorted(edges, cutoffs[_pair(shells[place])] - 1e-9) for place in ended])
        rows = np.array(ended) // len(species), np.array(ended) % len(species)
        values = found.running_coordination[*rows, bins]
        half = sample.interval(lambda block: running_coordination(block, found.counts)[*rows, bins]).half_width
        for number, place in enumerate(ended):
            told = {
                "coordination": float(values[number]),
                "half_width": None if half is None else float(half[number].round(_DIGITS)),
            }
            shells[place] = shells[place].model_copy(update=told)
    return shells, cutoffs


def _pair(shell: Shell) -> str:
    return pair_key(shell.centre, shell.neighbour)


def _with_shares(
    shells: Sequence[Shell], chosen: Sequence[StructureFrames], cutoffs: Mapping[str, float]
) -> tuple[Shell, ...]:
    """Return shells with the part of centres that have 0, 1, 2, ... neighbours."""
    shares = [coordination_counts(run, range(run.n_frames), cutoffs) for run in chosen]
    found = []
    for shell in shells:
        each = [one[shell.centre, shell.neighbour] for one in shares if (shell.centre, shell.neighbour) in one]
        size = max((len(one) for one in each), default=0)
        weights = [run.n_frames for run in chosen]
        mean = np.average([np.pad(one, (0, size - len(one))) for one in each], axis=0, weights=weights) if each else ()
        found.append(shell.model_copy(update={"shares": tuple(float(value) for value in mean)}))
    return tuple(found)


def _network_frames(runs: Sequence[StructureFrames], most: int) -> list[StructureFrames]:
    share = max(1, most // len(runs))
    return [run.thinned(share) for run in runs[: max(1, most)]]


def _triplets(shells: Sequence[Shell]) -> tuple[str, ...]:
    """Return the angles of each element between neighbours of another one."""
    return tuple(
        f"{one.neighbour}-{one.centre}-{one.neighbour}"
        for one in shells
        if one.centre != one.neighbour
        and one.cutoff_A is not None
        and (one.peak_A or np.inf) <= covalent_length_A(one.centre, one.neighbour)
    )


def _all_angles(
    chosen: Sequence[StructureFrames], triplets: Sequence[str], cutoffs: Mapping[str, float], step_degrees: float
) -> tuple[AngleDistribution, ...]:
    from .angles import angle_distributions

    for triplet in triplets:
        first, centre, last = triplet.split("-")
        for other in (first, last):
            if pair_key(centre, other) not in cutoffs:
                raise InputError(
                    f"angles: {triplet} needs a distance up to which {centre} and {other} are neighbours, for g(r) has "
                    f"no first minimum; give cutoffs_A: {{{pair_key(centre, other)}: ...}}"
                )
    return angle_distributions(chosen, triplets, cutoffs, step_degrees)


def _totals(sample: _Sample, found: Partials) -> tuple[tuple[TotalCurves, ...], tuple[Diffraction, ...]]:
    totals, numbers = [], []
    for radiation in sample.settings.radiation:
        curves, said = _total(sample, found, radiation)
        numbers.append(said)
        if curves is not None:
            totals.append(curves)
    return tuple(totals), tuple(numbers)


def _total(sample: _Sample, found: Partials, radiation: Radiation) -> tuple[TotalCurves | None, Diffraction]:
    settings, species, grid = sample.settings, sample.runs[0].species, sample.grid

    def of(q_per_A: FloatArray) -> FloatArray:
        return lengths(radiation, species, q_per_A, settings.isotopes, settings.lengths_fm)

    start = of(np.zeros(1))
    said = Diffraction(
        radiation=radiation,
        lengths={symbol: float(value) for symbol, value in zip(species, start[:, 0], strict=True)},
        mean_length=float(mean_length(found.counts, start)[0]),
    )
    try:
        weights = faber_ziman_weights(found.counts, of(found.q_per_A))
    except InputError as error:
        return None, said.model_copy(update={"reason": str(error)})
    at_zero = faber_ziman_weights(found.counts, start)[:, :, 0]
    spread = sample.interval(lambda block: total(partials(block, found.counts, grid, sample.waves).s, weights))
    s = total(found.s, weights)
    even = _EVEN_STEP_PER_A * np.arange(1.0, 1 + int(settings.transform_q_max_per_A / _EVEN_STEP_PER_A))
    t = total_correlation(found.g, grid, found.density_per_A3, faber_ziman_weights(found.counts, of(even)), even)
    peak = _first_peak(found.q_per_A, s)
    said = said.model_copy(
        update={
            "weights": {
                f"{one}-{other}": float(at_zero[a, b] * (1 if a == b else 2))
                for a, one in enumerate(species)
                for b, other in enumerate(species)
                if a <= b
            },
            "first_peak_per_A": None if peak is None else float(found.q_per_A[peak]),
            "first_peak": None if peak is None else float(s[peak]),
            "first_peak_half_width": None
            if peak is None or spread.half_width is None
            else float(spread.half_width[peak]),
            "seam": seam(sample.sums, found.counts, grid, sample.waves, weights),
        }
    )
    return TotalCurves(radiation, s, spread, t), said


def _first_peak(q_per_A: FloatArray, s: FloatArray) -> int | None:
    """Return the place of the first maximum of S(q) that stands out from both sides."""
    low, high = _FIRST_PEAK_PER_A
    inside = np.flatnonzero((q_per_A >= low) & (q_per_A <= high))
    if len(inside) < 3:
        return None
    rise = max(_LEAST_PEAK, 0.2 * float(s[inside].max() - s[inside].min()))
    lowest, best = float(s[inside[0]]), -1
    for place in inside.tolist():
        if best < 0:
            lowest = min(lowest, float(s[place]))
            if s[place] - lowest > rise:
                best = place
        elif s[place] > s[best]:
            best = place
        elif s[best] - s[place] > rise:
            return best
    return None


def _notes(sample: _Sample, first: StructureFrames) -> tuple[str, ...]:
    notes = []
    half = min(run.half_width_A for run in sample.runs)
    if sample.grid.r_max_A > half + 1e-6:
        notes.append(
            f"beyond {half:.2f} Å, half of the shortest distance of opposite faces, g(r) repeats the cell's own order; "
            "S(q) beyond the direct sum is the transform of what is nearer, so that its peaks are broad"
        )
    empty = sample.grid.shells - len(sample.waves.direct)
    if sample.grid.shells and empty > 0.5 * sample.grid.shells:
        notes.append(
            f"{empty} of {sample.grid.shells} shells below {sample.grid.direct_q_max_per_A:g} 1/Å hold no reciprocal "
            "vector of the cell: a larger cell has more"
        )
    return tuple(notes)
