"""Mend what a kill can leave in a store without transactions: pure findings first, then the writes.

FireWorks writes a job's documents one by one. On MongoDB a worker killed between two writes leaves a workflow locked,
a firework reserved for nobody, a finished parent whose children still wait, or documents that nothing refers to. The
embedded store makes each operation one transaction, so that there ``repair`` finds nothing but jobs of dead workers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from graphlib import TopologicalSorter
from typing import Any

from fireworks import Firework

from ..jobs.launchpad import TransactionalLaunchPad
from ..jobs.workflow_lock import has_dead_holder

DeadWorkers = Callable[[Mapping[str, Any]], bool] | Collection[str] | None

SETTLE_S = 10.0
"""On a server a finding counts only if it is still there after this time: other workers may be writing."""

_HELD = frozenset({"RESERVED", "RUNNING"})
_STARTED = frozenset({"READY", "RESERVED", "RUNNING", "COMPLETED", "FIZZLED"})
_FROZEN = frozenset({"DEFUSED", "PAUSED", "ARCHIVED"})
_MOST_ROUNDS = 5


@dataclass(frozen=True)
class FireworkFact:
    """What repair looks at in a firework."""

    identifier: int
    state: str
    launches: tuple[int, ...] = ()
    archived_launches: tuple[int, ...] = ()
    accepts_fizzled_parents: bool = False


@dataclass(frozen=True)
class LaunchFact:
    """What repair looks at in a launch; ``is_lost`` if it is active and its worker is known to be dead."""

    identifier: int
    firework: int
    state: str
    is_lost: bool = False


@dataclass(frozen=True)
class WorkflowFact:
    """What repair looks at in a workflow: ``states`` are its own notes of its fireworks' states."""

    nodes: tuple[int, ...]
    parents: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    states: Mapping[int, str] = field(default_factory=dict)
    is_locked: bool = False


@dataclass(frozen=True)
class Snapshot:
    """The state of all jobs at one moment."""

    fireworks: Mapping[int, FireworkFact]
    launches: Mapping[int, LaunchFact]
    workflows: tuple[WorkflowFact, ...]


@dataclass(frozen=True)
class RepairReport:
    """What was found and mended, by the identifiers of fireworks (launches where said)."""

    unlocked_workflows: frozenset[int] = frozenset()
    """Workflows, by their first firework, whose lock was removed."""
    unfinished_workflows: frozenset[int] = frozenset()
    """Workflows, by their first firework, of which only a part had been added and nothing had run: removed."""
    damaged_workflows: frozenset[int] = frozenset()
    """Workflows, by their first firework, that lack fireworks after others had run: only reported."""
    orphaned_fireworks: frozenset[int] = frozenset()
    """Fireworks of no workflow: removed."""
    orphaned_launches: frozenset[int] = frozenset()
    """Launches of no firework: removed (launch identifiers)."""
    lost_launches: frozenset[int] = frozenset()
    """Launches of dead workers, whose fireworks run again (launch identifiers)."""
    released_fireworks: frozenset[int] = frozenset()
    """Fireworks that were taken, but have no launch: ready again."""
    interrupted_fireworks: frozenset[int] = frozenset()
    """Fireworks whose launch had completed, but not its consequences: these are applied."""
    premature_fireworks: frozenset[int] = frozenset()
    """Fireworks that had started although a parent has to run (again): they run again after it."""
    stale_fireworks: frozenset[int] = frozenset()
    """Fireworks whose state did not follow from their parents and launches: recomputed."""

    @property
    def total(self) -> int:
        """The number of findings that were mended."""
        return sum(len(found) for name, found in self._findings() if name != "damaged_workflows")

    def _findings(self) -> Iterator[tuple[str, frozenset[int]]]:
        return ((one.name, getattr(self, one.name)) for one in fields(self))

    def __and__(self, other: RepairReport) -> RepairReport:
        """Return the findings that both reports share."""
        return RepairReport(**{name: found & getattr(other, name) for name, found in self._findings()})

    def __or__(self, other: RepairReport) -> RepairReport:
        """Return the findings of both reports."""
        return RepairReport(**{name: found | getattr(other, name) for name, found in self._findings()})

    def lines(self) -> list[str]:
        """Return one line per kind of finding, for people."""
        return [
            f"{name.replace('_', ' ')}: {', '.join(map(str, sorted(found)))}"
            for name, found in self._findings()
            if found
        ]


# -- findings: pure ----------------------------------------------------------------------------------------------


