"""`ionloop pause`, `resume`, `cancel` and `priority`: what people decide about a campaign while it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from .console.options import NameArgument, RootOption, StoreOption, existing_store


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("cancel")(cancel)
    # A negative number is a number, not an option.
    app.command("priority", context_settings={"ignore_unknown_options": True})(priority)


def pause(name: NameArgument = None, store: StoreOption = None, root: RootOption = None) -> None:
    """Start no further job of a campaign; those that run come to their end."""
    from ..workflows.watching.control import pause as pause_campaign

    control = pause_campaign(existing_store(store, root), name)
    typer.echo(f"{control.campaign} is paused. Go on with: ionloop resume {control.campaign}")


def resume(
    name: NameArgument = None,
    max_core_hours: Annotated[
        float | None, typer.Option("--max-core-hours", min=0, help="From now on, this is the whole campaign's budget.")
    ] = None,
    store: StoreOption = None,
    root: RootOption = None,
) -> None:
    """Let a paused or cancelled campaign go on."""
    from ..workflows.watching.control import resume as resume_campaign

    control = resume_campaign(existing_store(store, root), name, max_core_hours=max_core_hours)
    typer.echo(f"{control.campaign} may go on: ionloop run FILE, ionloop worker or ionloop launch")


def cancel(name: NameArgument = None, store: StoreOption = None, root: RootOption = None) -> None:
    """Stop a campaign now, its queue jobs included; nothing that is finished is lost."""
    from ..workflows.watching.control import cancel as cancel_campaign

    control, queue_jobs = cancel_campaign(existing_store(store, root), name)
    if queue_jobs:
        typer.echo(f"Cancelled in the queue: {', '.join(queue_jobs)}")
    typer.echo(f"{control.campaign} is cancelled. Take it back with: ionloop resume {control.campaign}")


def priority(
    name: Annotated[str, typer.Argument(help="The campaign.")],
    value: Annotated[int, typer.Argument(help="Higher runs first; 0 is the default.")],
    store: StoreOption = None,
    root: RootOption = None,
) -> None:
    """Let a campaign's jobs start before those of others."""
    from ..workflows.watching.control import set_priority

    control = set_priority(existing_store(store, root), name, value)
    typer.echo(f"{control.campaign} has priority {control.priority}.")
