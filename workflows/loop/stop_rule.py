"""When the loop ends: neither error of any tracked model improves any more, or the most generations are done."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

NEW_CONFIGURATIONS = "new configurations"
AUDIT_SET = "the audit set"


@dataclass(frozen=True)
class GenerationErrors:
    """Errors on a generation's new configurations, or on those of an audit set.

    Attributes
    ----------
    energy
        Root-mean-square energy error by model kind (eV/atom).
    force
        Root-mean-square force-component error by model kind (eV/Å).
    systems
        The same of every system alone, by its name, where systems have names.
    """

    generation: int
    energy: Mapping[str, float]
    force: Mapping[str, float]
    systems: Mapping[str, GenerationErrors] = field(default_factory=dict)


@dataclass(frozen=True)
class StopSettings:
    """The tolerances of the rule; see the campaign file's ``stop`` section."""

    patience: int
    energy_tolerance: float
    force_tolerance: float
    max_generations: int


@dataclass(frozen=True)
class Verdict:
    """Whether to stop, whether because of convergence, and why, for a person to read."""

    stop: bool
    converged: bool
    reason: str


def improves(history: Sequence[float], tolerance: float) -> bool:
    """Return whether the last error lies below the best one before it by more than ``tolerance`` of that."""
    if len(history) < 2:
        return True
    return history[-1] < (1.0 - tolerance) * min(history[:-1])


def stop_verdict(
    history: Sequence[GenerationErrors],
    settings: StopSettings,
    systems: Collection[str] = (),
    measured_on: str = NEW_CONFIGURATIONS,
) -> Verdict:
    """Return what the rule says after the generations in ``history`` (oldest first).

    A generation improves if the energy or the force error of any tracked model falls by more than its
    tolerance below the best of all earlier generations. The loop has converged after ``patience``
    generations in a row that do not improve; of several systems, when that holds of each.

    Parameters
    ----------
    systems
        Names of the campaign's systems; one of which there are no errors yet has not converged.
    measured_on
        What the errors are errors on, for the reason.

    Raises
    ------
    ValueError
        If ``history`` is empty.
    """
    if not history:
        raise ValueError("the stop rule needs the errors of at least one generation")
    by_system = _stalled_by_system(history, settings, systems)
    latest = min(by_system, key=lambda name: by_system[name]) if by_system else ""
    stalled = by_system[latest] if by_system else _stalled(history, settings)
    whose = f" ({latest} was the last system)" if len(by_system) > 1 else ""
    last = history[-1].generation
    if stalled >= settings.patience:
        return Verdict(
            stop=True,
            converged=True,
            reason=(
                f"converged in generation {last}: for {stalled} generation{'s' * (stalled > 1)} no model's error on "
                f"{measured_on} fell by more than {settings.energy_tolerance:.0%} (energy) "
                f"or {settings.force_tolerance:.0%} (forces){whose}"
            ),
        )
    if last >= settings.max_generations:
        return Verdict(
            stop=True,
            converged=False,
            reason=(
                f"stopped after generation {last}, the most allowed (stop.max_generations), "
                "before the stop rule called it converged" + _unconverged(by_system, settings)
            ),
        )
    return Verdict(
        stop=False, converged=False, reason=f"generation {last} improved{_unconverged(by_system, settings)}; going on"
    )


def stalled_generations(
    history: Sequence[GenerationErrors], settings: StopSettings, systems: Collection[str] = ()
) -> int:
    """Return for how many generations in a row, the last one among them, no model's error has improved in any system.

    Parameters are those of `stop_verdict`.
    """
    by_system = _stalled_by_system(history, settings, systems)
    return min(by_system.values()) if by_system else _stalled(history, settings)


def _stalled_by_system(
    history: Sequence[GenerationErrors], settings: StopSettings, systems: Collection[str]
) -> dict[str, int]:
    return {name: _stalled(_of_system(history, name), settings) for name in systems}


def _stalled(history: Sequence[GenerationErrors], settings: StopSettings) -> int:
    """Return how many of the last generations in a row did not improve."""
    stalled = 0
    for end in range(len(history), 0, -1):
        if _generation_improves(history[:end], settings):
            break
        stalled += 1
    return stalled


def _of_system(history: Sequence[GenerationErrors], name: str) -> list[GenerationErrors]:
    return [errors.systems[name] for errors in history if name in errors.systems]


def _unconverged(stalled: Mapping[str, int], settings: StopSettings) -> str:
    """Return which systems have not converged, in brackets, empty where systems have no names."""
    names = [name for name, count in stalled.items() if count < settings.patience]
    return f" ({', '.join(names)})" if names else ""


def _generation_improves(history: Sequence[GenerationErrors], settings: StopSettings) -> bool:
    # A generation in which one model could not be fitted has no errors of that kind.
    return any(
        improves([g.energy[kind] for g in history if kind in g.energy], settings.energy_tolerance)
        or improves([g.force[kind] for g in history if kind in g.force], settings.force_tolerance)
        for kind in history[-1].energy
    )
