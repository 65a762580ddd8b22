"""The potential that drives a sampler, as the campaign file names it; what it means is known further up."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Discriminator, Field, Tag

from ...core.names import REFERENCE
from ...core.settings import FrozenSettings

DRIVER = "driver"
"""The model that drives the campaign's exploring."""

__all__ = ["DRIVER", "REFERENCE", "AnotherEngine", "ModelFolder", "PotentialChoice"]


class AnotherEngine(FrozenSettings):
    """An engine beside the reference, with settings of its own: a cheaper one, or a foundation potential."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"allowed": "{engine: NAME, and settings of that engine}"}
    )

    engine: str = Field(description="Name of the engine; its settings stand beside it (name)")


class ModelFolder(FrozenSettings):
    """A model in a folder."""

    model_config = ConfigDict(json_schema_extra={"allowed": "{folder: PATH}"})

    folder: str = Field(
        min_length=1, description="Folder of a fitted model, relative to that of the campaign file (path)"
    )


def _form(value: Any) -> str:
    if isinstance(value, str):
        return "name"
    return "folder" if isinstance(value, ModelFolder) or (isinstance(value, dict) and "folder" in value) else "engine"


PotentialChoice = Annotated[
    Annotated[str, Field(json_schema_extra={"allowed": "driver | reference | a model of the campaign"}), Tag("name")]
    | Annotated[AnotherEngine, Tag("engine")]
    | Annotated[ModelFolder, Tag("folder")],
    Discriminator(_form),
]
"""`DRIVER`, `REFERENCE`, a model of the campaign, another engine, or a model in a folder."""
