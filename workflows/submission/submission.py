"""Putting a campaign into a store: its record and its first jobs, once; later, what its file says now."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ase import Atoms
from pydantic import ValidationError

from ...core.errors import InputError
from ...core.states import State
from ...labelling.registry import ENGINES, read_settings
from ...store.connection import Store
from ...store.queries.rows import reference_hash
from ...store.records import CampaignRecord, Structure
from ..campaign.change_log import note_changes
from ..campaign.changes import Change, Stage, changes
from ..campaign.problems import dotted
from ..campaign.settings import Campaign
from .campaign_file import load_structures, read_campaign
from .continuation import NOTHING
from .holds import take_budget_from_file
from .structure_problems import structure_key

if TYPE_CHECKING:
    from .continuation import CarriedOn


_VERSIONS_OF = (
    "ionloop",
    "ase",
    "numpy",
    "scipy",
    "quippy-ase",
    "FireWorks",
    "matscipy",
    "pymongo",
)


Structures: TypeAlias = Mapping[str | None, Atoms]
"""Structures by system; that of the short form by None."""


def software_versions(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the versions of what the results of a campaign depend on: the packages of its own kinds among them."""
    versions = {"python": platform.python_version()}
    for name in (*_VERSIONS_OF, *_packages_of_kinds(settings)):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _packages_of_kinds(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the packages that brought the kinds which a campaign uses, and those that these compute with."""
    engine = ENGINES.get(settings["reference"]["engine"])
    return ENGINES.package_of(engine.name)[0], *engine.packages(read_settings(settings["reference"]))


@dataclass(frozen=True)
class Submission:
    """What a submission did.

    Attributes
    ----------
    is_new
        Whether the campaign's first jobs were added by it.
    changes
        What the file changes from now on, one line per key.
    carried_on
        The jobs that were added to a campaign that was there.
    """

    is_new: bool
    changes: tuple[str, ...] = ()
    carried_on: CarriedOn = NOTHING


def submit(
    store: Store, campaign: Campaign, structures: Atoms | Structures, file: Path, *, survey: str = ""
) -> Submission:
    """Store the campaign and its first jobs; where they are there already, let it go on by what the file says now.

    Parameters
    ----------
    structures
        The campaign's structures with their supercells built, by system; of the short form, its structure.
    file
        Where the campaign file lies, for people to find it again.
    survey
        The survey that the campaign belongs to; the file is then the survey's.

    Raises
    ------
    InputError
        If a campaign of that name is there with another structure, or settings that contradict what was done.
    """

    from ..graph.jobs import missing_part
    from ..graph.plan import load_plan
    from ..loop.generation_loop import initial_graph
    from .continuation import carry_on

    settings = campaign.model_dump(mode="json")
    structures = {None: structures} if isinstance(structures, Atoms) else structures
    with store.transaction():
        known = store.campaigns.get(campaign.name)
        accepted: list[Change] = []
        if known is None:
            store.campaigns.add(_record(settings, structures, file, survey))
        else:
            accepted = accept_changes(store, known, settings, structures, file)
        plan = load_plan(store, campaign.name)
        graph = missing_part(store, campaign.name, initial_graph(plan))
        # Without transactions a kill can leave the record without its jobs: they are added now.
        if graph.jobs:
            store.launchpad.add_wf(graph.to_workflow(campaign.name))
    # So that whoever looks later need not ask the engine.
    reference_hash(store, store.campaigns[campaign.name])
    carried_on = NOTHING if known is None else carry_on(store, campaign.name)
    return Submission(bool(graph.jobs), tuple(one.text for one in accepted), carried_on)


def _record(settings: Mapping[str, Any], structures: Structures, file: Path, survey: str) -> CampaignRecord:
    first, *_ = structures.values()
    return CampaignRecord(
        id=settings["name"],
        campaign=settings["name"],
        settings=dict(settings),
        structure=Structure.from_atoms(first),
        systems={name: Structure.from_atoms(atoms) for name, atoms in structures.items() if name is not None},
        file=str(file.absolute()),
        survey=survey,
        state=State.READY,
        versions=software_versions(settings),
    )


def _is_untouched(store: Store, name: str) -> bool:
    """Return whether nothing of a campaign has been done yet."""

    from ...store.jobs.queue import is_untouched

    return is_untouched(store, name) and store.database.configurations.find_one({"campaign": name}, {"_id": 1}) is None


def accept_changes(
    store: Store, known: CampaignRecord, settings: Mapping[str, Any], structures: Structures, file: Path
) -> list[Change]:
    """Let a campaign go on with the settings of its file; return what has changed.

    Raises
    ------
    InputError
        If something that was computed depends on what has changed.
    """

    from ...store.jobs.queue import forget_jobs

    found, refused = _judged(store, known, settings, structures)
    if refused and _may_begin_anew(store, known, file):
        forget_jobs(store, known.id)
        store.campaigns.replace(_record(settings, structures, file, known.survey))
        return found
    if refused:
        raise InputError(refusal(file, known.id, refused))
    further = {str(name): atoms for name, atoms in structures.items() if name not in known.structures}
    if further and _may_begin_anew(store, known, file):
        forget_jobs(store, known.id)
        store.campaigns.replace(_record(settings, structures, file, known.survey))
        return found
    if found:
        explores = known.state is State.FINISHED and any(one.explores for one in found)
        note_changes(store, known.id, found, _with_new_keys(known.settings)["reference"], explores=explores)
        update: dict[str, Any] = {"settings": dict(settings), "file": str(file.absolute())}
        if further:
            update["systems"] = {**known.systems, **{name: Structure.from_atoms(one) for name, one in further.items()}}
            update["joined"] = (*known.joined, *further)
        store.campaigns.replace(known.model_copy(update=update))
        if any(one.key[0] == "max_core_hours" for one in found):
            take_budget_from_file(store, known.id)
    return found


def _judged(
    store: Store, known: CampaignRecord, settings: Mapping[str, Any], structures: Structures
) -> tuple[list[Change], list[str]]:
    """Return what a file changes, and in words what of it contradicts what was done."""

    from .joining import joining_problems

    found = changes(_with_new_keys(known.settings), settings, stage_of(store, known.id))
    if bool(known.systems) is (None in structures):
        there, here = ("systems", "one structure") if known.systems else ("one structure without a name", "systems")
        return found, [f"systems: the campaign in the store has {there}, the file {here}"]
    refused = [one.text for one in found if not one.is_allowed]
    for name, atoms in structures.items():
        before = known.structures.get(name)
        if before is None:
            refused += joining_problems(store, known, settings, str(name), atoms)
        # What is packed is the same by its settings: another machine may round otherwise.
        elif before != Structure.from_atoms(atoms) and not _is_packed(known.settings, settings, name):
            key = dotted(structure_key(name))
            named = settings["structure"] if name is None else settings["systems"][name]["structure"]
            refused.append(f"{key}: the one that {named!r} names now is another")
    return found, refused


def _is_packed(before: Mapping[str, Any], after: Mapping[str, Any], name: str | None) -> bool:
    """Return whether a system is packed at random, in the file as in the store."""
    one, other = (settings if name is None else settings["systems"][name] for settings in (before, after))
    return isinstance(one["structure"], Mapping) and bool(one["structure"] == other["structure"])


def _may_begin_anew(store: Store, known: CampaignRecord, file: Path) -> bool:
    """Return whether a campaign may be replaced: another file of the same name is another campaign, which stays."""
    return known.file == str(file.absolute()) and _is_untouched(store, known.id)


def foreseen(store: Store, campaign: Campaign, structures: Structures, file: Path) -> list[str] | None:
    """Return what a submission would change, one line per key; None where the store has no such campaign.

    Raises
    ------
    InputError
        If it would be refused.
    """
    known = store.campaigns.get(campaign.name)
    if known is None:
        return None
    found, refused = _judged(store, known, campaign.model_dump(mode="json"), structures)
    if refused and not _may_begin_anew(store, known, file):
        raise InputError(refusal(file, known.id, refused))
    return [one.text for one in found]


def follow_file(store: Store, record: CampaignRecord) -> list[Change]:
    """Let a campaign go on with what its own file says now, where that file is there; return what has changed.

    Campaigns of a survey have none: `ionloop survey` takes up what the survey's file says.

    Raises
    ------
    InputError
        If the file has errors or contradicts what was done; nothing is changed then.
    """
    file = Path(record.file)
    if record.survey or not file.is_file():
        return []
    campaign = read_campaign(file)
    if campaign.name != record.id:
        return []
    structures = load_structures(campaign, file.parent)
    with store.transaction():
        return accept_changes(store, record, campaign.model_dump(mode="json"), structures, file)


def refusal(file: Path, name: str, refused: Sequence[str]) -> str:
    """Return why a file is not accepted, and what else can be done."""
    analyses = sorted({one.split(".")[1].partition(":")[0] for one in refused if one.startswith("analyses.")})
    apart = f" One more {' or '.join(analyses)} apart from the campaign: ionloop analyse --help." if analyses else ""
    listed = any("explore[" in one.partition(":")[0] for one in refused)
    further = " Entries may be added at the end of explore, and length_ps and replicas may grow." if listed else ""
    return (
        f"{file}: campaign {name!r} is in the store, and what it has done depends on settings that the file changes; "
        "results of two settings must not mix:\n  " + "\n  ".join(refused) + "\nUndo this, or give the campaign "
        f"another name in the same store: labels that are finished are taken over, nothing is computed twice."
        f"{further}{apart}"
    )


def stage_of(store: Store, name: str) -> Stage:
    """Return the last part of a campaign of which there are jobs."""

    from ...store.jobs.queue import jobs_of
    from ..loop.generation_loop import FINAL
    from ..loop.property_jobs import PROPERTIES_STAGE

    jobs = jobs_of(store, name)
    # Analyses of properties have begun: what was measured with other settings could not be compared.
    if any(job.key.startswith(FINAL) or f"/{PROPERTIES_STAGE}/" in job.key for job in jobs):
        return Stage.ANALYSES
    return Stage.GENERATIONS if any(job.generation for job in jobs) else Stage.START


def _with_new_keys(stored: dict[str, Any]) -> dict[str, Any]:
    """Return stored settings with the defaults of keys that there were none of when they were stored."""
    try:
        return Campaign.model_validate(stored).model_dump(mode="json")
    except ValidationError:
        # Keys that are no more: the comparison names them.
        return stored
