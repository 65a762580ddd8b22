"""Conductivity jobs: one long trajectory each, and the analysis of all trajectories of one potential."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from ase.calculators.calculator import Calculator
from pydantic import Field

from ..analysis.conductivity.arrhenius import FEWEST_TEMPERATURES, ChargeCarriers, fit_arrhenius
from ..analysis.conductivity.transport import (
    Carrier,
    ConductivityAnalysis,
    ConductivityAtLength,
    analyse_conductivity,
    conductivity_against_length,
)
from ..analysis.conductivity.transport_settings import FEWEST_FRAMES, TransportSettings
from ..analysis.trajectories.reading import Trajectory, read_trajectory
from ..core.arrays import FloatArray
from ..core.files import atomic_file
from ..core.settings import FrozenModel
from ..fitting.posterior.base import NoPosterior
from ..sampling.molecular_dynamics import record_path
from ..store.connection import Store
from ..store.identifiers import identifier
from ..store.records import ResultRecord, TrajectoryRecord
from .base import IonloopTask, JobFailed, Outcome, TaskParameters
from .context import TaskContext
from .initial import starting_structure
from .results import Potential, known_result, new_result, open_potential, open_sample, save_arrays
from .sample import DynamicsParameters, run_trajectory, trajectory_identifier
from .sampled_models import activation_energy_half_width, of_sampled_models
from .values.conductivity import ARRHENIUS_LINES, CONDUCTIVITIES, ArrheniusValues, ConductivityValues

CONDUCTIVITY_KIND = CONDUCTIVITIES.name
ARRHENIUS_KIND = ARRHENIUS_LINES.name
SHORTEST_PART = 0.5
"""Part of the planned length below which a trajectory that was stopped is left out."""
CURVE_UNITS = {
    "lags_ps": "ps",
    "tracer_A2": "Å²",
    "tracer_error_A2": "Å²",
    "collective_A2": "Å²",
    "collective_error_A2": "Å²",
    "tracer_by_axis_A2": "Å²",
    "length_ps": "ps",
    "tracer_mS_per_cm": "mS/cm",
    "collective_mS_per_cm": "mS/cm",
}
ESTIMATE_COLUMNS = ("value", "low", "high", "standard_error")


class ConductivityRunParameters(DynamicsParameters):
    """One replica: which potential, in how many cells; temperature and length are the dynamics'."""

    potential: Potential
    supercell: tuple[int, int, int]
    replica: int
    model_sample: int | None = Field(
        default=None, ge=1, description="number of the model that is drawn from the posterior of the potential"
    )
    left_out: ClassVar[frozenset[str]] = DynamicsParameters.left_out | {"model_sample"}

    @property
    def name(self) -> str:
        """What tells this trajectory from all others of the campaign and generation."""
        sample = () if self.model_sample is None else (f"sample-{self.model_sample}",)
        digest = identifier(
            "run",
            self.potential.identity,
            self.dynamics.model_dump(mode="json"),
            list(self.supercell),
            self.seed,
            *sample,
        )
        run = "-".join((*sample, str(self.replica)))
        return f"{CONDUCTIVITY_KIND}/{self.potential.kind}/{self.dynamics.temperature_K:g}K/{run}/{digest}"

    @property
    def trajectory(self) -> str:
        """Identifier of the trajectory: known before it is run."""
        return trajectory_identifier(self.campaign, self.generation, self.name, self.system)


class ConductivityRunTask(IonloopTask):
    """Run one long trajectory; one that is killed carries on from its last frame."""

    _fw_name = "ionloop.conductivity-run"
    resumable = True
    parameters_type = ConductivityRunParameters

    def execute(self, parameters: ConductivityRunParameters, context: TaskContext) -> Outcome:
        """Run the replica from the campaign's structure, repeated."""
        begin_with_shorter(context.store, parameters)
        with context.measure("sample"):
            record = run_trajectory(
                context,
                parameters,
                name=parameters.name,
                atoms=starting_structure(context, parameters.campaign, parameters.system).repeat(parameters.supercell),
                calculator=lambda: self._calculator(context.store, parameters),
                driver=parameters.potential.kind,
                replica=parameters.replica,
            )
        return Outcome(reason=record.reason, outputs={"trajectory": record.id, "frames": record.frames})

    @staticmethod
    def _calculator(store: Store, parameters: ConductivityRunParameters) -> Calculator:
        if parameters.model_sample is None:
            return open_potential(store, parameters.potential)
        try:
            return open_sample(store, parameters.potential, parameters.model_sample)
        except NoPosterior as error:
            raise JobFailed(str(error)) from error


