"""What the results of the loop hold: errors, predictions, predicted variances, cross-checks, how a campaign ended."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from ...analysis.errors.model_errors import Agreement, ModelErrors
from ...analysis.model_uncertainty.coverage import ModelCoverage
from ...core.names import CONCLUSION, CROSS_CHECK, CROSS_CHECK_SKIPPED, ERRORS, PARITY
from ...store.records import Artefact
from ...store.result_kinds import ResultKind, ResultValues

_LEFT_OUT: Final = frozenset({"by_system", "model_interval_coverage", "model_interval_reason"})


class ErrorValues(ModelErrors, ResultValues):
    """Errors of a model on a set of labels."""

    subset: str = Field(description="What the configurations are to the model, training or new (name)")
    by_system: dict[str, ModelErrors] = Field(
        default_factory=dict, description="The same of every system alone, where systems have names (by name)"
    )

    model_interval_coverage: ModelCoverage | None = Field(
        default=None,
        description="How often these errors lie inside the intervals that the model gave beforehand; of new "
        "configurations, which no fit had seen",
    )
    model_interval_reason: str = Field(default="", description="Why the model gave no intervals (text)")

    @model_serializer(mode="wrap")
    def _without_nothing(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out no systems and no intervals: records without stay what they were."""
        values: dict[str, Any] = serialise(self)
        return {name: value for name, value in values.items() if value or name not in _LEFT_OUT}


class PredictionValues(ResultValues):
    """Predictions of a model beside the labels that it was assessed on: a file of arrays."""

    subset: str = Field(description="What the configurations are to the model (name)")
    artefact: Artefact = Field(description="The file (name)")


class VarianceValues(ResultValues):
    """Variances that a model predicts for itself along a trajectory; the file has those of every frame."""

    frames: int = Field(description="Frames of the trajectory (number)")
    mean_eV2: float = Field(description="Mean over frames of the mean over a frame's atoms (eV²)")
    maximum_eV2: float = Field(description="Largest of all (eV²)")
    artefact: Artefact = Field(description="The file (name)")


class AgreementValues(Agreement, ResultValues):
    """Largest differences of a model's two evaluators."""


class NotComparedValues(ResultValues):
    """Why a model has no cross-check."""

    reason: str = Field(description="Why (text)")


class ConclusionValues(ResultValues):
    """How a campaign ended."""

    reason: str = Field(description="Why it ended (text)")
    converged: bool = Field(description="Whether its errors no longer improved (yes or no)")
    models: dict[str, str] = Field(description="Identifiers of the final models by name (names)")


MODEL_ERRORS = ResultKind(ERRORS, ErrorValues)
PREDICTIONS = ResultKind(PARITY, PredictionValues)
VARIANCES = ResultKind("variance", VarianceValues)
CROSS_CHECKS = ResultKind(CROSS_CHECK, AgreementValues)
NOT_COMPARED = ResultKind(CROSS_CHECK_SKIPPED, NotComparedValues)
CONCLUSIONS = ResultKind(CONCLUSION, ConclusionValues)
