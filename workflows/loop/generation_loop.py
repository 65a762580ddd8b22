"""The loop: initial configurations, then fit, sample, select, label and assess until the errors stop improving.

All identifiers are known before a job runs (they derive from inputs), so a generation's graph is described
when the generation before it has frozen its data set. Only two things are decided by results: which
configurations get labels (`GrowLabels`) and whether there is another generation (`GrowGeneration`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from fireworks import FiretaskBase, FWAction

from ...core.names import ISOLATED_ATOM
from ...core.states import State
from ...sampling.samplers.base import CommonSamplerSettings
from ...store.connection import Store
from ...store.identifiers import derive_seed
from ...store.jobs.queue import find_jobs, jobs_wanted
from ...tasks.assess import AssessParameters, AssessTask, ConcludeParameters, ConcludeTask
from ...tasks.base import machine_at_fault_is_told
from ...tasks.charge_fits import FitChargesToErrorTask
from ...tasks.context import current_context
from ...tasks.initial import (
    INITIAL_DYNAMICS,
    LITHIUM_MONTE_CARLO,
    InitialDynamicsParameters,
    InitialDynamicsTask,
    LithiumDistributionsParameters,
    LithiumDistributionsTask,
    RelaxDistributionParameters,
    RelaxDistributionTask,
)
from ...tasks.label import (
    IsolatedAtomParameters,
    IsolatedAtomTask,
    LabelParameters,
    LabelTask,
    label_identifier,
)
from ...tasks.locality import FitChargesParameters
from ...tasks.sample import (
    SAMPLED,
    SampledRun,
    SampleParameters,
    SampleTask,
    SelectParameters,
    SelectTask,
    is_proposed,
    trajectory_identifier,
)
from ...tasks.samplers import RunParameters
from ..analyses.base import AnalysisPlan
from ..analyses.locality.graph import charge_fit_jobs
from ..analyses.registry import chosen_analyses
from ..campaign.initial import Initial, InitialLithiumMonteCarlo
from ..campaign.settings import Campaign
from ..graph.charge_jobs import charge_error_parameters
from ..graph.experts import choose_experts
from ..graph.jobs import Graph, Job, below, missing_part, of_system, without_doubles
from ..graph.plan import Plan, PlannedSystem, load_plan, species_of
from ..graph.tuning_jobs import TuningPlace, tuning_graph
from .error_history import end_of_loop
from .learning_jobs import LearningJobs, learning_entries
from .model_jobs import FIT_PRIORITY, cross_check_jobs, fit_jobs, model_identifiers, ready_models
from .property_jobs import properties_to_be_known, property_graph, property_stage
from .proposing import propose_jobs
from .sampler_jobs import ListedSamplers
from .stop_rule import Verdict

FINAL = "final"
"""What the keys of a campaign's last jobs begin with."""
FIRST_EXPLORING = 1
"""The first generation that explores: the audit set is taken from its frames."""
# What takes longest and cannot be split starts first.
_PRIORITY = {
    "initial-dynamics": 90,
    "monte-carlo": 80,
    ISOLATED_ATOM: 70,
    "sample": 50,
    "select": 48,
    "label": 40,
}


def initial_graph(plan: Plan) -> Graph:
    """Return the jobs of generation 0: isolated atoms, initial configurations, labels, first data set."""
    campaign = plan.campaign
    place: dict[str, Any] = {"campaign": campaign.name, "generation": 0}
    # Those that join later begin where the campaign is by then.
    systems = tuple(system for system in plan.systems if not system.has_joined)
    plan = replace(plan, systems=systems)
    jobs = isolated_atom_jobs(plan, place, species_of(systems))
    for system in systems:
        jobs.extend(initial_jobs(plan, system, place))
    charge_fit = charge_fit_jobs(plan)
    jobs.extend(charge_fit)
    jobs.append(
        Job(
            key="generation-0/assess",
            task=AssessTask,
            parameters=AssessParameters(
                **place,
                models={},
                charges=_fitted_charges(charge_fit),
                species=species_of(systems),
                planned=sum(system.initial_count for system in systems),
                engine=campaign.reference,
                min_label_fraction=campaign.stop.min_label_fraction,
                backend=campaign.evaluate.backend,
            ),
            parents=tuple(job.key for job in jobs),
            grow=GrowGeneration(**place),
            runs_after_failures=True,
        )
    )
    return Graph(tuple(jobs))


