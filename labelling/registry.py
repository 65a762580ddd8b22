"""The reference engines that are installed, and the settings of all of them as one type."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import TypeAdapter

from ..core.kinds import Registry, SettingsOf
from .common_settings import CommonSettings, UnknownEngineSettings
from .engine import Engine, EngineProbe


def _what_is_wrong(engine: Engine[Any]) -> str:
    """Return why an engine's settings cannot stand in the campaign file, empty if they can."""
    kind = engine.settings_type
    if not (isinstance(kind, type) and issubclass(kind, CommonSettings)):
        return "its settings_type is no CommonSettings"
    if get_args(kind.model_fields["engine"].annotation) != (engine.name,):
        return f"its settings lack the constant field engine: Literal[{engine.name!r}]"
    return ""


ENGINES: Registry[Engine[Any]] = Registry("ionloop.engines", "engine", Engine, _what_is_wrong)

DEFAULT_ENGINE = "gfn1-xtb"
"""The engine of a campaign file that names none: the one that runs wherever ionloop does."""

EngineSettings = Annotated[CommonSettings, SettingsOf(lambda: ENGINES, "engine")]
"""Settings of any engine that is installed, told apart by ``engine``."""


def engine_of(settings: CommonSettings) -> Engine[Any]:
    """Return the engine that the settings are for.

    Raises
    ------
    UnknownKind
        If it is not installed here.
    """
    return ENGINES.get(settings.engine)


def default_settings() -> CommonSettings:
    """Return the settings of a campaign that names no engine."""
    return read_settings({"engine": DEFAULT_ENGINE})


def read_settings(document: Any) -> CommonSettings:
    """Return the settings that a document holds.

    Raises
    ------
    ValidationError
        If they are not those of an engine that is installed here.
    """
    return _adapter().validate_python(document)


def stored_settings(document: Mapping[str, Any]) -> CommonSettings:
    """Return the settings that a store holds, also of an engine that is not installed here: to be shown.

    Raises
    ------
    ValidationError
        If they are none.
    """
    if document.get("engine") in ENGINES:
        return read_settings(document)
    return UnknownEngineSettings.model_validate(document)


@functools.cache
def _adapter() -> TypeAdapter[CommonSettings]:
    return TypeAdapter(EngineSettings)


def probe_engines() -> tuple[EngineProbe, ...]:
    """Return for every engine whether it is there, without running one."""
    return tuple(engine.probe() for engine in ENGINES.kinds)
