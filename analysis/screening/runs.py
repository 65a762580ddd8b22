"""One run of a screening: what became of the crystal at a temperature, and how its ions diffused until then."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from ase import Atoms
from pydantic import Field

from ...core.arrays import FloatArray
from ...core.settings import FrozenModel
from ..conductivity.diffusion import Estimate
from ..conductivity.transport import Carrier, analyse_conductivity
from ..conductivity.transport_settings import FEWEST_FRAMES
from ..hops.hop_counts import poisson_interval
from ..trajectories.reading import Trajectory
from .hop_counting import count_hops
from .host_motion import HostMotion, HostTrajectory, watch_host
from .polyanions import find_host
from .settings import ScreeningSettings


class Verdict(StrEnum):
    """What a run says of the crystal at its temperature."""

    DIFFUSES = "diffuses"
    TOO_SLOW = "too slow"
    UNCLEAR = "unclear"
    """Ions hop, but their displacements do not grow linearly, or not alike all the time."""
    MELTED = "melted"
    DECOMPOSED = "decomposed"
    STOPPED = "stopped"
    """Left the bounds that a sound trajectory keeps."""

    @property
    def sound(self) -> bool:
        """Whether the crystal lasted."""
        return self in {Verdict.DIFFUSES, Verdict.TOO_SLOW, Verdict.UNCLEAR}

    @property
    def gone(self) -> bool:
        """Whether the crystal was seen to go; what a guard stops may be an error of the potential."""
        return self in {Verdict.MELTED, Verdict.DECOMPOSED}


class RunResult(FrozenModel):
    """A run at one temperature; what comes after the host melts or decomposes is left out of all that ions say."""

    temperature_K: float = Field(description="Temperature (K)")
    verdict: Verdict = Field(description="What became of the crystal: " + " | ".join(Verdict) + " (name)")
    told: str = Field(description="The same in words (text)")
    length_ps: float = Field(description="Length of the run, equilibration included (ps)")
    sound_ps: float = Field(description="Length of what diffusivities are taken from (ps)")
    ions: int = Field(description="Mobile ions in the cell (number)")
    atoms: int = Field(description="Atoms in the cell (number)")
    charge_e: float = Field(description="Formal charge of a mobile ion (e)")
    hops_per_ion: float = Field(description="Mean number of hops of an ion (number)")
    diffusivity_A2_per_ps: Estimate | None = Field(
        description="Tracer diffusivity; from 0 to a bound where no more is known (Å²/ps)"
    )
    measured: bool = Field(description="Whether the diffusivity is more than a bound (yes or no)")
    relative_error: float | None = Field(
        description="Half of the 95 % interval of a measured diffusivity over its value (no unit)"
    )
    volume_A3_per_atom: float | None = Field(description="Mean volume after equilibration (Å³/atom)")
    host: HostMotion = Field(description="What the host does")
    warnings: tuple[str, ...] = Field(default=(), description="What to know about the numbers (text)")


def analyse_run(
    frames: Sequence[Atoms],
    mobile: str,
    temperature_K: float,
    settings: ScreeningSettings,
    *,
    stopped: str = "",
    compare: bool = True,
) -> RunResult:
    """Return what a run says.

    Parameters
    ----------
    frames
        Of the whole run, equilibration included, unwrapped and `ScreeningSettings.frame_ps` apart; the first one is the
        crystal at the start.
    stopped
        Why the trajectory was stopped by its guard; empty where it was not.
    compare
        Whether environments are compared with those at the start, which takes longer than the rest.

    Raises
    ------
    InputError
        If there is no host or there are no mobile ions, or no formal charge of them is known.
    """
    start = frames[0]
    cells = np.array([one.cell.array for one in frames])
    fractional = np.array([one.positions @ np.linalg.inv(one.cell.array) for one in frames])
    late = slice(min(settings.equilibration_frames, len(frames) - 1), None)
    cell_A = cells[late].mean(axis=0)
    host = find_host(start, mobile, settings.host.bond_factor)
    watched = HostTrajectory(fractional, cell_A, start.get_masses(), settings.frame_ps)
    motion = watch_host(host, watched, settings.host, start if compare else None)
    sound = _sound_frames(motion, len(frames), settings)
    positions_A = fractional[settings.equilibration_frames : sound] @ cell_A
    ions = np.flatnonzero(np.array(start.get_chemical_symbols()) == mobile)
    carrier = Carrier(mobile, temperature_K, settings.charge_e)
    estimate: Estimate | None = None
    reliable, hops = False, 0.0
    warnings: tuple[str, ...] = ()
    if len(positions_A) >= FEWEST_FRAMES:
        estimate, reliable, warnings = _diffusivity(start, positions_A, cell_A, carrier, settings)
        at_rest = _drift_A(positions_A[:, host.atoms], start.get_masses()[host.atoms])
        hops = float(count_hops(positions_A[:, ions] - at_rest, settings.frame_ps, settings.hop_length_A).mean())
    measured = reliable and hops >= settings.hops_per_ion and estimate is not None and estimate.low > 0
    verdict = _verdict(motion, stopped, measured, hops >= settings.hops_per_ion)
    error = None
    if measured and estimate is not None:
        error = 0.5 * (estimate.high - estimate.low) / estimate.value
    elif estimate is not None:
        estimate = estimate.model_copy(update={"low": 0.0})
    return RunResult(
        temperature_K=temperature_K,
        verdict=verdict,
        told=_told(verdict, motion, stopped, estimate, hops),
        length_ps=(len(frames) - 1) * settings.frame_ps,
        sound_ps=max(len(positions_A) - 1, 0) * settings.frame_ps,
        ions=len(ions),
        atoms=len(start),
        charge_e=carrier.charges[mobile],
        hops_per_ion=hops,
        diffusivity_A2_per_ps=estimate,
        measured=measured,
        relative_error=error,
        volume_A3_per_atom=_volume(cells[settings.equilibration_frames : sound], len(start)),
        host=motion,
        warnings=warnings,
    )


def may_end(result: RunResult, settings: ScreeningSettings) -> bool:
    """Return whether a run need not go on: the crystal is gone, its diffusivity is known, or will not be.

    It will not be where the hops that were counted say, by the upper end of their Poisson interval, that the longest
    length would not show enough of them either.
    """
    if not result.verdict.sound:
        return True
    if result.relative_error is not None:
        return result.relative_error < settings.relative_error
    estimate = result.diffusivity_A2_per_ps
    if estimate is None:
        return False
    _, most = poisson_interval(result.hops_per_ion * result.ions, result.ions * result.sound_ps)
    return most * settings.length_ps < settings.hops_per_ion or estimate.high < settings.least_diffusivity_A2_per_ps


def _sound_frames(motion: HostMotion, n_frames: int, settings: ScreeningSettings) -> int:
    if motion.sound:
        return n_frames
    return min(n_frames, round(motion.sound_until_ps / settings.frame_ps))


def _drift_A(positions_A: FloatArray, masses: FloatArray) -> FloatArray:
    centre = np.einsum("tnc,n->tc", positions_A, masses / masses.sum())
    return np.asarray((centre - centre[0])[:, None])


def _diffusivity(
    start: Atoms, positions_A: FloatArray, cell_A: FloatArray, carrier: Carrier, settings: ScreeningSettings
) -> tuple[Estimate, bool, tuple[str, ...]]:
    trajectory = Trajectory(
        tuple(start.get_chemical_symbols()), positions_A, cell_A, 1000.0 * settings.frame_ps, name="the run"
    )
    found = analyse_conductivity([trajectory], carrier, settings.transport, by_axis=False).result
    return found.diffusivity_A2_per_ps, found.reliable, found.warnings


def _volume(cells: FloatArray, n_atoms: int) -> float | None:
    return float(np.abs(np.linalg.det(cells)).mean() / n_atoms) if len(cells) else None


def _verdict(motion: HostMotion, stopped: str, measured: bool, hop: bool) -> Verdict:
    melted, decomposed = motion.melted_at_ps, motion.decomposed_at_ps
    if decomposed is not None and (melted is None or decomposed <= melted):
        return Verdict.DECOMPOSED
    if melted is not None:
        return Verdict.MELTED
    if stopped:
        return Verdict.STOPPED
    if measured:
        return Verdict.DIFFUSES
    return Verdict.UNCLEAR if hop else Verdict.TOO_SLOW


def _told(verdict: Verdict, motion: HostMotion, stopped: str, estimate: Estimate | None, hops: float) -> str:
    if verdict is Verdict.DECOMPOSED:
        return f"decomposed at {motion.decomposed_at_ps:g} ps: {motion.change}"
    if verdict is Verdict.MELTED:
        return (
            f"melted at {motion.melted_at_ps:g} ps: {', '.join(motion.judged)} move by {motion.lindemann_ratio:.2f} of "
            "their distance and diffuse"
        )
    if verdict is Verdict.STOPPED:
        return f"stopped: {stopped}"
    if verdict is not Verdict.DIFFUSES:
        bound = "" if estimate is None else f": D is at most {estimate.high:.2g} Å²/ps"
        return f"{verdict}: {hops:.1f} hops of an ion{bound}"
    flags = [
        text
        for text, is_so in (
            ("anions rotate", motion.rotating_anions),
            ("lone anions move", motion.moving_lone_anions),
        )
        if is_so
    ]
    return ", ".join(["diffuses", *flags])
