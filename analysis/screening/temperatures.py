"""Which temperature a screening runs at next, and what all of its runs say together.

Hot first: a crystal that melts, decomposes or breaks its bounds is run again at a lower temperature. Where it lasts and
its ions move fast enough to be worth it, colder runs follow, down to where ions are too slow. One that is too slow
below a temperature that it did not survive is tried once between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from pydantic import Field

from ...core.errors import InputError
from ...core.settings import FrozenModel
from ..conductivity.arrhenius import ROOM_TEMPERATURE_K, ChargeCarriers
from .censored_arrhenius import FEWEST_MEASURED, CensoredLine, DiffusivityPoint, fit_censored_arrhenius
from .runs import RunResult, Verdict
from .settings import ScreeningSettings

# Temperatures closer than this are the same.
_LEAST_RATIO = 1.05
# Half-width of a 95 % interval over the standard error of a normal distribution.
_NORMAL = 1.96


NOTHING_SEEN = (
    "guards stopped every run before the crystal was seen to melt or decompose: the potential may be what gave way"
)


class Outcome(StrEnum):
    """What a screening says of a crystal."""

    CONDUCTOR = "conductor"
    SLOW = "too slow"
    UNSTABLE = "unstable"
    OPEN = "open"
    """Too few temperatures gave a diffusivity, or guards stopped all runs before anything was seen of the crystal."""


class NextRun(FrozenModel):
    """The next temperature; None where there is none, and why."""

    temperature_K: float | None
    reason: str


def next_run(runs: Sequence[RunResult], settings: ScreeningSettings) -> NextRun:
    """Return at which temperature the next run is, given those before it in their order."""
    if not runs:
        return NextRun(temperature_K=settings.start_temperature_K, reason="the first")
    if len(runs) >= settings.most_runs:
        return NextRun(temperature_K=None, reason=f"most_runs ({settings.most_runs}) are done")
    sound = [one for one in runs if one.verdict.sound]
    lost = [one.temperature_K for one in runs if not one.verdict.sound]
    last = runs[-1]
    if not sound:
        return _lower(min(one.temperature_K for one in runs), settings, f"{last.verdict} at {last.temperature_K:g} K")
    coldest = min(sound, key=lambda one: one.temperature_K)
    if not last.verdict.sound and last.temperature_K < coldest.temperature_K:
        return NextRun(temperature_K=None, reason=f"{last.verdict} below a temperature at which the crystal lasts")
    if coldest.verdict is Verdict.TOO_SLOW:
        return _above_what_is_too_slow(sound, lost, coldest)
    if _diffusivity(coldest) < settings.least_diffusivity_A2_per_ps:
        return NextRun(temperature_K=None, reason=f"no conductor at {coldest.temperature_K:g} K")
    if len(sound) >= settings.temperatures:
        return NextRun(temperature_K=None, reason=f"{len(sound)} temperatures are known")
    return _lower(coldest.temperature_K, settings, f"diffuses at {coldest.temperature_K:g} K")


def _lower(temperature_K: float, settings: ScreeningSettings, reason: str) -> NextRun:
    below = settings.temperature_factor * temperature_K
    if below < settings.lowest_temperature_K - 1e-9:
        return NextRun(temperature_K=None, reason=f"{reason}, and {below:.0f} K is below lowest_temperature_K")
    return NextRun(temperature_K=round(below, 1), reason=reason)


def _above_what_is_too_slow(sound: Sequence[RunResult], lost: Sequence[float], slow: RunResult) -> NextRun:
    reason = f"too slow at {slow.temperature_K:g} K"
    above = [one for one in lost if one > slow.temperature_K]
    if len(sound) > 1 or not above:
        return NextRun(temperature_K=None, reason=reason)
    between = float(np.sqrt(min(above) * slow.temperature_K))
    if between / slow.temperature_K < _LEAST_RATIO:
        return NextRun(temperature_K=None, reason=reason)
    return NextRun(temperature_K=round(between, 1), reason=f"{reason}, and gone at {min(above):g} K")


def _diffusivity(run: RunResult) -> float:
    return 0.0 if run.diffusivity_A2_per_ps is None else run.diffusivity_A2_per_ps.value


class ScreeningSummary(FrozenModel):
    """What all runs of one potential say of a crystal."""

    outcome: Outcome = Field(description="What the crystal is: " + " | ".join(Outcome) + " (name)")
    told: str = Field(description="The same in words (text)")
    temperatures_K: tuple[float, ...] = Field(description="Temperatures of all runs, in their order (K)")
    highest_sound_temperature_K: float | None = Field(description="Highest at which the crystal lasts (K)")
    lowest_lost_temperature_K: float | None = Field(description="Lowest at which it melts or decomposes (K)")
    line: CensoredLine | None = Field(description="The Arrhenius line")
    volume_300K_A3_per_atom: float | None = Field(description="Volume at 300 K (Å³/atom)")
    relaxed_volume_A3_per_atom: float | None = Field(description="Volume of the relaxed crystal (Å³/atom)")
    expansion_per_K: float | None = Field(
        description="Expansion of the volume by temperature, over the relaxed volume (1/K)"
    )
    largest_expansion: float | None = Field(
        description="Volume of the hottest sound run over the relaxed one (no unit)"
    )


def summarise(
    runs: Sequence[RunResult], settings: ScreeningSettings, relaxed_volume_A3_per_atom: float | None
) -> ScreeningSummary:
    """Return what the runs of one potential say together.

    The volume at 300 K lies on the straight line from the relaxed crystal, at 0 K, through the volumes of the runs that
    last: classical crystals expand linearly.
    """
    sound = [one for one in runs if one.verdict.sound]
    lost = [one.temperature_K for one in runs if one.verdict.gone]
    slope = _expansion_per_K(sound, relaxed_volume_A3_per_atom)
    volume = None
    if relaxed_volume_A3_per_atom is not None:
        volume = relaxed_volume_A3_per_atom * (1.0 + (slope or 0.0) * ROOM_TEMPERATURE_K)
    line, why = _line(sound, settings, volume) if sound else (None, NOTHING_SEEN)
    outcome = _outcome(runs, settings)
    hottest = max(sound, key=lambda one: one.temperature_K, default=None)
    ratio = None
    if hottest is not None and hottest.volume_A3_per_atom is not None and relaxed_volume_A3_per_atom is not None:
        ratio = hottest.volume_A3_per_atom / relaxed_volume_A3_per_atom
    return ScreeningSummary(
        outcome=outcome,
        told=_told(outcome, runs, why),
        temperatures_K=tuple(one.temperature_K for one in runs),
        highest_sound_temperature_K=None if hottest is None else hottest.temperature_K,
        lowest_lost_temperature_K=min(lost, default=None),
        line=line,
        volume_300K_A3_per_atom=volume,
        relaxed_volume_A3_per_atom=relaxed_volume_A3_per_atom,
        expansion_per_K=slope,
        largest_expansion=ratio,
    )


def _outcome(runs: Sequence[RunResult], settings: ScreeningSettings) -> Outcome:
    sound = [one for one in runs if one.verdict.sound]
    if not sound:
        return Outcome.UNSTABLE if any(one.verdict.gone for one in runs) else Outcome.OPEN
    measured = [one for one in sound if one.measured]
    best = max((_diffusivity(one) for one in measured), default=0.0)
    if best < settings.least_diffusivity_A2_per_ps:
        return Outcome.SLOW
    return Outcome.CONDUCTOR if len(measured) >= FEWEST_MEASURED else Outcome.OPEN


def _told(outcome: Outcome, runs: Sequence[RunResult], why: str) -> str:
    each = "; ".join(f"{one.temperature_K:g} K: {one.told}" for one in runs)
    return f"{outcome}{f' ({why})' if why and outcome is Outcome.OPEN else ''}" + (f": {each}" if each else "")


def _line(
    sound: Sequence[RunResult], settings: ScreeningSettings, volume_A3_per_atom: float | None
) -> tuple[CensoredLine | None, str]:
    points = [point for one in sound if (point := _point(one)) is not None]
    if volume_A3_per_atom is None or not points:
        return None, "no run has a diffusivity"
    first = sound[0]
    carriers = ChargeCarriers(first.ions, first.charge_e, volume_A3_per_atom * first.atoms)
    try:
        return fit_censored_arrhenius(points, carriers, threshold_mS_per_cm=settings.conductivity_mS_per_cm), ""
    except InputError as error:
        return None, str(error)


def _point(run: RunResult) -> DiffusivityPoint | None:
    estimate = run.diffusivity_A2_per_ps
    if estimate is None or estimate.high <= 0:
        return None
    if not run.measured:
        return DiffusivityPoint(run.temperature_K, bound_A2_per_ps=estimate.high)
    # Intervals of few events reach farther than their standard errors: that is what lines shall know.
    error = float(np.log(estimate.high / estimate.low)) / (2 * _NORMAL)
    return DiffusivityPoint(run.temperature_K, estimate.value, relative_error=error)


def _expansion_per_K(sound: Sequence[RunResult], relaxed_A3_per_atom: float | None) -> float | None:
    """Return the slope of V/V₀ - 1 against temperature, through zero at 0 K."""
    known = [(one.temperature_K, one.volume_A3_per_atom) for one in sound if one.volume_A3_per_atom is not None]
    if relaxed_A3_per_atom is None or not known:
        return None
    temperatures, volumes = np.array(known).T
    return float(temperatures @ (volumes / relaxed_A3_per_atom - 1.0) / (temperatures @ temperatures))
