"""`ionloop launch` and what it submits: pilots that run a campaign's jobs in a cluster's queue."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import InputError
from .console.options import NameArgument, RootOption, StoreOption, existing_store

if TYPE_CHECKING:
    from ..store.connection import Store
    from ..workflows.queue.launcher import Round

FIRST_LOOK_S = 180.0
"""How long the first look at the queue may take before the foreground takes it for well begun."""
END_S = 0.5
_READY_VARIABLE = "IONLOOP_LAUNCHER_READY"

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
    from ..workflows.queue.cluster_profile import read_profile
    from ..workflows.queue.launcher import Launcher

    profile = read_profile(cluster)
    opened = existing_store(store, root)
    launcher = Launcher(opened, profile, campaign=name, max_jobs=max_jobs)
    if daemon:
        launcher.check()
        _go_to_background(opened)
        return
    from .console.signals import handle_signals
    from .run import log_to_output

    log_to_output()
    if once:
        try:
            _show(launcher.step())
        finally:
            launcher.release()
        return
    stop = threading.Event()
    handle_signals(lambda *_: stop.set(), signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    launcher.run(_first_telling_the_foreground(_show), stop)
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


def _first_telling_the_foreground(show: Callable[[Round], None]) -> Callable[[Round], None]:
    """Return ``show``, which after the first look also lets the command that started this one in the background end."""

    def watch(done: Round) -> None:
        descriptor = os.environ.pop(_READY_VARIABLE, None)
        if descriptor is not None:
            os.close(int(descriptor))
        show(done)

    return watch


def _go_to_background(opened: Store) -> None:
    """Start this command in the background; return after its first look at the queue.

    Raises
    ------
    InputError
        If its log cannot be written.
    """
    log = opened.artefacts.folder(Path("cluster")) / "launcher.log"
    arguments = [word for word in sys.argv[1:] if word != "--daemon"]
    # Closed by the other one after its first look at the queue, or by its end.
    reader, writer = os.pipe()
    try:
        output = log.open("ab")
    except OSError as error:
        raise InputError(f"{log}: the launcher's log cannot be written: {error.strerror}") from None
    with output:
        start = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "ionloop.cli", *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=[writer],
            env={**os.environ, _READY_VARIABLE: str(writer)},
        )
    os.close(writer)
    select.select([reader], [], [], FIRST_LOOK_S)
    os.close(reader)
    status = _status_at_once(process)
    if status:
        sys.stderr.write(log.read_bytes()[start:].decode(errors="replace"))
        raise typer.Exit(status)
    if status == 0:
        typer.echo(f"Nothing is left to run, so that the launcher has ended; its log: {log}")
        return
    typer.echo(f"The launcher runs as process {process.pid}; its log: {log}")
    typer.echo(f"Stop it with: kill {process.pid}")


def _status_at_once(process: subprocess.Popen[bytes]) -> int | None:
    """Return the exit status of a process that has just let go of its end of the pipe, None if it goes on."""
    try:
        return process.wait(END_S)
    except subprocess.TimeoutExpired:
        return None


def pilot(
    settings: Annotated[Path, typer.Argument(help="What the launcher wrote.")],
    worker: Annotated[bool, typer.Option("--worker", help="Be one of the pilot's workers.")] = False,
) -> None:
    """Run the workers of a queue job (the launcher's scripts call this)."""
    from ..core.processes import process_name
    from ..store.connection import open_store
    from ..workflows.queue.pilot import Pilot
    from ..workflows.queue.pilot_settings import read_pilot_settings
    from ..workflows.running.worker import Worker, die_with_parent_process
    from .run import log_to_output

    if worker:
        die_with_parent_process()
    told = read_pilot_settings(settings)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, told.cores // told.workers)))
    log_to_output()
    opened = open_store(told.store, root=Path(told.root), must_exist=True)
    if not worker:
        raise typer.Exit(Pilot(opened, told, settings.absolute()).run())
    runner = Worker(opened, told.campaign, replace(told.limits(), supervisor=process_name(os.getppid())))
    runner.leave_on_signal()
    done = runner.run()
    opened.close()
    typer.echo(f"{done} job(s) done.")
