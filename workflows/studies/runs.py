"""Running the data-size and the reference-quality study on any labelled set: splits, fits, errors, transport.

Everything lies in one folder under names that follow from what it is: a study that was interrupted finds its models
whole and its trajectories where they stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.formula import Formula
from pydantic import Field, PositiveFloat, PositiveInt

from ...analysis.conductivity.transport import Carrier, analyse_conductivity
from ...analysis.conductivity.transport_settings import FEWEST_FRAMES
from ...analysis.errors.statistics import evaluate_errors
from ...analysis.studies.studies import (
    DataSizeStudy,
    ModelTransport,
    QualityModel,
    ReferenceQualityStudy,
    SizePoint,
    environments_of,
    halved_sizes,
    hold_out,
    label_differences,
)
from ...analysis.trajectories.reading import Trajectory, read_trajectory
from ...core.errors import InputError
from ...core.settings import FrozenModel, FrozenSettings
from ...core.states import State
from ...core.structures import structure_hash
from ...fitting.consistency import reference_name
from ...fitting.data_sets import BareConfiguration, DataSet, LabelledConfiguration
from ...fitting.gap_fit import FitLimits
from ...fitting.models import ModelManifest, fit_model, load_model
from ...fitting.settings import CommonBaselineSettings
from ...labelling.common_settings import CommonSettings
from ...labelling.registry import engine_of
from ...labelling.runner import label
from ...labelling.scratch import request_hash
from ...labelling.settings import settings_hash
from ...labelling.versions import NOT_KNOWN, version_that_counts
from ...sampling.molecular_dynamics import TrajectoryEnd, run_langevin
from ...sampling.molecular_dynamics_settings import MolecularDynamicsSettings, steps_for
from ...sampling.selections.farthest_point import FarthestPointSelection
from ...sampling.selections.selecting import select

Progress = Callable[[str], None]


def _silent(_: str) -> None:
    """Say nothing."""


class TransportRun(FrozenModel):
    """Molecular dynamics by which the transport of the models is compared."""

    temperatures_K: tuple[PositiveFloat, ...] = Field((800.0,), min_length=1, description="Temperatures (K)")
    length_ps: PositiveFloat = Field(20.0, description="Length of each trajectory (ps)")
    equilibration_ps: float = Field(1.0, ge=0, description="Beginning that is left out (ps)")
    replicas: PositiveInt = Field(1, description="Independent trajectories per temperature (count)")
    timestep_fs: PositiveFloat = Field(2.0, description="Time step (fs)")
    write_every: PositiveInt = Field(25, description="Steps between two frames (count)")
    friction_per_ps: PositiveFloat = Field(1.0, description="Friction of the thermostat (1/ps)")
    mobile: str = Field("Li", description="Chemical symbol of the ion that moves")


@dataclass(frozen=True)
class StudyPlan:
    """How the models of a study are made, and where.

    Attributes
    ----------
    folder
        Models, trajectories and rows that fits share.
    transport
        None measures errors only.
    start
        Structure that trajectories begin from; None takes the first configuration with mobile ions.
    """

    folder: Path
    kind: str
    settings: FrozenSettings
    baseline: CommonBaselineSettings | None = None
    held_out_fraction: float = 0.2
    seed: int = 1
    transport: TransportRun | None = None
    start: Atoms | None = None
    progress: Progress = field(default=_silent)

    def fit(self, name: str, data_set: DataSet) -> tuple[ModelManifest, Calculator]:
        """Return the model of that name, fitted unless it is there, and its calculator."""
        (self.folder / "models").mkdir(parents=True, exist_ok=True)
        path = self.folder / "models" / name
        limits = FitLimits(cache_folder=self.folder / "rows")
        manifest = fit_model(self.kind, data_set, self.settings, self.baseline, path, seed=self.seed, limits=limits)
        return manifest, load_model(path)


def composition(configuration: LabelledConfiguration) -> str:
    """Return the reduced formula, by which configurations are grouped."""
    return Formula(configuration.atoms.get_chemical_formula()).reduce()[0].format("hill")


def split(data_set: DataSet, plan: StudyPlan) -> tuple[DataSet, tuple[LabelledConfiguration, ...]]:
    """Return the configurations to train on and those held out.

    Raises
    ------
    InputError
        If the set cannot be divided.
    """
    configurations = data_set.configurations
    trained, held = hold_out([composition(one) for one in configurations], plan.held_out_fraction, plan.seed)
    training = replace(data_set, configurations=tuple(configurations[index] for index in trained))
    return training, tuple(configurations[index] for index in held)


def farthest_point_order(configurations: Sequence[LabelledConfiguration], seed: int) -> list[int]:
    """Return the configurations' indices, each as different as can be from those before it; copies are left out."""
    settings = FarthestPointSelection(count=len(configurations))
    return list(select([one.atoms for one in configurations], [], settings, seed).indices)


