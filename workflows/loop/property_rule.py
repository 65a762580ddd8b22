"""Whether the properties that a campaign asks for are known, and whether more labels would help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from .stop_rule import NEW_CONFIGURATIONS, StopSettings, Verdict, improves

if TYPE_CHECKING:
    from ..campaign.properties import Tolerance

PROPERTY_TOLERANCE: Final = 0.05
"""Relative fall of a property's error that counts as improvement: as that of energy and force errors by default."""


@dataclass(frozen=True)
class PropertyError:
    """A property in one generation.

    Attributes
    ----------
    error
        Statistical and model error together (95 %, unit of the tolerance); None: not known.
    text
        What is known of it, for a person to read: "0.31 ± 0.04 eV (hop-1)", or why it is not known.
    """

    error: float | None
    text: str


@dataclass(frozen=True)
class PropertyHistory:
    """What is known of the properties, generation by generation.

    Attributes
    ----------
    generations
        By number of the generation, then by property.
    """

    generations: Mapping[int, Mapping[str, PropertyError]] = field(default_factory=dict)

    def errors_of(self, name: str, until: int) -> list[tuple[int, float | None]]:
        """Return generation and error of a property, oldest first; a generation without it is left out."""
        found = sorted(self.generations.items())
        return [(number, one[name].error) for number, one in found if number <= until and name in one]


def is_known(error: float | None, asked: Tolerance) -> bool:
    """Return whether an error is within tolerance; one that is not known is not."""
    return error is not None and error <= asked.value


def stalled_properties(history: PropertyHistory, asked: Mapping[str, Tolerance], generation: int) -> int:
    """Return for how many generations in a row, the last one among them, the error of no property has improved.

    An error that becomes known improves; one that no longer is does not.
    """
    numbers = sorted({number for name in asked for number, _ in history.errors_of(name, generation)})
    stalled = 0
    for number in reversed(numbers):
        if any(_improved(history.errors_of(name, number)) for name in asked):
            break
        stalled += 1
    return stalled


def _improved(errors: Sequence[tuple[int, float | None]]) -> bool:
    if not errors or errors[-1][1] is None:
        return False
    return improves([error for _, error in errors if error is not None], PROPERTY_TOLERANCE)


def property_verdict(
    history: PropertyHistory,
    asked: Mapping[str, Tolerance],
    generation: int,
    stalled_errors: int,
    settings: StopSettings,
    measured_on: str = NEW_CONFIGURATIONS,
) -> Verdict:
    """Return what the rule says of an assessed generation in a campaign that asks for properties.

    The loop ends when every property is known within its tolerance; or when neither the models' errors nor those of
    the properties have improved for ``settings.patience`` generations; or with the most generations.

    Parameters
    ----------
    stalled_errors
        For how many generations in a row the models' errors did not improve.
    measured_on
        What those are errors on.
    """
    now = history.generations.get(generation, {})
    known = [name for name, one in asked.items() if name in now and is_known(now[name].error, one)]
    said = "; ".join(_said(name, one, now.get(name)) for name, one in asked.items())
    missing = "; ".join(_said(name, one, now.get(name)) for name, one in asked.items() if name not in known)
    within = f"; within tolerance: {', '.join(known)}" if known else ""
    if len(known) == len(asked):
        reason = f"known in generation {generation}: every property is within its tolerance: {said}"
        return Verdict(stop=True, converged=True, reason=reason)
    stalled = min(stalled_errors, stalled_properties(history, asked, generation))
    if stalled >= settings.patience:
        several = f"{stalled} generation{'s' * (stalled > 1)}"
        return Verdict(
            stop=True,
            converged=True,
            reason=(
                f"more labels do not help: for {several} until generation {generation} neither a model's error on "
                f"{measured_on} nor that of a property improved; not within tolerance: {missing}{within}"
            ),
        )
    if generation >= settings.max_generations:
        return Verdict(
            stop=True,
            converged=False,
            reason=(
                f"stopped after generation {generation}, the most allowed (stop.max_generations), before every "
                f"property was within its tolerance; not within: {missing}{within}"
            ),
        )
    reason = f"generation {generation}: not within tolerance: {missing}{within}; going on"
    return Verdict(stop=False, converged=False, reason=reason)


def _said(name: str, asked: Tolerance, found: PropertyError | None) -> str:
    told = "not looked at" if found is None else found.text if found.error is not None else f"not known: {found.text}"
    return f"{name} {told}, asked for within {asked.text}"
