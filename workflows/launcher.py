"""The launcher: looks at the queue and at the store, and submits pilots while there is something to run.

It keeps nothing in memory that matters: killed at any moment and started again, it carries on from the store and the
scheduler. Only one feeds a store at a time.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from pymongo.errors import DuplicateKeyError

from ..errors import InputError, IonloopError
from ..store.connection import Store
from ..store.processes import host_name, worker_name
from .cluster_profile import ClusterProfile
from .holds import Hold, all_controls, enforce_budget
from .job_script import ScriptRequest, job_script, pilot_settings, refuse_secrets, write_private
from .lost_jobs import recover_lost_jobs
from .queue_jobs import QueueJob, adopt_queue_job, cancel_queue_jobs, queue_job_id, queue_jobs, reconcile
from .scheduler import IN_QUEUE, QueueState, Scheduler, SchedulerError, scheduler_of

logger = logging.getLogger(__name__)

LEASE_S = 300.0
FIRST_PAUSE_S = 60.0
LONGEST_PAUSE_S = 3600.0
_TROUBLE = frozenset({QueueState.FAILED, QueueState.SCRATCH_FULL, QueueState.NODE_FAILED, QueueState.VANISHED})
"""Ends after which the next queue job would most likely end alike."""


@dataclass(frozen=True)
class Round:
    """What one look at the queue led to."""

    submitted: tuple[str, ...] = ()
    changed: tuple[QueueJob, ...] = ()
    recovered: tuple[str, ...] = ()
    pauses: dict[str, str] = field(default_factory=dict)
    active: int = 0
    unfinished: int = 0


def wanted_jobs(ready: int, per_job: int, active: int, most: int) -> int:
    """Return how many further queue jobs a class needs.

    Parameters
    ----------
    ready
        Jobs that could start now.
    per_job
        How many of them one queue job can take.
    active
        Queue jobs of the class that wait or run: they take ready jobs as well.
    most
        The most there may be at a time.
    """
    return max(0, min(math.ceil(ready / per_job), most) - active)


def jobs_per_allocation(profile: ClusterProfile, name: str) -> int:
    """Return how many jobs of a class one allocation has time for."""
    resources = profile.resources[name]
    usable_s = resources.wall_time_s - 60 * profile.margin_min
    return resources.workers * max(1, int(usable_s // resources.longest_s))


def pause_after_trouble(jobs: Sequence[QueueJob], moment: float, first_s: float = FIRST_PAUSE_S) -> float:
    """Return how long to wait before a class is fed again (s), 0 if its last queue job ended well.

    The pause doubles with every queue job in a row that ended badly.
    """
    ended = sorted((job for job in jobs if job.ended is not None), key=lambda job: job.ended or 0.0)
    bad = 0
    for job in reversed(ended):
        if job.state not in _TROUBLE:
            break
        bad += 1
    if not bad:
        return 0.0
    pause_s = min(LONGEST_PAUSE_S, first_s * 2 ** (bad - 1))
    return max(0.0, (ended[-1].ended or 0.0) + pause_s - moment)


class Launcher:
    """Keeps a queue fed from one store.

    Parameters
    ----------
    store
        The store.
    profile
        The cluster.
    campaign
        Feed jobs of this campaign only; of every campaign if None.
    max_jobs
        Most queue jobs at any time, where fewer than the profile says are wanted.
    scheduler
        What submits; the one that the profile names if None.
    """

    def __init__(
        self,
        store: Store,
        profile: ClusterProfile,
        *,
        campaign: str | None = None,
        max_jobs: int | None = None,
        scheduler: Scheduler | None = None,
    ) -> None:
        refuse_secrets()
        self.store = store
        self.profile = profile
        self.campaign = campaign
        self.max_jobs = min(profile.max_jobs, max_jobs or profile.max_jobs)
        self.scheduler = scheduler or scheduler_of(profile.scheduler)
        self.folder = store.artefacts.folder(Path("cluster"))
        self.first_pause_s = FIRST_PAUSE_S
        self._name = worker_name(os.getpid())

    def run(self, watch: Callable[[Round], None], stop: threading.Event | None = None) -> None:
        """Feed the queue until no campaign has anything left to run, or ``stop`` is set.

        Raises
        ------
        InputError
            If another launcher feeds the store.
        IonloopError
            If already the first look fails; later ones are repeated, because disks, servers and schedulers come back.
        """
        stop = stop or threading.Event()
        has_worked = False
        try:
            while not stop.is_set():
                try:
                    done = self.step()
                except IonloopError as error:
                    if not has_worked or isinstance(error, InputError):
                        raise
                    logger.warning("nothing was submitted, next try in %g s: %s", self.profile.poll_s, error)
                else:
                    has_worked = True
                    watch(done)
                    if not done.unfinished and not done.active:
                        return
                stop.wait(self.profile.poll_s)
        finally:
            self.store.database.launchers.delete_one({"_id": self.profile.scheduler, "owner": self._name})

    def step(self) -> Round:
        """Look at the queue once: reconcile, hold campaigns to their budgets, submit what is missing.

        Raises
        ------
        InputError
            If another launcher feeds the store.
        """
        self._take_lease()
        try:
            changed = reconcile(self.store, self.scheduler)
        except SchedulerError as error:
            # A scheduler that is restarted now and then is no reason to stop; nothing is submitted blindly.
            logger.warning("the queue cannot be looked at: %s", error)
            return Round(unfinished=1)
        recovered = recover_lost_jobs(self.store)
        self._cancel_held()
        submitted, pauses = self._submit_missing()
        active = queue_jobs(self.store, self.campaign, only_active=True)
        return Round(submitted, tuple(changed), tuple(recovered), pauses, len(active), self._unfinished())

    def _campaigns(self) -> list[str]:
        """Return the campaigns whose jobs may run, those of higher priority first."""
        controls = all_controls(self.store)
        names = [self.campaign] if self.campaign else [record.id for record in self.store.campaigns.find()]
        free = []
        for name in names:
            enforce_budget(self.store, name)
            if name not in controls or controls[name].hold is None:
                free.append(name)
        return sorted(free, key=lambda name: (-controls[name].priority if name in controls else 0, name))

    def _submit_missing(self) -> tuple[tuple[str, ...], dict[str, str]]:
        submitted: list[str] = []
        pauses: dict[str, str] = {}
        moment = time.time()
        known = [job for job in queue_jobs(self.store) if job.scheduler == self.scheduler.name]
        room = self.max_jobs - sum(job.state in IN_QUEUE for job in known)
        for campaign in self._campaigns():
            for name, resources in self.profile.resources.items():
                of_class = [job for job in known if (job.campaign, job.resources) == (campaign, name)]
                ready = self._ready(campaign, name)
                active = sum(job.state in IN_QUEUE for job in of_class)
                count = wanted_jobs(ready, jobs_per_allocation(self.profile, name), active, resources.max_jobs)
                pause_s = pause_after_trouble(of_class, moment, self.first_pause_s)
                if count and pause_s:
                    last = max(of_class, key=lambda job: job.ended or 0.0)
                    pauses[f"{campaign}/{name}"] = f"next try in {pause_s:.0f} s: {last.state.value}: {last.reason}"
                    continue
                for _ in range(min(count, room)):
                    submitted.append(self._submit(campaign, name))
                    room -= 1
        return tuple(submitted), pauses

    def _ready(self, campaign: str, name: str) -> int:
        kinds = list(self.profile.kinds_of(name))
        wanted = {"spec.campaign": campaign, "state": "READY", "spec.kind": {"$in": kinds}}
        return int(self.store.database.fireworks.count_documents(wanted))

    def _submit(self, campaign: str, name: str) -> str:
        request = ScriptRequest(campaign, name, log=str(self.folder.absolute() / f"{campaign}-{name}-%j.log"))
        stem = self.folder.absolute() / f"{campaign}-{name}-{uuid.uuid4().hex[:8]}"
        settings = pilot_settings(self.store, self.profile, request)
        file = write_private(stem.with_suffix(".json"), settings.model_dump_json(indent=2))
        script = write_private(stem.with_suffix(".sh"), job_script(self.profile, self.scheduler, request, file))
        try:
            job = self.scheduler.submit(script)
        except IonloopError:
            for refused in (file, script):
                refused.unlink(missing_ok=True)
            raise
        resources = self.profile.resources[name]
        identifier = queue_job_id(self.scheduler.name, job)
        adopt_queue_job(
            self.store,
            QueueJob(
                id=identifier,
                scheduler=self.scheduler.name,
                job=job,
                campaign=campaign,
                resources=name,
                cores=resources.cores,
                log=request.log.replace("%j", job),
                submitted=time.time(),
            ),
        )
        logger.info("submitted %s: %s of %s", identifier, name, campaign)
        return identifier

    def _cancel_held(self) -> None:
        """Cancel what cancelled campaigns still have in the queue, where the one who cancelled could not."""
        for name, control in all_controls(self.store).items():
            if control.hold is Hold.CANCELLED:
                cancel_queue_jobs(self.store, name, lambda _: self.scheduler)

    def _unfinished(self) -> int:
        """Return how many jobs of campaigns that are not held may still run."""
        wanted: dict[str, Any] = {
            "spec.campaign": {"$in": self._campaigns()},
            "state": {"$in": ["READY", "RESERVED", "RUNNING"]},
        }
        return int(self.store.database.fireworks.count_documents(wanted))

    def _take_lease(self) -> None:
        """Make sure that no other launcher feeds this store: two would submit everything twice.

        Raises
        ------
        InputError
            If one does.
        """
        leases, key = self.store.database.launchers, self.profile.scheduler
        mine = {"_id": key, "owner": self._name, "host": host_name(), "pid": os.getpid(), "at": time.time()}
        other = leases.find_one({"_id": key})
        if other is None:
            try:
                leases.insert_one(mine)
            except DuplicateKeyError:
                other = leases.find_one({"_id": key}) or mine
            else:
                return
        is_free = other["owner"] == self._name or not _is_alive(other)
        # Of two that find a dead one's lease, only the first takes it.
        if not is_free or not leases.replace_one({"_id": key, "owner": other["owner"]}, mine).matched_count:
            raise InputError(
                f"a launcher on {other['host']} (process {other['pid']}) feeds {key} from this store already; "
                "stop it first, two would submit everything twice"
            )


def _is_alive(lease: dict[str, Any]) -> bool:
    if lease["host"] == host_name():
        try:
            return worker_name(lease["pid"]) == lease["owner"]
        except psutil.NoSuchProcess:
            return False
    return bool(time.time() - lease["at"] < LEASE_S)
