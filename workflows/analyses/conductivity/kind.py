"""The analysis of conductivity, as a kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from ....analysis.conductivity.settings import ConductivitySettings
from ..base import Analysis, AnalysisCost, AnalysisPlan, OfferedRun

if TYPE_CHECKING:
    from ase import Atoms

    from ....store.connection import Store
    from ....tasks.base import IonloopTask
    from ....tasks.values.properties import PropertyNumber
    from ...campaign.problems import Problem
    from ...campaign.settings import Campaign
    from ...graph.jobs import Job
    from ..comparison import Comparison
    from ..proposals import Proposed
    from ..sections import ReportSection


class Conductivity(Analysis[ConductivitySettings]):
    """Long trajectories with a campaign's final models, and what they say of diffusion and conduction."""

    name = "conductivity"
    rank = 30
    description = "Diffusivity, conductivity and Haven ratio from molecular dynamics with every model"
    settings_type = ConductivitySettings
    property_unit = "%"
    needs_mobile = True
    grows = ("temperatures_K", "length_ps", "replicas", "models", "model_samples")
    free = ("lengths", "transport")
    has_runs = True
    runs_again = True
    commands: ClassVar[Mapping[str, str]] = {"conductivity": "ionloop.cli.analyse.conductivity:conductivity"}

    def tasks(self) -> tuple[type[IonloopTask], ...]:
        from ....tasks.conductivity import ConductivityRunTask, ConductivityTask

        return (ConductivityRunTask, ConductivityTask)

    def jobs(self, plan: AnalysisPlan) -> list[Job]:
        from .graph import conductivity_jobs

        return conductivity_jobs(plan, self.settings(plan.campaign))

    def runs(self, plan: AnalysisPlan) -> list[OfferedRun]:
        from .graph import conductivity_runs

        return conductivity_runs(plan, self.settings(plan.campaign))

    def why_not_known(self, settings: ConductivitySettings) -> str:
        if settings.model_samples:
            return ""
        return "needs analyses.conductivity.model_samples: without, the model's part of its error stays unknown"

    def property_jobs(self, plan: AnalysisPlan) -> list[Job]:
        from .graph import conductivity_jobs

        return conductivity_jobs(plan, self.settings(plan.campaign).model_copy(update={"models": ()}))

    def property_numbers(self, store: Store, plan: AnalysisPlan) -> list[PropertyNumber]:
        from .property import conductivity_numbers

        return conductivity_numbers(store, plan)

    def proposals(self, store: Store, plan: AnalysisPlan) -> list[Proposed]:
        from .property import conductivity_proposals

        return conductivity_proposals(store, plan)

    def cost(self, campaign: Campaign, atoms: Atoms) -> AnalysisCost:
        from .graph import conductivity_cost

        return conductivity_cost(self.settings(campaign), campaign.models, len(atoms))

    def problems(self, campaign: Campaign, atoms: Atoms, system: str | None = None) -> Iterable[Problem]:
        from .graph import conductivity_problems

        return conductivity_problems(campaign, self.settings(campaign), atoms)

    def section(self, store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
        from .report import conductivity_section

        return conductivity_section(store, campaign, system)

    def comparisons(self) -> Mapping[str, Comparison]:
        from .comparison import COMPARISONS

        return COMPARISONS

    def methods(self, settings: ConductivitySettings) -> str:
        temperatures = ", ".join(f"{temperature:g}" for temperature in settings.temperatures_K)
        return (
            f"Diffusivities and conductivities were taken from {settings.replicas} trajectories of "
            f"{settings.length_ps:g} ps at each of {temperatures} K, the first {settings.equilibration_ps:g} ps of "
            "each left out; intervals are those of 95 % confidence."
            + (
                f" The model's part of the error is the scatter over {settings.model_samples} models drawn from the "
                "posterior of its weights, scaled to its left-out errors."
                if settings.model_samples
                else ""
            )
        )


CONDUCTIVITY = Conductivity()
