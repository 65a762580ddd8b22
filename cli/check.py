"""`ionloop check`: is the campaign file right, what will it cost, is everything that it needs within reach."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console.options import JsonOption, StoreOption, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from ..workflows.analyses.base import AnalysisCost
    from ..workflows.campaign.settings import Campaign
    from ..workflows.submission.cost import CampaignCost
    from .console.environment import Check


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("check")(check)


def check(
    file: Annotated[Path, typer.Argument(help="The campaign file.")],
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a campaign file; tell what it will cost and whether all it needs is within reach.

    Exit status 2 with every error of the file at once, or if something that it needs is out of reach.
    """
    from ..workflows.campaign.problems import CampaignFileError
    from ..workflows.submission.campaign_file import load_structures, read_campaign
    from ..workflows.submission.cost import campaign_cost
    from ..workflows.submission.outline import outline
    from ..workflows.submission.slabs import slab_texts
    from .console.environment import Status, worst

    try:
        campaign = read_campaign(file)
    except CampaignFileError as error:
        if not as_json:
            raise
        typer.echo(json.dumps({"ok": False, **error.as_dict()}, indent=2))
        raise typer.Exit(error.exit_status) from None
    cost = campaign_cost(campaign, load_structures(campaign, file.parent))
    slabs = slab_texts(campaign, file.parent)
    checks = reachability(campaign, file, store)
    if checks[-1].status is Status.OK:
        checks += continuation(campaign, file, store)
    reachable = worst(checks) is not Status.FAILED
    if as_json:
        document: dict[str, Any] = {
            "ok": reachable,
            "file": str(file),
            "problems": [],
            "cost": cost.as_dict(),
            "outline": outline(campaign, cost),
            **({"slabs": slabs} if slabs else {}),
            "checks": [item.as_dict() for item in checks],
        }
        typer.echo(json.dumps(document, indent=2))
    else:
        _print_report(campaign, file, cost, checks, slabs)
    raise typer.Exit(0 if reachable else 2)


def reachability(campaign: Campaign, file: Path, store: str | None) -> list[Check]:
    """Check what this campaign needs: its engine, QUIP where it is named or compared with, its store, the disk."""
    from ..store.connection import default_location
    from .console import environment

    folder = file.absolute().parent
    by_quip = campaign.evaluate.backend == "quippy"
    return [
        environment.check_engine(campaign.reference),
        *([environment.check_quip(needed=by_quip)] if by_quip or campaign.evaluate.cross_check else []),
        environment.check_gap_fit(needed=campaign.fit.backend == "gap_fit"),
        environment.check_store(store or default_location(folder)),
    ]


def continuation(campaign: Campaign, file: Path, location: str | None) -> list[Check]:
    """Check whether a campaign that is in its store already may go on by what its file says now."""
    from ..core.errors import InputError
    from ..store.connection import default_location, is_embedded, open_store
    from ..workflows.submission.campaign_file import load_structures
    from ..workflows.submission.submission import foreseen
    from .console.environment import Check, Status

    where = location or default_location(file.absolute().parent)
    if is_embedded(where) and not Path(where).expanduser().exists():
        return []
    structures = load_structures(campaign, file.parent)
    try:
        opened = open_store(where, read_only=True)
    except InputError as error:
        return [Check("campaign", Status.FAILED, "the store cannot be opened", str(error).removeprefix("store: "))]
    try:
        changed = foreseen(opened, campaign, structures, file)
    except InputError as error:
        return [Check("campaign", Status.FAILED, f"{campaign.name} cannot go on with this file", str(error))]
    finally:
        opened.close()
    if changed is None:
        return []
    found = f"{campaign.name} is in the store and goes on"
    return [Check("campaign", Status.OK, "; ".join([found, *(f"from now on {one}" for one in changed)]))]


def _print_report(
    campaign: Campaign, file: Path, cost: CampaignCost, checks: list[Check], slabs: Mapping[str, str]
) -> None:
    from ..core.words import size_text
    from ..workflows.submission.outline import ASCII, LINES, outline
    from .console.environment import Status, worst
    from .console.terminal import make_console, shows_lines
    from .doctor import checks_table

    console = make_console()
    console.print(f"[bold green]{file}[/] is a valid campaign file.", soft_wrap=True)
    console.print()
    for line in outline(campaign, cost, LINES if shows_lines(console) else ASCII):
        console.print(line, markup=False, overflow="ellipsis", no_wrap=True)
    console.print()
    console.print(_cost_table(campaign, cost))
    console.print()
    for name, text in slabs.items():
        whose = f"{name}: " if name else ""
        console.print(f"{whose}{text}", markup=False, highlight=False)
        console.print()
    console.print(checks_table(checks))
    if not cost.fits_in_memory:
        of_searches = ", gap.tune.most_sparse_points" if cost.tunings else ""
        console.print(
            f"[yellow]The largest fit may need {size_text(cost.largest_fit_bytes)} of memory, "
            f"{size_text(cost.available_memory_bytes)} are free: lower stop.max_generations, selection.count, "
            f"gap.soap.n_max or l_max{of_searches}, or use a larger machine.[/]",
        )
    if worst(checks) is Status.FAILED:
        console.print("Something that this campaign needs is out of reach: see the advice.")
    else:
        console.print(f"Next: ionloop run {quoted(file)}", soft_wrap=True, markup=False)