def isolated_atom_jobs(plan: Plan, place: Mapping[str, Any], species: Iterable[str]) -> list[Job]:
    """Return one job per species: the energy of its isolated atom, once in a campaign."""
    return [
        Job(
            key=f"generation-0/isolated-atom/{symbol}",
            task=IsolatedAtomTask,
            parameters=IsolatedAtomParameters(**place, species=symbol, engine=plan.campaign.reference),
            priority=_PRIORITY[ISOLATED_ATOM],
        )
        for symbol in species
    ]


def initial_jobs(plan: Plan, system: PlannedSystem, place: Mapping[str, Any]) -> list[Job]:
    """Return the jobs that make the initial configurations of a system; each adds the labels of what it made."""
    if not isinstance(system.initial, Initial):
        return _listed_initial_jobs(plan, system, system.initial, place)
    campaign = plan.campaign
    stage = system.stage(f"generation-{place['generation']}")
    place = {**place, **system.place}
    dynamics = system.initial.molecular_dynamics
    jobs = []
    if dynamics.count:
        jobs.append(
            Job(
                key=f"{stage}/{INITIAL_DYNAMICS}",
                task=InitialDynamicsTask,
                parameters=InitialDynamicsParameters(
                    **place,
                    engine=dynamics.engine(campaign.reference),
                    dynamics=dynamics.dynamics,
                    count=dynamics.count,
                    seed=derive_seed(campaign.seed, INITIAL_DYNAMICS, *system.labels),
                ),
                priority=_PRIORITY["initial-dynamics"],
                grow=GrowLabels(**place, sampler=INITIAL_DYNAMICS),
            )
        )
    return [*jobs, *_monte_carlo_jobs(plan, system, system.initial.lithium_monte_carlo, stage, place)]


def _listed_initial_jobs(
    plan: Plan, system: PlannedSystem, entries: Sequence[CommonSamplerSettings], place: Mapping[str, Any]
) -> list[Job]:
    """Return the jobs of the samplers that the campaign lists; each run adds the labels of its frames."""
    jobs = ListedSamplers(plan, system, "initial", entries, place).jobs()
    return [
        replace(job, grow=GrowLabels(**place, **system.place, parents=[job.parameters.trajectory]))
        if isinstance(job.parameters, RunParameters)
        else job
        for job in jobs
    ]


def _fitted_charges(jobs: list[Job]) -> str | None:
    """Return the identifier of the result that the jobs of `charge_fit_jobs` end with."""
    last = jobs[-1].parameters if jobs else None
    return last.identifier if isinstance(last, FitChargesParameters) else None


def _monte_carlo_jobs(
    plan: Plan, system: PlannedSystem, settings: InitialLithiumMonteCarlo, stage: str, place: Mapping[str, Any]
) -> list[Job]:
    campaign = plan.campaign
    if not settings.count:
        return []
    draw = Job(
        key=f"{stage}/{LITHIUM_MONTE_CARLO}",
        task=LithiumDistributionsTask,
        parameters=LithiumDistributionsParameters(
            **place,
            mobile=campaign.mobile,
            charges=plan.site_charges(system),
            monte_carlo=settings.monte_carlo,
            seed=derive_seed(campaign.seed, LITHIUM_MONTE_CARLO, *system.labels),
        ),
        priority=_PRIORITY["monte-carlo"],
    )
    relaxations = [
        Job(
            key=f"{stage}/{LITHIUM_MONTE_CARLO}/relax/{index}",
            task=RelaxDistributionTask,
            parameters=RelaxDistributionParameters(
                **place,
                engine=campaign.reference,
                relaxation=settings.relaxation,
                index=index,
                seed=derive_seed(campaign.seed, LITHIUM_MONTE_CARLO, "rattle", index, *system.labels),
            ),
            parents=(draw.key,),
            priority=_PRIORITY["monte-carlo"],
            # Without distributions these fail at once, and the assessment counts what is there.
            runs_after_failures=True,
            grow=GrowLabels(**place, sampler=LITHIUM_MONTE_CARLO, index=index),
        )
        for index in range(settings.count)
    ]
    return [draw, *relaxations]


