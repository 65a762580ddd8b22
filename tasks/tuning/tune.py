"""Searches for the hyperparameters of a model, on the training set of a generation, before its fits."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator

from ...core.names import TUNING
from ...core.settings import FrozenSettings
from ...fitting.electrostatics.registry import AnyBaselineSettings
from ...fitting.kinds.registry import settings_of_kind
from ...fitting.models import tune_model
from ...fitting.tuning.settings import TuneSettings
from ...store.identifiers import identifier
from ...store.records import ResultRecord
from ..base import IonloopTask, JobFailed, Outcome, TaskParameters
from ..context import TaskContext
from ..fit import build_data_set, fit_limits
from ..results import Potential, ResultTask, known_result, new_result
from ..values.tuning import TUNINGS, LeftOutErrors, TrialValues, TuningValues, TypeErrors

if TYPE_CHECKING:
    from ...fitting.tuning.search import Tuning
    from ...fitting.tuning.trials import Trial


JOURNAL_FILE = "trials.json"


class TuneParameters(TaskParameters):
    """A model, its data and the settings that a search begins with."""

    model: str = Field(description="what the campaign calls the model")
    kind: str
    data_set: str
    given: SerializeAsAny[FrozenSettings] = Field(description="hyperparameters that the campaign gives")
    settings: SerializeAsAny[FrozenSettings] = Field(description="those that the search begins with")
    baseline: AnyBaselineSettings | None = None
    seed: int
    backend: str
    tune: TuneSettings

    @field_validator("given", "settings", mode="before")
    @classmethod
    def _of_their_kind(cls, value: Any, info: ValidationInfo) -> Any:
        return settings_of_kind(info.data.get("kind"), value)

    @property
    def identifier(self) -> str:
        """The identifier of the result."""
        # What says when it is done again changes nothing in what it finds.
        values = self.model_dump(mode="json", exclude={"generation": True, "tune": {"again_at_growth"}})
        return identifier("result", TUNING, values)


class TuneTask(ResultTask):
    """Search for hyperparameters with lower left-out errors; a killed search goes on from its journal of trials."""

    _fw_name = "ionloop.tune"
    parameters_type = TuneParameters
    measured_as = TUNING
    resumable = True

    def execute(self, parameters: TuneParameters, context: TaskContext) -> Outcome:
        """Search unless the store has the result; then the journal has done its part."""
        outcome = super().execute(parameters, context)
        shutil.rmtree(context.scratch(parameters.identifier), ignore_errors=True)
        return outcome

    def compute(self, parameters: TuneParameters, context: TaskContext) -> ResultRecord:
        """Search."""

        from ...fitting.tuning.gap import TuningRequest

        store, tune = context.store, parameters.tune
        data_set = build_data_set(store, store.data_sets[parameters.data_set])
        spent = 0.0

        def tell(trial: Trial) -> None:
            nonlocal spent
            spent += trial.cost_fits
            context.report_progress(max(1, round(spent)), max(1, round(tune.budget_fits)))

        request = TuningRequest(
            tune.budget_fits,
            context.scratch(parameters.identifier) / JOURNAL_FILE,
            tell,
            tune.budget_core_minutes,
            tune.most_sparse_points,
        )
        tuning = tune_model(
            parameters.kind,
            data_set,
            parameters.settings,
            parameters.baseline,
            request,
            seed=parameters.seed,
            limits=fit_limits(store),
            backend=parameters.backend,
        )
        return new_result(
            parameters,
            parameters.identifier,
            TUNINGS,
            Potential(kind=parameters.model),
            inputs=[parameters.data_set],
            values=_values(tuning, parameters, len(data_set)),
        )


def _values(tuning: Tuning, parameters: TuneParameters, configurations: int) -> TuningValues:
    from ...fitting.tuning.search import differences

    first, best = tuning.trials[0], tuning.best
    assert first.left_out is not None
    assert best.left_out is not None
    return TuningValues(
        reason="; ".join(line.strip() for line in tuning.lines("gap.tune.budget_fits")),
        configurations=configurations,
        given=parameters.given.model_dump(mode="json"),
        start=first.settings.model_dump(mode="json"),
        chosen=best.settings.model_dump(mode="json"),
        changed=tuple(differences(first.settings, best.settings)),
        before=LeftOutErrors.of(first.left_out),
        after=LeftOutErrors.of(best.left_out),
        by_type=tuple(
            TypeErrors(
                config_type=name,
                before=LeftOutErrors.of(first.left_out_by_type[name]),
                after=LeftOutErrors.of(errors),
            )
            for name, errors in best.left_out_by_type.items()
        ),
        trials=tuple(
            TrialValues(
                changed=one.changed,
                force_eV_per_A=one.force_eV_per_A,
                energy_eV_per_atom=None if one.left_out is None else one.energy_eV_per_atom,
                cost_fits=one.cost_fits,
                error=one.error,
            )
            for one in tuning.trials
        ),
        spent_fits=tuning.spent_fits,
        budget_fits=tuning.budget_fits,
        has_converged=tuning.has_converged,
        gain_of_points=tuning.gain_of_points,
        gain_of_data=tuning.gain_of_data,
    )


class TunedParameters(TaskParameters):
    """Searches that are done."""

    results: list[str] = Field(description="identifiers of their results")


class TunedTask(IonloopTask):
    """Gather the searches of a generation, after which its fits can be planned, and say what they chose."""

    _fw_name = "ionloop.tuned"
    parameters_type = TunedParameters

    def execute(self, parameters: TunedParameters, context: TaskContext) -> Outcome:
        """Look whether all are there."""
        found = {name: known_result(context.store, name) for name in parameters.results}
        missing = [name for name, record in found.items() if record is None]
        if missing:
            raise JobFailed(f"searches for hyperparameters are missing: {', '.join(missing)}; see `ionloop failures`")
        told = (f"{one.model_kind}: {one.values['reason']}" for one in found.values() if one is not None)
        return Outcome(reason=" | ".join(told), outputs={"results": parameters.results})
