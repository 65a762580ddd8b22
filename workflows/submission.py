"""Putting a campaign into a store: its record and its first jobs, once."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path
from typing import Any

from ase import Atoms
from pydantic import ValidationError

from ..errors import InputError
from ..states import State
from ..store.connection import Store
from ..store.records import CampaignRecord, Structure
from .campaign import Campaign
from .generation_loop import initial_graph
from .jobs import missing_part
from .plan import Plan

MIX_VERSIONS = "mix_versions"
_VERSIONS_OF = (
    "ionloop",
    "ase",
    "numpy",
    "scipy",
    "quippy-ase",
    "tblite",
    "FireWorks",
    "matscipy",
    "pymongo",
)


def software_versions() -> dict[str, str]:
    """Return the versions of what the results depend on."""
    versions = {"python": platform.python_version()}
    for name in _VERSIONS_OF:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def settings_changes(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Return what differs between two nested settings, one readable line per key."""
    changes = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            changes.extend(settings_changes(before, after, f"{prefix}{key}."))
        elif before != after:
            changes.append(f"{prefix}{key}: {before!r} in the store, {after!r} in the file")
    return changes


def submit(store: Store, campaign: Campaign, structure: Atoms, file: Path) -> bool:
    """Store the campaign and its first jobs; return False if they are there already.

    Parameters
    ----------
    structure
        The campaign's structure with its supercell built.
    file
        Where the campaign file lies, for people to find it again.

    Raises
    ------
    InputError
        If a campaign of that name is there with other settings or another structure.
    """
    settings = campaign.model_dump(mode="json")
    known = store.campaigns.get(campaign.name)
    if known is None:
        known = CampaignRecord(
            id=campaign.name,
            campaign=campaign.name,
            settings=settings,
            structure=Structure.from_atoms(structure),
            file=str(file.resolve()),
            state=State.READY,
            versions=software_versions(),
        )
    else:
        _refuse_changes(known, settings, structure, file)
        known = known.model_copy(update={"settings": {**known.settings, MIX_VERSIONS: settings[MIX_VERSIONS]}})
    plan = Plan(campaign, structure)
    with store.transaction():
        if store.campaigns.add(known).settings != known.settings:
            store.campaigns.replace(known)
        graph = missing_part(store, campaign.name, initial_graph(plan))
        # Without transactions a kill can leave the record without its jobs: they are added now.
        if graph.jobs:
            store.launchpad.add_wf(graph.to_workflow(campaign.name))
    return bool(graph.jobs)


def _with_new_keys(stored: dict[str, Any]) -> dict[str, Any]:
    """Return stored settings with the defaults of keys that there were none of when they were stored."""
    try:
        return Campaign.model_validate(stored).model_dump(mode="json")
    except ValidationError:
        # Keys that are no more: the comparison names them.
        return stored


def _refuse_changes(known: CampaignRecord, settings: dict[str, Any], structure: Atoms, file: Path) -> None:
    # Which versions may mix is decided when a code was upgraded, not when the campaign began.
    before, after = ({**one, MIX_VERSIONS: None} for one in (_with_new_keys(known.settings), settings))
    changes = settings_changes(before, after)
    if not changes and known.structure != Structure.from_atoms(structure):
        changes = [f"structure: the one that {settings['structure']!r} names now is another"]
    if changes:
        raise InputError(
            f"{file}: campaign {known.id!r} is in the store with other settings; results of two settings "
            "must not mix. Give the campaign another name, or undo:\n  " + "\n  ".join(changes)
        )
