"""The assessment of a generation: errors on the new labels, then the data set of the next generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from ..core.names import AUDIT, CONCLUSION, CROSS_CHECK, ERRORS, ISOLATED_ATOM, LEARNING_ROUND, NEW
from ..core.states import State
from ..labelling.registry import EngineSettings
from ..store.connection import Store
from ..store.identifiers import identifier
from ..store.records import ConfigurationRecord, DataSetRecord, LabelRecord, now
from ..store.reference_guard import allowed_versions, check_one_setting
from .base import IonloopTask, JobFailed, Outcome, TaskParameters
from .context import TaskContext, current_settings
from .fit import record_errors
from .label import label_identifier
from .results import known_result, new_result
from .sample import is_training
from .values.learning import AUDITED, ROUNDS, RoundFrame
from .values.loop import CONCLUSIONS, CROSS_CHECKS, ConclusionValues


def data_set_identifier(campaign: str, labels: list[str]) -> str:
    """Return the identifier of the data set of these labels."""
    return identifier("data", campaign, labels)


def generation_labels(
    store: Store, campaign: str, generation: int, engine: EngineSettings
) -> list[tuple[ConfigurationRecord, LabelRecord | None]]:
    """Return the configurations of a generation with their labels, in the order they were chosen."""
    configurations = [
        record
        for record in store.configurations.find({"campaign": campaign, "generation": generation})
        if is_training(record)
    ]
    configurations.sort(key=lambda one: (one.system or "", one.origin.sampler, one.origin.index, one.id))
    return [(record, store.labels.get(label_identifier(record.content_hash, engine))) for record in configurations]


def measured_labels(
    store: Store, place: TaskParameters, labelled: Sequence[tuple[ConfigurationRecord, LabelRecord | None]]
) -> list[str]:
    """Return the finished labels that a generation's models are measured on: all, or of what learnt its audits.

    What an alarm chose is no sample of what walkers meet.
    """
    rounds = store.results.find({"campaign": place.campaign, "generation": place.generation, "kind": LEARNING_ROUND})
    finished = {one.id: label.id for one, label in labelled if label is not None and label.state is State.FINISHED}
    not_measured: set[str] = set()
    frames: dict[str | None, list[RoundFrame]] = {}
    for record in rounds:
        frames.setdefault(record.system, []).extend(ROUNDS.read(record).frames)
    for of_system in frames.values():
        audits = {one.configuration for one in of_system if one.kind == AUDITED}
        if audits & finished.keys():
            not_measured |= {one.configuration for one in of_system} - audits
    return [label for configuration, label in finished.items() if configuration not in not_measured]


def audit_labels(store: Store, campaign: str, engine: EngineSettings) -> list[str]:
    """Return the labels of the audit set: those on which models were measured first, else those that are finished.

    A label that finishes later does not join: a set that changes compares nothing.
    """
    measured = list(store.results.find({"campaign": campaign, "kind": ERRORS, "values.subset": AUDIT}))
    if measured:
        return list(min(measured, key=lambda one: (one.generation, one.created)).inputs)
    records = store.configurations.find({"campaign": campaign, "purpose": AUDIT})
    places = sorted(records, key=lambda one: (one.system or "", one.origin.index, one.id))
    labels = (store.labels.get(label_identifier(record.content_hash, engine)) for record in places)
    return [label.id for label in labels if label is not None and label.state is State.FINISHED]


def isolated_atom_labels(store: Store, campaign: str, engine: EngineSettings) -> dict[str, LabelRecord]:
    """Return the finished labels of isolated atoms by species."""
    found = {}
    for record in store.configurations.find({"campaign": campaign, "origin.sampler": ISOLATED_ATOM}):
        label = store.labels.get(label_identifier(record.content_hash, engine))
        if label is not None and label.energy is not None:
            found[record.formula] = label
    return found


def isolated_atom_energies(store: Store, campaign: str, engine: EngineSettings) -> dict[str, float]:
    """Return the isolated-atom energies (eV) by species."""
    labels = isolated_atom_labels(store, campaign, engine)
    return {species: label.energy for species, label in labels.items() if label.energy is not None}


def check_evaluators(store: Store, models: Mapping[str, str]) -> None:
    """Stop where the cross-check of a model failed: jobs that run after failures do not run after that one.

    Raises
    ------
    JobFailed
        Naming the models.
    """
    checks = store.results.find({"kind": CROSS_CHECK, "model": {"$in": sorted(models.values())}})
    wrong = [check.model_kind or "" for check in checks if not CROSS_CHECKS.read(check).holds]
    if wrong:
        raise JobFailed(f"the cross-check of {', '.join(sorted(wrong))} failed; see `ionloop failures`")


class AssessParameters(TaskParameters):
    """The models of the generation and what counts as enough labels."""

    models: dict[str, str] = Field(description="identifiers of the generation's models by name; none at first")
    charges: str | None = Field(default=None, description="identifier of the fitted charges that the next fit needs")
    joining: list[str] = Field(default_factory=list, description="systems that join: each needs enough labels")
    left_out: ClassVar[frozenset[str]] = TaskParameters.left_out | {"joining"}
    species: list[str]
    planned: int | None = Field(default=None, description="configurations that were asked for, if fixed")
    engine: EngineSettings
    min_label_fraction: float
    backend: str


class AssessTask(IonloopTask):
    """Measure the models on the generation's labels before those join, then freeze the next data set."""

    _fw_name = "ionloop.assess"
    parameters_type = AssessParameters

    def execute(self, parameters: AssessParameters, context: TaskContext) -> Outcome:
        """Check that enough labels finished, record the errors and the data set."""
        store = context.store
        labelled = generation_labels(store, parameters.campaign, parameters.generation, parameters.engine)
        finished = [label.id for _, label in labelled if label is not None and label.state is State.FINISHED]
        least = current_settings(store, parameters.campaign).get("stop", {}).get("min_label_fraction")
        parameters = parameters.model_copy(update={} if least is None else {"min_label_fraction": least})
        self._check_fraction(parameters, len(finished), parameters.planned or len(labelled))
        for system in parameters.joining:
            states = [
                label is not None and label.state is State.FINISHED for one, label in labelled if one.system == system
            ]
            self._check_fraction(parameters, sum(states), len(states), system)
        self._check_isolated_atoms(parameters, context)
        if parameters.charges is not None and known_result(store, parameters.charges) is None:
            raise JobFailed("the charges of the baseline were not fitted; see `ionloop failures`, then `ionloop retry`")
        check_evaluators(store, parameters.models)
        audit = audit_labels(store, parameters.campaign, parameters.engine) if parameters.models else []
        measured = measured_labels(store, parameters, labelled) if parameters.models else []
        for name in parameters.models.values():
            model = store.models.get(name)
            # A model whose fit failed is in the ledger of failures; the others are measured all the same.
            if model is not None:
                with context.measure("assess"):
                    record_errors(store, parameters, model, NEW, measured, parameters.backend)
                    if audit:
                        record_errors(store, parameters, model, AUDIT, audit, parameters.backend)
        data_set = self._freeze(parameters, context)
        return Outcome(
            reason=f"{len(finished)} of {len(labelled)} labels finished",
            outputs={"data_set": data_set.id, "finished": len(finished), "labels": len(labelled)},
            pass_on={"data_set": data_set.id},
        )

    @staticmethod
    def _check_fraction(parameters: AssessParameters, finished: int, total: int, system: str = "") -> None:
        of = f" of {system}" if system else ""
        if total == 0 and system:
            raise JobFailed(f"{system} has no configuration to label; see `ionloop failures`, then `ionloop retry`")
        if total == 0:
            raise JobFailed(
                f"generation {parameters.generation} has no configuration to label: "
                "the trajectories gave no frame that was selected"
            )
        if finished < parameters.min_label_fraction * total or finished == 0:
            raise JobFailed(
                f"only {finished} of {total} labels of generation {parameters.generation}{of} finished, "
                f"fewer than stop.min_label_fraction = {parameters.min_label_fraction:g}; "
                "see `ionloop failures`, then `ionloop retry`"
            )

    @staticmethod
    def _check_isolated_atoms(parameters: AssessParameters, context: TaskContext) -> None:
        energies = isolated_atom_energies(context.store, parameters.campaign, parameters.engine)
        missing = sorted(set(parameters.species) - set(energies))
        if missing:
            raise JobFailed(f"no isolated-atom energy of {', '.join(missing)}; see `ionloop failures`")

    @staticmethod
    def _freeze(parameters: AssessParameters, context: TaskContext) -> DataSetRecord:
        """Record the data set of all finished labels up to this generation (also those retried since)."""
        store = context.store
        labels: list[LabelRecord] = []
        for generation in range(parameters.generation + 1):
            pairs = generation_labels(store, parameters.campaign, generation, parameters.engine)
            labels.extend(label for _, label in pairs if label is not None and label.state is State.FINISHED)
        atoms = isolated_atom_labels(store, parameters.campaign, parameters.engine)
        check_one_setting([*labels, *atoms.values()], allowed_versions(store, parameters.campaign))
        names = [label.id for label in labels]
        return store.data_sets.add(
            DataSetRecord(
                id=data_set_identifier(parameters.campaign, names),
                campaign=parameters.campaign,
                generation=parameters.generation,
                labels=names,
                configurations=[label.configuration for label in labels],
                isolated_atom_energies=isolated_atom_energies(store, parameters.campaign, parameters.engine),
            )
        )


