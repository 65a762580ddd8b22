"""What the settings of every reference engine have: limits of a run, and bounds of what passes for a label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import (
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from ..core.settings import FrozenSettings

CHANGES_RESULT = "changes_result"
"""Key of a field's extra schema that says whether the field counts as physics; it does where nothing is said."""

NOT_PHYSICS: dict[str, JsonValue] = {CHANGES_RESULT: False}
"""Extra schema of a field that does not change what a label means: left out of ``settings_hash``."""

SINCE = "since"
"""Key of a field's extra schema: the release that brought it, where that is not the one that brought the engine.

At its default such a field is left out of documents, so that labels of earlier releases keep their hashes.
"""


class CommonSettings(FrozenSettings):
    """What every engine has: limits of a run and bounds of what passes for a label."""

    model_config = ConfigDict(defer_build=True)

    engine: str = Field(description="Name of the engine (name)")

    wall_time_limit_s: PositiveFloat = Field(
        3600.0, description="Wall time after which one attempt is killed (s)", json_schema_extra=NOT_PHYSICS
    )
    memory_limit_MB: PositiveFloat = Field(
        8000.0,
        description="Resident memory of the engine and its processes above which it is killed (MB)",
        json_schema_extra=NOT_PHYSICS,
    )
    max_attempts: PositiveInt = Field(
        3,
        description="Attempts with recovery settings that an unconverged label gets (count)",
        json_schema_extra=NOT_PHYSICS,
    )
    minimum_distance_A: NonNegativeFloat = Field(
        0.6,
        description="A structure with two atoms closer than this is rejected, not computed (Å)",
        json_schema_extra=NOT_PHYSICS,
    )
    maximum_force_eV_per_A: PositiveFloat = Field(
        30.0,
        description="A result with a larger force on any atom is rejected (eV/Å)",
        json_schema_extra=NOT_PHYSICS,
    )
    maximum_mean_force_eV_per_A: PositiveFloat = Field(
        0.02,
        description="A result whose force averaged over the atoms, zero in theory, is larger is rejected (eV/Å)",
        json_schema_extra=NOT_PHYSICS,
    )
    maximum_charge_sum_e: PositiveFloat = Field(
        0.05,
        description="A result whose atomic charges add up to more than this is rejected (e)",
        json_schema_extra=NOT_PHYSICS,
    )

    @property
    def process_environment(self) -> Mapping[str, str]:
        """Environment variables of the process that the engine runs in."""
        return {}

    def at_gamma(self) -> Self:
        """Return these settings with Γ as the only k-point; unchanged where the engine knows no k-points."""
        return self

    @model_serializer(mode="wrap")
    def _without_later_fields(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = serialise(self)
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            if isinstance(extra, dict) and SINCE in extra and getattr(self, name) == field.default:
                values.pop(name, None)
        return values


class UnknownEngineSettings(CommonSettings):
    """What a store says of an engine that is not installed here: to be read, not to be computed with."""

    model_config = ConfigDict(extra="allow")
