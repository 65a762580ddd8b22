"""The last job of a screening: what all runs of one potential say together."""

from __future__ import annotations

from ...analysis.screening.temperatures import next_run, summarise
from ...store.identifiers import identifier
from ..base import IonloopTask, JobFailed, Outcome
from ..context import TaskContext
from ..results import known_result, new_result
from ..values.screening import SCREENING_CELLS, SCREENINGS, ScreeningValues
from .cell import ScreeningParameters
from .run import run_identifier, runs_in_order

NO_MODEL_INTERVAL = (
    "a screening runs one model; analyses.conductivity.model_samples tells what the model's error does to a diffusivity"
)


class ScreeningSummaryParameters(ScreeningParameters):
    """The identifier of the relaxed cell."""

    cell: str


class ScreeningTask(IonloopTask):
    """Record verdict, line and volumes from the runs that there are."""

    _fw_name = "ionloop.screening"
    parameters_type = ScreeningSummaryParameters

    def execute(self, parameters: ScreeningSummaryParameters, context: TaskContext) -> Outcome:
        """Summarise; a screening whose runs failed says what the others tell."""
        store, settings = context.store, parameters.settings
        names = [run_identifier(parameters, number) for number in range(1, settings.most_runs + 1)]
        runs = runs_in_order(store, names)
        if not runs:
            raise JobFailed("no run of the screening came to an end")
        used = names[: len(runs)]
        name = identifier("result", SCREENINGS.name, *parameters.identity, used)
        record = known_result(store, name)
        if record is None:
            cell = known_result(store, parameters.cell)
            volume = None if cell is None else SCREENING_CELLS.read(cell).volume_A3_per_atom
            due = next_run(runs, settings)
            missing = due.temperature_K is not None
            reason = f"the run at {due.temperature_K:g} K is missing: it failed" if missing else due.reason
            record = new_result(
                parameters,
                name,
                SCREENINGS,
                parameters.potential,
                inputs=[parameters.cell, *used],
                values=ScreeningValues(
                    **dict(summarise(runs, settings, volume)),
                    ended_because=reason,
                    model_interval_reason=NO_MODEL_INTERVAL,
                ),
            )
            store.results.replace(record)
        return Outcome(reason=SCREENINGS.read(record).told, outputs={"result": record.id})
