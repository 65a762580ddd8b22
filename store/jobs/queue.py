"""What is asked of the job queue, in our own words: which jobs there are, how many, after which."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.states import ACTIVE, State
from ..connection import Store
from .rows import GRAPHS, JOB_FIELDS, JOBS, RUNS, STATES, JobRow, RunRow, graph_row, job_row, run_row

if TYPE_CHECKING:
    from fireworks import Firework


def job_specification(
    *,
    campaign: str,
    generation: int,
    kind: str,
    key: str,
    priority: int = 0,
    runs_after_failures: bool = False,
    remakes: bool = False,
) -> dict[str, Any]:
    """Return the specification of a Firework, beside its tasks.

    Parameters
    ----------
    priority
        Jobs of a higher one are taken first.
    runs_after_failures
        Whether it runs as well where jobs that it comes after have failed.
    remakes
        Whether it only makes files again that were there before.
    """
    found: dict[str, Any] = {
        "_priority": priority,
        "campaign": campaign,
        "generation": generation,
        "kind": kind,
        "key": key,
    }
    if runs_after_failures:
        found["_allow_fizzled_parents"] = True
    if remakes:
        found["remakes"] = True
    return found


def jobs_wanted(
    *,
    campaigns: Collection[str] | None = None,
    other_than: Collection[str] = (),
    kinds: Collection[str] | None = None,
    keys: Collection[str] | None = None,
    states: Collection[State] | None = None,
    not_numbers: Collection[int] = (),
    remakes: bool = False,
) -> dict[str, Any]:
    """Return the query for jobs: of these campaigns, or of all but some; of these kinds, keys and states.

    ``remakes``: only those that make files again. A worker is given it to know which jobs it may take.
    """
    wanted: dict[str, Any] = {}
    if campaigns is not None:
        wanted["spec.campaign"] = _one_of(campaigns)
    elif other_than:
        wanted["spec.campaign"] = {"$nin": sorted(other_than)}
    if kinds is not None:
        wanted["spec.kind"] = {"$in": sorted(kinds)}
    if keys is not None:
        wanted["spec.key"] = _one_of(keys)
    if states is not None:
        wanted["state"] = _one_of([name for name, state in STATES.items() if state in states])
    if remakes:
        wanted["spec.remakes"] = True
    if not_numbers:
        wanted["fw_id"] = {"$nin": sorted(not_numbers)}
    return wanted


def _one_of(values: Collection[str]) -> Any:
    return next(iter(values)) if len(values) == 1 else {"$in": sorted(values)}


def count_jobs(store: Store, wanted: Mapping[str, Any]) -> int:
    """Return how many jobs of a `jobs_wanted` there are."""
    return int(store.database[JOBS].count_documents(dict(wanted)))


def is_any_job(store: Store, wanted: Mapping[str, Any]) -> bool:
    """Return whether there is a job of a `jobs_wanted`."""
    return store.database[JOBS].find_one(dict(wanted), {"_id": 1}) is not None


def is_remaking(store: Store, campaign: str) -> bool:
    """Return whether lost files of a campaign are still being made again: a job that fails may have needed them."""
    return is_any_job(store, jobs_wanted(campaigns=[campaign], states=ACTIVE, remakes=True))


def jobs_of(store: Store, campaign: str) -> list[JobRow]:
    """Return the jobs of a campaign in the order of their numbers; those that cannot be read are left out.

    Who looks again pays only for what has changed.
    """
    wanted, fields = jobs_wanted(campaigns=[campaign]), dict.fromkeys(JOB_FIELDS, 1)
    return sorted(store.digests(JOBS, wanted, fields, job_row), key=lambda job: job.number)


def find_jobs(store: Store, wanted: Mapping[str, Any]) -> list[JobRow]:
    """Return the jobs of a `jobs_wanted` in the order of their numbers; those that cannot be read are left out."""
    documents = store.database[JOBS].find(dict(wanted), dict.fromkeys(JOB_FIELDS, 1))
    found = [row for document in documents if (row := job_row(document)) is not None]
    return sorted(found, key=lambda job: job.number)


def job_of(store: Store, number: int) -> JobRow | None:
    """Return the job of that number, None where there is none that can be read."""
    document = store.database[JOBS].find_one({"fw_id": number}, dict.fromkeys(JOB_FIELDS, 1))
    return None if document is None else job_row(document)


def keys_entered(store: Store, wanted: Mapping[str, Any]) -> set[str]:
    """Return the keys of jobs of a `jobs_wanted` that can run.

    On a server a kill can leave jobs that are in no graph: they never run, `repair` removes them.
    """
    documents = store.database[JOBS].find(dict(wanted), {"fw_id": 1, "spec.key": 1})
    found = {document["fw_id"]: str(document["spec"]["key"]) for document in documents}
    if store.is_embedded or not found:
        return set(found.values())
    graphs = store.database[GRAPHS].find({"nodes": {"$in": list(found)}}, {"nodes": 1})
    entered = {node for graph in graphs for node in graph["nodes"]}
    return {key for number, key in found.items() if number in entered}


def is_untouched(store: Store, campaign: str) -> bool:
    """Return whether no job of a campaign has ever been started."""
    jobs = store.database[JOBS].find(jobs_wanted(campaigns=[campaign]), {"state": 1, "launches": 1})
    return all(job["state"] in ("READY", "WAITING") and not job.get("launches") for job in jobs)


def forget_jobs(store: Store, campaign: str) -> None:
    """Remove the graphs of a campaign of which no job was started."""
    while (job := store.database[JOBS].find_one(jobs_wanted(campaigns=[campaign]), {"fw_id": 1})) is not None:
        store.launchpad.delete_wf(job["fw_id"])


def parents_of(store: Store, numbers: Collection[int]) -> dict[int, set[int]]:
    """Return the parents of all jobs in the graphs that hold some of these jobs."""
    parents: dict[int, set[int]] = {}
    for document in store.database[GRAPHS].find({"nodes": {"$in": list(numbers)}}, {"links": 1}):
        for parent, children in graph_row(document).links.items():
            for child in children:
                parents.setdefault(child, set()).add(parent)
    return parents


def last_run(store: Store, job: JobRow) -> RunRow | None:
    """Return the last run of a job, None where there is none."""
    document = store.database[RUNS].find_one({"launch_id": job.all_runs[-1]}) if job.all_runs else None
    return None if document is None else run_row(document)


def last_runs(store: Store, jobs: Iterable[JobRow]) -> dict[int, RunRow]:
    """Return the last runs of jobs by the numbers of the jobs; those that have none are left out."""
    wanted = {job.all_runs[-1]: job.number for job in jobs if job.all_runs}
    documents = store.database[RUNS].find({"launch_id": {"$in": list(wanted)}}) if wanted else ()
    return {wanted[document["launch_id"]]: run_row(document) for document in documents}


def running(store: Store, jobs: Iterable[JobRow]) -> Iterator[tuple[JobRow, RunRow]]:
    """Yield those of the jobs that run, each with its run."""
    wanted = {job.number: job for job in jobs if job.state is State.RUNNING}
    if wanted:
        for document in store.database[RUNS].find({"fw_id": {"$in": list(wanted)}, "state": "RUNNING"}):
            yield wanted[document["fw_id"]], run_row(document)


def outputs_of(store: Store, numbers: Collection[int]) -> list[tuple[int, Mapping[str, Any]]]:
    """Return what finished jobs said that they made, in the order of their numbers."""
    fields = {"fw_id": 1, "action.stored_data.outputs": 1}
    runs = store.database[RUNS].find({"fw_id": {"$in": list(numbers)}, "state": "COMPLETED"}, fields)
    found = [
        (int(run["fw_id"]), ((run.get("action") or {}).get("stored_data") or {}).get("outputs") or {}) for run in runs
    ]
    return sorted(found, key=lambda one: one[0])


def first_tasks_of(store: Store, numbers: Collection[int]) -> dict[int, tuple[str, Any]]:
    """Return the name of the first task of jobs and its parameters, as the documents hold them."""
    documents = store.database[JOBS].find({"fw_id": {"$in": list(numbers)}}, {"fw_id": 1, "spec._tasks": 1})
    tasks = ((int(document["fw_id"]), document["spec"].get("_tasks") or [{}]) for document in documents)
    return {number: (str(first.get("_fw_name")), first.get("parameters")) for number, (first, *_) in tasks}


@dataclass(frozen=True)
class TakenJob:
    """What a worker must know of a job that it has taken; ``parameters`` are those of its first task."""

    number: int
    campaign: str
    kind: str
    remakes: bool
    parameters: Any


def taken_job(firework: Firework) -> TakenJob:
    """Return the job that FireWorks hands to a worker."""
    spec = firework.spec
    return TakenJob(
        number=firework.fw_id,
        campaign=str(spec.get("campaign", "")),
        kind=str(spec.get("kind", "")),
        remakes=spec.get("remakes") is True,
        parameters=firework.tasks[0].get("parameters") if firework.tasks else None,
    )


def run_again(store: Store, job: JobRow, *, attempt: int | None = None) -> None:
    """Put a job, and all that come after it, back into the queue.

    Parameters
    ----------
    attempt
        What its parameter ``retry`` becomes, which makes it compute anew what it has stored.
    """
    if job.refusal:
        store.launchpad.readmit(job.number)
        return
    forgotten = {"spec.crashes": "", "spec.given_up": "", "spec.loss": ""}
    change: dict[str, Any] = {"$unset": forgotten}
    if attempt is not None:
        change["$set"] = {"spec._tasks.0.parameters.retry": attempt}
    store.database[JOBS].update_one({"fw_id": job.number}, change)
    store.launchpad.rerun_fw(job.number)