def generation_graph(plan: Plan, generation: int, data_set: str) -> Graph:
    """Return the jobs of one generation: fits, trajectories, selection (which adds the labels), assessment."""
    campaign = plan.campaign
    stage = f"generation-{generation}"
    place: dict[str, Any] = {"campaign": campaign.name, "generation": generation}
    models = model_identifiers(plan, data_set)
    jobs = fit_jobs(plan, generation, data_set, stage)
    checks = cross_check_jobs(plan, generation, data_set, stage)
    proposing = propose_jobs(plan, generation, {campaign.driver: models[campaign.driver]}, data_set, stage, GrowLabels)
    exploring = [
        job for system in plan.systems for job in _exploring_jobs(plan, system, place, models, data_set, proposing)
    ]
    learning = [one for system in plan.systems for one in _learning(plan, system, place, models, data_set)]
    exploring += [job for one in learning for job in one.jobs()]
    assess = Job(
        key=f"{stage}/assess",
        task=AssessTask,
        parameters=AssessParameters(
            **place,
            models=models,
            species=plan.species,
            engine=campaign.reference,
            min_label_fraction=campaign.stop.min_label_fraction,
            backend=campaign.evaluate.backend,
        ),
        parents=(
            *(job.key for job in exploring if job.task is SelectTask),
            *(one.last for one in learning),
            *ready_models(stage, campaign, checks).values(),
        ),
        grow=GrowGeneration(**place),
        runs_after_failures=True,
    )
    return Graph((*jobs, *checks, *proposing, *exploring, assess))


def _exploring_jobs(
    plan: Plan,
    system: PlannedSystem,
    place: Mapping[str, Any],
    models: Mapping[str, str],
    data_set: str,
    proposing: Sequence[Job],
) -> list[Job]:
    """Return what explores a system in one generation, and the selection among the frames."""
    campaign, generation = plan.campaign, place["generation"]
    runs: list[SampledRun] = []
    write_every = None
    if system.explore is None:
        write_every = system.sampling.write_every
        samples = _trajectory_jobs(plan, system, place, models)
        names = [f"replica-{replica}" for replica in range(system.sampling.replicas)]
        trajectories = [trajectory_identifier(campaign.name, generation, name, system.name) for name in names]
        grow = GrowLabels(**place, **system.place, sampler=SAMPLED)
    else:
        listed = ListedSamplers(plan, system, "explore", system.explore, place, models, data_set)
        samples, runs = listed.jobs(), listed.sampled_runs()
        if not runs:
            # What learns chooses for itself.
            return []
        trajectories = [run.trajectory for run in runs]
        grow = GrowLabels(**place, **system.place, parents=trajectories)
    select = Job(
        key=f"{system.stage(f'generation-{generation}')}/select",
        task=SelectTask,
        parameters=SelectParameters(
            **place,
            **system.place,
            trajectories=trajectories,
            runs=runs,
            write_every=write_every,
            model=models[campaign.driver],
            backend=plan.evaluator_of(campaign.driver),
            settings=campaign.selection.model_copy(update={"count": plan.selected(system)}),
            seed=derive_seed(campaign.seed, "select", generation, *system.labels),
            audit=plan.audited(system) if generation == FIRST_EXPLORING else 0,
            portion=None if not proposing else plan.portion(system),
        ),
        # A selection by variance asks the driver, which need not have driven.
        parents=(
            *(job.key for job in samples),
            *_fit_of_the_driver(plan, generation, samples),
            *(job.key for job in proposing),
        ),
        priority=_PRIORITY["select"],
        grow=grow,
        runs_after_failures=True,
    )
    return [*samples, select]


