"""The job that looks at how polyanions turn in the trajectories of one potential at one temperature."""

from __future__ import annotations

from collections.abc import Sequence

from ...analysis.rotation.rotation import ARRAY_UNITS, FEWEST_FRAMES, analyse_rotation
from ...analysis.rotation.settings import RotationSettings
from ...analysis.trajectories.reading import Trajectory
from ..context import TaskContext
from ..of_trajectories.task import Analysed, TrajectoriesParameters, TrajectoriesTask
from ..values.rotation import ROTATIONS


class RotationParameters(TrajectoriesParameters):
    """Which trajectories, and how rotations are taken from them."""

    settings: RotationSettings


class RotationTask(TrajectoriesTask):
    """Record rotations, correlation functions and the coupling to hops."""

    _fw_name = "ionloop.rotation"
    parameters_type = RotationParameters
    result_kind = ROTATIONS
    fewest_frames = FEWEST_FRAMES

    def analyse(
        self, trajectories: Sequence[Trajectory], parameters: RotationParameters, context: TaskContext
    ) -> Analysed:
        """Analyse all trajectories together."""
        found = analyse_rotation(trajectories, parameters.mobile, parameters.settings)
        return Analysed(dict(found.result), found.arrays(), ARRAY_UNITS)
