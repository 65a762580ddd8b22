"""Charges of the baseline by the leave-out error of the models on it, on the training set of a generation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator, model_validator

from ..core.names import CHARGES
from ..core.settings import FrozenSettings
from ..fitting.electrostatics.charge_errors import DEFAULT_SCALES, charge_error_curve, fit_charges_to_error
from ..fitting.electrostatics.charges import ChargeProblem
from ..fitting.kinds.base import NATIVE, FitRequest, ModelKind
from ..fitting.kinds.registry import MODELS, settings_of_kind
from ..store.identifiers import identifier
from ..store.records import ResultRecord
from .base import JobFailed, TaskParameters
from .context import TaskContext
from .fit import build_data_set, earlier_model_folder, fit_limits, settings_under_their_name
from .results import ResultTask, charges_text, new_result
from .values.charges import BY_ERROR, CHARGES_BY_ERROR, ErrorChargeValues


def _first_kind() -> ModelKind:
    """Return the kind of the models in jobs of earlier releases, which do not name it."""
    return next(kind for kind in MODELS.kinds if kind.needs_baseline and kind.gives_leave_out_errors(NATIVE))


class FitChargesToErrorParameters(TaskParameters):
    """A data set, the hyperparameters of the models that will be fitted to it, and which charges are allowed."""

    data_set: str
    model_kind: str = Field(default_factory=lambda: _first_kind().name, description="kind of the models")
    settings: SerializeAsAny[FrozenSettings]
    backend: str = NATIVE
    seed: int
    composition: dict[str, int] = Field(min_length=1, description="atoms of each species in a cell that is neutral")
    other_compositions: list[dict[str, int]] = Field(
        default_factory=list, description="atoms of each species in further cells that are neutral"
    )
    left_out: ClassVar[frozenset[str]] = TaskParameters.left_out | {"other_compositions"}
    mobile: str
    transferable: bool = False
    formal_charges: dict[str, float] | None = Field(description="of the species (e); None where none are known")
    exponents: dict[str, float] = Field(description="Slater exponents (1/Å)")
    exponent_factors: tuple[float, ...] = Field(
        default=(1.0,), min_length=1, description="the exponents are scaled by whichever of these is best"
    )
    accuracy: float = 1e-6
    earlier_model: str | None = Field(default=None, description="identifier of the model that the next one grows from")

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_releases(cls, data: Any) -> Any:
        return settings_under_their_name(data)

    @field_validator("settings", mode="before")
    @classmethod
    def _of_their_kind(cls, value: Any, info: ValidationInfo) -> Any:
        return settings_of_kind(info.data.get("model_kind"), value)

    @property
    def identifier(self) -> str:
        """The identifier of the result."""
        values = self.model_dump(mode="json", exclude={"campaign", "generation", "model_kind", "backend", "settings"})
        # What is fitted to the section of the campaign file has the name that it had when there was nothing else.
        section = MODELS.get(self.model_kind).section or self.model_kind
        return identifier("result", CHARGES, BY_ERROR, {**values, section: self.settings.model_dump(mode="json")})


class FitChargesToErrorTask(ResultTask):
    """Fit the baseline's charges to what the models on it do not learn."""

    _fw_name = "ionloop.fit-charges-to-error"
    parameters_type = FitChargesToErrorParameters
    measured_as = CHARGES

    def told(self, record: ResultRecord) -> str:
        """Return the charges."""
        return charges_text(record)

    def compute(self, parameters: FitChargesToErrorParameters, context: TaskContext) -> ResultRecord:
        """Fit reference and baseline together."""
        store = context.store
        if parameters.transferable and parameters.formal_charges is None:
            raise JobFailed("no formal charges are known, of which a part could be fitted: set transferable: false")
        cells = (parameters.composition, *parameters.other_compositions)
        problem = ChargeProblem(
            species=tuple(sorted({symbol for cell in cells for symbol in cell})),
            counts=parameters.composition,
            mobile=parameters.mobile,
            proportions=parameters.formal_charges if parameters.transferable else None,
            others=parameters.other_compositions,
        )
        request = FitRequest(
            build_data_set(store, store.data_sets[parameters.data_set]),
            parameters.settings,
            None,
            parameters.seed,
            parameters.backend,
            fit_limits(store),
            Path(),
            earlier_model_folder(store, parameters.earlier_model),
        )
        sets = [
            {symbol: factor * exponent for symbol, exponent in parameters.exponents.items()}
            for factor in parameters.exponent_factors
        ]
        tensors = MODELS.get(parameters.model_kind).leave_out_tensors(
            request,
            problem,
            sets,
            progress=lambda progress: context.report_progress(progress.done, progress.total),
            accuracy=parameters.accuracy,
        )
        fitted = fit_charges_to_error(tensors, seed=parameters.seed)
        best = next(one for one in tensors if dict(one.exponents) == fitted.exponents)
        curve = charge_error_curve(best, parameters.formal_charges or fitted.charges, DEFAULT_SCALES)
        return new_result(
            parameters,
            parameters.identifier,
            CHARGES_BY_ERROR,
            inputs=[parameters.data_set],
            values=ErrorChargeValues(
                **dict(fitted),
                criterion=BY_ERROR,
                mobile=parameters.mobile,
                curve=curve,
                configurations=len(request.data_set),
            ),
        )
