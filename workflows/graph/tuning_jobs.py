"""The jobs that search for hyperparameters before fits."""

from __future__ import annotations

from dataclasses import dataclass

from fireworks import FiretaskBase

from ...store.identifiers import derive_seed
from .jobs import Graph, Job
from .plan import Plan


@dataclass(frozen=True)
class TuningPlace:
    """Where searches stand: the generation and the part of the campaign whose fits wait for them, and their data."""

    generation: int
    stage: str
    data_set: str


def tuning_graph(plan: Plan, place: TuningPlace, priority: int, grow: FiretaskBase) -> Graph:
    """Return one search per model that is due, side by side, and a job after which ``grow`` plans the fits."""

    from ...tasks.tuning.tune import TunedParameters, TunedTask, TuneParameters, TuneTask

    campaign = plan.campaign
    jobs = []
    for name in plan.to_be_tuned:
        tune = campaign.tuning_of(name)
        if tune is None:
            continue
        parameters = TuneParameters(
            campaign=campaign.name,
            generation=place.generation,
            model=name,
            kind=campaign.kind_of(name).name,
            data_set=place.data_set,
            given=campaign.settings_of(name),
            settings=plan.settings_of(name),
            baseline=plan.baseline_of(name),
            seed=derive_seed(campaign.seed, "fit"),
            backend=plan.backend_of(name),
            tune=tune,
        )
        jobs.append(Job(key=f"{place.stage}/tune/{name}", task=TuneTask, parameters=parameters, priority=priority))
    results = [job.parameters.identifier for job in jobs if isinstance(job.parameters, TuneParameters)]
    tuned = Job(
        key=f"{place.stage}/tuned",
        task=TunedTask,
        parameters=TunedParameters(campaign=campaign.name, generation=place.generation, results=results),
        parents=tuple(job.key for job in jobs),
        priority=priority,
        grow=grow,
    )
    return Graph((*jobs, tuned))
