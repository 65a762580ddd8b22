"""What results of the species of a network hold."""

from __future__ import annotations

from ...analysis.speciation.results import SpeciationResult
from ...store.result_kinds import ResultKind
from .runs import RunsValues


class SpeciationValues(SpeciationResult, RunsValues):
    """The species in trajectories of one potential at one temperature; families against time are in a file beside."""


SPECIATIONS = ResultKind("speciation", SpeciationValues)