def begin_with_shorter(store: Store, parameters: ConductivityRunParameters) -> None:
    """Let a trajectory begin with the frames of the same one as it was run before, shorter."""
    path = store.artefacts.folder("trajectories") / f"{parameters.trajectory}.traj"
    if path.exists():
        return
    same = {"campaign": parameters.campaign, "generation": parameters.generation, "seed": parameters.seed}
    same["system"] = parameters.system
    shorter: TrajectoryRecord | None = None
    for record in store.trajectories.find({**same, "replica": parameters.replica, "state": "completed"}):
        steps = parameters.dynamics.model_copy(update={"steps": record.steps})
        # The identifier derives from all that makes a trajectory: with equal steps it is the same one.
        is_same = parameters.model_copy(update={"dynamics": steps}).trajectory == record.id
        if is_same and record.steps < parameters.dynamics.steps and (shorter is None or record.steps > shorter.steps):
            shorter = record
    if shorter is None or not store.artefacts.is_whole(shorter.artefact):
        return
    source = store.artefacts.path(shorter.artefact.path)
    for origin, copy in ((record_path(source), record_path(path)), (source, path)):
        if not origin.is_file():
            return
        with atomic_file(copy) as temporary:
            shutil.copyfile(origin, temporary)


class TemperatureRuns(FrozenModel):
    """The trajectories at one temperature."""

    temperature_K: float
    trajectories: list[str] = Field(min_length=1)


class ConductivityParameters(TaskParameters):
    """All trajectories of one potential, and how they are analysed."""

    potential: Potential
    species: str
    charge_e: float | None = None
    framework: tuple[str, ...] = ()
    runs: list[TemperatureRuns] = Field(min_length=1)
    sampled_runs: list[TemperatureRuns] = Field(
        default_factory=list, description="trajectories of models drawn from the posterior, one of each"
    )
    equilibration_frames: int
    frames: int
    lengths: int
    transport: TransportSettings
    left_out: ClassVar[frozenset[str]] = TaskParameters.left_out | {"sampled_runs"}


class ConductivityTask(IonloopTask):
    """Record conductivities of one potential at all temperatures, and its activation energy."""

    _fw_name = "ionloop.conductivity"
    parameters_type = ConductivityParameters

    def execute(self, parameters: ConductivityParameters, context: TaskContext) -> Outcome:
        """Analyse the trajectories that there are; those that failed or ended early are left out and counted."""
        records, reasons = [], []
        for runs in parameters.runs:
            found = self._at_temperature(parameters, runs, context)
            if found is None:
                reasons.append(f"no trajectory at {runs.temperature_K:g} K is long enough")
            else:
                records.append(found)
        if not records:
            raise JobFailed("; ".join(reasons))
        outputs = {"results": [record.id for record in records]}
        arrhenius = _record_arrhenius(context.store, parameters, records)
        if arrhenius is not None:
            outputs["arrhenius"] = [arrhenius.id]
        return Outcome(reason="; ".join(reasons), outputs=outputs)

    @staticmethod
    def _at_temperature(
        parameters: ConductivityParameters, runs: TemperatureRuns, context: TaskContext
    ) -> ResultRecord | None:
        store = context.store
        used = usable_trajectories(store, runs.trajectories, parameters.equilibration_frames, parameters.frames)
        if not used:
            return None
        # A framework that is not named is not part of the name: results of earlier releases are found again.
        left_out = {"runs", "sampled_runs"} if parameters.framework else {"runs", "sampled_runs", "framework"}
        values = parameters.model_dump(mode="json", exclude=left_out)
        sampled = usable_samples(store, parameters, runs.temperature_K)
        name = identifier("result", CONDUCTIVITY_KIND, used, values, runs.temperature_K, *sampled.values())
        known = known_result(store, name)
        if known is not None:
            return known
        with context.measure("analyse"):
            carrier = Carrier(
                parameters.species, runs.temperature_K, parameters.charge_e, framework=parameters.framework
            )
            trajectories = [load_trajectory(store, one, parameters.equilibration_frames) for one in used]
            analysis = analyse_conductivity(trajectories, carrier, parameters.transport)
            by_length = conductivity_against_length(
                trajectories, carrier, parameters.transport, lengths=parameters.lengths
            )
            of_samples = {
                number: analyse_conductivity(
                    [load_trajectory(store, one, parameters.equilibration_frames)], carrier, parameters.transport
                ).result
                for number, one in sampled.items()
            }
        record = new_result(
            parameters,
            name,
            CONDUCTIVITIES,
            parameters.potential,
            inputs=used,
            values=ConductivityValues(
                **dict(analysis.result),
                missing_replicas=len(runs.trajectories) - len(used),
                **of_sampled_models(of_samples, parameters),
            ),
            units=CURVE_UNITS,
            artefacts={"curves": save_arrays(store, CONDUCTIVITY_KIND, name, curve_arrays(analysis, by_length))},
        )
        store.results.replace(record)
        return record