def find_problems(snapshot: Snapshot) -> RepairReport:
    """Return everything that is wrong in a snapshot."""
    unfinished, damaged = _incomplete_workflows(snapshot)
    orphans = frozenset(snapshot.fireworks) - {node for one in snapshot.workflows for node in one.nodes}
    kept = [one for node, one in snapshot.fireworks.items() if node not in orphans]
    active = {launch for one in kept for launch in one.launches}
    referred = active | {launch for one in kept for launch in one.archived_launches}
    # FireWorks leaves the launches of a firework that runs again as they were: only the current ones can be lost.
    lost = frozenset(one.identifier for one in snapshot.launches.values() if one.is_lost) & active
    found: dict[str, set[int]] = {"released": set(), "interrupted": set(), "premature": set(), "stale": set()}
    whole = [one for one in snapshot.workflows if one.nodes[0] not in unfinished | damaged]
    for workflow in whole:
        for node in workflow.nodes:
            finding = _find_in_firework(node, workflow, snapshot, lost)
            if finding is not None:
                found[finding].add(node)
    return RepairReport(
        unlocked_workflows=frozenset(one.nodes[0] for one in whole if one.is_locked),
        unfinished_workflows=unfinished,
        damaged_workflows=damaged,
        orphaned_fireworks=orphans,
        orphaned_launches=frozenset(snapshot.launches) - referred,
        lost_launches=lost,
        **{f"{kind}_fireworks": frozenset(nodes) for kind, nodes in found.items()},
    )


def _incomplete_workflows(snapshot: Snapshot) -> tuple[frozenset[int], frozenset[int]]:
    """Return the workflows that lack fireworks: those of which nothing has run, and the others."""
    unfinished: set[int] = set()
    damaged: set[int] = set()
    for workflow in snapshot.workflows:
        present = [snapshot.fireworks[node] for node in workflow.nodes if node in snapshot.fireworks]
        if len(present) < len(workflow.nodes):
            has_run = any(one.launches or one.archived_launches for one in present)
            (damaged if has_run else unfinished).add(workflow.nodes[0])
    return frozenset(unfinished), frozenset(damaged)


def _find_in_firework(node: int, workflow: WorkflowFact, snapshot: Snapshot, lost: Collection[int]) -> str | None:
    """Return what is wrong with one firework of a whole workflow, None if nothing is."""
    firework = snapshot.fireworks[node]
    noted = workflow.states.get(node, firework.state)
    if firework.state in _FROZEN:
        return None if noted == firework.state else "stale"
    if any(launch in lost for launch in firework.launches):
        return None  # it will run again, whatever else is wrong with it
    launches = [snapshot.launches[one] for one in firework.launches if one in snapshot.launches]
    parents = [snapshot.fireworks[parent] for parent in workflow.parents.get(node, ())]
    expected = expected_state(firework, parents, launches)
    if expected == "WAITING" and firework.state in _STARTED and launches:
        return "premature"
    if firework.state == "FIZZLED":
        # FireWorks also marks so what it could not read or refresh, without a launch: that is for people to see.
        return None if noted == "FIZZLED" else "stale"
    if expected == "COMPLETED" and noted != "COMPLETED":
        return "interrupted"
    if expected == "READY" and firework.state in _HELD:
        return "released"
    return None if expected == firework.state == noted else "stale"


def expected_state(firework: FireworkFact, parents: Iterable[FireworkFact], launches: Iterable[LaunchFact]) -> str:
    """Return the state that follows from parents and launches, by FireWorks' own rule.

    Waiting while a parent has not completed (or, where accepted, fizzled); else the furthest state of its launches;
    ready without any.
    """
    done = {"COMPLETED", "FIZZLED"} if firework.accepts_fizzled_parents else {"COMPLETED"}
    if any(parent.state not in done for parent in parents):
        return "WAITING"
    ranks = Firework.STATE_RANKS
    states = [launch.state for launch in launches if ranks[launch.state] > ranks["ARCHIVED"]]
    return max(states, key=ranks.__getitem__, default="READY")


# -- reading ---------------------------------------------------------------------------------------------------------


def read_snapshot(launchpad: TransactionalLaunchPad, dead_workers: DeadWorkers = None) -> Snapshot:
    """Read the state of all jobs.

    Parameters
    ----------
    launchpad
        The store's LaunchPad.
    dead_workers
        The names of workers known to be dead, or a function that tells it from a launch's document.
    """
    is_dead = _dead_predicate(dead_workers)
    fireworks = {
        one["fw_id"]: FireworkFact(
            one["fw_id"],
            one["state"],
            tuple(one.get("launches", ())),
            tuple(one.get("archived_launches", ())),
            bool(one.get("spec", {}).get("_allow_fizzled_parents")),
        )
        for one in launchpad.fireworks.find(
            {},
            {"fw_id": 1, "state": 1, "launches": 1, "archived_launches": 1, "spec._allow_fizzled_parents": 1},
        )
    }
    launches = {
        one["launch_id"]: LaunchFact(
            one["launch_id"], one["fw_id"], one["state"], one["state"] in _HELD and is_dead(one)
        )
        for one in launchpad.launches.find({}, {"action": 0})
    }
    workflows = tuple(
        WorkflowFact(
            nodes=tuple(one["nodes"]),
            parents={int(child): tuple(found) for child, found in one.get("parent_links", {}).items()},
            states={int(node): state for node, state in one.get("fw_states", {}).items()},
            is_locked="locked" in one and not _is_held(launchpad, one["locked"]),
        )
        for one in launchpad.workflows.find({}, {"metadata": 0})
    )
    return Snapshot(fireworks, launches, workflows)


