"""Jobs that fit a campaign's models to a data set, and those after which they may be built on."""

from __future__ import annotations

from ...store.identifiers import derive_seed
from ...tasks.fit import CrossCheckParameters, CrossCheckTask, FitParameters, FitTask, model_identifier
from ..campaign.settings import Campaign
from ..graph.jobs import Job
from ..graph.plan import Plan

FIT_PRIORITY = 60
CHECK_PRIORITY = 45


def model_identifiers(plan: Plan, data_set: str) -> dict[str, str]:
    """Return the identifiers of the models that the campaign fits to that data set, by name."""
    campaign = plan.campaign
    return {
        name: model_identifier(
            campaign.kind_of(name).name,
            data_set,
            plan.settings_of(name),
            plan.baseline_of(name),
            seed=derive_seed(campaign.seed, "fit"),
            backend=plan.backend_of(name),
            earlier_model=plan.earlier_models.get(name),
            experts=plan.experts_in(name),
        )
        for name in campaign.models
    }


def fit_jobs(plan: Plan, generation: int, data_set: str, stage: str) -> list[Job]:
    """Return one job per model, all on the same data set."""
    campaign = plan.campaign
    models = model_identifiers(plan, data_set)
    return [
        Job(
            key=f"{stage}/fit/{name}",
            task=FitTask,
            parameters=FitParameters(
                campaign=campaign.name,
                generation=generation,
                model=models[name],
                kind=campaign.kind_of(name).name,
                name=None if campaign.kind_of(name).name == name else name,
                data_set=data_set,
                settings=plan.settings_of(name),
                baseline=plan.baseline_of(name),
                seed=derive_seed(campaign.seed, "fit"),
                backend=plan.backend_of(name),
                evaluate_backend=plan.evaluator_of(name),
                earlier_model=plan.earlier_models.get(name),
                joint=plan.experts.get(name),
            ),
            # The driver's fit is what the sampling waits for.
            priority=FIT_PRIORITY + (name == campaign.driver),
        )
        for name in campaign.models
    ]


def cross_check_jobs(plan: Plan, generation: int, data_set: str, stage: str) -> list[Job]:
    """Return one job per model that has two evaluators, which compares them, if the campaign wants that."""
    campaign = plan.campaign
    if not campaign.evaluate.cross_check:
        return []
    models = model_identifiers(plan, data_set)
    return [
        Job(
            key=f"{stage}/cross-check/{name}",
            task=CrossCheckTask,
            parameters=CrossCheckParameters(
                campaign=campaign.name,
                generation=generation,
                model=models[name],
                data_set=data_set,
                configurations=campaign.evaluate.cross_check,
            ),
            parents=(f"{stage}/fit/{name}",),
            # After the trajectories, beside the selection, which keeps one worker busy and the others idle.
            priority=CHECK_PRIORITY,
        )
        for name in campaign.models
        if len(plan.evaluators_of(name)) > 1
    ]


def ready_models(stage: str, campaign: Campaign, checks: list[Job]) -> dict[str, str]:
    """Return the keys of the jobs after which models may be built on, by name: their check, or else their fit."""
    checked = {job.key for job in checks}
    keys = {name: f"{stage}/cross-check/{name}" for name in campaign.models}
    return {name: key if key in checked else f"{stage}/fit/{name}" for name, key in keys.items()}
