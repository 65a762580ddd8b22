"""A system that joins a campaign which has begun: what it must fit to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ase import Atoms

from ...core.names import CONCLUSION
from ...core.states import State
from ...store.connection import Store
from ...store.queries.latest import latest
from ...store.records import CampaignRecord
from ..campaign.baseline_charges import NEUTRAL_TOLERANCE_E, cell_charge
from ..campaign.settings import Campaign
from ..graph.plan import load_plan, planned_systems


def joining_problems(
    store: Store, known: CampaignRecord, settings: Mapping[str, Any], name: str, atoms: Atoms
) -> list[str]:
    """Return why a system cannot join a campaign with what that has done, one line per reason."""
    return [
        f"systems.{name}: {reason}"
        for reason in (_without_generation(store, known, settings), *_charges(store, known, settings, name, atoms))
        if reason
    ]


def _without_generation(store: Store, known: CampaignRecord, settings: Mapping[str, Any]) -> str:
    if known.state is not State.FINISHED:
        return ""
    conclusion = latest(store, known.id, CONCLUSION)
    ended = 0 if conclusion is None else conclusion.generation
    most = int(settings["stop"]["max_generations"])
    if ended < most:
        return ""
    return (
        f"is explored in another generation, and the campaign ended after the last of the {most} that "
        "stop.max_generations allows: raise that too"
    )


def _charges(store: Store, known: CampaignRecord, settings: Mapping[str, Any], name: str, atoms: Atoms) -> list[str]:
    """Return what is wrong between a system and the charges that the models of the campaign have."""
    campaign = Campaign.model_validate(settings)
    if not campaign.models_on_baseline:
        return []
    plan = load_plan(store, known.id)
    if plan.fitted_charges is not None and campaign.charge_criterion == "locality":
        symbols = atoms.get_chemical_symbols()
        missing = sorted(set(symbols) - set(plan.fitted_charges))
        if missing:
            return [f"holds {', '.join(missing)}, for which no charge was fitted with those of the others"]
        charge = cell_charge(plan.fitted_charges, symbols)
        if abs(charge) > NEUTRAL_TOLERANCE_E:
            return [f"has a charge of {charge:+.4g} e with the charges that were fitted for the others"]
    if campaign.baseline.charges == "formal":
        before = plan.formal_charges or {}
        added = planned_systems(campaign, {name: atoms})
        after = replace(plan, systems=(*plan.systems, *added)).formal_charges or {}
        changed = sorted(symbol for symbol in before if before[symbol] != after.get(symbol))
        if changed:
            return [f"changes the formal charge of {', '.join(changed)}, on which models are fitted already"]
    return []
