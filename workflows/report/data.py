"""What a report of a campaign shows, gathered from the store: no page, no figures, only values.

Everything may be missing: a campaign in its first minutes has neither labels nor models, a failed one may
never get them. Predictions were recorded when models were assessed: nothing is computed or written here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...analysis.errors.model_errors import ModelErrors
from ...analysis.errors.statistics import ParityData
from ...analysis.figures import ErrorSeries
from ...analysis.locality.curves import LocalityBound
from ...analysis.looks import in_order
from ...core.arrays import FloatArray
from ...core.errors import IonloopError
from ...core.names import (
    AUDIT,
    CONCLUSION,
    CROSS_CHECK,
    CROSS_CHECK_SKIPPED,
    ERRORS,
    ISOLATED_ATOM,
    NEW,
    NOT_LABELLED,
    TRAINING,
)
from ...core.states import State
from ...store.campaigns import find_campaign
from ...store.connection import Store
from ...store.queries.rows import labels_by_configuration
from ...store.records import (
    CampaignRecord,
    ConfigurationRecord,
    LabelRecord,
    ModelRecord,
    ResultRecord,
    TrajectoryRecord,
)
from ...tasks.predictions import model_parity
from ...tasks.values.loop import CONCLUSIONS, MODEL_ERRORS, NOT_COMPARED
from ..analyses.fitted_charges import charge_section
from ..analyses.locality.report import locality_bounds
from ..analyses.model_uncertainty import uncertainty_section
from ..analyses.registry import ANALYSES, sections_of
from ..analyses.sections import ReportSection
from ..campaign.analyses import analyses_not_installed
from ..studies.results import study_sections
from ..watching.ledger import failures
from ..watching.status import CampaignStatus, FailedJob, campaign_status
from .experts import experts_section
from .learning import learning_section
from .properties import property_section
from .systems import system_section
from .tuning import tuning_section


@dataclass(frozen=True)
class ModelSummary:
    """A fitted model with its errors (None: not measured).

    Attributes
    ----------
    final
        Whether it was fitted to all data, after the loop ended: nothing new was left to measure it on.
    configurations
        Size of its training set.
    """

    record: ModelRecord
    final: bool
    configurations: int
    new: ModelErrors | None
    training: ModelErrors | None
    audit: ModelErrors | None = None

    def errors_on(self, subset: str) -> ModelErrors | None:
        """Return the errors on a subset by its name."""
        return {NEW: self.new, TRAINING: self.training, AUDIT: self.audit}[subset]


@dataclass(frozen=True)
class ModelParity:
    """Predictions of a generation's model on that generation's new configurations."""

    model_kind: str
    generation: int
    data: ParityData


@dataclass(frozen=True)
class TimeSpent:
    """Wall time of the campaign's work by kind (s), summed over jobs, and how many jobs of each."""

    kind: str
    jobs: int
    seconds: float