def run_data_size_study(data_set: DataSet, plan: StudyPlan, smallest: int = 4) -> DataSizeStudy:
    """Fit to the set, its half, its quarter and so on, and measure each model on the same held-out configurations.

    Subsets are nested: each is the beginning of one farthest-point order.

    Raises
    ------
    InputError
        If the set is too small, or no configuration holds mobile ions.
    """
    training, held = split(data_set, plan)
    order = farthest_point_order(training.configurations, plan.seed)
    points: list[SizePoint] = []
    skipped: list[str] = []
    for size in halved_sizes(len(order), min(smallest, len(order))):
        chosen = sorted(order[:size])
        subset = replace(training, configurations=tuple(training.configurations[index] for index in chosen))
        missing = sorted(set(data_set.elements) - set(subset.elements))
        if missing:
            skipped.append(f"{size} configurations hold no {', '.join(missing)}")
            continue
        plan.progress(f"fit to {size} configurations")
        manifest, calculator = plan.fit(f"size-{size}", subset)
        points.append(
            SizePoint(
                configurations=size,
                environments=environments_of(subset.configurations),
                errors=evaluate_errors(calculator, held),
                fit_time_s=manifest.wall_time_s,
                transport=model_transport(calculator, _start(data_set, plan), plan, f"size-{size}"),
            )
        )
    return DataSizeStudy(model_kind=plan.kind, held_out=len(held), points=tuple(points), skipped=tuple(skipped))


def _start(data_set: DataSet, plan: StudyPlan) -> Atoms | None:
    if plan.transport is None:
        return None
    if plan.start is not None:
        return plan.start
    for one in data_set.configurations:
        if plan.transport.mobile in one.atoms.symbols:
            return one.atoms
    raise InputError(f"no configuration holds {plan.transport.mobile}: name the ions that move (--mobile)")


def model_transport(
    calculator: Calculator, start: Atoms | None, plan: StudyPlan, name: str
) -> tuple[ModelTransport, ...]:
    """Return the transport of a model at every temperature, nothing where none was asked for."""
    run = plan.transport
    if run is None or start is None:
        return ()
    return tuple(_transport_at(calculator, start, plan, run, name, temperature) for temperature in run.temperatures_K)


def _transport_at(
    calculator: Calculator, start: Atoms, plan: StudyPlan, run: TransportRun, name: str, temperature_K: float
) -> ModelTransport:
    folder = plan.folder / "trajectories"
    folder.mkdir(parents=True, exist_ok=True)
    settings = MolecularDynamicsSettings(
        temperature_K=temperature_K,
        timestep_fs=run.timestep_fs,
        steps=steps_for(run.length_ps, run.timestep_fs, run.write_every),
        write_every=run.write_every,
        friction_per_ps=run.friction_per_ps,
    )
    trajectories: list[Trajectory] = []
    for replica in range(run.replicas):
        plan.progress(f"{name}: {run.length_ps:g} ps at {temperature_K:g} K, replica {replica + 1} of {run.replicas}")
        path = folder / f"{name}-{temperature_K:g}K-{replica}.traj"
        outcome = run_langevin(start, calculator, settings, path, seed=plan.seed + replica)
        if outcome.end is not TrajectoryEnd.COMPLETED:
            return _no_transport(run, temperature_K, f"the trajectory stopped: {outcome.reason}")
        whole = read_trajectory(path)
        left_out = round(run.equilibration_ps * 1000.0 / whole.frame_interval_fs)
        if whole.n_frames - left_out < FEWEST_FRAMES:
            return _no_transport(run, temperature_K, f"fewer than {FEWEST_FRAMES} frames after equilibration")
        trajectories.append(whole.part(start=left_out))
    # No diffusivity depends on the charge: any ion may be asked for.
    result = analyse_conductivity(trajectories, Carrier(run.mobile, temperature_K, charge_e=1.0)).result
    return ModelTransport(
        temperature_K=temperature_K,
        length_ps=result.length_ps,
        replicas=result.replicas,
        diffusivity_A2_per_ps=result.diffusivity_A2_per_ps,
        reliable=result.reliable,
        remark="; ".join(result.warnings),
    )


