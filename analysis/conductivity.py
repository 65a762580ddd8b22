"""Ionic conductivity from trajectories: tracer and collective diffusivity, Haven ratio, convergence with length.

    D* = slope of <|r_i(t) - r_i(0)|²> / 6,       D_σ = slope of <|Σ q_i (r_i(t) - r_i(0))|²> / (6 Σ q_i²),
    σ = N q² D / (V k_B T),                       H = D* / D_σ,

N mobile ions of formal charge q (not the partial charge of any baseline) in the volume V. Of several mobile species D*
is the mean over ions weighted by q², and q² the mean. Positions are relative to the framework's centre of mass
(`ionloop.analysis.framework`). How slopes and intervals come about is told in `ionloop.analysis.diffusion`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase.units import _e, _k
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ..errors import InputError
from ..fitting.species import FORMAL_CHARGES
from .diffusion import (
    LARGEST_LAG_FRACTION,
    SCATTER_LEVEL,
    Estimate,
    SlopeSample,
    TransportSettings,
    Window,
    design_effect,
    find_window,
    interval,
    slope_weights,
)
from .framework import DriftReference, FrameOfReference, frame_of_reference
from .mean_squared_displacement import mean_squared_displacements, spread_lags
from .replicas import check_replicas, mean_volume_A3
from .trajectories import Trajectory

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

AXES = ("x", "y", "z")
FEWEST_FRAMES = 20
# In units of the window's start: one hop has a fixed length, only several of them have a length that varies.
_DESIGN_EFFECT_STRIDE = 4
# Steps of each trajectory from which it is first estimated, before the window is known.
_DESIGN_EFFECT_STEPS = 64
# Å²/ps over Å³ in S/m, and S/m in mS/cm.
_SI_PER_A2_PS_A3 = 1e-20 / 1e-12 / 1e-30
_MS_CM_PER_S_M = 10.0

UNITS: dict[str, str] = {
    "temperature_K": "K",
    "volume_A3": "Å³",
    "charge_e": "e",
    "length_ps": "ps",
    "frame_interval_fs": "fs",
    "window_start_ps": "ps",
    "window_end_ps": "ps",
    "displacement_A": "Å",
    "diffusivity_A2_per_ps": "Å²/ps",
    "diffusivity_by_axis_A2_per_ps": "Å²/ps",
    "diffusivity_by_species_A2_per_ps": "Å²/ps",
    "collective_diffusivity_A2_per_ps": "Å²/ps",
    "tracer_conductivity_mS_per_cm": "mS/cm",
    "collective_conductivity_mS_per_cm": "mS/cm",
    "haven_ratio": "",
}


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
            if charge is None or charge == 0:
                raise InputError(f"{species} has no one common ion: give its formal charge, which must not be 0 (e)")
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


class ConductivityResult(BaseModel):
    """Transport of one species at one temperature; `UNITS` has the units of all fields.

    Where ``reliable`` is false, displacements are too small or not linear in time: intervals then reach from zero to
    an upper bound, and `warnings` says why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    species: str
    temperature_K: float
    charge_e: float
    ions: int
    volume_A3: float
    replicas: int
    frame_interval_fs: float
    length_ps: float = Field(description="length of the shortest replica")
    window_start_ps: float
    window_end_ps: float
    diffusive: bool
    reliable: bool
    displacement_A: float = Field(description="root-mean-square displacement at the end of the window")
    diffusivity_A2_per_ps: Estimate
    diffusivity_by_axis_A2_per_ps: dict[str, Estimate]
    diffusivity_by_species_A2_per_ps: dict[str, Estimate]
    collective_diffusivity_A2_per_ps: Estimate
    tracer_conductivity_mS_per_cm: Estimate
    collective_conductivity_mS_per_cm: Estimate
    haven_ratio: Estimate | None
    warnings: tuple[str, ...] = ()


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


