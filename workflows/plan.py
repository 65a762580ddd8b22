"""A campaign with the structure it is about: all that its graphs are described from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ase import Atoms

from ..fitting.settings import BaselineSettings
from ..store.connection import Store
from ..tasks.results import CHARGES
from .campaign import Campaign
from .charges import UnknownChargesError, baseline_settings, formal_charges


@dataclass(frozen=True)
class Plan:
    """A campaign and its structure.

    Attributes
    ----------
    atoms
        The campaign's structure, repeated as the campaign says; not to be changed.
    fitted_charges
        Charges of the baseline (e), where the campaign has them fitted and that has been done.
    """

    campaign: Campaign
    atoms: Atoms
    fitted_charges: Mapping[str, float] | None = None

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
        """The electrostatic baseline of ES-GAP."""
        return baseline_settings(self.campaign.baseline, self.symbols, self.fitted_charges)

    @property
    def site_charges(self) -> dict[str, float]:
        """Charges for the lattice gas of the mobile ions, screened there: formal where they can be assigned."""
        try:
            return formal_charges(self.symbols)
        except UnknownChargesError:
            return dict(self.baseline.charges)

    def baseline_of(self, kind: str) -> BaselineSettings | None:
        """Return the baseline of models of that kind, None if they have none."""
        return self.baseline if kind == "es-gap" else None


def load_plan(store: Store, name: str, data_set: str | None = None) -> Plan:
    """Return the plan of a campaign as it was submitted, for models that are fitted to ``data_set``."""
    record = store.campaigns[name]
    campaign = Campaign.model_validate(record.settings)
    return Plan(campaign, record.structure.to_atoms(), _fitted_charges(store, campaign, data_set))


def _fitted_charges(store: Store, campaign: Campaign, data_set: str | None) -> dict[str, float] | None:
    criterion = campaign.charge_criterion
    if criterion is None:
        return None
    filters: dict[str, Any] = {"campaign": campaign.name, "kind": CHARGES, "values.criterion": criterion}
    if criterion == "error":
        filters["inputs"] = data_set
    return next((dict(record.values["charges"]) for record in store.results.find(filters)), None)
