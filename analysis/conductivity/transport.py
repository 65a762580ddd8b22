"""Ionic conductivity from trajectories: tracer and collective diffusivity, Haven ratio, convergence with length.

    D* = slope of <|r_i(t) - r_i(0)|²> / 6,       D_σ = slope of <|Σ q_i (r_i(t) - r_i(0))|²> / (6 Σ q_i²),
    σ = N q² D / (V k_B T),                       H = D* / D_σ,

N mobile ions of formal charge q (not the partial charge of any baseline) in the volume V. Of several mobile species D*
is the mean over ions weighted by q², and q² the mean. Positions are relative to the framework's centre of mass
(`ionloop.analysis.trajectories.framework`). How slopes and intervals come about is told in
`ionloop.analysis.conductivity.diffusion`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_numbers
from ase.units import _e, _k
from pydantic import Field

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError
from ...core.settings import FrozenModel
from ...fitting.electrostatics.species import FORMAL_CHARGES
from ..distributions import chi2_tail
from .diffusion import Estimate
from .transport_settings import FEWEST_FRAMES, LARGEST_CHARGE, TransportSettings

if TYPE_CHECKING:
    from ..trajectories.framework import DriftReference, FrameOfReference
    from ..trajectories.reading import Trajectory
    from .diffusion import Diffusion
    from .displacement_scales import ScaleSlopes, SquaredDisplacements


AXES = ("x", "y", "z")
# Å²/ps over Å³ in S/m, and S/m in mS/cm.
_SI_PER_A2_PS_A3 = 1e-20 / 1e-12 / 1e-30
_MS_CM_PER_S_M = 10.0
# Chance below which a net displacement is none of diffusion; the slope that this rests on is noisy itself.
_DRIVEN_LEVEL = 1e-5
# Sum of the two lags of that slope, in parts of the trajectory, and how much of it is diffusion at least.
_SHORT_LAGS = 1 / 30
_LEAST_SLOPE = 0.1


@dataclass(frozen=True)
class Carrier:
    """What carries the charge, at which temperature.

    Attributes
    ----------
    charge_e
        Formal charge (e); None takes that of the element's common ion.
    drift
        The frame of reference.
    framework
        Species that hold it; none: those that neither carry charge nor diffuse.
    others
        Further mobile species with their formal charges (e), which carry current together with the first.
    """

    species: str
    temperature_K: float
    charge_e: float | None = None
    drift: DriftReference = "framework"
    framework: tuple[str, ...] = ()
    others: tuple[tuple[str, float | None], ...] = ()

    def __post_init__(self) -> None:
        twice = sorted({one for one in self.mobile if self.mobile.count(one) > 1})
        if twice:
            raise InputError(f"the mobile species {', '.join(twice)} is named twice")
        unknown = next((one for one in self.mobile if atomic_numbers.get(one, 0) == 0), None)
        if unknown is not None:
            near = "".join(takewhile(str.isalpha, unknown))[:2].capitalize()
            meant = f"; did you mean {near}?" if atomic_numbers.get(near, 0) else ""
            raise InputError(f"the mobile species {unknown!r} is no chemical symbol{meant}")
        if not (np.isfinite(self.temperature_K) and self.temperature_K > 0):
            raise InputError(f"the temperature must be above 0 K, not {self.temperature_K:g}")

    @property
    def mobile(self) -> tuple[str, ...]:
        """All species that carry charge."""
        return (self.species, *(one for one, _ in self.others))

    @property
    def charges(self) -> dict[str, float]:
        """The formal charge (e) of every mobile species.

        Raises
        ------
        InputError
            If none is given and the element has no one common ion.
        """
        found = {}
        for species, given in ((self.species, self.charge_e), *self.others):
            charge = FORMAL_CHARGES.get(species) if given is None else given
            if charge is None:
                raise InputError(f"{species} has no one common ion: give its formal charge, which must not be 0 (e)")
            if not 0 < abs(charge) <= LARGEST_CHARGE:
                raise InputError(
                    f"the formal charge of {species} must lie between -{LARGEST_CHARGE} and {LARGEST_CHARGE} and not be"
                    f" 0 (e), not {charge:g}"
                )
            found[species] = charge
        return found

    def ions(self, trajectory: Trajectory) -> tuple[IntArray, FloatArray]:
        """Return the indices of the mobile ions and their charges (e), both of shape [n_ions]."""
        of_species = [(trajectory.indices_of(species), charge) for species, charge in self.charges.items()]
        charges = [np.full(len(atoms), charge) for atoms, charge in of_species]
        return np.concatenate([atoms for atoms, _ in of_species]), np.concatenate(charges)


def conductivity_mS_per_cm(
    diffusivity_A2_per_ps: float, ions: int, volume_A3: float, charge_e: float, temperature_K: float
) -> float:
    """Return σ = N q² D / (V k_B T) (mS/cm)."""
    density = ions / volume_A3 * charge_e**2 * _e**2 / (_k * temperature_K)
    return float(diffusivity_A2_per_ps * density * _SI_PER_A2_PS_A3 * _MS_CM_PER_S_M)


class ConductivityResult(FrozenModel):
    """Transport of one species at one temperature.

    Where ``reliable`` is false, displacements are too small, not linear in time, or differ between parts of the
    trajectories: intervals then reach from zero to an upper bound, and `warnings` says why.
    """

    species: str = Field(description="The mobile ions (name)")
    temperature_K: float = Field(description="Temperature (K)")
    charge_e: float = Field(description="Formal charge of an ion (e)")
    ions: int = Field(description="Mobile ions in the cell (number)")
    volume_A3: float = Field(description="Volume of the cell (Å³)")
    replicas: int = Field(description="Trajectories (number)")
    frame_interval_fs: float = Field(description="Time between two frames (fs)")
    length_ps: float = Field(description="Length of the shortest replica (ps)")
    window_start_ps: float = Field(description="Shortest lag that is fitted (ps)")
    window_end_ps: float = Field(description="Longest lag that is fitted (ps)")
    diffusive: bool = Field(description="Whether displacements grow linearly in time (yes or no)")
    reliable: bool = Field(description="Whether more than upper bounds is told (yes or no)")
    displacement_A: float = Field(
        description="Root-mean-square displacement by diffusion over the shortest replica (Å)"
    )
    diffusivity_A2_per_ps: Estimate = Field(description="Tracer diffusivity of the ions (Å²/ps)")
    diffusivity_by_axis_A2_per_ps: dict[str, Estimate] = Field(description="The same along each axis (Å²/ps)")
    diffusivity_by_species_A2_per_ps: dict[str, Estimate] = Field(description="The same of each species (Å²/ps)")
    collective_diffusivity_A2_per_ps: Estimate = Field(description="Diffusivity of the charge (Å²/ps)")
    tracer_conductivity_mS_per_cm: Estimate = Field(description="Conductivity of ions without correlation (mS/cm)")
    collective_conductivity_mS_per_cm: Estimate = Field(description="Conductivity of the charge (mS/cm)")
    haven_ratio: Estimate | None = Field(description="Tracer over collective diffusivity (no unit)")
    warnings: tuple[str, ...] = Field(default=(), description="What to know about the numbers (text)")


@dataclass(frozen=True)
class DisplacementCurves:
    """What the slopes were taken from.

    Attributes
    ----------
    lags_ps
        Shape [n_lags] (ps).
    tracer_A2, collective_A2
        Mean squared displacement of the ions, and of the charge over Σ q², shape [n_lags] (Å²).
    tracer_error_A2, collective_error_A2
        Standard errors, shape [n_lags] (Å²).
    tracer_by_axis_A2
        Shape [n_lags, 3] (Å²).
    """

    lags_ps: FloatArray
    tracer_A2: FloatArray
    tracer_error_A2: FloatArray
    collective_A2: FloatArray
    collective_error_A2: FloatArray
    tracer_by_axis_A2: FloatArray


@dataclass(frozen=True)
class ConductivityAnalysis:
    """A result and the curves behind it."""

    result: ConductivityResult
    curves: DisplacementCurves


@dataclass(frozen=True)
class ConductivityAtLength:
    """Conductivities from the first part of all trajectories."""

    length_ps: float
    tracer_mS_per_cm: Estimate
    collective_mS_per_cm: Estimate
    reliable: bool


def analyse_conductivity(
    trajectories: Sequence[Trajectory],
    carrier: Carrier,
    settings: TransportSettings | None = None,
    reference: FrameOfReference | None = None,
    *,
    by_axis: bool = True,
) -> ConductivityAnalysis:
    """Return the conductivity from independent replicas of one system.

    Parameters
    ----------
    reference
        The frame of reference; None finds it as ``carrier`` says.
    by_axis
        Whether to fit the diffusivities along each axis as well, which takes as long as all the rest.

    Raises
    ------
    InputError
        If replicas are of different systems or too short, or the species is not in them or has no known charge.
    """

    from ..trajectories.replicas import check_replicas

    settings = settings or TransportSettings()
    notes = check_replicas(trajectories, FEWEST_FRAMES)
    carrier.ions(trajectories[0])  # refuses what has no charge before anything is computed
    reference = reference or _reference(trajectories, carrier)
    curves = _displacements(trajectories, carrier, reference.drift_A)
    fit = _Fit.of(curves, settings, _net_displacements(trajectories, carrier, reference.drift_A))
    warnings = (*notes, *reference.notes, *_warnings(trajectories, carrier, fit, settings))
    interval_ps = trajectories[0].frame_interval_fs / 1000.0
    along = _by_axis(fit, interval_ps) if by_axis else {}
    others = _by_species(trajectories, carrier, reference, settings)
    result = _result(trajectories, carrier, fit, (along, others), warnings)
    return ConductivityAnalysis(result, _curves(curves, interval_ps, fit))


@dataclass(frozen=True)
class _Fit:
    """Displacements of the ions and of their charge up to the longest lag that is used, and what follows from them.

    Attributes
    ----------
    displacement_A
        How far an ion goes by diffusion in the shortest replica (Å).
    driven_A
        How far the ions as a whole go, where they go farther than by diffusion; else 0 (Å).
    """

    tracer: ScaleSlopes
    charged: ScaleSlopes
    ions: Diffusion
    of_charge: Diffusion
    displacement_A: float
    reliable: bool
    driven_A: float

    @classmethod
    def of(cls, curves: tuple[ScaleSlopes, ScaleSlopes], settings: TransportSettings, net_A: FloatArray) -> _Fit:
        from .diffusion import alike, diffusion
        from .displacement_scales import scale_lags

        tracer, charged = (one.up_to(scale_lags(one.n_frames)[-1]) for one in curves)
        ions = diffusion(tracer, settings)
        # The charge of one ion is where the ion is.
        of_charge = ions if tracer.paths == 1 else alike(charged, ions, tracer)
        length = tracer.n_frames - 1
        displacement_A = float(np.sqrt(2 * len(AXES) * ions.estimate.value * length))
        reliable = _is_reliable(ions, length, settings)
        driven_A = _driven_A(net_A, charged) / np.sqrt(tracer.paths) if reliable else 0.0
        return cls(tracer, charged, ions, of_charge, displacement_A, reliable and not driven_A, driven_A)


def _result(
    trajectories: Sequence[Trajectory],
    carrier: Carrier,
    fit: _Fit,
    parts: tuple[dict[str, Estimate], dict[str, Estimate]],
    warnings: tuple[str, ...],
) -> ConductivityResult:
    from ..trajectories.replicas import mean_volume_A3

    by_axis, by_species = parts
    first, volume_A3 = trajectories[0], mean_volume_A3(trajectories)
    charges = carrier.ions(first)[1]
    charge = float(np.sqrt(np.mean(charges**2))) if carrier.others else float(charges[0])
    interval_ps = first.frame_interval_fs / 1000.0
    diffusivity = _per_ps(fit.ions, fit.tracer, interval_ps, fit.reliable)
    collective = _per_ps(fit.of_charge, fit.charged, interval_ps, fit.reliable)
    per_diffusivity = conductivity_mS_per_cm(1.0, len(charges), volume_A3, charge, carrier.temperature_K)
    of_mobile = {} if carrier.others else {carrier.species: diffusivity}
    return ConductivityResult(
        species=", ".join(carrier.mobile),
        temperature_K=carrier.temperature_K,
        charge_e=charge,
        ions=len(charges),
        volume_A3=volume_A3,
        replicas=len(trajectories),
        frame_interval_fs=first.frame_interval_fs,
        length_ps=min(one.length_ps for one in trajectories),
        window_start_ps=fit.ions.window.start * interval_ps,
        window_end_ps=fit.ions.window.end * interval_ps,
        diffusive=fit.ions.check.linear,
        reliable=fit.reliable,
        displacement_A=fit.displacement_A,
        diffusivity_A2_per_ps=diffusivity,
        diffusivity_by_axis_A2_per_ps=by_axis,
        diffusivity_by_species_A2_per_ps=of_mobile | by_species,
        collective_diffusivity_A2_per_ps=collective,
        tracer_conductivity_mS_per_cm=diffusivity.scaled(per_diffusivity),
        collective_conductivity_mS_per_cm=collective.scaled(per_diffusivity),
        haven_ratio=_haven_ratio(fit) if fit.reliable else None,
        warnings=warnings,
    )


def _by_axis(fit: _Fit, interval_ps: float) -> dict[str, Estimate]:
    """Return the diffusivity along each axis (Å²/ps), with the crossover of all three together."""

    from .diffusion import alike
    from .displacement_scales import ScaleSlopes

    found = {}
    for axis, name in enumerate(AXES):
        along = ScaleSlopes(fit.tracer.replicas, fit.tracer.paths, (axis,))
        found[name] = _per_ps(alike(along, fit.ions, fit.tracer), along, interval_ps, fit.reliable)
    return found


def _by_species(
    trajectories: Sequence[Trajectory], carrier: Carrier, reference: FrameOfReference, settings: TransportSettings
) -> dict[str, Estimate]:
    """Return the diffusivities (Å²/ps) of the other species, and of the mobile ones where there are several."""
    done = set() if carrier.others else {carrier.species}
    return {
        species: _species_diffusivity(trajectories, species, reference.drift_A, settings)
        for species in sorted(set(trajectories[0].symbols) - done)
    }


def _is_reliable(ions: Diffusion, length: int, settings: TransportSettings) -> bool:
    return ions.check.linear and ions.check.steady and _is_far(ions, length, settings)


def _driven_A(net_A: FloatArray, charged: ScaleSlopes) -> float:
    """Return the largest net displacement of the charge, [n_replicas, 3] (Å), if they are too large for diffusion.

    Of diffusion, the slope at short lags is at least the asymptote; there, what a drift adds is small and known.
    """
    frames = np.array([one.n_frames for one in charged.replicas]) - 1.0
    squares = np.square(net_A).sum(axis=1)
    sums = np.array(charged.lags[:-1]) + np.array(charged.lags[1:])
    short = int(np.abs(sums - frames.min() * _SHORT_LAGS).argmin())
    slope = float(charged.slopes[short])
    slope = max(slope - float(np.mean(squares / frames**2)) * sums[short], _LEAST_SLOPE * slope)
    by_chance = chi2_tail(np.sum(squares / (slope / len(AXES) * frames)), net_A.size) if slope > 0 else 1.0
    return float(np.sqrt(squares.max())) if by_chance < _DRIVEN_LEVEL else 0.0


def _per_ps(found: Diffusion, displacements: ScaleSlopes, interval_ps: float, reliable: bool) -> Estimate:
    from .diffusion import upper_bound

    estimate = found.estimate if reliable else upper_bound(found, displacements)
    return estimate.scaled(1.0 / interval_ps)


def _haven_ratio(fit: _Fit) -> Estimate | None:
    from .diffusion import ratio

    if fit.ions is fit.of_charge:
        return Estimate(value=1.0, low=1.0, high=1.0, standard_error=0.0)
    return ratio(fit.ions, fit.of_charge)


def conductivity_against_length(
    trajectories: Sequence[Trajectory],
    carrier: Carrier,
    settings: TransportSettings | None = None,
    lengths: int = 10,
) -> list[ConductivityAtLength]:
    """Return conductivities from the first part of all trajectories, at lengths in geometric progression.

    The last is the whole length, the first a thirtieth of it, where that still has enough frames.
    """

    from ..trajectories.replicas import check_replicas

    check_replicas(trajectories, FEWEST_FRAMES)
    # What rests is found from the whole: in a short part of it much seems to.
    reference = _reference(trajectories, carrier)
    shortest = min(one.n_frames for one in trajectories)
    found = []
    for frames in np.unique(np.geomspace(max(FEWEST_FRAMES, shortest / 30), shortest, lengths).round().astype(int)):
        parts = [one.part(stop=int(frames)) for one in trajectories]
        of_parts = reference.part(stop=int(frames))
        result = analyse_conductivity(parts, carrier, settings, of_parts, by_axis=False).result
        found.append(
            ConductivityAtLength(
                result.length_ps,
                result.tracer_conductivity_mS_per_cm,
                result.collective_conductivity_mS_per_cm,
                result.reliable,
            )
        )
    return found


def _reference(trajectories: Sequence[Trajectory], carrier: Carrier) -> FrameOfReference:
    from ..trajectories.framework import frame_of_reference

    return frame_of_reference(trajectories, carrier.mobile, carrier.drift, carrier.framework)


def _displacements(
    trajectories: Sequence[Trajectory], carrier: Carrier, drifts: Sequence[FloatArray]
) -> tuple[ScaleSlopes, ScaleSlopes]:
    """Return the displacements of the ions and of their charge."""

    from .displacement_scales import ScaleSlopes

    squares = _squares(trajectories, carrier.mobile, drifts, carrier.charges)
    n_ions = len(carrier.ions(trajectories[0])[0])
    return ScaleSlopes(squares, n_ions), ScaleSlopes(_charge_squares(trajectories, carrier, drifts), 1)


def _squares(
    trajectories: Sequence[Trajectory],
    species: Sequence[str],
    drifts: Sequence[FloatArray],
    charges: Mapping[str, float] | None = None,
) -> tuple[SquaredDisplacements, ...]:
    """Return the displacements of the ions of ``species``, squares weighted by those of ``charges``."""

    from .displacement_scales import squared_displacements

    lags = _lags(trajectories)
    found = []
    for one, shift in zip(trajectories, drifts, strict=True):
        of_species = [one.indices_of(name) for name in species]
        weights = None
        if len(species) > 1 and charges is not None:
            weights = np.repeat([charges[name] ** 2 for name in species], [len(atoms) for atoms in of_species])
            weights = weights / weights.mean()
        atoms = np.concatenate(of_species)
        found.append(squared_displacements(one.positions_A, lags, atoms=atoms, drift_A=shift, weights=weights))
    return tuple(found)


def _charge_squares(
    trajectories: Sequence[Trajectory],
    carrier: Carrier,
    drifts: Sequence[FloatArray],
) -> tuple[SquaredDisplacements, ...]:
    """Return the displacements of Σ q_i r_i / √(Σ q_i²)."""

    from .displacement_scales import squared_displacements

    lags = _lags(trajectories)
    found = []
    for one, shift in zip(trajectories, drifts, strict=True):
        atoms, weights = _charge_weights(one, carrier)
        of_atoms = np.zeros(len(one.symbols))
        of_atoms[atoms] = weights
        # Not by `tensordot`, which would copy all positions.
        moment = np.einsum("tnc,n->tc", one.positions_A, of_atoms) - weights.sum() * shift
        found.append(squared_displacements(moment[:, None], lags, atoms=np.array([0])))
    return tuple(found)


def _charge_weights(trajectory: Trajectory, carrier: Carrier) -> tuple[IntArray, FloatArray]:
    """Return the indices of the mobile ions, and q_i / √(Σ q_i²)."""
    atoms, charges = carrier.ions(trajectory)
    return atoms, charges / np.sqrt(np.sum(charges**2))


def _net_displacements(
    trajectories: Sequence[Trajectory], carrier: Carrier, drifts: Sequence[FloatArray]
) -> FloatArray:
    """Return how far Σ q_i r_i / √(Σ q_i²) goes from the first frame to the last, [n_replicas, 3] (Å)."""
    found = []
    for one, shift in zip(trajectories, drifts, strict=True):
        atoms, weights = _charge_weights(one, carrier)
        moved = one.positions_A[-1, atoms] - one.positions_A[0, atoms] - (shift[-1] - shift[0])
        found.append(weights @ moved)
    return np.array(found)


def _lags(trajectories: Sequence[Trajectory]) -> tuple[int, ...]:
    from .displacement_scales import curve_lags

    return curve_lags(min(one.n_frames for one in trajectories))


def _species_diffusivity(
    trajectories: Sequence[Trajectory], species: str, drifts: Sequence[FloatArray], settings: TransportSettings
) -> Estimate:
    from .diffusion import diffusion
    from .displacement_scales import ScaleSlopes, scale_lags

    whole = ScaleSlopes(_squares(trajectories, [species], drifts), len(trajectories[0].indices_of(species)))
    slopes = whole.up_to(scale_lags(whole.n_frames)[-1])
    found = diffusion(slopes, settings)
    reliable = _is_reliable(found, slopes.n_frames - 1, settings)
    return _per_ps(found, slopes, trajectories[0].frame_interval_fs / 1000.0, reliable)


def _curves(curves: tuple[ScaleSlopes, ScaleSlopes], interval_ps: float, fit: _Fit) -> DisplacementCurves:
    tracer, charged = curves
    lags, frames = np.array(tracer.lags, dtype=float), sum(one.n_frames for one in tracer.replicas)
    # Qian, Sheetz, Elson, Biophys. J. 1991, 60, 910: Var(MSD)/MSD² is 4/3 lag/length for one Brownian path.
    brownian = 4.0 / 3.0 * lags / frames / len(AXES)
    mean, of_charge = tracer.mean_A2, charged.mean_A2
    return DisplacementCurves(
        lags_ps=lags * interval_ps,
        tracer_A2=mean,
        tracer_error_A2=mean * np.sqrt(brownian / tracer.paths + fit.ions.event[0]),
        collective_A2=of_charge,
        collective_error_A2=of_charge * np.sqrt(brownian + fit.of_charge.event[0]),
        tracer_by_axis_A2=np.average([one.mean_A2 for one in tracer.replicas], axis=0, weights=tracer.lengths),
    )


def _warnings(
    trajectories: Sequence[Trajectory],
    carrier: Carrier,
    fit: _Fit,
    settings: TransportSettings,
) -> tuple[str, ...]:
    from .linearity import SCATTER_LEVEL

    found = list(dict.fromkeys(note for one in trajectories for note in one.notes))
    names, length_ps = ", ".join(carrier.mobile), min(one.length_ps for one in trajectories)
    ions, check, interval_ps = fit.ions, fit.ions.check, trajectories[0].frame_interval_fs / 1000.0
    bound = "the intervals reach from zero to an upper bound"
    if check.anomalous:
        found.append(
            f"the displacement of {names} does not grow linearly with time but as t^{check.law.exponent:.2f} from"
            f" {check.law.start * interval_ps:g} ps on: within {length_ps:g} ps it has no diffusivity; {bound}. Run"
            " longer, or hotter"
        )
    elif check.unfinished:
        found.append(
            f"the displacement of {names} does not grow linearly with time within {length_ps:g} ps: its slope still"
            f" changes at {ions.window.end * interval_ps:g} ps. It may not diffuse at all; {bound}. Run longer, or"
            " hotter"
        )
    if not _is_far(ions, min(one.n_frames for one in trajectories) - 1, settings):
        found.append(
            f"{names} moves by diffusion by {fit.displacement_A:.2f} Å within {length_ps:g} ps; less than"
            f" {settings.minimum_displacement_A:g} Å, or what cannot be told from it, is too little to mean anything"
            " but an upper bound. Run longer, or hotter"
        )
    if fit.driven_A:
        found.append(
            f"{names} as a whole moves one way, by {fit.driven_A:.1f} Å against the frame of reference, farther than"
            " diffusion leads: there is a field, the whole drifts, or what is taken as the framework does; name what"
            f" rests (--framework, --drift all); {bound}"
        )
    level = f"level {100 * SCATTER_LEVEL:g} %"
    if check.changes:
        found.append(
            f"{names} moves differently in different parts of the trajectory ({level}; the second half"
            f" {check.later_over_earlier:.2g} times as fast as the first): it freezes, melts or was not equilibrated;"
            f" {bound}"
        )
    if check.scattered:
        found.append(
            f"replicas differ by more than chance allows ({level}): they are shorter than the slowest motion, or not"
            f" equilibrated; {bound}"
        )
    return tuple(found)


def _is_far(ions: Diffusion, length: int, settings: TransportSettings) -> bool:
    """Return whether ions reach the least displacement in ``length`` frames, half of it at the interval's low end."""
    least = settings.minimum_displacement_A**2 / (2 * len(AXES) * length)
    return ions.estimate.value >= least and ions.estimate.low >= least / 4
