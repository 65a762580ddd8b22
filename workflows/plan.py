"""A campaign with the structure it is about: all that its graphs are described from."""

from __future__ import annotations

from dataclasses import dataclass

from ase import Atoms

from ..fitting.settings import BaselineSettings
from ..store.connection import Store
from .campaign import Campaign
from .charges import UnknownChargesError, baseline_settings, formal_charges


@dataclass(frozen=True)
class Plan:
    """A campaign and its structure.

    Attributes
    ----------
    atoms
        The campaign's structure, repeated as the campaign says; not to be changed.
    """

    campaign: Campaign
    atoms: Atoms

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
        return baseline_settings(self.campaign.baseline, self.symbols)

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


def load_plan(store: Store, name: str) -> Plan:
    """Return the plan of a campaign as it was submitted."""
    record = store.campaigns[name]
    return Plan(Campaign.model_validate(record.settings), record.structure.to_atoms())
