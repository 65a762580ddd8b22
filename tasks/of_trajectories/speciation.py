"""The Firetask of the species of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ...analysis.speciation.frames import NetworkRun
from ...analysis.speciation.settings import SpeciationSettings
from ...analysis.speciation.speciation import analyse_speciation
from ...analysis.trajectories.reading import Trajectory
from ..context import TaskContext
from ..values.speciation import SPECIATIONS
from .task import Analysed, TrajectoriesParameters, TrajectoriesTask


class SpeciationParameters(TrajectoriesParameters):
    """Which trajectories, and which network is looked at."""

    settings: SpeciationSettings


class SpeciationTask(TrajectoriesTask):
    """Count the species of the network in trajectories."""

    _fw_name = "ionloop.speciation"
    parameters_type = SpeciationParameters
    result_kind: ClassVar = SPECIATIONS

    def analyse(
        self, trajectories: Sequence[Trajectory], parameters: SpeciationParameters, context: TaskContext
    ) -> Analysed:
        """Return the species of all trajectories together."""
        found = analyse_speciation([NetworkRun.of_trajectory(one) for one in trajectories], parameters.settings)
        return Analysed(dict(found.result), found.arrays())
