"""The section ``analyses`` of the campaign file: a key for every analysis that is installed."""

from __future__ import annotations

import functools
import keyword
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Protocol, TypeVar

from pydantic import (
    BaseModel,
    Field,
    GetCoreSchemaHandler,
    SerializerFunctionWrapHandler,
    create_model,
    model_serializer,
)
from pydantic_core import CoreSchema

from ...core.kinds import OWN_PACKAGE, Registry
from ...core.settings import FrozenSettings

SYSTEMS: Final = "systems"
SettingsT = TypeVar("SettingsT", bound=BaseModel)
_TAKEN: Final = {"chosen", "copy", "dict", "json", "schema", "construct", "validate", "from_orm", "parse_obj", "fields"}
"""Names that the section has for other things."""


class AnalysisOfFile(Protocol):
    """What the campaign file must know of an analysis; `ionloop.workflows.analyses.base.Analysis` has the rest."""

    name: str
    rank: int
    description: str
    settings_type: type[BaseModel]
    grows: tuple[str, ...]
    free: tuple[str, ...]
    # Who derives from that class has it, and so all that Python does not let a class do without.
    chosen_settings: Callable[..., Any]
    needs_mobile: bool
    property_unit: str
    is_stored_unasked: bool
    why_not_known: Callable[[Any], str]


def _what_is_wrong(analysis: AnalysisOfFile) -> str:
    """Return why an analysis cannot have a key in the campaign file, empty if it can."""
    name = analysis.name
    if not name.isidentifier() or keyword.iskeyword(name) or name in _TAKEN or name.startswith(("_", "model_")):
        return f"{name!r} can be no key of a campaign file: take lower-case letters and _"
    if not (isinstance(analysis.settings_type, type) and issubclass(analysis.settings_type, BaseModel)):
        return "its settings_type is no pydantic model"
    if SYSTEMS in analysis.settings_type.model_fields:
        return f"its settings have a key {SYSTEMS}, which every analysis has: the systems that it is made of"
    without = [name for name, field in analysis.settings_type.model_fields.items() if field.is_required()]
    return f"its settings have no default for {', '.join(without)}" if without else ""


INSTALLED: Final[Registry[AnalysisOfFile]] = Registry("ionloop.analyses", "analysis", AnalysisOfFile, _what_is_wrong)
"""The analyses as the campaign file sees them, in its order (`ionloop.workflows.analyses.registry`: all of them)."""


def asked_analyses(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the analyses that a stored campaign asks for, installed here or not."""
    return tuple(name for name, given in (settings.get("analyses") or {}).items() if given is not None)


def analyses_not_installed(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the analyses that a stored campaign asks for and that are not installed here."""
    return tuple(name for name in asked_analyses(settings) if name not in INSTALLED)


class Analyses(FrozenSettings):
    """What the final models are asked; ``{}`` is an analysis with its defaults, a missing one is not made.

    The type with the keys is `analyses_type`.
    """

    @property
    def chosen(self) -> tuple[str, ...]:
        """Names of the analyses that the campaign makes."""
        return tuple(name for name in type(self).model_fields if getattr(self, name) is not None)

    @model_serializer(mode="wrap")
    def _without_foreign_nothings(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what was not asked of another package's analysis, or one that stores of before know nothing of."""
        return {name: value for name, value in serialise(self).items() if value is not None or name in _own_names()}


@functools.cache
def _own_names() -> frozenset[str]:
    return frozenset(
        one.name
        for one in INSTALLED.kinds
        if one.is_stored_unasked and INSTALLED.package_of(one.name)[0] == OWN_PACKAGE
    )


class OfSystems(BaseModel):
    """What every analysis may be told beside its own settings."""

    systems: tuple[str, ...] = Field(
        (),
        description="Systems of the campaign that it is made of; nothing: of every crystalline one (names)",
        json_schema_extra={"allowed": "a list of names of systems"},
    )

    @model_serializer(mode="wrap")
    def _without_no_systems(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out no systems: stored settings stay what they were before there were systems."""
        values: dict[str, Any] = serialise(self)
        return {name: value for name, value in values.items() if value or name != SYSTEMS}


@functools.cache
def _with_systems(settings_type: type[BaseModel]) -> type[BaseModel]:
    """Return the section of an analysis: its settings, and the systems that it is made of."""
    return create_model(
        settings_type.__name__, __base__=(settings_type, OfSystems), __module__=__name__, __doc__=settings_type.__doc__
    )


def settings_alone(section: BaseModel, settings_type: type[SettingsT]) -> SettingsT:
    """Return the settings of an analysis from its section in a campaign file."""
    given = {name: getattr(section, name) for name in section.model_fields_set if name in settings_type.model_fields}
    return settings_type.model_construct(
        _fields_set=set(given), **{name: getattr(section, name) for name in settings_type.model_fields}
    )


def with_sections(campaign: Any) -> Any:
    """Return a campaign as plain data where settings of analyses, which name no systems, are sections of the file."""
    analyses = campaign.get("analyses") if isinstance(campaign, Mapping) else None
    if not isinstance(analyses, Mapping):
        return campaign
    sections = {
        name: {key: getattr(value, key) for key in value.model_fields_set}
        if isinstance(value, BaseModel) and not isinstance(value, OfSystems)
        else value
        for name, value in analyses.items()
    }
    return {**campaign, "analyses": sections}


@functools.cache
def analyses_type() -> type[Analyses]:
    """Return the section with the analyses that are installed."""
    fields: dict[str, Any] = {
        analysis.name: (_with_systems(analysis.settings_type) | None, Field(None, description=analysis.description))
        for analysis in INSTALLED.kinds
    }
    return create_model("Analyses", __base__=Analyses, __module__=__name__, __doc__=Analyses.__doc__, **fields)


def no_analyses() -> Analyses:
    """Return the section of a campaign that asks its models nothing."""
    return analyses_type()()


class _Installed:
    """Validates the section as its type with keys."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(analyses_type())


AnalysesSection = Annotated[Analyses, _Installed()]
