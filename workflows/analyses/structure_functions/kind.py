"""Structure functions, as a kind of analysis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from ....analysis.structure_functions.settings import StructureFunctionsSettings
from ....core.citations import Citation
from ..of_trajectories import TrajectoryAnalysis

if TYPE_CHECKING:
    from pathlib import Path

    from ase import Atoms

    from ....store.connection import Store
    from ....tasks.of_trajectories.task import TrajectoriesTask
    from ...campaign.problems import Problem
    from ...campaign.settings import Campaign
    from ..comparison import Comparison
    from ..sections import ReportSection


class StructureFunctions(TrajectoryAnalysis[StructureFunctionsSettings]):
    """Pair functions, structure factors, angles, rings and chains of the trajectories that a campaign runs."""

    name = "structure_functions"
    rank = 42
    description = "g(r), coordination, S(q) for neutrons and X-rays, bond angles, rings and chains of trajectories"
    settings_type = StructureFunctionsSettings
    grows = ("models",)
    free = ("measured",)
    commands: ClassVar[Mapping[str, str]] = {
        "structure-functions": "ionloop.cli.analyse.structure_functions:structure_functions"
    }
    citations = (
        Citation(
            "Structure factors of mixtures, as partial ones with weights",
            "T. E. Faber, J. M. Ziman, Phil. Mag. 1965, 11, 153",
            "10.1080/14786436508211931",
        ),
        Citation("Neutron scattering lengths", "V. F. Sears, Neutron News 1992, 3, 26", "10.1080/10448639208218770"),
    )

    def task(self) -> type[TrajectoriesTask]:
        from ....tasks.of_trajectories.structure_functions import StructureFunctionsTask

        return StructureFunctionsTask

    def problems(self, campaign: Campaign, atoms: Atoms, system: str | None = None) -> Iterator[Problem]:
        from .problems import structure_functions_problems

        yield from super().problems(campaign, atoms, system)
        yield from structure_functions_problems(self.settings(campaign), atoms)

    def with_files_read(self, settings: StructureFunctionsSettings, folder: Path) -> Mapping[str, object]:
        if not any(one.file for one in settings.measured):
            return {}
        from .problems import measured_of_files

        return {"measured": measured_of_files(settings.measured, folder)}

    def section(self, store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
        from .report import structure_functions_section

        return structure_functions_section(store, campaign, system)

    def comparisons(self) -> Mapping[str, Comparison]:
        from .comparison import COMPARISONS

        return COMPARISONS

    def methods(self, settings: StructureFunctionsSettings) -> str:
        from ....analysis.structure_functions.scattering import scattering_words

        seen = scattering_words(settings.radiation, settings.isotopes)
        return (
            "Structure factors were taken as sums over every reciprocal vector of the cell up to "
            f"{settings.direct_q_max_per_A:g} 1/Å and beyond it as Fourier transforms of pair distribution functions "
            f"with Lorch's window, and weighted after Faber and Ziman for {seen}."
        )


STRUCTURE_FUNCTIONS = StructureFunctions()
