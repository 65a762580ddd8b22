"""`ionloop launch` and what it submits: pilots that run a campaign's jobs in a cluster's queue."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import NameArgument, RootOption, StoreOption, existing_store

if TYPE_CHECKING:
    from ..store.connection import Store
    from ..workflows.cluster_profile import ClusterProfile
    from ..workflows.launcher import Round

ProfileOption = Annotated[
    Path, typer.Option("--cluster", "-c", help="The cluster's profile (YAML); examples are in deploy/cluster.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("launch")(launch)
    app.command("pilot", hidden=True)(pilot)


def launch(
    cluster: ProfileOption,
    name: NameArgument = None,
    max_jobs: Annotated[
        int | None, typer.Option("--max-jobs", min=1, help="Most queue jobs at any time. Default: the profile's.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look at the queue once, submit what is missing, end.")] = False,
    daemon: Annotated[bool, typer.Option("--daemon", help="Go on in the background, with a log.")] = False,
    store: StoreOption = None,
    root: RootOption = None,
) -> None:
    """Keep a cluster's queue fed with workers until nothing is left to run."""
    from ..workflows.cluster_profile import read_profile
    from ..workflows.launcher import Launcher

    profile = read_profile(cluster)
    opened = existing_store(store, root)
    if daemon:
        _go_to_background(opened, profile)
        return
    from .run import log_to_output

    log_to_output()
    launcher = Launcher(opened, profile, campaign=name, max_jobs=max_jobs)
    if once:
        _show(launcher.step())
        return
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    launcher.run(_show, stop)
    if stop.is_set():
        typer.echo("Stopped; queue jobs go on. The same command carries on feeding the queue.")


def _show(done: Round) -> None:
    moment = time.strftime("%H:%M:%S")
    for job in done.changed:
        typer.echo(f"{moment}  {job.id} ({job.resources} of {job.campaign}): {job.state.value}: {job.reason}")
    for key in done.recovered:
        typer.echo(f"{moment}  back in the queue: {key}")
    for key, why in done.pauses.items():
        typer.echo(f"{moment}  nothing is submitted for {key}: {why}")
    if done.submitted:
        typer.echo(f"{moment}  submitted: {', '.join(done.submitted)}")


def _go_to_background(opened: Store, profile: ClusterProfile) -> None:
    from ..workflows.job_script import refuse_secrets
    from ..workflows.scheduler import scheduler_of

    # What would end it in the background at once is told in the foreground.
    refuse_secrets()
    scheduler_of(profile.scheduler).ask(["0"])
    log = opened.artefacts.folder(Path("cluster")) / "launcher.log"
    arguments = [word for word in sys.argv[1:] if word != "--daemon"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ionloop.cli", *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    typer.echo(f"The launcher runs as process {process.pid}; its log: {log}")
    typer.echo(f"Stop it with: kill {process.pid}")


def pilot(
    settings: Annotated[Path, typer.Argument(help="What the launcher wrote.")],
    worker: Annotated[bool, typer.Option("--worker", help="Be one of the pilot's workers.")] = False,
) -> None:
    """Run the workers of a queue job (the launcher's scripts call this)."""
    from ..store.connection import open_store
    from ..store.processes import worker_name
    from ..workflows.pilot import Pilot
    from ..workflows.pilot_settings import read_pilot_settings
    from ..workflows.worker import Worker, die_with_parent_process
    from .run import log_to_output

    if worker:
        die_with_parent_process()
    told = read_pilot_settings(settings)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, told.cores // told.workers)))
    log_to_output()
    opened = open_store(told.store, root=Path(told.root), must_exist=True)
    if not worker:
        raise typer.Exit(Pilot(opened, told, settings.absolute()).run())
    runner = Worker(opened, told.campaign, replace(told.limits(), supervisor=worker_name(os.getppid())))
    runner.leave_on_signal()
    done = runner.run()
    opened.close()
    typer.echo(f"{done} job(s) done.")
