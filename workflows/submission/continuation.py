"""Carrying a campaign on beyond what was planned: more is asked for, or files of finished jobs are gone.

Jobs that are done stay as they are in the graph. What is to be done again, or in addition, gets jobs of its own, each
only once however often this is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from ...core.kinds import UnknownKind
from ...core.states import State
from ...labelling.common_settings import CommonSettings
from ...labelling.settings import physics_of
from ...store.artefacts import artefacts_in
from ...store.connection import Store
from ...store.records import ResultRecord
from ...store.result_kinds import PARITY
from ...tasks.assess import ConcludeTask
from ...tasks.base import IonloopTask
from ...tasks.sample import VARIANCE
from ..campaign.change_log import change_log, note_carried_out
from ..graph.jobs import Graph, Job, missing_part
from ..graph.plan import load_plan
from ..loop.generation_loop import end_of_loop, final_graph, final_stage, generation_graph
from ..loop.task_registry import registered_tasks

AGAIN = "again"
_REMAKE_PRIORITY = 100
"""Before all others: they may need the files."""
_WITH_FILES = ("trajectories", "models", "results")
_OVER = ("COMPLETED", "FIZZLED", "DEFUSED", "ARCHIVED")


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


def is_remaking(store: Store, name: str) -> bool:
    """Return whether lost files of a campaign are still being made again: a job that fails may have needed them."""
    waiting = {"spec.campaign": name, "spec.remakes": True, "state": {"$nin": list(_OVER)}}
    return store.database.fireworks.find_one(waiting, {"_id": 1}) is not None


# -- what the settings ask for -----------------------------------------------------------------------------------------


def _further(store: Store, name: str, *, explores: bool) -> Graph:
    """Return the jobs that follow the end of the loop by today's settings and that the campaign does not have."""
    ended = max((job["spec"]["generation"] for job in _jobs(store, name, _CONCLUDED)), default=None)
    if ended is None:
        return Graph()
    *_, data_set = store.data_sets.find({"campaign": name, "generation": ended})
    plan = load_plan(store, name, data_set.id)
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
    known: dict[str, list[Mapping[str, Any]]] = {}
    for document in _jobs(store, name, {}):
        known.setdefault(document["spec"]["key"].partition(f"/{AGAIN}-")[0], []).append(document)
    renamed: dict[str, str] = {}
    for job in graph.jobs:
        variants = known.get(job.key, [])
        asked = _essence(job.parameters)
        if job is graph.jobs[-1] or all(_essence(_parameters(one)) != asked for one in variants):
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


def _parameters(document: Mapping[str, Any]) -> BaseModel | None:
    """Return the parameters of a job of the store, None where this version cannot read them."""
    task = document["spec"]["_tasks"][0]
    kind: Any = registered_tasks().get(task.get("_fw_name"))
    try:
        return kind.parameters_type.model_validate(task["parameters"]) if kind else None
    except (ValidationError, KeyError, UnknownKind):
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
    lost = list(lost_records(store, name))
    if not lost:
        return Graph(), ()
    jobs = _jobs(store, name, {})
    done = {one["fw_id"]: one for one in jobs if one["state"] == "COMPLETED"}
    makers = _makers(store, done)
    found = {identifier: makers.get(identifier) or makers.get(key) for identifier, key in lost}
    keys = {number: _next_key(jobs, str(done[number]["spec"]["key"])) for number in set(found.values()) if number}
    wanted = {number: key for number, key in keys.items() if key and _parameters(done[number]) is not None}
    ancestors = _ancestors(store, wanted)
    graph = Graph(
        tuple(
            Job(
                key=key,
                task=_task(done[number]),
                parameters=_parameters(done[number]),  # type: ignore[arg-type]
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
            is_variance = collection == ResultRecord.collection and document["kind"] == VARIANCE
            yield document["_id"], f"generation-{document['generation']}/select" if is_variance else ""


def _makers(store: Store, documents: Mapping[int, Mapping[str, Any]]) -> dict[str, int]:
    """Return the job that made a record, by the record's identifier, and every job by its key; the first one counts."""
    found: dict[str, int] = {}
    fields = {"fw_id": 1, "action.stored_data.outputs": 1}
    launches = store.database.launches.find({"fw_id": {"$in": list(documents)}, "state": "COMPLETED"}, fields)
    for launch in sorted(launches, key=lambda one: one["fw_id"]):
        outputs = ((launch.get("action") or {}).get("stored_data") or {}).get("outputs") or {}
        for identifier in _texts(outputs.values()):
            found.setdefault(identifier, launch["fw_id"])
    for number, document in sorted(documents.items()):
        found.setdefault(str(document["spec"]["key"]), number)
    return found


def _texts(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from _texts(value)


def _ancestors(store: Store, chosen: Mapping[int, Any]) -> dict[int, list[int]]:
    """Return which of the chosen jobs come before each of them in the campaign's graph."""
    parents: dict[int, set[int]] = {}
    for workflow in store.database.workflows.find({"nodes": {"$in": list(chosen)}}, {"links": 1}):
        for parent, children in workflow["links"].items():
            for child in children:
                parents.setdefault(int(child), set()).add(int(parent))
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


def _next_key(jobs: Sequence[Mapping[str, Any]], key: str) -> str | None:
    """Return the key under which a job is done again, None where it is about to be."""
    variants = [one for one in jobs if one["spec"]["key"].startswith(f"{key}/{AGAIN}-")]
    if any(one["state"] not in _OVER for one in variants):
        return None
    return f"{key}/{AGAIN}-{len(variants) + 1}"


def _task(document: Mapping[str, Any]) -> type[IonloopTask]:
    found: Any = registered_tasks()[document["spec"]["_tasks"][0]["_fw_name"]]
    return found


# -- the end -----------------------------------------------------------------------------------------------------------

_CONCLUDED = {"spec.kind": ConcludeTask._fw_name.removeprefix("ionloop."), "state": "COMPLETED"}


def _conclusion_again(store: Store, name: str, graph: Graph) -> tuple[Job, ...]:
    """Return the job that ends a campaign, once more, after the jobs of a graph."""
    concluded = list(_jobs(store, name, _CONCLUDED))
    parameters = _parameters(concluded[-1]) if concluded else None
    if parameters is None:
        return ()
    key = str(concluded[-1]["spec"]["key"]).partition(f"/{AGAIN}-")[0]
    known = sum(str(one["spec"]["key"]).partition(f"/{AGAIN}-")[0] == key for one in concluded)
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
    keys = tuple(job.key for job in first.jobs)
    return Graph((*first.jobs, *(replace(job, parents=(*keys, *job.parents)) for job in graph.jobs)))


def _jobs(store: Store, name: str, filters: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    fields = {"fw_id": 1, "state": 1, "spec.key": 1, "spec.generation": 1, "spec._tasks": 1}
    found = store.database.fireworks.find({"spec.campaign": name, **filters}, fields)
    readable = (one for one in found if isinstance(one.get("spec"), Mapping) and "key" in one["spec"])
    return sorted(readable, key=lambda one: one["fw_id"])