def _no_transport(run: TransportRun, temperature_K: float, remark: str) -> ModelTransport:
    return ModelTransport(
        temperature_K=temperature_K,
        length_ps=0.0,
        replicas=run.replicas,
        diffusivity_A2_per_ps=None,
        reliable=False,
        remark=remark,
    )


def common_configurations(first: DataSet, second: DataSet) -> tuple[DataSet, DataSet]:
    """Return the configurations whose structures are in both sets, in the order of the first.

    Raises
    ------
    InputError
        If there are none.
    """
    others = {structure_hash(one.atoms): one for one in second.configurations}
    pairs = [(one, others[key]) for one in first.configurations if (key := structure_hash(one.atoms)) in others]
    if not pairs:
        raise InputError(
            "the two sets have no structure in common: the study compares two labels of the same structures"
        )
    return (
        replace(first, configurations=tuple(one for one, _ in pairs)),
        replace(second, configurations=tuple(other for _, other in pairs)),
    )


def _reference(engine: CommonSettings, engine_version: str) -> str:
    name = engine_of(engine).labelled_by(engine)
    version = version_that_counts(name, engine_version)
    return reference_name(name, settings_hash(engine), "" if version == NOT_KNOWN else version)


def relabel(
    structures: Sequence[BareConfiguration | LabelledConfiguration],
    engine: CommonSettings,
    folder: Path,
    progress: Progress = _silent,
) -> DataSet:
    """Return the structures with labels of a reference engine; those that fail are left out and told.

    Labels lie in ``folder``: a second run computes only what is missing.

    Raises
    ------
    InputError
        If none finished; the message has the first reason.
    """
    finished: list[LabelledConfiguration] = []
    reason = ""
    name = settings_hash(engine)[:12]
    for number, one in enumerate(structures, start=1):
        progress(f"label {number} of {len(structures)}")
        outcome = label(one.atoms, engine, folder / f"{name}-{request_hash(one.atoms)[:20]}")
        if outcome.state is not State.FINISHED or outcome.energy is None or outcome.forces is None:
            reason = reason or f"{outcome.state.value}: {outcome.reason}"
            progress(f"left out {one.identifier}, {outcome.state.value}: {outcome.reason}")
            continue
        finished.append(
            LabelledConfiguration(
                one.atoms,
                outcome.energy,
                outcome.forces,
                outcome.stress,
                one.identifier,
                one.config_type,
                labelled_by=_reference(engine, outcome.engine_version),
                charges=outcome.charges,
                dipole=outcome.dipole,
            )
        )
    if not finished:
        raise InputError(f"none of {len(structures)} labels finished; the first was {reason}")
    return DataSet(tuple(finished))


@dataclass(frozen=True)
class NamedLabels:
    """A data set and what its settings are called."""

    name: str
    data_set: DataSet


def run_reference_quality_study(first: NamedLabels, second: NamedLabels, plan: StudyPlan) -> ReferenceQualityStudy:
    """Compare two labels of the same structures, the models fitted to each, and the transport of those.

    Both sets must be about the same structures in the same order (`common_configurations`).

    Raises
    ------
    InputError
        If the sets do not match or are too small.
    """
    sets = (first.data_set, second.data_set)
    compositions = [composition(one) for one in sets[0].configurations]
    differences = label_differences(sets[0].configurations, sets[1].configurations, compositions)
    divided = [split(data_set, plan) for data_set in sets]
    models: list[QualityModel] = []
    for index, (labels, suffix) in enumerate(((first, "first"), (second, "second"))):
        training, held = divided[index]
        plan.progress(f"fit to {len(training)} configurations of {labels.name}")
        _, calculator = plan.fit(suffix, training)
        models.append(
            QualityModel(
                fitted_to=labels.name,
                errors=evaluate_errors(calculator, held),
                force_error_against_other=evaluate_errors(calculator, divided[1 - index][1]).forces,
                transport=model_transport(calculator, _start(labels.data_set, plan), plan, suffix),
            )
        )
    return ReferenceQualityStudy(
        model_kind=plan.kind, held_out=len(divided[0][1]), differences=differences, models=(models[0], models[1])
    )
