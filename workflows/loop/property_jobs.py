"""What a campaign that asks for properties does after each generation: it looks at them with the model that drives.

The driver is fitted to the data set that the generation froze, as the next generation, or the end, would fit it; the
analyses are made with it and recorded as properties; then the loop goes on, or ends. Identifiers derive from inputs:
neither the fit nor what the analyses computed is done again by what follows.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from fireworks import FiretaskBase

from ...core.errors import IonloopError
from ...store.connection import Store
from ...store.identifiers import identifier
from ...tasks.assess import check_evaluators
from ...tasks.base import IonloopTask, Outcome, TaskParameters, is_busy, is_environment_failure
from ...tasks.context import TaskContext
from ...tasks.results import new_result
from ...tasks.values.properties import PROPERTIES, PropertyNumber, PropertyUnit, PropertyValues
from ..analyses.base import Analysis, AnalysisPlan
from ..analyses.registry import ANALYSES
from ..campaign.properties import asked_properties
from ..graph.jobs import Graph, Job, below, of_system, without_doubles
from ..graph.plan import Plan, load_plan

logger = logging.getLogger(__name__)

PROPERTIES_STAGE = "properties"
"""Last part of the keys of the jobs that look at properties after a generation."""


def property_identifier(campaign: str, name: str, generation: int, model: str) -> str:
    """Return the identifier of what a property is after a generation, with that model."""
    return identifier("result", PROPERTIES.name, campaign, name, generation, model)


def properties_to_be_known(store: Store, plan: Plan, generation: int, model: str) -> list[str]:
    """Return the properties that the campaign asks for and that were not looked at after a generation."""
    name = plan.campaign.name
    return [
        asked
        for asked in asked_properties(plan.campaign)
        if store.results.get(property_identifier(name, asked, generation, model)) is None
    ]


def property_stage(store: Store, campaign: str, generation: int, names: Sequence[str]) -> str:
    """Return what keys of the jobs begin with that look at these properties after a generation.

    Those that are asked for later get jobs of their own.
    """
    stage = f"generation-{generation}/{PROPERTIES_STAGE}"
    before = store.results.find({"campaign": campaign, "generation": generation, "kind": PROPERTIES.name})
    return f"{stage}/{'+'.join(names)}" if next(iter(before), None) else stage


def property_graph(
    described: AnalysisPlan, names: Sequence[str], stage: str, models: Sequence[Job], grow: FiretaskBase
) -> Graph:
    """Return the jobs that look at properties.

    Parameters
    ----------
    described
        With the driver alone, and the keys after which it may be asked.
    models
        The jobs that make it ready.
    grow
        What goes on, or ends the loop.
    """
    plan = described.plan
    jobs = [
        # One that lacks what it needs fails at once; the property is not known then, and the loop goes on.
        replace(below(stage, of_system(system, job)), runs_after_failures=True)
        for name in names
        for system in ANALYSES.get(name).systems(plan)
        for job in ANALYSES.get(name).property_jobs(replace(described, of=system))
    ]
    # Analyses that build on the same trajectories each bring the jobs that run them.
    jobs = without_doubles(list({job.key: job for job in jobs}.values()))
    awaited = {parent for job in jobs for parent in job.parents}
    measure = Job(
        key=stage,
        task=MeasurePropertiesTask,
        parameters=MeasurePropertiesParameters(
            campaign=plan.campaign.name,
            generation=described.generation,
            names=list(names),
            models=dict(described.models),
            data_set=described.data_set,
        ),
        parents=(*described.fits.values(), *(job.key for job in jobs if job.key not in awaited)),
        grow=grow,
        runs_after_failures=True,
    )
    return Graph((*models, *jobs, measure))


class MeasurePropertiesParameters(TaskParameters):
    """Which properties, and the model that they are those of."""

    names: list[str]
    models: dict[str, str]
    data_set: str


class MeasurePropertiesTask(IonloopTask):
    """Record what the analyses say of the properties; one that failed leaves its property not known."""

    _fw_name = "ionloop.measure-properties"
    parameters_type = MeasurePropertiesParameters

    def execute(self, parameters: MeasurePropertiesParameters, context: TaskContext) -> Outcome:
        """Record every property, unless the store has it."""
        store = context.store
        check_evaluators(store, parameters.models)
        (driver, model), *_ = parameters.models.items()
        plan = load_plan(store, parameters.campaign, parameters.data_set)
        described = AnalysisPlan(plan, parameters.generation, parameters.models, {}, parameters.data_set)
        told, results = [], []
        for name in parameters.names:
            key = property_identifier(parameters.campaign, name, parameters.generation, model)
            record = store.results.get(key)
            if record is None:
                record = new_result(
                    parameters,
                    key,
                    PROPERTIES,
                    described.potential(driver),
                    inputs=[model],
                    values=measured_property(store, ANALYSES.get(name), described),
                )
                store.results.replace(record)
            results.append(record.id)
            told.append(f"{name}: {PROPERTIES.read(record).text}")
        return Outcome(reason="; ".join(told), outputs={"results": results})


def measured_property(store: Store, analysis: Analysis, described: AnalysisPlan) -> PropertyValues:
    """Return what the results of an analysis say of its property, in all systems that it is made of."""
    unit: PropertyUnit = "eV" if analysis.property_unit == "eV" else "%"
    numbers: list[PropertyNumber] = []
    reason = ""
    systems = analysis.systems(described.plan)
    for system in systems:
        try:
            found = analysis.property_numbers(store, replace(described, of=system))
        # Whatever is wrong with an analysis, of whoever it is: the loop can go on without it.
        except Exception as error:
            if is_environment_failure(error) or is_busy(error):
                raise
            reason = str(error) if isinstance(error, IonloopError) else f"{type(error).__name__}: {error}"
            logger.warning("the property %s cannot be read: %s", analysis.name, reason)
            found = []
        if not found:
            reason = reason or "the analysis has no result; see `ionloop failures`"
            found = [PropertyNumber(label="", unit="eV" if unit == "eV" else "", reason=reason)]
        of = f"{system.name}: " if system.name is not None and len(systems) > 1 else ""
        numbers += [one.model_copy(update={"label": f"{of}{one.label}".rstrip(": ")}) for one in found]
    if not systems:
        reason = "it is made of none of the systems"
    return PropertyValues(
        name=analysis.name, unit=unit, data_set=described.data_set, numbers=tuple(numbers), reason=reason
    )
