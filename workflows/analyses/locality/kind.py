"""The analysis of locality, as a kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from ....analysis.locality.settings import LocalitySettings
from ....core.citations import Citation
from ..base import Analysis, AnalysisCost, AnalysisPlan

if TYPE_CHECKING:
    from ase import Atoms

    from ....store.connection import Store
    from ....tasks.base import IonloopTask
    from ...campaign.problems import Problem
    from ...campaign.settings import Campaign
    from ...graph.jobs import Job
    from ..comparison import Comparison
    from ..sections import ReportSection


class Locality(Analysis[LocalitySettings]):
    """How far the forces of the reference, or of a model, reach in a campaign's crystal."""

    name = "locality"
    rank = 10
    description = "How far forces reach: is a short range enough?"
    settings_type = LocalitySettings
    commands: ClassVar[Mapping[str, str]] = {"locality": "ionloop.cli.analyse.locality:locality"}
    citations = (
        Citation(
            "Locality tests", "V. L. Deringer, G. Csányi, Phys. Rev. B 2017, 95, 094203", "10.1103/PhysRevB.95.094203"
        ),
    )

    def tasks(self) -> tuple[type[IonloopTask], ...]:
        from ....tasks.locality import LocalityBaselineTask, LocalityCentreTask, LocalityTask

        return (LocalityCentreTask, LocalityBaselineTask, LocalityTask)

    def jobs(self, plan: AnalysisPlan) -> list[Job]:
        from .graph import locality_jobs

        return locality_jobs(plan, self.settings(plan.campaign))

    def cost(self, campaign: Campaign, atoms: Atoms) -> AnalysisCost:
        from .graph import locality_cost

        return locality_cost(self.settings(campaign), atoms)

    def problems(self, campaign: Campaign, atoms: Atoms, system: str | None = None) -> Iterable[Problem]:
        from .graph import locality_problems

        return locality_problems(campaign, self.settings(campaign), atoms)

    def section(self, store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
        from .report import locality_section

        return locality_section(store, campaign, system)

    def comparisons(self) -> Mapping[str, Comparison]:
        from .comparison import COMPARISONS

        return COMPARISONS

    def methods(self, settings: LocalitySettings) -> str:
        radii = ", ".join(f"{radius:g}" for radius in settings.radii_A)
        how = (
            f"from {settings.samples} displacements of all atoms beyond by {settings.displacement_A:g} Å"
            if settings.protocol == "displacement"
            else f"from dynamics around a frozen sphere at {settings.frozen_sphere.temperature_K:g} K"
        )
        return f"Locality was measured at {radii} Å {how}."


LOCALITY = Locality()
