"""Fitting jobs: one model, one frozen data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator, model_validator

from ..analysis.errors.agreement import compare_calculators
from ..analysis.errors.model_errors import FORCE_TOLERANCE_EV_PER_A, Agreement
from ..analysis.errors.statistics import parity_data, parity_of_groups
from ..core.names import CROSS_CHECK, CROSS_CHECK_SKIPPED, ERRORS, TRAINING
from ..core.settings import FrozenSettings
from ..fitting.data_sets import DataSet, LabelledConfiguration, isolated_atom
from ..fitting.electrostatics.registry import AnyBaselineSettings, kind_of_baseline
from ..fitting.gap_fit import FitLimits
from ..fitting.kinds.registry import MODELS, settings_of_kind
from ..fitting.models import fit_model, load_model
from ..fitting.quip import QuipState, find_quip
from ..fitting.settings import CommonBaselineSettings
from ..store.connection import Store
from ..store.identifiers import identifier
from ..store.queries.labelled import labelled
from ..store.records import DataSetRecord, ModelRecord, ResultRecord
from ..store.reference_guard import allowed_versions, check_one_setting
from .base import IonloopTask, JobFailed, Outcome, TaskParameters
from .context import TaskContext
from .model_uncertainty.intervals import coverage_values
from .predictions import record_predictions
from .results import new_result
from .values.experts import Expert, JointModel
from .values.loop import (
    CROSS_CHECKS,
    MODEL_ERRORS,
    NOT_COMPARED,
    AgreementValues,
    ErrorValues,
    NotComparedValues,
)

_SETTINGS_ONCE = "gap"
"""What settings were called in the jobs of release 0.1."""
ROW_CACHE_FOLDER = "cache/rows"


def model_identifier(
    kind: str,
    data_set: str,
    settings: FrozenSettings,
    baseline: CommonBaselineSettings | None,
    *,
    seed: int,
    backend: str,
    earlier_model: str | None = None,
    experts: Sequence[str] = (),
) -> str:
    """Return the identifier of the model that these inputs give (known before it is fitted).

    ``earlier_model`` is the identifier of the model that it grows from, ``experts`` are those of the models that it is
    made of.
    """
    return identifier(
        "model",
        kind,
        data_set,
        settings.identifying_values(),
        None if baseline is None else baseline.model_dump(mode="json"),
        seed,
        backend,
        *([] if earlier_model is None else [earlier_model]),
        *([list(experts)] if experts else []),
    )


def labelled_configurations(store: Store, labels: list[str]) -> list[LabelledConfiguration]:
    """Return the finished labels with their structures, in the order given."""
    records = store.labels.get_many(labels)
    configurations = store.configurations.get_many([record.configuration for record in records])
    return [labelled(*pair) for pair in zip(configurations, records, strict=True)]


def build_data_set(store: Store, record: DataSetRecord) -> DataSet:
    """Return the data set that ``record`` names.

    Raises
    ------
    MixedReferencesError
        If its labels are of different engine settings, or of versions that its campaign does not let mix.
    """
    check_one_setting(store.labels.get_many(record.labels), allowed_versions(store, record.campaign))
    return DataSet(
        configurations=tuple(labelled_configurations(store, record.labels)),
        isolated_atoms=tuple(isolated_atom(*energy) for energy in record.isolated_atom_energies.items()),
    )


def systems_of_labels(store: Store, campaign: str, labels: list[str]) -> list[str] | None:
    """Return the system of each label's content in a campaign, None where that has one structure without a name.

    A label may have been computed for a configuration of another campaign.
    """
    record = store.campaigns.get(campaign)
    if record is None or not record.systems:
        return None
    fields = {"content_hash": 1, "system": 1}
    found = store.database.configurations.find({"campaign": campaign, "system": {"$in": list(record.systems)}}, fields)
    of_content = {one["content_hash"]: one["system"] for one in found}
    return [of_content[label.content_hash] for label in store.labels.get_many(labels)]


def record_errors(
    store: Store,
    place: TaskParameters,
    model: ModelRecord,
    subset: str,
    labels: list[str],
    backend: str,
) -> ResultRecord:
    """Measure ``model`` on ``labels`` and record the errors, overall and per element; of others than training
    ones the predictions, too (with charges where those follow the environment).

    ``subset`` says what the configurations are to the model: ``training``, ``new`` or ``audit``. A model
    that ``backend`` cannot evaluate is evaluated by its own.
    """
    name = identifier("result", ERRORS, model.id, subset, labels)
    known = store.results.get(name)
    if known is not None:
        return known
    on = None if model.baseline is None else kind_of_baseline(model.baseline)
    evaluator = MODELS.get(model.kind_of_model).evaluator(backend, on)
    calculator = load_model(store.artefacts.path(model.path), backend=evaluator)
    configurations = labelled_configurations(store, labels)
    follow = on is not None and not on.has_species_charges and "charges" in calculator.implemented_properties
    predicted = parity_data(calculator, configurations, with_charges=follow)
    if subset != TRAINING:
        record_predictions(store, place, model, subset, labels, predicted)
    systems = systems_of_labels(store, place.campaign, labels)
    # Those that it was fitted to test nothing.
    coverage = coverage_values(store, model.id, configurations, predicted) if subset != TRAINING else {}
    by_system = {} if systems is None else parity_of_groups(predicted, configurations, systems)
    values = ErrorValues(
        subset=subset,
        **dict(predicted.errors()),
        by_system={name: data.errors() for name, data in by_system.items()},
        **coverage,
    )
    return store.results.add(
        new_result(
            place,
            name,
            MODEL_ERRORS,
            model,
            inputs=labels,
            values=values,
            units={name: unit for name, unit in MODEL_ERRORS.units.items() if name != "by_system" or systems},
        )
    )


def fit_limits(store: Store) -> FitLimits:
    """Return what a fit may use: both kinds, all generations and all campaigns of a store share the rows."""
    return FitLimits(cache_folder=store.artefacts.path(ROW_CACHE_FOLDER))


def earlier_model_folder(store: Store, name: str | None) -> Path | None:
    """Return the folder of the model whose sparse points are kept, None if none are.

    Raises
    ------
    JobFailed
        If that model is not there, or damaged.
    """
    if name is None:
        return None
    earlier = store.models.get(name)
    if earlier is None or not all(store.artefacts.is_whole(file) for file in earlier.files):
        raise JobFailed(
            f"the model {name} of the generation before, whose sparse points are kept, is missing or damaged; repeat "
            "its fit with `ionloop retry`, then this job"
        )
    return store.artefacts.path(earlier.path)


def expert_folder(store: Store, expert: Expert) -> Path:
    """Return the folder of a model of another campaign that a joint model is made of.

    Raises
    ------
    JobFailed
        If it is not there, or damaged.
    """
    record = store.models.get(expert.model)
    if record is None or not all(store.artefacts.is_whole(file) for file in record.files):
        raise JobFailed(
            f"the model {expert.model} of {expert}, which joins this one, is missing or damaged; repeat its fit with "
            "`ionloop retry`, then this job"
        )
    return store.artefacts.path(record.path)


def settings_under_their_name(data: Any) -> Any:
    """Return parameters of a job with ``settings``, which were called ``gap`` when there was nothing else."""
    if isinstance(data, Mapping) and _SETTINGS_ONCE in data:
        return {("settings" if name == _SETTINGS_ONCE else name): value for name, value in data.items()}
    return data


class FitParameters(TaskParameters):
    """A kind of model, the data set and the hyperparameters."""

    model: str
    kind: str
    name: str | None = Field(default=None, description="what the campaign calls the model, where not by its kind")
    data_set: str
    settings: SerializeAsAny[FrozenSettings]
    baseline: AnyBaselineSettings | None = None
    seed: int
    backend: str
    evaluate_backend: str
    earlier_model: str | None = Field(default=None, description="identifier of the model that this one grows from")
    joint: JointModel | None = Field(default=None, description="what it is made of besides the data")
    left_out: ClassVar[frozenset[str]] = TaskParameters.left_out | {"joint"}

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_releases(cls, data: Any) -> Any:
        return settings_under_their_name(data)

    @field_validator("settings", mode="before")
    @classmethod
    def _of_their_kind(cls, value: Any, info: ValidationInfo) -> Any:
        return settings_of_kind(info.data.get("kind"), value)


class FitTask(IonloopTask):
    """Fit a model to a data set and measure its training errors."""

    _fw_name = "ionloop.fit"
    parameters_type = FitParameters

    def execute(self, parameters: FitParameters, context: TaskContext) -> Outcome:
        """Fit unless the store has the model whole."""
        store = context.store
        data_set = store.data_sets[parameters.data_set]
        model = store.models.get(parameters.model)
        if model is None or not all(store.artefacts.is_whole(file) for file in model.files):
            with context.measure("fit"):
                fitted = self._fit(parameters, data_set, context)
            generation = parameters.generation if model is None else max(model.generation, parameters.generation)
            model = fitted.model_copy(update={"generation": generation})
            store.models.replace(model)
        elif model.generation < parameters.generation:
            # It was fitted to be asked whether the loop goes on, or at an end that the campaign went on after.
            model = model.model_copy(update={"generation": parameters.generation})
            store.models.replace(model)
        with context.measure("fit"):
            errors = record_errors(store, parameters, model, TRAINING, data_set.labels, parameters.evaluate_backend)
        reason = "" if parameters.joint is None else parameters.joint.words
        return Outcome(reason=reason, outputs={"model": model.id, "errors": errors.id})

    @staticmethod
    def _fit(parameters: FitParameters, record: DataSetRecord, context: TaskContext) -> ModelRecord:
        store = context.store
        relative = f"models/{parameters.model}"
        store.artefacts.folder("models")
        data_set = build_data_set(store, record)
        manifest = fit_model(
            parameters.kind,
            data_set,
            parameters.settings,
            parameters.baseline,
            store.artefacts.path(relative),
            seed=parameters.seed,
            limits=fit_limits(store),
            backend=parameters.backend,
            earlier_model=earlier_model_folder(store, parameters.earlier_model),
            experts=[] if parameters.joint is None else [expert_folder(store, one) for one in parameters.joint.experts],
        )
        folder = store.artefacts.path(relative)
        baseline: dict[str, Any] | None = None
        if parameters.baseline is not None:
            baseline = parameters.baseline.model_dump(mode="json")
        return ModelRecord(
            id=parameters.model,
            campaign=parameters.campaign,
            generation=parameters.generation,
            kind=parameters.name or parameters.kind,
            registered_kind=None if parameters.name in (None, parameters.kind) else parameters.kind,
            data_set=record.id,
            training_set_hash=manifest.training_set_hash,
            hyperparameters=parameters.settings.model_dump(mode="json"),
            baseline=baseline,
            seed=parameters.seed,
            path=relative,
            files=[store.artefacts.register(path) for path in sorted(folder.iterdir()) if path.is_file()],
            wall_time_s=manifest.wall_time_s,
        )


class CrossCheckParameters(TaskParameters):
    """A model and how many of its training configurations are evaluated twice."""

    model: str
    data_set: str
    configurations: int


class CrossCheckTask(IonloopTask):
    """Evaluate a model with our evaluator and with QUIP; where they differ, nothing may be built on the model."""

    _fw_name = "ionloop.cross-check"
    parameters_type = CrossCheckParameters

    def execute(self, parameters: CrossCheckParameters, context: TaskContext) -> Outcome:
        """Compare, record the largest differences, and fail if the forces differ."""
        quip = find_quip()
        if quip.state is not QuipState.PRESENT:
            return self._skip(parameters, context.store, f"not compared with QUIP: {quip.reason}")
        store = context.store
        name = identifier("result", CROSS_CHECK, parameters.model, parameters.configurations)
        known = store.results.get(name)
        agreement = self._compare(parameters, context) if known is None else CROSS_CHECKS.read(known)
        if known is None:
            store.results.add(
                new_result(
                    parameters,
                    name,
                    CROSS_CHECKS,
                    store.models[parameters.model],
                    values=AgreementValues(**dict(agreement)),
                )
            )
        if not agreement.holds:
            raise JobFailed(
                f"the native evaluator and QUIP differ by {agreement.force_eV_per_A:.2g} eV/Å on model "
                f"{parameters.model}, more than {FORCE_TOLERANCE_EV_PER_A:g}; please report it, and set "
                "evaluate.backend: quippy and fit.backend: gap_fit in a campaign of another name"
            )
        return Outcome(reason=f"forces agree to {agreement.force_eV_per_A:.1e} eV/Å")

    @staticmethod
    def _skip(parameters: CrossCheckParameters, store: Store, reason: str) -> Outcome:
        """Record that there is nothing to compare with: the model stands, and its report says so."""
        store.results.add(
            new_result(
                parameters,
                identifier("result", CROSS_CHECK_SKIPPED, parameters.model),
                NOT_COMPARED,
                store.models[parameters.model],
                values=NotComparedValues(reason=reason),
            )
        )
        return Outcome(reason=reason)

    @staticmethod
    def _compare(parameters: CrossCheckParameters, context: TaskContext) -> Agreement:
        store = context.store
        path = store.artefacts.path(store.models[parameters.model].path)
        labels = store.data_sets[parameters.data_set].labels
        # Spread over the set, so that early and late generations are both seen.
        count = min(parameters.configurations, len(labels))
        chosen = [labels[index * len(labels) // count] for index in range(count)]
        structures = [configuration.atoms for configuration in labelled_configurations(store, chosen)]
        with context.measure("cross-check"):
            return compare_calculators(
                load_model(path, backend="native"), load_model(path, backend="quippy"), structures
            )
