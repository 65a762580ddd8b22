"""What results on the rotation of polyanions hold."""

from __future__ import annotations

from ...analysis.rotation.rotation import RotationResult
from ...store.result_kinds import ResultKind
from .runs import RunsValues


class RotationValues(RotationResult, RunsValues):
    """Rotation of a polyanion with one potential at one temperature."""


ROTATIONS = ResultKind("rotation", RotationValues)
