"""The Firetask of structure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ...analysis.structure_functions.settings import StructureFunctionsSettings
from ...analysis.trajectories.reading import Trajectory
from ..context import TaskContext
from ..values.structure_functions import STRUCTURE_FUNCTIONS
from .task import Analysed, TrajectoriesParameters, TrajectoriesTask


class StructureFunctionsParameters(TrajectoriesParameters):
    """Whose structure, of which trajectories."""

    settings: StructureFunctionsSettings


class StructureFunctionsTask(TrajectoriesTask):
    """Compute pair functions, structure factors, angles, rings and chains of trajectories."""

    _fw_name = "ionloop.structure-functions"
    parameters_type = StructureFunctionsParameters
    result_kind: ClassVar = STRUCTURE_FUNCTIONS

    def analyse(
        self, trajectories: Sequence[Trajectory], parameters: StructureFunctionsParameters, context: TaskContext
    ) -> Analysed:
        """Return the structure of the trajectories; of each only the frames that are looked at stay in memory."""

        from ...analysis.structure_functions.frames import of_trajectory
        from ...analysis.structure_functions.structure import analyse_structure

        share = max(1, parameters.settings.most_frames // len(trajectories))
        runs = [of_trajectory(one).thinned(share) for one in trajectories]
        found = analyse_structure(runs, parameters.settings, parameters.mobile)
        return Analysed({"structure": found.result}, found.arrays())
