"""The kinds of electrostatic baselines that there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from ...core.kinds import Registry, SettingsOf
from ..settings import CommonBaselineSettings
from .base import BaselineKind
from .sections import BaselineSection

KIND: Final = "kind"
DEFAULT_BASELINE: Final = "fixed"
"""The kind of a document that names none: all there was once."""


def _what_is_wrong(kind: BaselineKind) -> str:
    for described in (kind.section_type, kind.settings_type):
        field = described.model_fields.get(KIND)
        if field is None or field.default != kind.name:
            return f"{described.__name__} has no constant field {KIND} with its name"
    return ""


BASELINES: Final[Registry[BaselineKind]] = Registry(
    "ionloop.baselines", "kind of baseline", BaselineKind, _what_is_wrong
)

BaselineSections = Annotated[
    BaselineSection,
    SettingsOf(lambda: BASELINES, KIND, DEFAULT_BASELINE, settings_type=lambda kind: kind.section_type),
]
"""What the campaign file's ``baseline`` holds; ``kind`` names the kind, fixed where it is left out."""

AnyBaselineSettings = Annotated[CommonBaselineSettings, SettingsOf(lambda: BASELINES, KIND, DEFAULT_BASELINE)]
"""Settings of any baseline, as models and documents hold them."""


def kind_of_baseline(settings: CommonBaselineSettings | Mapping[str, Any]) -> BaselineKind:
    """Return the kind of a baseline's settings, or of a document that holds them.

    Raises
    ------
    UnknownKind
        If it is not installed here.
    """
    if isinstance(settings, CommonBaselineSettings):
        return BASELINES.get(settings.kind_name)
    return BASELINES.get(str(settings.get(KIND, DEFAULT_BASELINE)))


def baseline_in(document: Mapping[str, Any]) -> CommonBaselineSettings:
    """Return the settings that a document holds.

    Raises
    ------
    UnknownKind
        If they are of a kind that is not installed here.
    pydantic.ValidationError
        If they are no settings of it.
    """
    return kind_of_baseline(document).settings_type.model_validate(dict(document))


def species_charges_in(document: Mapping[str, Any] | None) -> dict[str, float] | None:
    """Return the charges (e) that all atoms of a species have, by the document of a baseline; None without such."""
    return None if document is None else kind_of_baseline(document).species_charges(baseline_in(document))


def why_no_field_in(document: Mapping[str, Any]) -> str:
    """Return why no field can act on a baseline by its document; nothing where one can.

    As `BaselineKind.why_no_field`.
    """
    return kind_of_baseline(document).why_no_field(baseline_in(document))
