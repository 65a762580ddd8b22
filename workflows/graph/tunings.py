"""Hyperparameters that a campaign has searched for: which hold for the fits to a data set, and what is due."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from ...core.names import TUNING
from ...core.settings import FrozenSettings
from ...store.connection import Store
from ...store.queries.latest import latest_by_model
from ...store.records import DataSetRecord
from ...tasks.values.tuning import TUNINGS, TuningValues
from ..campaign.settings import Campaign


@dataclass(frozen=True)
class Tunings:
    """What has been searched for, for models that are fitted to one data set.

    Attributes
    ----------
    settings
        Hyperparameters by the model's name, as the newest search on this or an earlier data set chose them.
    due
        Models that are to be searched for (again) on this data set.
    """

    settings: Mapping[str, FrozenSettings]
    due: tuple[str, ...]

    @classmethod
    def none(cls) -> Self:
        """Return that there are none, as where nothing is fitted yet."""
        return cls({}, ())

    @classmethod
    def of(cls, store: Store, campaign: Campaign, data_set: str) -> Self:
        """Return those of a campaign that hold for one of its data sets."""
        asked = {name: tune for name in campaign.models if (tune := campaign.tuning_of(name)) is not None}
        if not asked:
            return cls.none()
        records = {record.id: record for record in store.data_sets.find({"campaign": campaign.name})}
        now = records[data_set]
        settings: dict[str, FrozenSettings] = {}
        due = []
        for name, tune in asked.items():
            found = _newest(store, campaign, name, records, now)
            if found is not None:
                then, values = found
                settings[name] = campaign.kind_of(name).settings_in(values.chosen)
                has_grown = len(now.labels) >= tune.again_at_growth * len(then.labels)
            if found is None or has_grown or not same_species(then, now):
                due.append(name)
        return cls(settings, tuple(due))


def latest_tunings(store: Store, campaign: str) -> dict[str, TuningValues]:
    """Return the last search of every model that was tuned, by its name."""
    return {name: TUNINGS.read(record) for name, record in latest_by_model(store, campaign, TUNING).items()}


def _newest(
    store: Store, campaign: Campaign, model: str, records: Mapping[str, DataSetRecord], now: DataSetRecord
) -> tuple[DataSetRecord, TuningValues] | None:
    """Return the newest search from the campaign's settings of a model, with the data set that it was made on."""
    kind, given = campaign.kind_of(model), campaign.settings_of(model)
    found = []
    for record in store.results.find({"campaign": campaign.name, "kind": TUNING, "model_kind": model}):
        then, values = records.get(record.inputs[0]), TUNINGS.read(record)
        if then is not None and _age(then) <= _age(now) and kind.settings_in(values.given) == given:
            found.append((then, values))
    return max(found, key=lambda one: _age(one[0]), default=None)


def _age(data_set: DataSetRecord) -> tuple[int, int]:
    """Return what orders the data sets of a campaign: systems that join give a generation a second one."""
    return data_set.generation, len(data_set.labels)


def same_species(one: DataSetRecord, other: DataSetRecord | None) -> bool:
    """Return whether two data sets hold the same elements; true without another one."""
    return other is None or one.isolated_atom_energies.keys() == other.isolated_atom_energies.keys()
