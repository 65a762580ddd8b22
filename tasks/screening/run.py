"""A run of a screening: its temperature follows from the runs before, its length from what is seen on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ase import Atoms
from ase.calculators.calculator import Calculator

from ...analysis.screening.runs import RunResult, analyse_run, may_end
from ...analysis.screening.temperatures import NextRun, next_run
from ...sampling.integrators import CALCULATOR_FAILED
from ...sampling.molecular_dynamics import MolecularDynamicsOutcome, TrajectoryEnd, record_path, run_langevin
from ...sampling.trajectory import read_frames
from ...store.connection import Store
from ...store.identifiers import derive_seed, identifier
from ...store.records import ResultRecord, TrajectoryRecord
from ..base import IonloopTask, JobFailed, Outcome
from ..context import TaskContext
from ..initial import starting_structure
from ..results import known_result, new_result, open_potential
from ..sample import trajectory_identifier
from ..values.screening import SCREENING_RUNS, ScreeningRunValues
from .cell import FOLDER, ScreeningParameters, relaxed_cell


class ScreeningRunParameters(ScreeningParameters):
    """Which run it is, from 1, and the identifier of the relaxed cell."""

    cell: str
    run: int

    @property
    def identifier(self) -> str:
        """The identifier of the result: temperatures follow from the same settings, whoever asks."""
        return run_identifier(self, self.run)

    @property
    def earlier(self) -> list[str]:
        """Identifiers of the runs before."""
        return [run_identifier(self, number) for number in range(1, self.run)]


def run_identifier(parameters: ScreeningParameters, run: int) -> str:
    """Return the identifier of a run of a screening."""
    return identifier("result", SCREENING_RUNS.name, *parameters.identity, run)


def runs_in_order(store: Store, names: Sequence[str]) -> list[ScreeningRunValues]:
    """Return the runs that there are, up to the first that there is not."""
    found: list[ScreeningRunValues] = []
    for name in names:
        record = known_result(store, name)
        if record is None:
            break
        found.append(SCREENING_RUNS.read(record))
    return found


class ScreeningRunTask(IonloopTask):
    """Run at the temperature that is due, if any; a run that is killed carries on from its last frame."""

    _fw_name = "ionloop.screening-run"
    resumable = True
    parameters_type = ScreeningRunParameters

    def execute(self, parameters: ScreeningRunParameters, context: TaskContext) -> Outcome:
        """Look at the runs before, run, look at the frames now and then, and record what came out."""
        store = context.store
        known = known_result(store, parameters.identifier)
        if known is None:
            due = next_run(runs_in_order(store, parameters.earlier), parameters.settings)
            if due.temperature_K is None:
                return Outcome(reason=f"no further run: {due.reason}")
            with context.measure("sample"):
                known = self._run(parameters, due, due.temperature_K, context)
            store.results.replace(known)
        values = SCREENING_RUNS.read(known)
        return Outcome(reason=f"{values.temperature_K:g} K: {values.told}", outputs={"result": known.id})

    @staticmethod
    def _run(
        parameters: ScreeningRunParameters, due: NextRun, temperature_K: float, context: TaskContext
    ) -> ResultRecord:
        store = context.store
        crystal = starting_structure(context, parameters.campaign, parameters.system)
        atoms, _ = relaxed_cell(store, parameters.cell, crystal)
        calculator = open_potential(store, parameters.potential)
        trajectory, result = run_until_known(parameters, temperature_K, atoms, lambda: calculator, context)
        store.trajectories.replace(trajectory)
        return new_result(
            parameters,
            parameters.identifier,
            SCREENING_RUNS,
            parameters.potential,
            inputs=[parameters.cell, *parameters.earlier, trajectory.id],
            values=ScreeningRunValues(**dict(result), run=parameters.run, why=due.reason),
        )


def run_until_known(
    parameters: ScreeningRunParameters,
    temperature_K: float,
    atoms: Atoms,
    calculator: Callable[[], Calculator],
    context: TaskContext,
) -> tuple[TrajectoryRecord, RunResult]:
    """Run, or carry on with, a trajectory until a look at it says that it may end.

    Looks are at fixed steps, and each sees the frames up to its own: a run that was killed and goes on ends where it
    would have ended.

    Raises
    ------
    JobFailed
        If the calculator failed.
    """
    store, settings = context.store, parameters.settings
    name = f"{FOLDER}/{parameters.potential.kind}/{temperature_K:g}K/{parameters.identifier}"
    record_id = trajectory_identifier(parameters.campaign, parameters.generation, name, parameters.system)
    path = store.artefacts.folder(Path("trajectories")) / f"{record_id}.traj"
    if not path.exists():
        # What is left of a trajectory whose frames are gone says only how that one ended.
        record_path(path).unlink(missing_ok=True)
    seed = derive_seed(parameters.seed, FOLDER, f"{temperature_K:g}")
    begun = time.monotonic()
    for steps in settings.looks:
        outcome = run_langevin(
            atoms,
            calculator(),
            settings.dynamics(temperature_K, steps),
            path,
            seed=seed,
            progress=lambda done, _: context.report_progress(done, settings.looks[-1]),
        )
        if CALCULATOR_FAILED in outcome.reason:
            raise JobFailed(outcome.reason)
        frames = read_frames(path)[: steps // settings.write_every + 1]
        stopped = outcome.reason if outcome.end is TrajectoryEnd.STOPPED else ""
        last = stopped or steps == settings.looks[-1]
        result = analyse_run(frames, parameters.mobile, temperature_K, settings, stopped=stopped, compare=bool(last))
        if last or may_end(result, settings):
            break
    if result.host.similarity is None:
        result = analyse_run(frames, parameters.mobile, temperature_K, settings, stopped=stopped)
    record = _trajectory_record(parameters, (record_id, name, seed), outcome, store)
    return record.model_copy(update={"wall_time_s": time.monotonic() - begun}), result


def _trajectory_record(
    parameters: ScreeningRunParameters, names: tuple[str, str, int], outcome: MolecularDynamicsOutcome, store: Store
) -> TrajectoryRecord:
    record_id, name, seed = names
    return TrajectoryRecord(
        id=record_id,
        campaign=parameters.campaign,
        generation=parameters.generation,
        system=parameters.system,
        driver=parameters.potential.kind,
        replica=parameters.run,
        start=name,
        seed=seed,
        state=outcome.end.value,
        reason=outcome.reason,
        steps=outcome.steps,
        frames=outcome.frames,
        mean_temperature_K=outcome.mean_temperature_K if outcome.frames > 1 else None,
        artefact=store.artefacts.register(outcome.trajectory),
    )
