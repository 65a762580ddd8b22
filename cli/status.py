"""`ionloop status`, `failures`, `retry` and `repair`: where a campaign stands, what went wrong, once more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.states import State
from .console.options import JsonOption, NameArgument, RootOption, StoreOption, existing_store

if TYPE_CHECKING:
    from ..store.connection import Store
    from ..store.records import CampaignRecord
    from ..workflows.watching.status import CampaignStatus

SHOWN_PER_GROUP = 5
SHOWN_GROUPS = 20


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("status")(status)
    app.command("failures")(failures)
    app.command("retry")(retry)
    app.command("repair")(repair)


def status(
    name: NameArgument = None, store: StoreOption = None, root: RootOption = None, as_json: JsonOption = False
) -> None:
    """Show where a campaign stands; all of them where none is named and there are several."""
    from ..workflows.watching.status import campaign_status
    from .console.run_display import console, dashboard, property_lines

    opened = existing_store(store, root, read_only=True)
    names = [name] if name else [record.id for record in opened.campaigns.find()]
    found = [campaign_status(opened, each) for each in names]
    if as_json:
        typer.echo(json.dumps([each.model_dump(mode="json") for each in found], indent=2))
        return
    for each in found:
        console.print(dashboard(each))
        console.print(f"{each.state.value}{': ' if each.reason else ''}{each.reason}", markup=False)
        for line in (*property_lines(each), *_further_lines(each)):
            console.print(line, markup=False)
    if not found:
        console.print(f"no campaign in {opened.location}; start one with: ionloop run FILE")


def _further_lines(status: CampaignStatus) -> list[str]:
    """Return what there is to say beyond jobs and errors: the queue, losses, the budget, what to do."""
    lines = []
    for name, one in status.tunings.items():
        errors = (f"{1000 * error:.0f}" for error in (one.force_before, one.force_after) if error is not None)
        found = ", ".join(one.changed) or "nothing better than the settings before"
        lines.append(
            f"tuned: {name} before the fits of generation {one.generation}, on {one.configurations} configurations: "
            f"left-out force error {' -> '.join(errors) or 'none'} meV/Å ({found})"
        )
    if status.queue:
        lines.append("queue jobs: " + ", ".join(f"{count} {state}" for state, count in status.queue.items()))
    if status.losses:
        lines.append("lost and put back: " + ", ".join(f"{n} × {cause}" for cause, n in status.losses.items()))
    if status.max_core_hours:
        used = {**status.core_hours, "all": sum(status.core_hours.values())}
        limits = status.max_core_hours.items()
        lines.append("core hours: " + ", ".join(f"{used.get(of, 0):.3g} of {limit:g} ({of})" for of, limit in limits))
    if status.hold:
        lines.append(f"go on with: ionloop resume {status.name}")
    return lines


def failures(
    name: NameArgument = None, store: StoreOption = None, root: RootOption = None, as_json: JsonOption = False
) -> None:
    """List the labels and jobs that did not succeed, by reason, with the last lines of their logs."""
    from rich.text import Text

    from ..workflows.watching.ledger import failures as list_failures
    from ..workflows.watching.ledger import group_failures, log_of
    from .console.run_display import console

    opened = existing_store(store, root, read_only=True)
    found = list_failures(opened, name, logs=as_json)
    if as_json:
        typer.echo(json.dumps([failure.model_dump(mode="json") for failure in found], indent=2))
        return
    if not found:
        console.print("nothing failed")
        return
    groups = group_failures(found)
    for group in groups[:SHOWN_GROUPS]:
        last = group.failures[-1]
        title = f"{len(group.failures)} × {group.kind} {group.state.value}: {group.reason}"
        console.print(Text(title, style="bold"), soft_wrap=True)
        for failure in group.failures[:SHOWN_PER_GROUP]:
            console.print(Text(f"  generation {failure.generation}  {failure.id}"), soft_wrap=True)
        if len(group.failures) > SHOWN_PER_GROUP:
            console.print(f"  and {len(group.failures) - SHOWN_PER_GROUP} more (--json lists all)")
        for line in log_of(opened, last):
            console.print(Text(f"    | {line}", style="dim"), soft_wrap=True)
    if len(groups) > SHOWN_GROUPS:
        rest = sum(len(group.failures) for group in groups[SHOWN_GROUPS:])
        console.print(f"and {rest} more of {len(groups) - SHOWN_GROUPS} other kinds (--json lists all)")
    console.print("Try them again with: ionloop retry [--state STATE] [--id ID], then ionloop run")


def retry(
    name: NameArgument = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only what failed or was killed, not what did not converge.")
    ] = False,
    state: Annotated[
        list[State] | None, typer.Option("--state", help="Only what ended in this state; may be repeated.")
    ] = None,
    identifier: Annotated[
        list[str] | None, typer.Option("--id", help="Only this one, as `failures` lists it; may be repeated.")
    ] = None,
    store: StoreOption = None,
    root: RootOption = None,
) -> None:
    """Put labels and jobs that did not succeed back into the queue."""
    from ..core.states import UNSUCCESSFUL
    from ..store.campaigns import find_campaign
    from ..workflows.watching.ledger import retry as retry_failures

    wanted = set(state or ()) | ({State.FAILED, State.KILLED} if failed else set())
    opened = existing_store(store, root)
    keys = retry_failures(opened, name, states=wanted or UNSUCCESSFUL, identifiers=identifier or ())
    _follow(opened, find_campaign(opened, name))
    for key in keys:
        typer.echo(key)
    typer.echo(f"{len(keys)} job(s) back in the queue." + (" Run them: ionloop run FILE" if keys else ""))


def _follow(opened: Store, record: CampaignRecord) -> None:
    """Take up what the campaign's file says now, and make files again that are gone."""
    from ..core.errors import IonloopError
    from ..workflows.submission.continuation import carry_on
    from ..workflows.submission.submission import follow_file
    from .run import tell_carried_on

    try:
        for change in follow_file(opened, record):
            typer.echo(f"From now on {change.text}")
    except IonloopError as error:
        typer.echo(f"The settings of the store hold; the file is not followed: {error}", err=True)
    tell_carried_on(carry_on(opened, record.id))


def repair(store: StoreOption = None, root: RootOption = None, as_json: JsonOption = False) -> None:
    """Mend what a kill can leave in a store; safe at any time, also while workers run."""
    from ..store.care.repair import repair as repair_store
    from ..store.jobs.rows import worker_of
    from ..workflows.loop.task_registry import admit_registered_tasks
    from ..workflows.running.heartbeat import hopes_for_workers, is_lost

    opened = existing_store(store, root)
    admit_registered_tasks()
    report = repair_store(opened.launchpad, dead_workers=lambda run: is_lost(opened, worker_of(run)))
    if as_json:
        typer.echo(json.dumps({"mended": report.total, "findings": report.lines()}, indent=2))
        return
    for line in report.lines():
        typer.echo(line)
    for line in hopes_for_workers(opened):
        typer.echo(line)
    typer.echo(f"{report.total} finding(s) mended." if report.total else "Nothing to mend.")
