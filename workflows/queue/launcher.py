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

from pymongo.errors import DuplicateKeyError

from ...core.errors import InputError, IonloopError
from ...core.processes import has_ended, has_rebooted, process_document, process_name
from ...core.states import State
from ...store.campaigns import find_campaign
from ...store.connection import Store
from ...store.jobs.queue import count_jobs, jobs_wanted
from ..running.lost_jobs import recover_lost_jobs
from ..submission.holds import Hold, all_controls, enforce_budget
from .cluster_profile import ClusterProfile
from .job_script import ScriptRequest, job_script, pilot_settings, refuse_secrets, write_private
from .queue_jobs import (
    UNCLEAR_LIMIT_S,
    QueueJob,
    adopt_queue_job,
    cancel_queue_jobs,
    find_unclear,
    note_submission,
    queue_job_id,
    queue_jobs,
    reconcile,
    settle_submission,
)
from .schedulers.base import COUNTED, QueueState, Scheduler, SchedulerError, UnclearSubmission
from .schedulers.registry import scheduler_of

logger = logging.getLogger(__name__)

LEASE_S = 300.0
FIRST_PAUSE_S = 60.0
LONGEST_PAUSE_S = 3600.0
LONGEST_WATCH_S = 120.0
"""How long a lease that looks forgotten is looked at, whether somebody renews it after all."""
_TROUBLE = frozenset(
    {
        QueueState.FAILED,
        QueueState.SCRATCH_FULL,
        QueueState.NODE_FAILED,
        QueueState.VANISHED,
        QueueState.UNCLEAR,
        QueueState.REFUSED,
    }
)
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
    ended = sorted((job for job in jobs if _is_over(job)), key=_end_of)
    bad = 0
    for job in reversed(ended):
        if job.state not in _TROUBLE:
            break
        bad += 1
    if not bad:
        return 0.0
    pause_s = min(LONGEST_PAUSE_S, first_s * 2 ** (bad - 1))
    return max(0.0, _end_of(ended[-1]) + pause_s - moment)


def _is_over(job: QueueJob) -> bool:
    return job.ended is not None or job.state is QueueState.UNCLEAR


