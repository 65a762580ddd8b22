"""`ionloop run`, `submit` and `worker`: put a campaign into a store, and do its jobs."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console.options import RootOption, StoreOption, store_hint

if TYPE_CHECKING:
    from ..store.connection import Store
    from ..workflows.campaign.settings import Campaign
    from ..workflows.submission.continuation import CarriedOn
    from ..workflows.submission.submission import Submission

FileArgument = Annotated[Path, typer.Argument(help="The campaign file.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("run")(run)
    app.command("submit")(submit)
    app.command("worker")(worker)


def _open_and_submit(file: Path, location: str | None, root: Path | None) -> tuple[Store, Campaign, Submission]:
    from ..store.connection import default_location, open_store
    from ..workflows.submission.campaign_file import load_structures, read_campaign
    from ..workflows.submission.submission import submit as submit_campaign

    campaign = read_campaign(file)
    structures = load_structures(campaign, file.parent)
    # The embedded store lies beside the campaign file as it was named, wherever the command is run from.
    store = open_store(location or default_location(file.absolute().parent), root=root, guess_root=False)
    done = submit_campaign(store, campaign, structures, file)
    return store, campaign, done


def _tell_continuation(done: Submission) -> None:
    """Say what the file changes from now on, and what is done beyond what had been planned."""
    for line in done.changes:
        typer.echo(f"From now on {line}")
    tell_carried_on(done.carried_on)


def tell_carried_on(more: CarriedOn) -> None:
    """Say which jobs were added to a campaign that was there."""
    if more.remade:
        typer.echo(
            f"Files of {len(more.remade)} finished job(s) are gone; computed again: {', '.join(more.remade[:5])}"
        )
    if more.lost:
        typer.echo(
            f"Files of {len(more.lost)} record(s) are gone that no job here can make again, {more.lost[0]} first: "
            "see `ionloop store verify`",
            err=True,
        )
    if more.jobs:
        typer.echo(f"Carried on with {len(more.jobs)} further job(s), {more.jobs[0]} first.")


def run(
    file: FileArgument,
    workers: Annotated[
        int | None,
        typer.Option("--workers", "-n", min=1, max=256, help="Worker processes. Default: the cores."),
    ] = None,
    store: StoreOption = None,
    root: RootOption = None,
) -> None:
    """Run a campaign here until it ends; run it again to carry on after any interruption."""
    from ..core.states import State
    from ..workflows.report.page import write_report
    from ..workflows.submission.continuation import carry_on
    from ..workflows.watching.supervisor import Supervisor
    from .console.run_display import console, live_display, print_summary
    from .console.signals import AskedToEnd, end_like_ctrl_c

    end_like_ctrl_c()

    opened, campaign, done = _open_and_submit(file, store, root)
    count = workers or len(os.sched_getaffinity(0))
    verb = "Starting" if done.is_new else "Carrying on with"
    console.print(f"{verb} campaign [bold]{campaign.name}[/bold] on {count} worker(s); store {opened.location}")
    console.print("Ctrl-C stops it; the same command carries on. Nothing finished is done twice.", style="dim")
    _tell_continuation(done)
    where = [*(["--store", store] if store else []), *(["--root", str(root)] if root else [])]
    again = shlex.join(["ionloop", "run", str(file), *where])
    supervisor = Supervisor(opened, count, campaign.stop.max_attempts, campaign=campaign.name)

    def tell(line: str) -> None:
        console.print(line, soft_wrap=True, markup=False)

    try:
        with live_display() as watch:
            status = supervisor.run(watch, tell=tell)
            # What was asked for while the last jobs were planned already.
            while status.state is State.FINISHED and carry_on(opened, campaign.name):
                status = supervisor.run(watch, tell=tell)
    except (KeyboardInterrupt, AskedToEnd):
        # Where the terminal has gone, nobody reads it.
        with suppress(OSError):
            console.print(f"\nStopped. Carry on with: {again}", soft_wrap=True, markup=False)
        raise
    report = write_report(opened, campaign.name, default_report_path(file, campaign.name))
    print_summary(opened, status, report)
    opened.close()
    if status.state is not State.FINISHED:
        raise typer.Exit(1)


def default_report_path(file: Path, name: str) -> Path:
    """Return where the report of a campaign goes: beside its file."""
    return file.absolute().parent / f"{name}-report.html"


def submit(file: FileArgument, store: StoreOption = None, root: RootOption = None) -> None:
    """Put a campaign's jobs into the store; workers run them."""
    from ..store.jobs.queue import count_jobs, jobs_wanted

    opened, campaign, done = _open_and_submit(file, store, root)
    count = count_jobs(opened, jobs_wanted(campaigns=[campaign.name]))
    _tell_continuation(done)
    if done.is_new:
        typer.echo(f"Submitted {campaign.name}: {count} jobs in {opened.location}.")
        typer.echo(f"Next: ionloop worker{store_hint(opened)}")
    else:
        typer.echo(f"Campaign {campaign.name} is in {opened.location} already, with {count} jobs.")
        if done.carried_on:
            typer.echo(f"Next: ionloop worker{store_hint(opened)}")
    opened.close()


def worker(
    max_jobs: Annotated[
        int, typer.Option("--max-jobs", min=0, help="End after so many jobs; 0: when none is left.")
    ] = 0,
    campaign: Annotated[str | None, typer.Option("--campaign", help="Run jobs of this campaign only.")] = None,
    survey: Annotated[
        str | None, typer.Option("--survey", help="Run jobs of the campaigns of this survey only.")
    ] = None,
    store: StoreOption = None,
    root: RootOption = None,
    die_with_parent: Annotated[
        bool, typer.Option("--die-with-parent", help="End when the process that started this one ends.")
    ] = False,
) -> None:
    """Run ready jobs of a store here, one after the other, until none is left."""
    from ..core.errors import InputError
    from ..core.processes import process_name
    from ..store.campaigns import find_campaign, find_survey
    from ..workflows.running.heartbeat import hopes_for_workers
    from ..workflows.running.lost_jobs import recover_lost_jobs
    from ..workflows.running.worker import Worker, die_with_parent_process
    from ..workflows.running.worker_limits import WorkerLimits
    from .console.options import existing_store

    if die_with_parent:
        die_with_parent_process()
    if campaign is not None and survey is not None:
        raise InputError("--campaign and --survey: name one of them")
    log_to_output()
    opened = existing_store(store, root, guess_root=False)
    if campaign is not None:
        find_campaign(opened, campaign)
    campaigns = campaign if survey is None else find_survey(opened, survey).campaigns
    recover_lost_jobs(opened)
    for line in hopes_for_workers(opened):
        typer.echo(line)
    supervisor = process_name(os.getppid()) if die_with_parent else ""
    runner = Worker(opened, campaigns, WorkerLimits(supervisor=supervisor))
    runner.leave_on_signal()
    done = runner.run(max_jobs=max_jobs)
    opened.close()
    typer.echo(f"{done} job(s) done.")


def log_to_output() -> None:
    """Write what our own modules report to the output, with the time, and the warnings of all others."""
    handler = logging.StreamHandler(sys.stdout)
    # FireWorks reports every question for a job: with a worker that waits, the log would grow for ever.
    handler.addFilter(lambda record: record.levelno >= logging.WARNING or record.name.startswith("ionloop."))
    logging.basicConfig(format="%(asctime)s %(message)s", handlers=[handler])
    logging.getLogger("ionloop").setLevel(logging.INFO)
