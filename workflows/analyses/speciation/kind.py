"""Species of a network, as a kind of analysis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from ....analysis.speciation.settings import SpeciationSettings
from ....core.citations import Citation
from ..of_trajectories import TrajectoryAnalysis

if TYPE_CHECKING:
    from ase import Atoms

    from ....store.connection import Store
    from ....tasks.of_trajectories.task import TrajectoriesTask
    from ...campaign.problems import Problem
    from ...campaign.settings import Campaign
    from ..comparison import Comparison
    from ..sections import ReportSection


class Speciation(TrajectoryAnalysis[SpeciationSettings]):
    """Which polyanions there are in the trajectories that a campaign runs, how many, and how they change."""

    name = "speciation"
    rank = 43
    description = "Polyanions of a network in trajectories: which, how many, how they change, and their charge"
    settings_type = SpeciationSettings
    grows = ("models",)
    free = ("network", "patience_fs", "most_frames")
    commands: ClassVar[Mapping[str, str]] = {"speciation": "ionloop.cli.analyse.speciation:speciation"}
    citations = (
        Citation(
            "Anions of lithium thiophosphate glasses",
            "C. Dietrich, D. A. Weber, S. J. Sedlmaier, S. Indris, S. P. Culver, D. Walter, J. Janek, W. G. Zeier, "
            "J. Mater. Chem. A 2017, 5, 18111",
            "10.1039/C7TA06067J",
        ),
    )

    def task(self) -> type[TrajectoriesTask]:
        from ....tasks.of_trajectories.speciation import SpeciationTask

        return SpeciationTask

    def problems(self, campaign: Campaign, atoms: Atoms, system: str | None = None) -> Iterator[Problem]:
        from ...campaign.problems import Problem

        yield from super().problems(campaign, atoms, system)
        network, present = self.settings(campaign).network, sorted(set(atoms.symbols))
        for name, symbols in (("centres", network.centres), ("ligands", network.ligands)):
            if not set(symbols) & set(present):
                yield Problem(
                    ("analyses", self.name, "network", name),
                    "names what the structure does not hold",
                    value=list(symbols),
                    allowed=" | ".join(present),
                    related=(("structure",),),
                )

    def section(self, store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
        from .report import speciation_section

        return speciation_section(store, campaign, system)

    def comparisons(self) -> Mapping[str, Comparison]:
        from .comparison import COMPARISONS

        return COMPARISONS

    def methods(self, settings: SpeciationSettings) -> str:
        network = settings.network
        lengths = ", ".join(f"{a}-{b} {length:.2f}" for (a, b), length in network.bond_lengths_A().items())
        return (
            f"Polyanions of {' and '.join(network.centres)} with {' and '.join(network.ligands)} are clusters of "
            f"centres that share ligands or are bonded (longest bonds: {lengths} Å). Along trajectories a bond is made "
            f"below 12/13 of that and broken beyond 14/13 of it for {settings.patience_fs:g} fs."
        )


SPECIATION = Speciation()
