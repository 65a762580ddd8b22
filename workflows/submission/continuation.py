"""Carrying a campaign on beyond what was planned: more is asked for, or files of finished jobs are gone.

Jobs that are done stay as they are in the graph. What is to be done again, or in addition, gets jobs of its own, each
only once however often this is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from ...core.kinds import UnknownKind
from ...core.names import PARITY
from ...core.states import ACTIVE, State
from ...labelling.common_settings import CommonSettings
from ...labelling.settings import physics_of
from ...store.artefacts import artefacts_in
from ...store.connection import Store
from ...store.records import ResultRecord
from ...tasks.values.loop import VARIANCES
from ..campaign.change_log import change_log, note_carried_out

if TYPE_CHECKING:
    from ...store.jobs.rows import JobRow
    from ...tasks.base import IonloopTask
    from ..graph.jobs import Graph, Job


AGAIN = "again"
_REMAKE_PRIORITY = 100
"""Before all others: they may need the files."""
_WITH_FILES = ("trajectories", "models", "results")


@dataclass(frozen=True)
class CarriedOn:
    """What was added to a campaign.

    Attributes
    ----------
    jobs
        Keys of the jobs that the settings ask for beyond what was done.
    remade
        Keys of the jobs that make files again which are gone.
    lost
        Identifiers of records whose files are gone and which no job of the campaign can make again.
    """

    jobs: tuple[str, ...] = ()
    remade: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.jobs or self.remade)


NOTHING = CarriedOn()


def carry_on(store: Store, name: str) -> CarriedOn:
    """Add the jobs that make lost files again and, at the end of a campaign, those that its settings ask for now."""

    from ..graph.jobs import Graph

    remakes, lost = _remakes(store, name)
    is_over = store.campaigns[name].state is State.FINISHED
    log = change_log(store, name)
    further = _further(store, name, explores=log.explores) if is_over and log.is_pending else Graph()
    with store.transaction():
        if further.jobs:
            store.launchpad.add_wf(_after(further, remakes).to_workflow(name))
        elif remakes.jobs:
            again = _conclusion_again(store, name, remakes) if is_over else ()
            store.launchpad.add_wf(Graph((*remakes.jobs, *again)).to_workflow(name))
        if is_over and log.is_pending:
            note_carried_out(store, name)
        if is_over and (further.jobs or remakes.jobs):
            record = store.campaigns[name]
            store.campaigns.replace(record.model_copy(update={"state": State.READY, "reason": "", "ended": None}))
    return CarriedOn(tuple(job.key for job in further.jobs), tuple(job.key for job in remakes.jobs), lost)


# -- what the settings ask for -----------------------------------------------------------------------------------------


def _further(store: Store, name: str, *, explores: bool) -> Graph:
    """Return the jobs that follow the end of the loop by today's settings and that the campaign does not have."""

    from ..graph.jobs import Graph, missing_part
    from ..graph.plan import load_plan
    from ..loop.error_history import end_of_loop
    from ..loop.generation_loop import (
        final_graph,
        final_stage,
        generation_graph,
        joining_graph,
        joining_systems,
        known_graph,
    )

    ended = max((job.generation for job in _concluded(store, name)), default=None)
    if ended is None:
        return Graph()
    *_, data_set = store.data_sets.find({"campaign": name, "generation": ended})
    plan = load_plan(store, name, data_set.id)
    joining = joining_systems(store, plan, data_set.id)
    if joining:
        return missing_part(store, name, joining_graph(plan, ended, joining))
    known = missing_part(store, name, known_graph(store, plan, ended, data_set.id)) if ended else Graph()
    if known.jobs:
        return known
    verdict = end_of_loop(store, plan, ended)
    if not verdict.stop or (explores and ended < plan.campaign.stop.max_generations):
        return missing_part(store, name, generation_graph(plan, ended + 1, data_set.id))
    stage = final_stage(store, name, ended)
    *others, conclude = _changed(store, name, final_graph(plan, ended, data_set.id, verdict, stage)).jobs
    if not others:
        return Graph()
    return Graph((*others, conclude))


def _changed(store: Store, name: str, graph: Graph) -> Graph:
    """Return the jobs of a graph that the campaign does not have with these very parameters, under new keys.

    The last job, which ends the campaign, is always among them.
    """

    from ...store.jobs.queue import first_tasks_of, jobs_of
    from ..graph.jobs import Graph

    known: dict[str, list[BaseModel | None]] = {}
    jobs = jobs_of(store, name)
    tasks = first_tasks_of(store, [job.number for job in jobs])
    for one in jobs:
        known.setdefault(one.key.partition(f"/{AGAIN}-")[0], []).append(_parameters(*tasks[one.number]))
    renamed: dict[str, str] = {}
    for job in graph.jobs:
        variants = known.get(job.key, [])
        asked = _essence(job.parameters)
        if job is graph.jobs[-1] or all(_essence(one) != asked for one in variants):
            renamed[job.key] = f"{job.key}/{AGAIN}-{len(variants)}" if variants else job.key
    return Graph(
        tuple(
            replace(
                job,
                key=renamed[job.key],
                parents=tuple(renamed[parent] for parent in job.parents if parent in renamed),
            )
            for job in graph.jobs
            if job.key in renamed
        )
    )


def _parameters(task: str, parameters: Any) -> BaseModel | None:
    """Return the parameters of a task of the store, None where this version cannot read them."""

    from ..loop.task_registry import registered_tasks

    kind: Any = registered_tasks().get(task)
    try:
        return kind.parameters_type.model_validate(parameters) if kind else None
    except (ValidationError, UnknownKind):
        return None