def _learning(
    plan: Plan, system: PlannedSystem, place: Mapping[str, Any], models: Mapping[str, str], data_set: str
) -> list[LearningJobs]:
    return [
        LearningJobs(plan, system, number, settings, place, models, data_set, GrowLabels)
        for number, settings in learning_entries(system).items()
    ]


def _fit_of_the_driver(plan: Plan, generation: int, samples: Sequence[Job]) -> tuple[str, ...]:
    """Return the key of the driver's fit, if no sample waits for it already."""
    key = f"generation-{generation}/fit/{plan.campaign.driver}"
    return () if any(key in job.parents for job in samples) else (key,)


def _trajectory_jobs(
    plan: Plan, system: PlannedSystem, place: Mapping[str, Any], models: Mapping[str, str]
) -> list[Job]:
    """Return the trajectories of the short form."""
    campaign, sampling, generation = plan.campaign, system.sampling, place["generation"]
    return [
        Job(
            key=f"{system.stage(f'generation-{generation}')}/sample/{replica}",
            task=SampleTask,
            parameters=SampleParameters(
                **place,
                **system.place,
                model=models[campaign.driver],
                model_kind=campaign.driver,
                backend=plan.evaluator_of(campaign.driver),
                dynamics=sampling.dynamics,
                seen_fraction=sampling.guard.seen_fraction,
                replica=replica,
                seed=derive_seed(campaign.seed, "sample", generation, replica, *system.labels),
            ),
            parents=(f"generation-{generation}/fit/{campaign.driver}",),
            priority=_PRIORITY["sample"],
        )
        for replica in range(sampling.replicas)
    ]


def analysis_jobs(plan: Plan, generation: int, data_set: str, ready: Mapping[str, str]) -> list[Job]:
    """Return the jobs of all analyses that the campaign asks for, after the jobs that make the models ready."""
    described = AnalysisPlan(
        plan=plan,
        generation=generation,
        models=model_identifiers(plan, data_set),
        # A model whose evaluators disagree must not be analysed: where there is a check, it comes first.
        fits=ready,
        data_set=data_set,
    )
    jobs = [
        of_system(system, job)
        for analysis in chosen_analyses(plan.campaign)
        for system in analysis.systems(plan)
        for job in analysis.jobs(replace(described, of=system))
    ]
    return jobs if len(plan.systems) == 1 else without_doubles(jobs)


def final_stage(store: Store, name: str, generation: int) -> str:
    """Return what the keys of the last jobs begin with: a campaign may end again after it was carried on."""
    ends = find_jobs(store, jobs_wanted(campaigns=[name], keys=[f"{FINAL}/conclude"]))
    return FINAL if not ends or ends[0].generation == generation else f"{FINAL}-{generation}"


def _anew(store: Store, name: str, stage: str) -> str:
    """Return what the keys of the last jobs begin with where the campaign has ended there: it was asked for more since.

    How often it has is the same however often this is asked: what follows cannot end before it is there.
    """
    ends = find_jobs(store, jobs_wanted(campaigns=[name], kinds=[ConcludeTask.kind()], states={State.FINISHED}))
    before = sum(job.key.startswith(f"{stage}/") or job.key.startswith(f"{stage}-anew-") for job in ends)
    return f"{stage}-anew-{before}" if before else stage


def final_graph(plan: Plan, generation: int, data_set: str, verdict: Verdict, stage: str = "final") -> Graph:
    """Return the last jobs: all models on all data, the analyses, and the conclusion, whatever became of them."""
    campaign = plan.campaign
    jobs = fit_jobs(plan, generation, data_set, stage)
    checks = cross_check_jobs(plan, generation, data_set, stage)
    ready = ready_models(stage, campaign, checks)
    analyses = analysis_jobs(plan, generation, data_set, ready)
    if stage != FINAL:
        analyses = [below(stage, job) for job in analyses]
    awaited = {parent for job in analyses for parent in job.parents}
    conclude = Job(
        key=f"{stage}/conclude",
        task=ConcludeTask,
        parameters=ConcludeParameters(
            campaign=campaign.name,
            generation=generation,
            reason=verdict.reason,
            converged=verdict.converged,
            models=model_identifiers(plan, data_set),
            audited_by=None if campaign.stop.audit is None else campaign.evaluate.backend,
        ),
        parents=(
            *ready.values(),
            *(job.key for job in analyses if job.key not in awaited),
        ),
        # A failed analysis is in the ledger; it does not keep the campaign from its end.
        runs_after_failures=True,
    )
    return Graph((*jobs, *checks, *analyses, conclude))


