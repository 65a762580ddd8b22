"""The errors that the stop rule looks at and that a campaign's state shows, and whether they end the loop."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ...core.names import AUDIT, ERRORS, NEW
from ...store.connection import Store
from ...store.records import ResultRecord
from ...tasks.values.properties import PROPERTIES, PropertyValues
from .learning_rule import AUDITS, LearningStanding, learning_standings, learning_verdict
from .property_rule import PropertyError, PropertyHistory, property_verdict
from .stop_rule import (
    AUDIT_SET,
    NEW_CONFIGURATIONS,
    GenerationErrors,
    StopSettings,
    Verdict,
    stalled_generations,
    stop_verdict,
)

if TYPE_CHECKING:
    from ...analysis.errors.model_errors import ModelErrors
    from ...tasks.values.loop import ErrorValues
    from ..campaign.settings import Stop
    from ..graph.plan import Plan


def error_history(store: Store, campaign: str, subset: str = NEW) -> list[GenerationErrors]:
    """Return the errors on new configurations, or on the audit set, generation by generation, of all systems and each.

    Final models, which were not new to their generation's labels, are left out.
    """
    found = list(store.results.find({"campaign": campaign, "kind": ERRORS, "values.subset": subset}))
    if subset != NEW:
        new = store.results.find({"campaign": campaign, "kind": ERRORS, "values.subset": NEW})
        assessed = {(one.generation, one.model) for one in new}
        found = [one for one in found if (one.generation, one.model) in assessed]
    if not found:
        return []
    # Who looks before there are any need not wait for what they are made of.
    from ...tasks.values.loop import MODEL_ERRORS

    by_generation: dict[int, dict[str, ErrorValues]] = {}
    for result in found:
        by_generation.setdefault(result.generation, {})[str(result.model_kind)] = MODEL_ERRORS.read(result)
    return [generation_errors(generation, of_model) for generation, of_model in sorted(by_generation.items())]


def generation_errors(generation: int, of_model: Mapping[str, ErrorValues]) -> GenerationErrors:
    """Return the errors of a generation from those of every model, by its name."""
    common = set.intersection(*(set(one.by_system) for one in of_model.values()))
    systems = {
        name: _errors(generation, {kind: one.by_system[name] for kind, one in of_model.items()})
        for name in sorted(common)
    }
    return _errors(generation, of_model, systems)


def _errors(
    generation: int, of_model: Mapping[str, ModelErrors], systems: Mapping[str, GenerationErrors] | None = None
) -> GenerationErrors:
    return GenerationErrors(
        generation=generation,
        energy={kind: errors.energy_eV_per_atom.rmse for kind, errors in of_model.items()},
        force={kind: errors.forces.rmse for kind, errors in of_model.items()},
        systems=systems or {},
    )


def end_of_loop(store: Store, plan: Plan, generation: int) -> Verdict:
    """Return whether the loop ends after an assessed generation, by today's settings."""
    stop, name = plan.campaign.stop, plan.campaign.name
    systems = [system.name for system in plan.systems if system.name is not None]
    standings = learning_standings(store, name, generation)
    base = verdict_after(
        [errors for errors in error_history(store, name) if errors.generation <= generation],
        [errors for errors in error_history(store, name, AUDIT) if errors.generation <= generation],
        property_history(store, name) if stop.properties else None,
        stop,
        systems,
        AUDITS if standings else NEW_CONFIGURATIONS,
    )
    return after_learning(store, base, standings, stop, generation, alone=not _selects(plan))


def after_learning(
    store: Store, base: Verdict, standings: Sequence[LearningStanding], stop: Stop, generation: int, *, alone: bool
) -> Verdict:
    """Return a verdict with what audits have to say of it; ``alone``: whether nothing else explores."""
    if not standings:
        return base
    campaign = standings[0].campaign
    # Who asks of a campaign in which nothing learns loads no analysis.
    from ..analyses.locality.report import locality_bounds

    bounds = {name: bound.force_eV_per_A for name, bound in locality_bounds(store, campaign).items()}
    return learning_verdict(
        base,
        standings,
        generation,
        alone=alone,
        asks_for_properties=bool(stop.properties),
        bounds_eV_per_A=bounds,
    )


def _selects(plan: Plan) -> bool:
    """Return whether a generation selects among frames of something that does not learn."""
    # Who looks at errors alone need not know the kinds of samplers.
    from ...sampling.samplers.registry import sampler_of

    return any(not sampler_of(one).learns for system in plan.systems for one in system.exploring_samplers)


def verdict_after(
    new: Sequence[GenerationErrors],
    audited: Sequence[GenerationErrors],
    properties: PropertyHistory | None,
    stop: Stop,
    systems: Collection[str],
    new_are: str = NEW_CONFIGURATIONS,
) -> Verdict:
    """Return what the rules say after the last generation of ``new``.

    Parameters
    ----------
    audited
        Errors on the audit set; they count where every generation has some.
    properties
        What is known of the properties, None where none are asked for.
    new_are
        What new errors are errors on.
    """
    rule = StopSettings(
        patience=stop.patience,
        energy_tolerance=stop.energy_tolerance,
        force_tolerance=stop.force_tolerance,
        max_generations=stop.max_generations,
    )
    history, measured_on = new, new_are
    if audited and [one.generation for one in audited] == [one.generation for one in new]:
        # A system that joined after the set was taken has its new configurations alone.
        history = [
            replace(one, systems={**other.systems, **one.systems}) for one, other in zip(audited, new, strict=True)
        ]
        measured_on = AUDIT_SET
    if properties is None:
        return stop_verdict(history, rule, systems, measured_on)
    # Who looks at errors alone need not read campaign files.
    from ..campaign.properties import read_tolerances

    stalled = stalled_generations(history, rule, systems)
    return property_verdict(
        properties, read_tolerances(stop.properties), new[-1].generation, stalled, rule, measured_on
    )


def property_history(store: Store, campaign: str) -> PropertyHistory:
    """Return what is known of the properties, generation by generation: of each the last that was looked at."""
    return property_history_of(properties_by_generation(store, campaign))


def property_history_of(properties: Mapping[int, Mapping[str, PropertyValues]]) -> PropertyHistory:
    """Return what the rule needs of properties, by generation and name."""
    return PropertyHistory(
        {
            generation: {name: PropertyError(one.error, one.text) for name, one in of_name.items()}
            for generation, of_name in properties.items()
        }
    )


def properties_by_generation(store: Store, campaign: str) -> dict[int, dict[str, PropertyValues]]:
    """Return the properties that were looked at, by generation and name."""
    return properties_in(store.results.find({"campaign": campaign, "kind": PROPERTIES.name}))


def properties_in(records: Iterable[ResultRecord]) -> dict[int, dict[str, PropertyValues]]:
    """Return the properties in results of theirs, by generation and name; of each the last that was recorded."""
    found: dict[int, dict[str, PropertyValues]] = {}
    for record in sorted(records, key=lambda one: (one.generation, one.created)):
        values = PROPERTIES.read(record)
        found.setdefault(record.generation, {})[values.name] = values
    return found