@dataclass(frozen=True)
class ReportData:
    """All that a report shows.

    Attributes
    ----------
    label_counts
        Configurations by generation and state of their label; isolated atoms are not counted.
    reference_forces, elements
        Of all finished labels, shapes [n_atoms, 3] (eV/Å) and [n_atoms].
    parity_problem
        Why there are no parity data of a model that was assessed; empty if there are.
    sections
        What the analyses show, those that have something.
    not_compared
        Why models were not compared with QUIP's evaluation, by kind, for those that never were.
    force_bounds
        Force errors that models cannot fall below by the locality test, by kind; empty without a test.
    """

    status: CampaignStatus
    record: CampaignRecord
    models: tuple[ModelSummary, ...]
    conclusion: ResultRecord | None
    label_counts: dict[int, dict[str, int]]
    reused_labels: int
    reference_forces: FloatArray
    elements: NDArray[np.str_]
    failures: tuple[FailedJob, ...]
    trajectories: tuple[TrajectoryRecord, ...]
    time_spent: tuple[TimeSpent, ...]
    parity: tuple[ModelParity, ...]
    parity_problem: str
    sections: tuple[ReportSection, ...]
    not_compared: Mapping[str, str]
    force_bounds: Mapping[str, LocalityBound]

    @property
    def has_audit(self) -> bool:
        """Whether models were measured on an audit set."""
        return any(model.audit is not None for model in self.models)

    @property
    def assessed(self) -> tuple[ModelSummary, ...]:
        """The models of the loop, in the order of generations: those that were measured on something new."""
        return tuple(model for model in self.models if model.new is not None)

    @property
    def last_assessed(self) -> tuple[ModelSummary, ...]:
        """The last model of each kind that was measured on something new."""
        return tuple({model.record.kind: model for model in self.assessed}.values())

    def error_series(self, quantity: str) -> list[ErrorSeries]:
        """Return the learning curves of ``energy`` (eV/atom) or ``force`` (eV/Å)."""
        series = []
        for kind in in_order(model.record.kind for model in self.models):
            loop = [model for model in self.models if model.record.kind == kind and not model.final]
            for subset in (NEW, AUDIT, TRAINING):
                points = [
                    (model.record.generation, root_mean_square(errors, quantity))
                    for model in loop
                    if (errors := model.errors_on(subset)) is not None
                ]
                if points:
                    generations, values = zip(*points, strict=True)
                    series.append(ErrorSeries(kind, subset, generations, values))
        return series


def root_mean_square(errors: ModelErrors, quantity: str) -> float:
    """Return the root-mean-square error of ``energy`` (eV/atom) or ``force`` (components, eV/Å)."""
    statistics = errors.energy_eV_per_atom if quantity == "energy" else errors.forces
    return statistics.rmse


def collect(store: Store, name: str | None = None) -> ReportData:
    """Return all that a report of the campaign shows.

    Raises
    ------
    InputError
        If there is no such campaign; the message lists those there are.
    """
    record = find_campaign(store, name)
    configurations = [
        configuration
        for configuration in store.configurations.find({"campaign": record.id})
        if configuration.origin.sampler != ISOLATED_ATOM
    ]
    labels = labels_by_configuration(store, configurations)
    forces, elements = _reference_forces(configurations, labels)
    results = list(store.results.find({"campaign": record.id}))
    models = _model_summaries(store, record.id, results)
    trajectories = tuple(store.trajectories.find({"campaign": record.id}))
    parity, problem = _parity(store, results)
    return ReportData(
        status=campaign_status(store, record.id),
        record=record,
        models=models,
        conclusion=next((result for result in results if result.kind == CONCLUSION), None),
        label_counts=_label_counts(configurations, labels),
        reused_labels=sum(label.campaign != record.id for label in labels.values()),
        reference_forces=forces,
        elements=elements,
        failures=tuple(failures(store, record.id)),
        trajectories=trajectories,
        time_spent=_time_spent(record.id, labels.values(), models, trajectories),
        parity=parity,
        parity_problem=problem,
        not_compared=_not_compared(results),
        force_bounds=locality_bounds(store, record.id),
        sections=(
            *filter(None, [system_section(store, record)]),
            *filter(None, [learning_section(results)]),
            *filter(None, [uncertainty_section(store, last_assessments(results))]),
            *filter(None, [tuning_section(results)]),
            *filter(None, [experts_section(results)]),
            *filter(None, [property_section(store, record)]),
            *filter(None, [charge_section(store, (model.record for model in models))]),
            *(section for analysis in ANALYSES.kinds for section in sections_of(store, record, analysis)),
            *(_not_installed(name) for name in analyses_not_installed(record.settings)),
            *study_sections(store, record.id),
        ),
    )


def _not_installed(name: str) -> ReportSection:
    title = name.replace("_", "-")
    text = f"The analysis {name} is not installed here: its results are in the store, and nothing here can show them."
    return ReportSection(f"not-installed-{title}", title, text)


def _not_compared(results: list[ResultRecord]) -> dict[str, str]:
    compared = {result.model for result in results if result.kind == CROSS_CHECK}
    return {
        result.model_kind or "": NOT_COMPARED.read(result).reason
        for result in results
        if result.kind == CROSS_CHECK_SKIPPED and result.model not in compared
    }


