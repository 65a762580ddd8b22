"""Whether ions need polyanions that turn: diffusivities of trajectories with the polyanions held against free ones.

That hops go with rotations says nothing of which causes which. If ions diffuse as fast while nothing may turn, they do
not need rotations. The answer means something only where polyanions turn when they are free, do not when they are held,
and diffusivities are known: what is missing is said, and then there is no answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from ...core.settings import FrozenModel
from ..conductivity.diffusion import Estimate
from ..conductivity.transport import Carrier, ConductivityResult, analyse_conductivity
from ..trajectories.reading import Trajectory
from .rotation import Rate, RotationResult, analyse_rotation
from .settings import HeldSettings, RotationSettings

Answer = Literal["slower", "faster", "no difference", "not known"]
_ANY_CHARGE_E = 1.0
_MOSTLY_WHOLE = 0.5


class OneSide(FrozenModel):
    """Trajectories with the polyanions free, or held."""

    trajectories: int = Field(description="Trajectories (number)")
    diffusivity_A2_per_ps: Estimate = Field(description="Tracer diffusivity of the mobile ions (Å²/ps)")
    reliable: bool = Field(description="Whether more than its upper bound is known (yes or no)")
    rotations: int = Field(description="Rotations (number)")
    rotations_per_anion_per_ns: Rate = Field(description="The same as a rate, with its 95 % interval (1/ns)")
    whole_fraction: float = Field(description="Part of the time in which the polyanions are whole (no unit)")


class HeldResult(FrozenModel):
    """What holding the polyanions does to the diffusion of the mobile ions."""

    formula: str = Field(description="The polyanion that is held (formula)")
    mobile: str = Field(description="The ion whose diffusivity is compared (chemical symbol)")
    by: str = Field(description="What holds it: walls or masses (name)")
    free: OneSide = Field(description="Trajectories with the polyanions free")
    held: OneSide = Field(description="Trajectories with the polyanions held")
    ratio: float | None = Field(description="Diffusivity with them held over free; nothing: not known (no unit)")
    ratio_low: float | None = Field(description="Lower end of its 95 % interval; nothing: not known (no unit)")
    ratio_high: float | None = Field(description="Upper end of its 95 % interval; nothing: not known (no unit)")
    answer: Answer = Field(description="What the ions do with the polyanions held (word)")
    why_not_known: tuple[str, ...] = Field(description="Why there is no answer; nothing where there is one (text)")


def compare_held(
    free: Sequence[Trajectory],
    held: Sequence[Trajectory],
    mobile: str,
    temperature_K: float,
    settings: RotationSettings,
    holding: HeldSettings,
) -> HeldResult:
    """Return what holding the polyanions does to diffusion.

    Parameters
    ----------
    free, held
        Independent trajectories at one temperature that differ in nothing else.

    Raises
    ------
    InputError
        If one side cannot be analysed.
    """
    at_will, kept = (_side(one, mobile, temperature_K, settings) for one in (free, held))
    ratio, low, high = _ratio(kept, at_will)
    reasons = tuple(_why_not(at_will, kept, high))
    return HeldResult(
        formula=settings.anion.formula,
        mobile=mobile,
        by=holding.by,
        free=at_will,
        held=kept,
        ratio=ratio,
        ratio_low=low,
        ratio_high=high,
        answer="not known" if reasons or low is None or high is None else _answer(low, high),
        why_not_known=reasons,
    )


def ratio_interval(over: Estimate, under: Estimate) -> tuple[float, float] | None:
    """Return the 95 % interval of a ratio of independent estimates from theirs, None where it has no end.

    A. Donner, G. Y. Zou, Stat. Methods Med. Res. 2012, 21, 347, 10.1177/0962280210383082: Fieller's where intervals
    are symmetric, and right for others.
    """
    a, b = max(over.value, 0.0), under.value
    if b <= 0 or under.low <= 0:
        return None
    beyond = max(0.0, under.high * (2 * b - under.high))
    below = under.low * (2 * b - under.low)
    inside = (a * b) ** 2 - over.low * (2 * a - over.low) * beyond
    low = (a * b - np.sqrt(max(0.0, inside))) / beyond if beyond > 0 else 0.0
    high = (a * b + np.sqrt(max(0.0, (a * b) ** 2 - over.high * (2 * a - over.high) * below))) / below
    return float(max(0.0, low)), float(high)


def _side(trajectories: Sequence[Trajectory], mobile: str, temperature_K: float, settings: RotationSettings) -> OneSide:
    # A diffusivity does not depend on the charge that is carried.
    moved: ConductivityResult = analyse_conductivity(
        list(trajectories), Carrier(mobile, temperature_K, _ANY_CHARGE_E), by_axis=False
    ).result
    turned: RotationResult = analyse_rotation(trajectories, mobile, settings).result
    return OneSide(
        trajectories=len(trajectories),
        diffusivity_A2_per_ps=moved.diffusivity_A2_per_ps,
        reliable=moved.reliable,
        rotations=turned.rotations,
        rotations_per_anion_per_ns=turned.rotations_per_anion_per_ns,
        whole_fraction=turned.whole_fraction,
    )


def _ratio(held: OneSide, free: OneSide) -> tuple[float | None, float | None, float | None]:
    if not free.reliable:
        return None, None, None
    over, under = held.diffusivity_A2_per_ps, free.diffusivity_A2_per_ps
    if not held.reliable:
        # Only that it is no larger is known: of what is slow, that may be enough.
        return None, 0.0, None if under.low <= 0 else over.high / under.low
    interval = ratio_interval(over, under)
    return (None, None, None) if interval is None else (over.value / under.value, *interval)


def _why_not(free: OneSide, held: OneSide, high: float | None) -> list[str]:
    reasons = []
    if not free.rotations:
        reasons.append("no polyanion turned where they were free: there was nothing to hold")
    elif held.rotations_per_anion_per_ns.high >= free.rotations_per_anion_per_ns.low:
        reasons.append("they are not known to turn less where they were held: run longer, or hold them harder")
    if min(free.whole_fraction, held.whole_fraction) < _MOSTLY_WHOLE:
        reasons.append("the polyanions are whole for less than half of the time")
    if high is None:
        reasons.append("the diffusivity with free polyanions is known too poorly: run longer, or hotter")
    elif not held.reliable and high >= 1.0:
        reasons.append("of the diffusivity with held polyanions only an upper bound is known, which is no lower")
    return reasons


def _answer(low: float, high: float) -> Answer:
    if high < 1.0:
        return "slower"
    return "faster" if low > 1.0 else "no difference"