def _is_held(launchpad: TransactionalLaunchPad, lock: Any) -> bool:
    """Return whether a lock says whose it is, and that process may live; of others only time can tell."""
    return isinstance(lock, Mapping) and not has_dead_holder(lock, launchpad.db.workers)


def _dead_predicate(dead_workers: DeadWorkers) -> Callable[[Mapping[str, Any]], bool]:
    if dead_workers is None:
        return lambda launch: False
    if callable(dead_workers):
        return dead_workers
    names = frozenset(dead_workers)
    return lambda launch: launch.get("fworker", {}).get("name") in names


# -- writing ---------------------------------------------------------------------------------------------------------


def repair(
    launchpad: TransactionalLaunchPad,
    *,
    dead_workers: DeadWorkers = None,
    settle_s: float | None = None,
) -> RepairReport:
    """Mend a store, so that every job can be run to its end; return what was found.

    Parameters
    ----------
    launchpad
        The store's LaunchPad.
    dead_workers
        Whose running and reserved launches are given up and run again: names of workers, or a function that tells
        it from a launch's document. None: no launch is touched.
    settle_s
        Mend only what is still wrong after this time (s): what other workers are just writing looks broken for a
        moment. By default ``SETTLE_S`` on a server and no time on the embedded store, whose operations are whole.
    """
    if settle_s is None:
        settle_s = 0.0 if launchpad.is_embedded else SETTLE_S
    mended = RepairReport()
    # Mending one thing can uncover another: what the children of an interrupted firework had done, for instance.
    for _ in range(_MOST_ROUNDS):
        report = find_problems(read_snapshot(launchpad, dead_workers))
        if report.total and settle_s:
            time.sleep(settle_s)
        if report.total:
            with launchpad.transaction():
                snapshot = read_snapshot(launchpad, dead_workers)
                report &= find_problems(snapshot)
                _mend(launchpad, snapshot, report)
        mended |= report
        if not report.total:
            break
    return mended


def _mend(launchpad: TransactionalLaunchPad, snapshot: Snapshot, report: RepairReport) -> None:
    # A lock would stop everything that follows.
    for node in report.unlocked_workflows:
        launchpad.workflows.update_one({"nodes": node}, {"$unset": {"locked": ""}})
    for node in report.unfinished_workflows:
        launchpad.delete_wf(node)
    launchpad.fireworks.delete_many({"fw_id": {"$in": sorted(report.orphaned_fireworks)}})
    launchpad.launches.delete_many({"launch_id": {"$in": sorted(report.orphaned_launches)}})
    # A completed firework that starts from "running" again applies the consequences of its launch.
    launchpad.fireworks.update_many(
        {"fw_id": {"$in": sorted(report.interrupted_fireworks)}}, {"$set": {"state": "RUNNING"}}
    )
    recomputed = report.interrupted_fireworks | report.released_fireworks | report.stale_fireworks
    for workflow in snapshot.workflows:
        touched = (recomputed | report.premature_fireworks) & frozenset(workflow.nodes)
        if touched:
            _note_states(launchpad, workflow)
        for node in _parents_first(workflow, touched):
            if node in report.premature_fireworks:
                launchpad.rerun_fw(node)
            else:
                launchpad._refresh_wf(node)
    for launch in sorted(report.lost_launches):
        _run_again(launchpad, launch)


def _note_states(launchpad: TransactionalLaunchPad, workflow: WorkflowFact) -> None:
    """Write the fireworks' states into their workflow, by whose notes FireWorks judges parents."""
    for one in launchpad.fireworks.find({"fw_id": {"$in": list(workflow.nodes)}}, {"fw_id": 1, "state": 1}):
        launchpad.workflows.update_one({"nodes": one["fw_id"]}, {"$set": {f"fw_states.{one['fw_id']}": one["state"]}})


def _parents_first(workflow: WorkflowFact, nodes: Collection[int]) -> list[int]:
    """Return some fireworks of a workflow, each after its parents."""
    order = TopologicalSorter({node: workflow.parents.get(node, ()) for node in sorted(workflow.nodes)})
    return [node for node in order.static_order() if node in nodes]


def _run_again(launchpad: TransactionalLaunchPad, launch: int) -> None:
    """End a launch of a dead worker and let its fireworks run again, as ``detect_lostruns`` does."""
    launchpad.mark_fizzled(launch)
    for one in launchpad.fireworks.find({"launches": launch}, {"fw_id": 1}):
        launchpad.rerun_fw(one["fw_id"], rerun_duplicates=False)
