"""`ionloop survey`: many crystals from one file, each with a campaign of its own, and one table of what came out."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console.options import JsonOption, RootOption, StoreOption, existing_store, quoted, store_hint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from ..sampling.candidates.base import SourceUnavailable
    from ..store.connection import Store
    from ..workflows.submission.cost import CampaignCost
    from ..workflows.survey.expansion import Member
    from ..workflows.survey.submission import SurveySubmission
    from ..workflows.survey.supervisor import SurveyStanding
    from ..workflows.survey.survey_file import Survey


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("survey")(survey)


def survey(
    file: Annotated[Path, typer.Argument(help="The survey file.")],
    check: Annotated[
        bool,
        typer.Option(
            "--check", "--dry-run", help="Tell which crystals are kept, why others are not, and the cost; run nothing."
        ),
    ] = False,
    submit: Annotated[
        bool, typer.Option("--submit", help="Put the campaigns into the store only; workers run them elsewhere.")
    ] = False,
    table: Annotated[
        Path | None, typer.Option("--table", help="Write the table (.md, .csv, .html) from the store; run nothing.")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Write the figure (.html, .json) from the store; run nothing.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-n", min=1, max=256, help="Worker processes. Default: the cores.")
    ] = None,
    store: StoreOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a survey here until it ends; run it again to carry on, or after crystals were added to its sources."""
    from ..sampling.candidates.base import SourceUnavailable
    from ..workflows.survey.survey_file import read_survey

    asked = read_survey(file)
    location = _location(asked, store)
    if table is not None or figure is not None:
        _write(asked, location, root, table, figure)
        return
    try:
        members, told = _members(asked)
    except SourceUnavailable as error:
        members, told = _known_members(asked, location, root, error)
    if check:
        _check(asked, members, told, location, as_json=as_json)
        return
    _run(asked, members, told, _Place(location, root, store), submit=submit, workers=workers)


class _Place:
    """The store as it was named, and as it is."""

    def __init__(self, location: str, root: Path | None, named: str | None) -> None:
        self.location, self.root, self.named = location, root, named

    @property
    def options(self) -> list[str]:
        """The options that name it again."""
        return [*(["--store", self.named] if self.named else []), *(["--root", str(self.root)] if self.root else [])]


def _location(asked: Survey, store: str | None) -> str:
    from ..store.connection import default_location

    return store or default_location(asked.file.absolute().parent)


def _members(asked: Survey) -> tuple[list[Member], tuple[str, ...]]:
    """Return the crystals of a survey with their campaigns, and what its sources said."""
    from ..workflows.survey.expansion import collected, expand

    found = collected(asked)
    return expand(asked, found), (*found.notes, *found.incomplete)


def _known_members(
    asked: Survey, location: str, root: Path | None, error: SourceUnavailable
) -> tuple[list[Member], tuple[str, ...]]:
    """Return the crystals that the store knows, where the sources do not answer now.

    Raises
    ------
    SourceUnavailable
        If it knows none.
    """
    from ..core.errors import InputError
    from ..store.campaigns import find_survey
    from ..workflows.survey.expansion import known_members

    try:
        opened = existing_store(location, root, read_only=True)
    except InputError:
        raise error from None
    try:
        members = known_members(opened, asked, find_survey(opened, asked.name))
    except InputError:
        raise error from None
    finally:
        opened.close()
    return members, (f"{error} The survey goes on with the crystals that the store knows.",)


def _write(asked: Survey, location: str, root: Path | None, table: Path | None, figure: Path | None) -> None:
    """Write table and figure from what the store holds."""
    from ..store.campaigns import find_survey
    from ..workflows.survey.page import write_figure, write_table

    opened = existing_store(location, root, read_only=True)
    try:
        record = find_survey(opened, asked.name)
        if table is not None:
            typer.echo(f"Wrote {write_table(opened, record, table.absolute())}")
        if figure is not None:
            typer.echo(f"Wrote {write_figure(opened, record, figure.absolute())}")
    finally:
        opened.close()


# -- what it would do --------------------------------------------------------------------------------------------------


def _check(asked: Survey, members: Sequence[Member], told: Sequence[str], location: str, *, as_json: bool) -> None:
    """Tell which crystals are kept and what they cost; nothing is written."""
    import json

    from ..workflows.survey.cost import survey_cost
    from .check import reachability
    from .console.environment import Status, worst
    from .console.terminal import make_console
    from .doctor import checks_table

    cost = survey_cost(members)
    checks = reachability(asked.campaign, asked.file, location)
    reachable = worst(checks) is not Status.FAILED
    kept = [one for one in members if one.campaign is not None]
    if as_json:
        document = {
            "ok": reachable,
            "file": str(asked.file),
            "candidates": [one.entry.model_dump(mode="json") for one in members],
            "sources": list(told),
            "cost": cost.as_dict(),
            "checks": [one.as_dict() for one in checks],
        }
        typer.echo(json.dumps(document, indent=2))
        raise typer.Exit(0 if reachable else 2)
    console = make_console()
    console.print(f"[bold green]{asked.file}[/] is a valid survey file.", soft_wrap=True)
    console.print()
    console.print(_kept_table(kept, cost.by_campaign))
    for line in told:
        console.print(line, style="yellow", soft_wrap=True, markup=False)
    console.print()
    for one in members:
        if one.campaign is None:
            name = one.entry.formula or "?"
            reasons = "; ".join(one.entry.refused)
            console.print(f"refused: {name} from {one.entry.source}: {reasons}", soft_wrap=True, markup=False)
    console.print(cost.told, soft_wrap=True, markup=False)
    console.print()
    console.print(checks_table(checks))
    if kept and reachable:
        console.print(f"Next: ionloop survey {quoted(asked.file)}", soft_wrap=True, markup=False)
    raise typer.Exit(0 if reachable else 2)


