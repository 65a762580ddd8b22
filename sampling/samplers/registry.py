"""The kinds of sampler that there are."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from ...core.kinds import Registry, SettingsOf
from .base import CommonSamplerSettings, Sampler


def _what_is_wrong(sampler: Sampler[Any]) -> str:
    """Return why a sampler's settings cannot stand in the campaign file, empty if they can."""
    kind = sampler.settings_type
    if not (isinstance(kind, type) and issubclass(kind, CommonSamplerSettings)):
        return "its settings_type is no CommonSamplerSettings"
    if "kind" not in kind.model_fields or get_args(kind.model_fields["kind"].annotation) != (sampler.name,):
        return f"its settings lack the constant field kind: Literal[{sampler.name!r}]"
    return ""


SAMPLERS: Registry[Sampler[Any]] = Registry("ionloop.samplers", "sampler", Sampler, _what_is_wrong)

SamplerSettings = Annotated[CommonSamplerSettings, SettingsOf(lambda: SAMPLERS, "kind")]
"""Settings of any sampler that is installed, told apart by ``kind``."""


def sampler_of(settings: CommonSamplerSettings) -> Sampler[Any]:
    """Return the sampler that the settings are for.

    Raises
    ------
    UnknownKind
        If it is not installed here.
    """
    return SAMPLERS.get(settings.sampler)