def known_graph(store: Store, plan: Plan, generation: int, data_set: str) -> Graph:
    """Return the jobs that look at the properties asked for after a generation, none where that is done."""
    driver = plan.campaign.driver
    models = model_identifiers(plan, data_set)
    names = properties_to_be_known(store, plan, generation, models[driver])
    if not names:
        return Graph()
    stage = property_stage(store, plan.campaign.name, generation, names)
    fits = fit_jobs(plan, generation, data_set, stage)
    checks = cross_check_jobs(plan, generation, data_set, stage)
    ready = ready_models(stage, plan.campaign, checks)
    described = AnalysisPlan(plan, generation, {driver: models[driver]}, {driver: ready[driver]}, data_set)
    of_driver = [job for job in (*fits, *checks) if job.key in (f"{stage}/fit/{driver}", ready[driver])]
    grow = GrowGeneration(campaign=plan.campaign.name, generation=generation, data_set=data_set)
    return property_graph(described, names, stage, of_driver, grow)


def charge_error_job(plan: Plan, generation: int, data_set: str) -> Job:
    """Return the job that fits the baseline's charges to a leave-out error, before the models that use them."""
    campaign = plan.campaign
    return Job(
        key=f"generation-{generation + 1}/charges",
        task=FitChargesToErrorTask,
        parameters=charge_error_parameters(plan, generation, data_set),
        priority=FIT_PRIORITY,
        grow=GrowGeneration(campaign=campaign.name, generation=generation, data_set=data_set),
    )


def label_job(campaign: Campaign, generation: int, configuration: str, retry: int = 0) -> Job:
    """Return the job that labels one configuration; a retry is a job of its own."""
    suffix = f"/retry-{retry}" if retry else ""
    return Job(
        key=f"generation-{generation}/label/{configuration}{suffix}",
        task=LabelTask,
        parameters=LabelParameters(
            campaign=campaign.name,
            generation=generation,
            configuration=configuration,
            engine=campaign.reference,
            retry=retry,
        ),
        priority=_PRIORITY["label"],
    )


def next_graph(store: Store, name: str, generation: int, data_set: str) -> Graph:
    """Return what follows the assessed ``generation``, whose data set is frozen: the next one, or the end."""
    choose_experts(store, load_plan(store, name).campaign, generation, data_set)
    plan = load_plan(store, name, data_set)
    campaign = plan.campaign
    joining = joining_systems(store, plan, data_set)
    if joining:
        return joining_graph(plan, generation, joining)
    if campaign.charge_criterion == "error" and plan.fitted_charges is None:
        return Graph((charge_error_job(plan, generation, data_set),))
    # Properties are looked at with the models that follow: searches for their hyperparameters come before that.
    known = known_graph(store, plan, generation, data_set) if generation else Graph()
    verdict = end_of_loop(store, plan, generation) if generation and not known.jobs else None
    ends = verdict is not None and verdict.stop
    stage = final_stage(store, name, generation) if ends else f"generation-{generation + 1}"
    if plan.to_be_tuned:
        grow = GrowGeneration(campaign=name, generation=generation, data_set=data_set)
        place = TuningPlace(generation + (not ends), stage, data_set)
        return tuning_graph(plan, place, FIT_PRIORITY, grow)
    if known.jobs:
        return known
    if verdict is not None and ends:
        stage = _anew(store, name, stage) if campaign.stop.properties else stage
        return final_graph(plan, generation, data_set, verdict, stage)
    return generation_graph(plan, generation + 1, data_set)


