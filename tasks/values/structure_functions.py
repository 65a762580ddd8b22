"""What results of structure functions hold."""

from __future__ import annotations

from pydantic import Field

from ...analysis.structure_functions.results import StructureResult
from ...store.result_kinds import ResultKind
from .runs import RunsValues


class StructureFunctionsValues(RunsValues):
    """The structure of trajectories of one potential at one temperature; curves are in a file beside it."""

    structure: StructureResult = Field(description="All that is a number")


STRUCTURE_FUNCTIONS = ResultKind("structure-functions", StructureFunctionsValues)