@dataclass(frozen=True)
class _Displacements:
    """Mean squared displacements of one species in all replicas."""

    lags: IntArray
    by_ion_A2: FloatArray  # [n_replicas, n_lags, n_ions, 3]
    lengths: FloatArray  # [n_replicas]
    interval_ps: float

    @property
    def shortest(self) -> int:
        return int(self.lengths.min())

    @property
    def mean_A2(self) -> FloatArray:
        """Sum over axes, mean over ions and replicas, shape [n_lags]."""
        total: FloatArray = np.average(self.by_ion_A2.sum(axis=3).mean(axis=2), axis=0, weights=self.lengths)
        return total

    def window(self, settings: TransportSettings, effect: float = 1.0) -> Window:
        n_replicas, _, n_ions, _ = self.by_ion_A2.shape
        return find_window(self.lags, self.mean_A2, self.shortest, 3.0 * n_ions * n_replicas / effect, settings)


def analyse_conductivity(
    trajectories: Sequence[Trajectory],
    carrier: Carrier,
    settings: TransportSettings | None = None,
    reference: FrameOfReference | None = None,
) -> ConductivityAnalysis:
    """Return the conductivity from independent replicas of one system.

    Parameters
    ----------
    reference
        The frame of reference; None finds it as ``carrier`` says.

    Raises
    ------
    InputError
        If replicas are of different systems or too short, or the species is not in them or has no known charge.
    """
    settings = settings or TransportSettings()
    notes = check_replicas(trajectories, FEWEST_FRAMES)
    first, volume_A3 = trajectories[0], mean_volume_A3(trajectories)
    atoms, charges = carrier.ions(first)
    charge = float(np.sqrt(np.mean(charges**2))) if carrier.others else float(charges[0])
    reference = reference or _reference(trajectories, carrier)
    drifts = reference.drift_A
    tracer = _displacements(trajectories, carrier.mobile, drifts, carrier.charges)
    charged = _charge_displacements(trajectories, carrier, drifts)
    coarse = max(1, tracer.shortest // _DESIGN_EFFECT_STEPS)
    window = tracer.window(settings, _design_effect(trajectories, carrier.mobile, drifts, coarse))
    effect = _design_effect(trajectories, carrier.mobile, drifts, _DESIGN_EFFECT_STRIDE * window.start)
    displacement = float(np.sqrt(tracer.mean_A2[window.chosen(tracer.lags)][-1]))
    reliable = window.diffusive and displacement >= settings.minimum_displacement_A
    diffusivity, scattered = _diffusivity(tracer, window, settings, effect=effect, reliable=reliable)
    by_axis = {
        name: _diffusivity(tracer, window, settings, axes=(axis,), effect=effect, reliable=reliable)[0]
        for axis, name in enumerate(AXES)
    }
    collective, collective_scattered = _diffusivity(charged, window, settings, reliable=reliable)
    by_species = {} if carrier.others else {carrier.species: diffusivity}
    by_species |= {
        species: _species_diffusivity(trajectories, species, drifts, settings)
        for species in sorted(set(first.symbols) - by_species.keys())
    }
    per_diffusivity = conductivity_mS_per_cm(1.0, len(atoms), volume_A3, charge, carrier.temperature_K)
    result = ConductivityResult(
        species=", ".join(carrier.mobile),
        temperature_K=carrier.temperature_K,
        charge_e=charge,
        ions=len(atoms),
        volume_A3=volume_A3,
        replicas=len(trajectories),
        frame_interval_fs=first.frame_interval_fs,
        length_ps=min(one.length_ps for one in trajectories),
        window_start_ps=window.start * tracer.interval_ps,
        window_end_ps=window.end * tracer.interval_ps,
        diffusive=window.diffusive,
        reliable=reliable,
        displacement_A=displacement,
        diffusivity_A2_per_ps=diffusivity,
        diffusivity_by_axis_A2_per_ps=by_axis,
        diffusivity_by_species_A2_per_ps=by_species,
        collective_diffusivity_A2_per_ps=collective,
        tracer_conductivity_mS_per_cm=diffusivity.scaled(per_diffusivity),
        collective_conductivity_mS_per_cm=collective.scaled(per_diffusivity),
        haven_ratio=haven_ratio(diffusivity, collective) if reliable else None,
        warnings=(
            *notes,
            *reference.notes,
            *_warnings(trajectories, carrier, window, displacement, settings, scattered or collective_scattered),
        ),
    )
    return ConductivityAnalysis(result, _curves(tracer, charged, effect))


def haven_ratio(tracer: Estimate, collective: Estimate) -> Estimate | None:
    """Return D*/D_σ; None where one of them may be zero.

    Distances to the ends of both intervals add up in squares, as logarithms; that the two stem from the same paths is
    not made use of, which makes the interval rather too wide.
    """
    if tracer.low <= 0 or collective.low <= 0:
        return None
    ratio = tracer.value / collective.value
    relative = np.hypot(tracer.standard_error / tracer.value, collective.standard_error / collective.value)
    down = np.hypot(np.log(tracer.value / tracer.low), np.log(collective.high / collective.value))
    up = np.hypot(np.log(tracer.high / tracer.value), np.log(collective.value / collective.low))
    return Estimate(
        value=ratio,
        low=float(ratio * np.exp(-down)),
        high=float(ratio * np.exp(up)),
        standard_error=float(ratio * relative),
    )


def conductivity_against_length(
    trajectories: Sequence[Trajectory],
    carrier: Carrier,
    settings: TransportSettings | None = None,
    lengths: int = 10,
) -> list[ConductivityAtLength]:
    """Return conductivities from the first part of all trajectories, at lengths in geometric progression.

    The last is the whole length, the first a thirtieth of it, where that still has enough frames.
    """
    check_replicas(trajectories, FEWEST_FRAMES)
    # What rests is found from the whole: in a short part of it much seems to.
    reference = _reference(trajectories, carrier)
    shortest = min(one.n_frames for one in trajectories)
    found = []
    for frames in np.unique(np.geomspace(max(FEWEST_FRAMES, shortest / 30), shortest, lengths).round().astype(int)):
        parts = [one.part(stop=int(frames)) for one in trajectories]
        result = analyse_conductivity(parts, carrier, settings, reference.part(stop=int(frames))).result
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
    return frame_of_reference(trajectories, carrier.mobile, carrier.drift, carrier.framework)


def _displacements(
    trajectories: Sequence[Trajectory],
    species: Sequence[str],
    drifts: Sequence[FloatArray],
    charges: Mapping[str, float] | None = None,
) -> _Displacements:
    """Return the displacements of the ions of ``species``, squares weighted by those of ``charges``."""
    lags = _lags(trajectories)
    found = []
    for one, shift in zip(trajectories, drifts, strict=True):
        of_species = [one.indices_of(name) for name in species]
        squares = mean_squared_displacements(one.positions_A, lags, atoms=np.concatenate(of_species), drift_A=shift)
        if len(species) > 1 and charges is not None:
            weights = np.repeat([charges[name] ** 2 for name in species], [len(atoms) for atoms in of_species])
            squares *= (weights / weights.mean())[:, None]
        found.append(squares)
    return _collected(trajectories, lags, found)


def _charge_displacements(
    trajectories: Sequence[Trajectory], carrier: Carrier, drifts: Sequence[FloatArray]
) -> _Displacements:
    """Return the displacements of Σ q_i r_i / √(Σ q_i²)."""
    lags = _lags(trajectories)
    found = []
    for one, shift in zip(trajectories, drifts, strict=True):
        atoms, charges = carrier.ions(one)
        weights = charges / np.sqrt(np.sum(charges**2))
        moment = np.tensordot(one.positions_A[:, atoms], weights, axes=([1], [0])) - weights.sum() * shift
        found.append(mean_squared_displacements(moment[:, None], lags))
    return _collected(trajectories, lags, found)


def _lags(trajectories: Sequence[Trajectory]) -> IntArray:
    return spread_lags(int(LARGEST_LAG_FRACTION * min(one.n_frames for one in trajectories)))


def _collected(trajectories: Sequence[Trajectory], lags: IntArray, found: Sequence[FloatArray]) -> _Displacements:
    lengths = np.array([one.n_frames for one in trajectories], dtype=float)
    return _Displacements(lags, np.stack(found), lengths, trajectories[0].frame_interval_fs / 1000.0)


def _diffusivity(
    displacements: _Displacements,
    window: Window,
    settings: TransportSettings,
    *,
    axes: tuple[int, ...] = (0, 1, 2),
    effect: float = 1.0,
    reliable: bool,
) -> tuple[Estimate, bool]:
    """Return the diffusivity along ``axes``, and whether replicas scatter by more than chance allows."""
    chosen = window.chosen(displacements.lags)
    lags = displacements.lags[chosen]
    curves = displacements.by_ion_A2[:, chosen][..., list(axes)].sum(axis=3)
    n_series = float(len(axes) * curves.shape[0] * curves.shape[2])
    weights, variance = slope_weights(displacements.shortest, lags, n_series)
    slopes = np.einsum("m,rmn->rn", weights, curves)
    mean = np.average(curves.mean(axis=2), axis=0, weights=displacements.lengths)
    slope = max(float(np.average(slopes.mean(axis=1), weights=displacements.lengths)), 0.0)
    # Vibrations add to the noise but not to the slope: the error follows the displacement where that is larger.
    scale = max(slope, float(mean[0] / lags[0]))
    length_ratio = displacements.shortest / displacements.lengths.mean()
    path_error = scale * np.sqrt(variance * length_ratio / len(axes))
    sample = SlopeSample(slopes, displacements.lengths, float(path_error), effect)
    value, error, scattered = sample.mean_and_error(settings)
    estimate = interval(value, error)
    if not reliable:
        bound = float(mean[-1] / lags[-1])
        estimate = estimate.model_copy(update={"low": 0.0, "high": max(estimate.high, bound)})
    return estimate.scaled(1.0 / (2 * len(axes) * displacements.interval_ps)), scattered


def _design_effect(
    trajectories: Sequence[Trajectory], species: Sequence[str], drifts: Sequence[FloatArray], stride: int
) -> float:
    return design_effect(
        [
            one.positions_A[::stride, np.concatenate([one.indices_of(name) for name in species])]
            - shift[::stride, None]
            for one, shift in zip(trajectories, drifts, strict=True)
        ]
    )


def _species_diffusivity(
    trajectories: Sequence[Trajectory], species: str, drifts: Sequence[FloatArray], settings: TransportSettings
) -> Estimate:
    displacements = _displacements(trajectories, [species], drifts)
    window = displacements.window(settings)
    reached = float(np.sqrt(displacements.mean_A2[window.chosen(displacements.lags)][-1]))
    reliable = window.diffusive and reached >= settings.minimum_displacement_A
    return _diffusivity(displacements, window, settings, reliable=reliable)[0]


def _curves(tracer: _Displacements, charged: _Displacements, effect: float) -> DisplacementCurves:
    n_ions = tracer.by_ion_A2.shape[2]
    # Qian, Sheetz, Elson, Biophys. J. 1991, 60, 910: Var(MSD)/MSD² is 4/3 lag/length for one Brownian path.
    relative = np.sqrt(4.0 / 3.0 * tracer.lags / tracer.lengths.sum() / 3.0)
    mean, of_charge = tracer.mean_A2, charged.mean_A2
    return DisplacementCurves(
        lags_ps=np.asarray(tracer.lags * tracer.interval_ps, dtype=np.float64),
        tracer_A2=mean,
        tracer_error_A2=mean * relative * np.sqrt(effect / n_ions),
        collective_A2=of_charge,
        collective_error_A2=of_charge * relative,
        tracer_by_axis_A2=np.average(tracer.by_ion_A2.mean(axis=2), axis=0, weights=tracer.lengths),
    )


def _warnings(
    trajectories: Sequence[Trajectory],
    carrier: Carrier,
    window: Window,
    displacement_A: float,
    settings: TransportSettings,
    scattered: bool,
) -> tuple[str, ...]:
    found = list(dict.fromkeys(note for one in trajectories for note in one.notes))
    species = ", ".join(carrier.mobile)
    length_ps = min(one.length_ps for one in trajectories)
    if not window.diffusive:
        found.append(
            f"the displacement of {species} does not grow linearly with time within {length_ps:g} ps (local"
            f" exponent {window.exponent:.2f} at {window.start * trajectories[0].frame_interval_fs / 1000:g} ps): it"
            f" may not diffuse at all; the intervals reach from zero to an upper bound. Run longer, or hotter"
        )
    if displacement_A < settings.minimum_displacement_A:
        found.append(
            f"{species} moves by {displacement_A:.2f} Å within {length_ps:g} ps, less than"
            f" {settings.minimum_displacement_A:g} Å: too little to mean anything but an upper bound. Run longer, or"
            " hotter"
        )
    if scattered:
        found.append(
            f"replicas differ by more than chance allows (level {100 * SCATTER_LEVEL:g} %): they are shorter"
            " than the slowest motion, or not equilibrated; the intervals follow their scatter"
        )
    return tuple(found)
