"""A campaign with the structure it is about: all that its graphs are described from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ase import Atoms

from ...core.names import CHARGES
from ...fitting.settings import BaselineSettings
from ...labelling.common_settings import CommonSettings
from ...labelling.registry import ENGINES, read_settings
from ...store.connection import Store
from ..campaign.analyses import INSTALLED, asked_analyses
from ..campaign.baseline_charges import UnknownChargesError, baseline_settings, formal_charges, slater_exponent
from ..campaign.change_log import change_log
from ..campaign.settings import Campaign


@dataclass(frozen=True)
class Plan:
    """A campaign and its structure.

    Attributes
    ----------
    atoms
        The campaign's structure, repeated as the campaign says; not to be changed.
    fitted_charges
        Charges of the baseline (e), where the campaign has them fitted and that has been done.
    earlier_models
        Identifiers of the models, by name, that the next ones grow from.
    first_reference
        The reference as first submitted, where its limits have changed since.
    """

    campaign: Campaign
    atoms: Atoms
    fitted_charges: Mapping[str, float] | None = None
    earlier_models: Mapping[str, str] = field(default_factory=dict)
    first_reference: CommonSettings | None = None

    @property
    def reference(self) -> CommonSettings:
        """The reference engine as it stands in the parameters of jobs, from which identifiers derive."""
        return self.first_reference or self.campaign.reference

    @property
    def symbols(self) -> tuple[str, ...]:
        """Chemical symbols of all atoms."""
        return tuple(self.atoms.get_chemical_symbols())

    @property
    def species(self) -> list[str]:
        """The species, sorted."""
        return sorted(set(self.symbols))

    @property
    def baseline(self) -> BaselineSettings:
        """The electrostatic baseline of the models that have one."""
        return baseline_settings(self.campaign.baseline, self.symbols, self.fitted_charges)

    @property
    def formal_charges(self) -> dict[str, float] | None:
        """Formal charges of the species (e), None where they cannot be assigned."""
        try:
            return formal_charges(self.symbols)
        except UnknownChargesError:
            return None

    @property
    def exponents(self) -> dict[str, float]:
        """Slater exponents of the species (1/Å)."""
        given = self.campaign.baseline.exponents
        return {symbol: given.get(symbol, slater_exponent(symbol)) for symbol in self.species}

    @property
    def site_charges(self) -> dict[str, float]:
        """Charges for the lattice gas of the mobile ions, screened there: formal where they can be assigned."""
        return self.formal_charges or dict(self.baseline.charges)

    def baseline_of(self, model: str) -> BaselineSettings | None:
        """Return the baseline of the model of that name, None if it has none."""
        return self.baseline if self.campaign.kind_of(model).needs_baseline else None

    def backend_of(self, model: str) -> str:
        """Return what fits the model of that name."""
        return self.campaign.kind_of(model).backend(self.campaign.fit.backend)

    def evaluator_of(self, model: str) -> str:
        """Return what evaluates the model of that name."""
        return self.campaign.kind_of(model).evaluator(self.campaign.evaluate.backend)


def load_plan(store: Store, name: str, data_set: str | None = None) -> Plan:
    """Return the plan of a campaign as it was submitted, for models that are fitted to ``data_set``.

    Raises
    ------
    UnknownKind
        If its reference engine or one of its analyses is not installed here.
    """
    record = store.campaigns[name]
    ENGINES.get(str(record.settings["reference"]["engine"]))
    for analysis in asked_analyses(record.settings):
        INSTALLED.get(analysis)
    campaign = Campaign.model_validate(record.settings)
    first = change_log(store, name).reference
    return Plan(
        campaign,
        record.structure.to_atoms(),
        _fitted_charges(store, campaign, data_set),
        {} if data_set is None else _earlier_models(store, campaign, data_set),
        None if first is None else read_settings(first),
    )


def _fitted_charges(store: Store, campaign: Campaign, data_set: str | None) -> dict[str, float] | None:
    criterion = campaign.charge_criterion
    if criterion is None:
        return None
    filters: dict[str, Any] = {"campaign": campaign.name, "kind": CHARGES, "values.criterion": criterion}
    if criterion == "error":
        filters["inputs"] = data_set
    return next((dict(record.values["charges"]) for record in store.results.find(filters)), None)


def _earlier_models(store: Store, campaign: Campaign, data_set: str) -> dict[str, str]:
    """Return the last one of each model that grows, of those fitted to an earlier data set of the campaign."""
    growing = {
        name
        for name in campaign.models
        if campaign.kind_of(name).grows(campaign.kind_of(name).backend(campaign.fit.backend))
    }
    if not growing:
        return {}
    age = {record.id: record.generation for record in store.data_sets.find({"campaign": campaign.name})}
    last = age.get(data_set, 0)
    models = [model for model in store.models.find({"campaign": campaign.name}) if age.get(model.data_set, last) < last]
    return {
        model.kind: model.id for model in sorted(models, key=lambda one: age[one.data_set]) if model.kind in growing
    }