def joining_systems(store: Store, plan: Plan, data_set: str) -> list[PlannedSystem]:
    """Return the systems that joined the campaign and of which a data set holds nothing yet."""
    joined = [system for system in plan.systems if system.has_joined]
    if not joined:
        return []
    labels = set(store.data_sets[data_set].labels)
    wanted = {"campaign": plan.campaign.name, "system": {"$in": [system.name for system in joined]}}
    known = {
        one["system"]
        for one in store.database.configurations.find(wanted, {"content_hash": 1, "system": 1})
        if label_identifier(one["content_hash"], plan.campaign.reference) in labels
    }
    return [system for system in joined if system.name not in known]


def joining_graph(plan: Plan, generation: int, systems: Sequence[PlannedSystem]) -> Graph:
    """Return the jobs that systems begin with which join after an assessed generation, and a data set with them."""
    campaign = plan.campaign
    place: dict[str, Any] = {"campaign": campaign.name, "generation": generation}
    names = [str(system.name) for system in systems]
    jobs = isolated_atom_jobs(plan, {**place, "generation": 0}, species_of(systems))
    for system in systems:
        jobs.extend(initial_jobs(plan, system, place))
    assess = Job(
        key=f"generation-{generation}/assess/{'+'.join(names)}",
        task=AssessTask,
        parameters=AssessParameters(
            **place,
            models={},
            joining=names,
            species=plan.species,
            engine=campaign.reference,
            min_label_fraction=campaign.stop.min_label_fraction,
            backend=campaign.evaluate.backend,
        ),
        parents=tuple(job.key for job in jobs),
        grow=GrowGeneration(**place),
        runs_after_failures=True,
    )
    return Graph((*jobs, assess))


class GrowLabels(FiretaskBase):
    """Add a label job for every configuration that the work before it stored, ahead of the assessment."""

    _fw_name = "ionloop.grow-labels"
    required_params: ClassVar[list[str]] = ["campaign", "generation"]
    optional_params: ClassVar[list[str]] = ["sampler", "index", "system", "parents", "proposed"]

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        """Return the label jobs that the graph does not have yet, as a detour."""
        with machine_at_fault_is_told():
            return self._grown(current_context().store)

    def _grown(self, store: Store) -> FWAction:
        name, generation = self["campaign"], self["generation"]
        filters: dict[str, Any] = {"campaign": name, "generation": generation}
        # What is proposed is of whichever system an analysis is made.
        proposed = bool(self.get("proposed"))
        if not proposed:
            filters["system"] = self.get("system")
        for key, wanted in (("origin.sampler", self.get("sampler")), ("origin.index", self.get("index"))):
            if wanted is not None:
                filters[key] = wanted
        if self.get("parents") is not None:
            filters["origin.parent"] = {"$in": self["parents"]}
        campaign = load_plan(store, name).campaign
        found = (record for record in store.configurations.find(filters) if not proposed or is_proposed(record))
        configurations = sorted(found, key=lambda record: record.origin.index)
        graph = Graph(tuple(label_job(campaign, generation, record.id) for record in configurations))
        return _growth(store, name, graph, detour=True)


class GrowGeneration(FiretaskBase):
    """Add the next generation, or the end, after the assessment of one."""

    _fw_name = "ionloop.grow-generation"
    required_params: ClassVar[list[str]] = ["campaign", "generation"]
    optional_params: ClassVar[list[str]] = ["data_set"]

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        """Return the jobs that follow and that the graph does not have yet, as an addition."""
        store, name = current_context().store, self["campaign"]
        with machine_at_fault_is_told():
            graph = next_graph(store, name, self["generation"], self.get("data_set") or fw_spec["data_set"])
            return _growth(store, name, graph, detour=False)


def _growth(store: Store, name: str, graph: Graph, *, detour: bool) -> FWAction:
    missing = missing_part(store, name, graph)
    if not missing.jobs:
        return FWAction()
    workflow = missing.to_workflow(name)
    return FWAction(detours=[workflow]) if detour else FWAction(additions=[workflow])