def _end_of(job: QueueJob) -> float:
    """Return when a job ended, or when it was submitted where it is unclear whether it was."""
    return job.submitted if job.ended is None else job.ended


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
        self.campaign = None if campaign is None else find_campaign(store, campaign).id
        self.max_jobs = min(profile.max_jobs, max_jobs or profile.max_jobs)
        self.scheduler = scheduler or scheduler_of(profile.scheduler)
        self.folder = store.artefacts.folder(Path("cluster"))
        self.first_pause_s = FIRST_PAUSE_S
        self._name = process_name(os.getpid())
        self._refusals: list[SchedulerError] = []

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
            self.release()

    def release(self) -> None:
        """Let another launcher feed the store."""
        self.store.database.launchers.delete_one({"_id": self.profile.scheduler, "owner": self._name})

    def check(self) -> None:
        """See that a launcher may begin.

        Raises
        ------
        InputError
            If another one feeds the store, or the scheduler's commands are not here.
        SchedulerError
            If the scheduler does not answer.
        """
        self.take_lease()
        self.release()
        self.scheduler.ask(["0"])

    def step(self) -> Round:
        """Look at the queue once: reconcile, hold campaigns to their budgets, submit what is missing.

        Raises
        ------
        InputError
            If another launcher feeds the store.
        SchedulerError
            If submissions were refused and none was accepted.
        """
        self.take_lease()
        try:
            changed = reconcile(self.store, self.scheduler)
        except SchedulerError as error:
            # A scheduler that is restarted now and then is no reason to stop; nothing is submitted blindly.
            logger.warning("the queue cannot be looked at: %s", error)
            return Round(unfinished=1)
        recovered = recover_lost_jobs(self.store)
        self._cancel_held()
        self._refusals.clear()
        self._look_for_unclear()
        submitted, pauses = self._submit_missing()
        if self._refusals and not submitted:
            raise self._refusals[0]
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
        room = self.max_jobs - sum(job.state in COUNTED for job in known)
        for campaign in self._campaigns():
            for name, resources in self.profile.resources.items():
                of_class = [job for job in known if (job.campaign, job.resources) == (campaign, name)]
                ready = self._ready(campaign, name)
                active = sum(job.state in COUNTED for job in of_class)
                count = wanted_jobs(ready, jobs_per_allocation(self.profile, name), active, resources.max_jobs)
                pause_s = pause_after_trouble(of_class, moment, self.first_pause_s)
                unclear = [job for job in of_class if job.state is QueueState.UNCLEAR]
                if pause_s and (count or unclear):
                    last = max((job for job in of_class if _is_over(job)), key=_end_of)
                    pauses[f"{campaign}/{name}"] = f"next try in {pause_s:.0f} s: {last.state.value}: {last.reason}"
                    continue
                if unclear:
                    pauses[f"{campaign}/{name}"] = (
                        f"{len(unclear)} maybe submitted, counted as if in the queue: {unclear[-1].reason}"
                    )
                for _ in range(min(count, room)):
                    # What is unclear takes a place as well.
                    room -= 1
                    job = self._submit(campaign, name)
                    if job is None:
                        break
                    submitted.append(job)
        return tuple(submitted), pauses

    def _look_for_unclear(self) -> None:
        """Look for what may have been submitted; what the queue surely does not have is forgotten after its pause."""
        known = [job for job in queue_jobs(self.store) if job.scheduler == self.scheduler.name]
        for job in known:
            if job.state is not QueueState.UNCLEAR:
                continue
            is_there = find_unclear(self.store, self.scheduler, job)
            of_class = [one for one in known if (one.campaign, one.resources) == (job.campaign, job.resources)]
            waits = pause_after_trouble(of_class, time.time(), self.first_pause_s) > 0
            if is_there:
                logger.info("found in the queue: %s, which had been submitted after all", job.name)
            elif is_there is False and not waits:
                settle_submission(
                    self.store, job, QueueState.REFUSED, f"the queue has no job of its name: {job.reason}"
                )
            elif is_there is None and time.time() - job.submitted > UNCLEAR_LIMIT_S:
                settle_submission(self.store, job, QueueState.REFUSED, f"it was never heard of again: {job.reason}")

    def _ready(self, campaign: str, name: str) -> int:
        kinds = list(self.profile.kinds_of(name))
        return count_jobs(self.store, jobs_wanted(campaigns=[campaign], kinds=kinds, states={State.READY}))

    def _submit(self, campaign: str, name: str) -> str | None:
        """Submit one queue job; return its identifier, None if it was refused or that is unclear."""
        token = uuid.uuid4().hex[:8]
        request = ScriptRequest(
            campaign,
            name,
            log=str(self.folder.absolute() / f"{campaign}-{name}-%j.log"),
            name=f"ionloop-{campaign}-{name}-{token}",
        )
        stem = self.folder.absolute() / f"{campaign}-{name}-{token}"
        settings = pilot_settings(self.store, self.profile, request)
        file = write_private(stem.with_suffix(".json"), settings.model_dump_json(indent=2))
        script = write_private(stem.with_suffix(".sh"), job_script(self.profile, self.scheduler, request, file))
        announced = note_submission(
            self.store,
            QueueJob(
                id="",
                scheduler=self.scheduler.name,
                job="",
                campaign=campaign,
                resources=name,
                cores=self.profile.resources[name].cores,
                log=request.log,
                submitted=time.time(),
                reason="its submission was not answered yet",
                name=request.name,
                cluster=settings.clusters,
            ),
        )
        reference = self._submit_script(script, announced)
        if reference is None:
            return None
        number, _, cluster = reference.partition(";")
        identifier = queue_job_id(self.scheduler.name, number, cluster)
        update = {"id": identifier, "job": number, "cluster": cluster, "log": request.log.replace("%j", number)}
        update |= {"state": QueueState.PENDING, "reason": ""}
        identifier = adopt_queue_job(self.store, announced.model_copy(update=update))
        logger.info("submitted %s: %s of %s", identifier, name, campaign)
        return identifier

    def _submit_script(self, script: Path, announced: QueueJob) -> str | None:
        """Submit a script; return the job's reference, None if it was refused or that is unclear."""
        try:
            return self.scheduler.submit(script)
        except SchedulerError as error:
            refusal = error
        except BaseException:
            # The command is not there, say: nothing was submitted.
            self._forget(script, announced)
            raise
        try:
            # Whatever was answered: what is in the queue has been submitted.
            found = self.scheduler.find(announced.name, announced.cluster)
        except IonloopError as error:
            logger.warning("the queue does not tell whether it has %s: %s", announced.name, error)
            found = None
        if found:
            return found
        if isinstance(refusal, UnclearSubmission):
            if refusal.job:
                return refusal.job
            # Its files stay: a job that was accepted after all will read them.
            reason = f"{refusal}; it is looked for under its name, {announced.name}"
            settle_submission(self.store, announced, QueueState.UNCLEAR, reason)
            logger.warning("maybe submitted: %s", reason)
            return None
        settle_submission(self.store, announced, QueueState.REFUSED, str(refusal))
        self._remove_files(script)
        self._refusals.append(refusal)
        logger.warning("not submitted: %s", refusal)
        return None

    def _forget(self, script: Path, announced: QueueJob) -> None:
        self.store.database.queue_jobs.delete_one({"_id": announced.id})
        self._remove_files(script)

    @staticmethod
    def _remove_files(script: Path) -> None:
        for refused in (script.with_suffix(".json"), script):
            refused.unlink(missing_ok=True)

    def _cancel_held(self) -> None:
        """Cancel what cancelled campaigns still have in the queue, where the one who cancelled could not."""
        for name, control in all_controls(self.store).items():
            if control.hold is Hold.CANCELLED:
                cancel_queue_jobs(self.store, name, lambda _: self.scheduler)

    def _unfinished(self) -> int:
        """Return how many jobs of campaigns that are not held may still run."""
        return count_jobs(self.store, jobs_wanted(campaigns=self._campaigns(), states={State.READY, State.RUNNING}))

    def take_lease(self) -> None:
        """Make sure that no other launcher feeds this store: two would submit everything twice.

        Raises
        ------
        InputError
            If one does.
        """
        leases, key = self.store.database.launchers, self.profile.scheduler
        mine = {
            "_id": key,
            "owner": self._name,
            **process_document(os.getpid()),
            "at": time.time(),
            "poll_s": self.profile.poll_s,
        }
        other = leases.find_one({"_id": key})
        if other is None:
            try:
                leases.insert_one(mine)
            except DuplicateKeyError:
                other = leases.find_one({"_id": key}) or mine
            else:
                return
        is_free = other["owner"] == self._name or not self._is_alive(other)
        # Of two that find a dead one's lease, only the first takes it.
        if not is_free or not leases.replace_one({"_id": key, "owner": other["owner"]}, mine).matched_count:
            raise InputError(
                f"a launcher on {other['host']} (process {other['pid']}) feeds {key} from this store already; "
                "stop it first, two would submit everything twice"
            )

    def _is_alive(self, lease: dict[str, Any]) -> bool:
        """Return whether a lease's owner lives, or may do so."""
        ended = has_ended(lease["owner"])
        if ended is not None or has_rebooted(lease):
            return ended is False
        if abs(time.time() - lease["at"]) < LEASE_S:
            return True
        # Its clock may be another one: who renews it lives.
        watch_s = min(LONGEST_WATCH_S, 2 * lease.get("poll_s", self.profile.poll_s) + 5)
        logger.warning(
            "a launcher on %s (process %s) seems to have ended: looking for %.0f s whether it does anything",
            lease["host"],
            lease["pid"],
            watch_s,
        )
        end = time.monotonic() + watch_s
        while time.monotonic() < end:
            time.sleep(min(1.0, watch_s / 10))
            now = self.store.database.launchers.find_one({"_id": lease["_id"]})
            if now is not None and (now["owner"], now["at"]) != (lease["owner"], lease["at"]):
                return True
        return False