def _analysis_text(cost: AnalysisCost) -> str:
    parts = [
        f"{count:,} evaluations of {atoms:,} atoms with {what}"
        for count, atoms, what in (
            (cost.reference_evaluations, cost.reference_atoms, "the reference"),
            (cost.model_evaluations, cost.model_atoms, "the models"),
        )
        if count
    ]
    return ", ".join(parts) or "costs next to nothing"


def _formula(composition: Mapping[str, int]) -> str:
    return " ".join(f"{symbol}{count}" for symbol, count in composition.items())


def _cells(cost: CampaignCost) -> list[tuple[str, str]]:
    """Return what every system asks for, one row each."""
    return [
        (
            name,
            f"{one.atoms} atoms: {_formula(one.composition)}; {one.initial_labels} labels at first, "
            f"{one.dynamics_steps_per_generation:,} steps of dynamics per generation",
        )
        for name, one in cost.systems.items()
    ]


def _drivers(cost: CampaignCost) -> str:
    """Return the models that drive dynamics."""
    names = dict.fromkeys(one.potential for one in cost.samplers if (one.role, one.by) == ("explore", "model"))
    return " and ".join(names) or "models"


def _sampler_rows(campaign: Campaign, cost: CampaignCost) -> list[tuple[str, str]]:
    """Return what every sampler takes, one row each, where the file lists any."""
    from ..workflows.campaign.samplers import all_samplers

    if not any(True for _ in all_samplers(campaign)):
        return []
    return [
        (one.role, f"{'' if one.system is None else f'{one.system}: '}{one.sampler}: {one.text}")
        for one in sorted(cost.samplers, key=lambda one: one.role != "initial")
    ]


def _tuning_rows(cost: CampaignCost) -> list[tuple[str, str]]:
    """Return what the searches for hyperparameters take, one row for each model that is tuned."""
    from ..core.words import rough_duration, size_text

    return [
        (
            f"tuning {name}",
            f"{one.searches} search{'es' * (one.searches > 1)} at most, each for {one.budget_fits:g} fits at most: the "
            f"first about {rough_duration(one.first_s)} on one core, all about {rough_duration(one.all_s)}; about "
            f"{size_text(one.memory_bytes)} with the most sparse points that may be chosen",
        )
        for name, one in cost.tunings.items()
    ]


def _property_rows(campaign: Campaign, cost: CampaignCost) -> list[tuple[str, str]]:
    """Return what is done after every generation to know the properties asked for."""
    if not cost.property_analyses:
        return []
    names, often = ", ".join(cost.property_analyses), campaign.stop.max_generations
    # What all models of the campaign take is more than what the driver takes alone.
    each = sum(
        one.model_evaluations for name, one in cost.analyses.items() if name.split(" of ")[0] in cost.property_analyses
    )
    text = f"{names}, with {campaign.driver} alone, after each of at most {often} generations"
    return [("properties", f"{text}: at most {each:,} evaluations each time")]


def _cost_table(campaign: Campaign, cost: CampaignCost) -> Table:
    from rich.table import Table

    from ..core.words import rough_duration, size_text

    first, last = cost.first_fit, cost.last_fit
    generations = campaign.stop.max_generations
    rows = [
        *(_cells(cost) if cost.systems else [("cell", f"{cost.atoms} atoms: {_formula(cost.composition)}")]),
        (
            "labels",
            f"{cost.initial_labels} at first (isolated atoms included), {cost.labels_per_generation} per "
            f"generation, {cost.maximum_labels} at most in {generations} generations"
            + (f", {cost.audit_labels} of them to be measured on alone" if cost.audit_labels else ""),
        ),
        (
            "reference steps",
            f"{cost.initial_reference_steps} at most, for the initial dynamics and relaxations"
            + (
                f"; {cost.exploring_reference_steps_per_generation:,} per generation, to explore"
                if cost.exploring_reference_steps_per_generation
                else ""
            ),
        ),
        *_sampler_rows(campaign, cost),
        (
            "fits",
            f"{cost.maximum_fits} at most; the first about {size_text(first.memory_bytes)}, "
            f"{rough_duration(first.time_s)} on one core; the last about {size_text(last.memory_bytes)}, "
            f"{rough_duration(last.time_s)}"
            + (f"; of {', '.join(cost.unknown_fits)} it is not known" if cost.unknown_fits else ""),
        ),
        *_tuning_rows(cost),
        (
            "dynamics",
            f"{cost.dynamics_steps_per_generation:,} steps with {_drivers(cost)} per generation, "
            f"{cost.maximum_dynamics_steps:,} at most",
        ),
        *((name, _analysis_text(one)) for name, one in cost.analyses.items()),
        *_property_rows(campaign, cost),
        ("disk", f"about {size_text(cost.disk_bytes)}"),
    ]
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, text in rows:
        table.add_row(f"[bold]{name}[/]", text)
    return table
