"""The screening of a crystal, as a kind of analysis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ....analysis.screening.settings import ScreeningSettings
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


class Screening(Analysis[ScreeningSettings]):
    """Dynamics at constant pressure with final models, hot first: does the crystal last, do its ions move."""

    name = "screening"
    rank = 35
    description = "Whether a crystal conducts and lasts, at temperatures that are chosen on the way"
    settings_type = ScreeningSettings
    needs_mobile = True
    is_stored_unasked = False
    grows = ("models", "temperatures", "most_runs")
    citations = (
        Citation(
            "Survey of electrolytes by molecular dynamics with learned potentials",
            "A. Hajibabaei, K. S. Kim, J. Phys. Chem. Lett. 2021, 12, 8115",
            "10.1021/acs.jpclett.1c01605",
        ),
    )

    def tasks(self) -> tuple[type[IonloopTask], ...]:
        from ....tasks.screening.cell import ScreeningCellTask
        from ....tasks.screening.run import ScreeningRunTask
        from ....tasks.screening.summary import ScreeningTask

        return (ScreeningCellTask, ScreeningRunTask, ScreeningTask)

    def jobs(self, plan: AnalysisPlan) -> list[Job]:
        from .graph import screening_jobs

        return screening_jobs(plan, self.settings(plan.campaign))

    def cost(self, campaign: Campaign, atoms: Atoms) -> AnalysisCost:
        from .graph import screening_cost

        return screening_cost(campaign, self.settings(campaign), atoms)

    def problems(self, campaign: Campaign, atoms: Atoms, system: str | None = None) -> Iterable[Problem]:
        from .graph import screening_problems

        return screening_problems(campaign, self.settings(campaign), atoms)

    def section(self, store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
        from .report import screening_section

        return screening_section(store, campaign, system)

    def comparisons(self) -> Mapping[str, Comparison]:
        from .comparison import COMPARISONS

        return COMPARISONS

    def methods(self, settings: ScreeningSettings) -> str:
        return (
            f"Crystals were screened by molecular dynamics at {settings.pressure_GPa:g} GPa in cells of at least "
            f"{settings.smallest_cell_A:g} Å and {settings.mobile_ions} mobile ions, at "
            f"{settings.start_temperature_K:g} K first and at {settings.temperature_factor:g} times the last "
            f"temperature after that, for up to {settings.length_ps:g} ps each; a crystal counted as molten where the "
            f"centres of its host moved by more than {settings.host.lindemann_ratio:g} of their distance and diffused, "
            "as decomposed where its polyanions changed. Diffusivities of fewer than "
            f"{settings.hops_per_ion:g} hops of an ion entered the Arrhenius line as upper bounds."
        )


SCREENING = Screening()
