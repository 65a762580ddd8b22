"""What results on the rotation of polyanions hold."""

from __future__ import annotations

from ...analysis.rotation.held import HeldResult
from ...analysis.rotation.rotation import RotationResult
from ...store.result_kinds import ResultKind
from .runs import RunsValues


class RotationValues(RotationResult, RunsValues):
    """Rotation of a polyanion with one potential at one temperature."""


class HeldValues(HeldResult, RunsValues):
    """Diffusion with a polyanion held and free, with one potential at one temperature."""


ROTATIONS = ResultKind("rotation", RotationValues)
HELD_POLYANIONS = ResultKind("rotation-held", HeldValues)