def _model_summaries(store: Store, campaign: str, results: list[ResultRecord]) -> tuple[ModelSummary, ...]:
    measured: dict[tuple[str | None, str], ModelErrors] = {}
    for result in results:
        if result.kind == ERRORS:
            errors = MODEL_ERRORS.read(result)
            measured[result.model, errors.subset] = errors
    data_sets = {record.id: record for record in store.data_sets.find({"campaign": campaign})}
    summaries = []
    for model in store.models.find({"campaign": campaign}):
        data_set = data_sets.get(model.data_set)
        summaries.append(
            ModelSummary(
                record=model,
                # The loop fits to what earlier generations gave; only the end fits to its own generation's.
                final=data_set is not None and data_set.generation == model.generation,
                configurations=0 if data_set is None else len(data_set.labels),
                new=measured.get((model.id, NEW)),
                training=measured.get((model.id, TRAINING)),
                audit=measured.get((model.id, AUDIT)),
            )
        )
    places = in_order(one.record.kind for one in summaries)
    return tuple(sorted(summaries, key=lambda one: (one.record.generation, one.final, places.index(one.record.kind))))


def _label_counts(
    configurations: list[ConfigurationRecord], labels: dict[str, LabelRecord]
) -> dict[int, dict[str, int]]:
    counts: dict[int, Counter[str]] = {}
    for configuration in configurations:
        label = labels.get(configuration.id)
        state = NOT_LABELLED if label is None else label.state.value
        counts.setdefault(configuration.generation, Counter())[state] += 1
    return {generation: dict(states) for generation, states in sorted(counts.items())}


def _reference_forces(
    configurations: list[ConfigurationRecord], labels: dict[str, LabelRecord]
) -> tuple[FloatArray, NDArray[np.str_]]:
    forces, elements = [np.zeros((0, 3))], [np.zeros(0, dtype=np.str_)]
    for configuration in configurations:
        label = labels.get(configuration.id)
        if label is not None and label.state is State.FINISHED and label.forces:
            forces.append(np.array(label.forces))
            elements.append(np.array(configuration.atoms.get_chemical_symbols()))
    return np.concatenate(forces), np.concatenate(elements)


def _time_spent(
    campaign: str,
    labels: Iterable[LabelRecord],
    models: Iterable[ModelSummary],
    trajectories: Iterable[TrajectoryRecord],
) -> tuple[TimeSpent, ...]:
    work = {
        "label": [label.wall_time_s for label in labels if label.campaign == campaign],
        "fit": [model.record.wall_time_s for model in models],
        "sample": [trajectory.wall_time_s for trajectory in trajectories],
    }
    return tuple(TimeSpent(kind, len(times), sum(times)) for kind, times in work.items())


def last_assessments(results: Iterable[ResultRecord]) -> list[ResultRecord]:
    """Return the errors on the new labels of the last generation that was assessed, in the order of models."""
    assessed = [result for result in results if result.kind == ERRORS and result.values.get("subset") == NEW]
    last = max((result.generation for result in assessed), default=0)
    places = in_order(str(one.model_kind) for one in assessed)
    chosen = [result for result in assessed if result.generation == last]
    return sorted(chosen, key=lambda one: places.index(str(one.model_kind)))


def _parity(store: Store, results: list[ResultRecord]) -> tuple[tuple[ModelParity, ...], str]:
    """Return the parity data of the last generation that was assessed, and what was in the way."""
    found: list[ModelParity] = []
    problems: list[str] = []
    for result in last_assessments(results):
        try:
            found.append(ModelParity(str(result.model_kind), result.generation, model_parity(store, result)))
        except IonloopError as error:
            problems.append(f"{result.model_kind}: {error}")
    return tuple(found), "; ".join(problems)


def verdict(data: ReportData) -> str:
    """Return in one sentence where the campaign stands and why."""
    if data.conclusion is not None:
        return CONCLUSIONS.read(data.conclusion).reason
    if data.status.reason:
        return data.status.reason
    if data.status.state is State.RUNNING:
        return "jobs are running; this report shows what there is so far"
    return "the campaign waits for a worker; this report shows what there is so far"