def _kept_table(kept: Sequence[Member], costs: Mapping[str, CampaignCost]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("crystal", "from", "cell", "labels at most", "campaign"):
        table.add_column(head, justify="right" if head in ("cell", "labels at most") else "left")
    for one in kept:
        assert one.atoms is not None
        name = str(one.entry.campaign)
        flags = f" ({'; '.join(one.entry.flags)})" if one.entry.flags else ""
        table.add_row(
            one.entry.formula + flags,
            one.entry.source,
            f"{len(one.atoms)} atoms",
            str(costs[name].maximum_labels),
            name,
        )
    return table


# -- what it does ------------------------------------------------------------------------------------------------------


def _run(
    asked: Survey,
    members: Sequence[Member],
    told: Sequence[str],
    place: _Place,
    *,
    submit: bool,
    workers: int | None,
) -> None:
    from ..core.errors import InputError
    from ..store.connection import open_store
    from ..workflows.survey.submission import submit_survey
    from .console.run_display import console

    if not any(one.campaign is not None for one in members):
        raise InputError(f"{asked.file}: no crystal is kept; `ionloop survey --check` tells why")
    opened = open_store(place.location, root=place.root, guess_root=False)
    try:
        done = submit_survey(opened, asked, members, told)
        _tell(done, told, members)
        if submit:
            console.print(f"Next: ionloop worker --survey {quoted(asked.name)}{store_hint(opened)}", markup=False)
            return
        ended = _work(asked, opened, workers or len(os.sched_getaffinity(0)), place)
        _summary(asked, opened, ended)
    finally:
        opened.close()
    if ended.unfinished and ended.held:
        raise typer.Exit(1)


def _tell(done: SurveySubmission, told: Sequence[str], members: Sequence[Member]) -> None:
    from .console.run_display import console

    refused = sum(one.campaign is None for one in members)
    parts = [
        f"{len(done.added)} campaign(s) added",
        f"{len(done.known)} there already",
        f"{refused} crystal(s) refused",
    ]
    console.print(", ".join(parts), markup=False)
    for line in (*told, *done.told):
        console.print(line, soft_wrap=True, markup=False)


def _work(asked: Survey, opened: Store, count: int, place: _Place) -> SurveyStanding:
    """Work through the campaigns until none has anything left to run."""
    from ..store.campaigns import find_survey
    from ..workflows.survey.supervisor import SurveySupervisor, carry_on_survey
    from .console.run_display import console
    from .console.signals import AskedToEnd, end_like_ctrl_c

    end_like_ctrl_c()
    console.print(f"Survey [bold]{asked.name}[/bold] on {count} worker(s); store {opened.location}", soft_wrap=True)
    console.print("Ctrl-C stops it; the same command carries on. Nothing finished is done twice.", style="dim")
    supervisor = SurveySupervisor(opened, count, asked.campaign.stop.max_attempts, survey=asked.name)
    names = find_survey(opened, asked.name).campaigns

    def tell(line: str) -> None:
        console.print(line, soft_wrap=True, markup=False)

    show = _Display()
    try:
        standing = supervisor.run(show, tell=tell)
        # What was asked for while the last jobs were planned already.
        while carry_on_survey(opened, names):
            standing = supervisor.run(show, tell=tell)
    except (KeyboardInterrupt, AskedToEnd):
        again = shlex.join(["ionloop", "survey", str(asked.file), *place.options])
        # Where the terminal has gone, nobody reads it.
        with suppress(OSError):
            console.print(f"\nStopped. Carry on with: {again}", soft_wrap=True, markup=False)
        raise
    return standing


class _Display:
    """Says where the survey stands, when that changes or after a while."""

    def __init__(self) -> None:
        self._ended: object = None
        self._at = 0.0

    def __call__(self, standing: SurveyStanding) -> None:
        import time

        from .console.run_display import console

        moment = time.monotonic()
        if standing.ended == self._ended and moment - self._at < _LINE_INTERVAL_S:
            return
        self._ended, self._at = standing.ended, moment
        campaigns = ", ".join(f"{count} {state.value}" for state, count in sorted(standing.campaigns.items()))
        jobs = ", ".join(f"{count} {state}" for state, count in sorted(standing.jobs.items()) if count)
        with suppress(OSError):
            console.print(f"campaigns: {campaigns}; jobs: {jobs or 'none'}", soft_wrap=True, markup=False)


_LINE_INTERVAL_S = 30.0


def _summary(asked: Survey, opened: Store, standing: SurveyStanding) -> None:
    """Print the table, and write it beside the file as a page."""
    from ..store.campaigns import find_survey
    from ..workflows.survey.page import print_rows, write_table
    from .console.run_display import console

    record = find_survey(opened, asked.name)
    console.print()
    for line in print_rows(opened, record):
        console.print(line, soft_wrap=True, markup=False)
    page = write_table(opened, record, asked.file.absolute().parent / f"{asked.name}-survey.html")
    if standing.held:
        console.print(f"held: {', '.join(standing.held)}; let them go on with: ionloop resume NAME", soft_wrap=True)
    console.print(f"  table: {page}", soft_wrap=True, markup=False)