def _essence(value: Any) -> Any:
    """Return what decides a job's results, as plain data: limits of reference engines are left out."""
    if isinstance(value, CommonSettings):
        return physics_of(value)
    if isinstance(value, BaseModel):
        return {name: _essence(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(name): _essence(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_essence(one) for one in value]
    return value


# -- files that are gone -----------------------------------------------------------------------------------------------


def _remakes(store: Store, name: str) -> tuple[Graph, tuple[str, ...]]:
    """Return jobs that make the lost files of a campaign again, and the records that none can make again."""

    from ...store.jobs.queue import first_tasks_of, jobs_of
    from ..graph.jobs import Graph, Job

    lost = list(lost_records(store, name))
    if not lost:
        return Graph(), ()
    jobs = jobs_of(store, name)
    done = {one.number: one for one in jobs if one.state is State.FINISHED}
    makers = _makers(store, done)
    found = {identifier: makers.get(identifier) or makers.get(key) for identifier, key in lost}
    tasks = first_tasks_of(store, {number for number in found.values() if number})
    parameters = {number: _parameters(*task) for number, task in tasks.items()}
    keys = {number: _next_key(jobs, done[number].key) for number in tasks}
    wanted = {number: key for number, key in keys.items() if key and parameters[number] is not None}
    ancestors = _ancestors(store, wanted)
    graph = Graph(
        tuple(
            Job(
                key=key,
                task=_task(tasks[number][0]),
                parameters=parameters[number],  # type: ignore[arg-type]
                parents=tuple(wanted[one] for one in ancestors[number]),
                priority=_REMAKE_PRIORITY,
                remakes=True,
            )
            for number, key in sorted(wanted.items())
        )
    )
    return graph, tuple(identifier for identifier, number in found.items() if number is None)


def lost_records(store: Store, name: str) -> Iterator[tuple[str, str]]:
    """Yield records of a campaign that lack a file, each with the key of the job that made it, if that is known so."""
    for collection in _WITH_FILES:
        # Predictions are shown, and nothing else needs them.
        for document in store.database[collection].find({"campaign": name, "kind": {"$ne": PARITY}}):
            if all(store.artefacts.is_there(one) for one in artefacts_in(document)):
                continue
            # The only result that its job does not name among its outputs.
            is_variance = collection == ResultRecord.collection and document["kind"] == VARIANCES.name
            yield document["_id"], f"generation-{document['generation']}/select" if is_variance else ""


def _makers(store: Store, jobs: Mapping[int, JobRow]) -> dict[str, int]:
    """Return the job that made a record, by the record's identifier, and every job by its key; the first one counts."""

    from ...store.jobs.queue import outputs_of

    found: dict[str, int] = {}
    for number, outputs in outputs_of(store, jobs):
        for identifier in _texts(outputs.values()):
            found.setdefault(identifier, number)
    for number, job in sorted(jobs.items()):
        found.setdefault(job.key, number)
    return found


def _texts(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from _texts(value)


def _ancestors(store: Store, chosen: Mapping[int, Any]) -> dict[int, list[int]]:
    """Return which of the chosen jobs come before each of them in the campaign's graph."""

    from ...store.jobs.queue import parents_of

    parents = parents_of(store, chosen)
    found = {}
    for number in chosen:
        seen: set[int] = set()
        front = list(parents.get(number, ()))
        while front:
            one = front.pop()
            if one not in seen:
                seen.add(one)
                front += parents.get(one, ())
        found[number] = sorted(seen & chosen.keys())
    return found


def _next_key(jobs: Sequence[JobRow], key: str) -> str | None:
    """Return the key under which a job is done again, None where it is about to be."""
    variants = [one for one in jobs if one.key.startswith(f"{key}/{AGAIN}-")]
    if any(one.state in ACTIVE for one in variants):
        return None
    return f"{key}/{AGAIN}-{len(variants) + 1}"


def _task(name: str) -> type[IonloopTask]:
    from ..loop.task_registry import registered_tasks

    found: Any = registered_tasks()[name]
    return found


# -- the end -----------------------------------------------------------------------------------------------------------


def _concluded(store: Store, name: str) -> list[JobRow]:
    """Return the jobs that have ended a campaign, the last one last."""

    from ...store.jobs.queue import find_jobs, jobs_wanted
    from ...tasks.assess import ConcludeTask

    kind = ConcludeTask._fw_name.removeprefix("ionloop.")
    return find_jobs(store, jobs_wanted(campaigns=[name], kinds=[kind], states={State.FINISHED}))


def _conclusion_again(store: Store, name: str, graph: Graph) -> tuple[Job, ...]:
    """Return the job that ends a campaign, once more, after the jobs of a graph."""

    from ...store.jobs.queue import first_tasks_of
    from ...tasks.assess import ConcludeTask
    from ..graph.jobs import Job

    concluded = _concluded(store, name)
    if not concluded:
        return ()
    last = concluded[-1]
    parameters = _parameters(*first_tasks_of(store, [last.number])[last.number])
    if parameters is None:
        return ()
    key = last.key.partition(f"/{AGAIN}-")[0]
    known = sum(one.key.partition(f"/{AGAIN}-")[0] == key for one in concluded)
    return (
        Job(
            key=f"{key}/{AGAIN}-{known}",
            task=ConcludeTask,
            parameters=parameters,  # type: ignore[arg-type]
            parents=tuple(job.key for job in graph.jobs),
            runs_after_failures=True,
        ),
    )


def _after(graph: Graph, first: Graph) -> Graph:
    """Return both graphs as one, whose second part waits for the first."""

    from ..graph.jobs import Graph

    keys = tuple(job.key for job in first.jobs)
    return Graph((*first.jobs, *(replace(job, parents=(*keys, *job.parents)) for job in graph.jobs)))
