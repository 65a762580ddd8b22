"""Which models of other campaigns the joint models of a campaign are made of: chosen once for every data set."""

from __future__ import annotations

from collections.abc import Mapping

from ...fitting.kinds.base import ModelKind
from ...fitting.kinds.registry import MODELS
from ...store.connection import Store
from ...store.identifiers import identifier
from ...store.records import ModelRecord
from ...tasks.values.experts import EXPERTS, Expert, ExpertsValues, JointModel
from ..campaign.settings import Campaign


def chosen_experts(store: Store, campaign: Campaign, data_set: str) -> Mapping[str, JointModel]:
    """Return what every joint model is made of, by its name; empty where that is not chosen yet."""
    if not _asked(campaign):
        return {}
    record = store.results.get(_identifier(campaign.name, data_set))
    return {} if record is None else EXPERTS.read(record).models


def choose_experts(store: Store, campaign: Campaign, generation: int, data_set: str) -> None:
    """Choose the newest models of the campaigns that are named, unless that has been done for the data set.

    What is chosen stays: other campaigns go on meanwhile, and a model is made of what its identifier says.

    Raises
    ------
    JobFailed
        If what is named cannot be joined, or is not told apart.
    """

    from ...tasks.base import TaskParameters
    from ...tasks.results import new_result

    asked = _asked(campaign)
    name = _identifier(campaign.name, data_set)
    if not asked or store.results.get(name) is not None:
        return
    chosen = {}
    for model, experts in asked.items():
        newest = {expert: _newest(store, campaign.kind_of(model), expert) for expert in experts}
        chosen[model] = JointModel(
            experts=tuple(
                Expert(campaign=one.campaign, name=one.kind, model=one.id) for one in newest.values() if one is not None
            ),
            missing=tuple(expert for expert, one in newest.items() if one is None),
        )
    place = TaskParameters(campaign=campaign.name, generation=generation)
    store.results.add(new_result(place, name, EXPERTS, inputs=[data_set], values=ExpertsValues(models=chosen)))


def _asked(campaign: Campaign) -> dict[str, tuple[str, ...]]:
    """Return what the joint models of a campaign are to be made of, by their names."""
    return {
        name: campaign.kind_of(name).models_in(campaign.settings_of(name))
        for name in campaign.models
        if campaign.kind_of(name).is_made_of_models
    }


def _identifier(campaign: str, data_set: str) -> str:
    return identifier("result", EXPERTS.name, campaign, data_set)


def _newest(store: Store, kind: ModelKind, expert: str) -> ModelRecord | None:
    """Return the newest model that ``campaign`` or ``campaign/model`` names, None where there is none yet."""

    from ...tasks.base import JobFailed

    campaign, _, wanted = expert.partition("/")
    ages = {one.id: (one.generation, len(one.labels)) for one in store.data_sets.find({"campaign": campaign})}
    records = [one for one in store.models.find({"campaign": campaign}) if one.data_set in ages]
    able = [one for one in records if _may_join(kind, one) and (one.kind == wanted if wanted else _is_plain(one))]
    if wanted and not able and any(one.kind == wanted for one in records):
        raise JobFailed(f"{expert} cannot join a {kind.name}: it is of the kind {_kind_called(records, wanted)}")
    names = sorted({one.kind for one in able})
    if len(names) > 1:
        choices = " or ".join(f"{campaign}/{name}" for name in names)
        raise JobFailed(f"several models of {campaign} could join a {kind.name}: say which one, {choices}")
    return max(able, key=lambda one: (ages[one.data_set], one.id), default=None)


def _may_join(kind: ModelKind, record: ModelRecord) -> bool:
    if record.kind_of_model not in MODELS:
        return False
    other = MODELS.get(record.kind_of_model)
    return other.can_join and other.needs_baseline == kind.needs_baseline


def _is_plain(record: ModelRecord) -> bool:
    """Return whether a model is made of data alone: those of others would come twice."""
    return not MODELS.get(record.kind_of_model).is_made_of_models


def _kind_called(records: list[ModelRecord], name: str) -> str:
    return next(one.kind_of_model for one in records if one.kind == name)