def usable_trajectories(store: Store, names: Sequence[str], equilibration_frames: int, frames: int) -> list[str]:
    """Return which of the trajectories are whole on disk and at least half as long as planned."""
    fewest = equilibration_frames + max(FEWEST_FRAMES, int(SHORTEST_PART * frames))
    records = [record for name in names if (record := store.trajectories.get(name)) is not None]
    return [one.id for one in records if one.frames >= fewest and store.artefacts.is_whole(one.artefact)]


def usable_samples(store: Store, parameters: ConductivityParameters, temperature_K: float) -> dict[int, str]:
    """Return the trajectories of sampled models at a temperature that can be used, by the samples' numbers."""
    wanted = [
        name for one in parameters.sampled_runs if one.temperature_K == temperature_K for name in one.trajectories
    ]
    usable = set(usable_trajectories(store, wanted, parameters.equilibration_frames, parameters.frames))
    return {number: name for number, name in enumerate(wanted, start=1) if name in usable}


def load_trajectory(store: Store, name: str, equilibration_frames: int) -> Trajectory:
    """Return a trajectory of the store without its equilibration."""
    path = store.artefacts.path(store.trajectories[name].artefact.path)
    return read_trajectory(path).part(start=equilibration_frames)


def curve_arrays(analysis: ConductivityAnalysis, by_length: Sequence[ConductivityAtLength]) -> dict[str, FloatArray]:
    """Return what the figures need: displacements [n_lags], and estimates [n_lengths, 4] as `ESTIMATE_COLUMNS`."""
    return {
        **vars(analysis.curves),
        "length_ps": np.array([point.length_ps for point in by_length]),
        "tracer_mS_per_cm": np.array([list(point.tracer_mS_per_cm.model_dump().values()) for point in by_length]),
        "collective_mS_per_cm": np.array(
            [list(point.collective_mS_per_cm.model_dump().values()) for point in by_length]
        ),
        "reliable": np.array([float(point.reliable) for point in by_length]),
    }


def _record_arrhenius(
    store: Store, parameters: ConductivityParameters, records: Sequence[ResultRecord]
) -> ResultRecord | None:
    """Fit the reliable diffusivities and record the line, None where there are too few."""
    results = [CONDUCTIVITIES.read(record) for record in records]
    reliable = [one for one in results if one.reliable and one.diffusivity_A2_per_ps.standard_error > 0]
    if len(reliable) < FEWEST_TEMPERATURES:
        return None
    first = reliable[0]
    carriers = ChargeCarriers(first.ions, first.charge_e, first.volume_A3)
    fit = fit_arrhenius(
        [one.temperature_K for one in reliable],
        [one.diffusivity_A2_per_ps.value for one in reliable],
        [one.diffusivity_A2_per_ps.standard_error for one in reliable],
        carriers,
    )
    used = [record.id for record in records]
    record = new_result(
        parameters,
        identifier("result", ARRHENIUS_KIND, used),
        ARRHENIUS_LINES,
        parameters.potential,
        inputs=used,
        values=ArrheniusValues(
            **dict(fit),
            temperatures_left_out=len(results) - len(reliable),
            activation_energy_model_half_width_eV=activation_energy_half_width(reliable),
        ),
    )
    store.results.replace(record)
    return record
