"""The analysis of energy against volume, as a kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ....analysis.energy_volume.settings import EnergyVolumeSettings
from ....core.citations import Citation
from ..base import Analysis, AnalysisCost, AnalysisPlan

if TYPE_CHECKING:
    from ase import Atoms

    from ....store.connection import Store
    from ....tasks.base import IonloopTask
    from ....tasks.values.properties import PropertyNumber
    from ...campaign.settings import Campaign
    from ...graph.jobs import Job
    from ..comparison import Comparison
    from ..proposals import Proposed
    from ..sections import ReportSection


class EnergyVolume(Analysis[EnergyVolumeSettings]):
    """The energy-volume curves of a campaign's final models and of its reference engine."""

    name = "energy_volume"
    rank = 20
    description = "Energy against volume, bulk modulus"
    settings_type = EnergyVolumeSettings
    property_unit = "%"
    grows = ("reference",)
    commands: ClassVar[Mapping[str, str]] = {"energy-volume": "ionloop.cli.analyse.energy_volume:energy_volume"}
    citations = (Citation("Equation of state", "F. Birch, Phys. Rev. 1947, 71, 809", "10.1103/PhysRev.71.809"),)

    def tasks(self) -> tuple[type[IonloopTask], ...]:
        from ....tasks.energy_volume import EnergyVolumePointTask, EnergyVolumeTask

        return (EnergyVolumePointTask, EnergyVolumeTask)

    def jobs(self, plan: AnalysisPlan) -> list[Job]:
        from .graph import energy_volume_jobs

        return energy_volume_jobs(plan, self.settings(plan.campaign))

    def property_jobs(self, plan: AnalysisPlan) -> list[Job]:
        from .graph import energy_volume_jobs

        return energy_volume_jobs(plan, self.settings(plan.campaign).model_copy(update={"reference": "none"}))

    def property_numbers(self, store: Store, plan: AnalysisPlan) -> list[PropertyNumber]:
        from .property import bulk_modulus_numbers

        return bulk_modulus_numbers(store, plan)

    def proposals(self, store: Store, plan: AnalysisPlan) -> list[Proposed]:
        from .property import strained_cells

        return strained_cells(store, plan)

    def cost(self, campaign: Campaign, atoms: Atoms) -> AnalysisCost:
        from .graph import energy_volume_cost

        return energy_volume_cost(self.settings(campaign), len(campaign.models), len(atoms))

    def section(self, store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
        from .report import energy_volume_section

        return energy_volume_section(store, campaign, system)

    def comparisons(self) -> Mapping[str, Comparison]:
        from .comparison import COMPARISONS

        return COMPARISONS

    def methods(self, settings: EnergyVolumeSettings) -> str:
        ions = "relaxed ions" if settings.relax_ions else "ions scaled with the cell"
        return (
            f"Birch's equation of state was fitted to the energies of {settings.points} isotropically strained cells "
            f"(lengths changed by up to {100 * settings.strain:g} %) with {ions}."
        )


ENERGY_VOLUME = EnergyVolume()
