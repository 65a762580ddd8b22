"""What results of screenings hold."""

from __future__ import annotations

from pydantic import Field

from ...analysis.screening.runs import RunResult
from ...analysis.screening.temperatures import ScreeningSummary
from ...store.result_kinds import ResultKind, ResultValues


class ScreeningCellValues(ResultValues):
    """The crystal as one potential relaxes it, and the cell that it is repeated to."""

    repetitions: tuple[int, int, int] = Field(description="Of the campaign's cell (number)")
    atoms: int = Field(description="Atoms in the repeated cell (number)")
    volume_A3_per_atom: float = Field(description="Volume of the relaxed crystal (Å³/atom)")
    given_volume_A3_per_atom: float = Field(description="Volume of the crystal as it was given (Å³/atom)")
    steps: int = Field(description="Steps of the relaxation (number)")
    converged: bool = Field(description="Whether forces and stress reached the tolerance (yes or no)")


class ScreeningRunValues(RunResult, ResultValues):
    """One run of a screening."""

    run: int = Field(description="Which one, from 1 (number)")
    why: str = Field(description="Why it was made at this temperature (text)")


class ScreeningValues(ScreeningSummary, ResultValues):
    """What a screening says of a crystal with one potential."""

    ended_because: str = Field(description="Why no run follows (text)")
    model_interval_reason: str = Field(description="Why these numbers have no model interval (text)")


SCREENING_CELLS = ResultKind("screening-cell", ScreeningCellValues)
SCREENING_RUNS = ResultKind("screening-run", ScreeningRunValues)
SCREENINGS = ResultKind("screening", ScreeningValues)