class ConcludeParameters(TaskParameters):
    """Why the loop ended and with which models."""

    reason: str
    converged: bool
    models: dict[str, str]
    audited_by: str | None = Field(default=None, description="what evaluates the models on the audit set; none: nobody")
    left_out: ClassVar[frozenset[str]] = TaskParameters.left_out | {"audited_by"}


class ConcludeTask(IonloopTask):
    """Record the end of a campaign: the reason and the final models."""

    _fw_name = "ionloop.conclude"
    parameters_type = ConcludeParameters

    def execute(self, parameters: ConcludeParameters, context: TaskContext) -> Outcome:
        """Write the conclusion; the campaign is finished."""
        store = context.store
        self._check_models(parameters, context)
        self._audit(parameters, context)
        # A campaign that was carried on ends again.
        store.results.replace(
            new_result(
                parameters,
                identifier("result", CONCLUSION, parameters.campaign),
                CONCLUSIONS,
                inputs=list(parameters.models.values()),
                values=ConclusionValues(
                    reason=parameters.reason, converged=parameters.converged, models=parameters.models
                ),
            )
        )
        record = store.campaigns[parameters.campaign]
        store.campaigns.replace(
            record.model_copy(update={"state": State.FINISHED, "reason": parameters.reason, "ended": now()})
        )
        return Outcome(reason=parameters.reason)

    @staticmethod
    def _audit(parameters: ConcludeParameters, context: TaskContext) -> None:
        """Measure the final models on the audit set, the only labels that are new to them."""
        store = context.store
        measured = store.results.find({"campaign": parameters.campaign, "kind": ERRORS, "values.subset": AUDIT})
        first = min(measured, key=lambda one: (one.generation, one.created), default=None)
        if parameters.audited_by is None or first is None:
            return
        for name in parameters.models.values():
            with context.measure("assess"):
                record_errors(store, parameters, store.models[name], AUDIT, list(first.inputs), parameters.audited_by)

    @staticmethod
    def _check_models(parameters: ConcludeParameters, context: TaskContext) -> None:
        """Refuse to end without the final models, or with one that its cross-check found wrong."""
        missing, gone = [], []
        for kind, name in sorted(parameters.models.items()):
            model = context.store.models.get(name)
            if model is None:
                missing.append(kind)
            elif not all(context.store.artefacts.is_there(file) for file in model.files):
                gone.append(kind)
        if missing:
            raise JobFailed(f"no final model of kind {', '.join(missing)}; see `ionloop failures`")
        if gone:
            raise JobFailed(
                f"files of the final {', '.join(gone)} model are gone; run the campaign again to fit it anew"
            )
        check_evaluators(context.store, parameters.models)
