"""Hyperparameters that a campaign searches for: ``gap: tune``, or ``tune`` among the settings of a section or model.

The settings beside it are those that the search begins with. In the long form of ``models`` every model has what its
section has, unless it says otherwise: ``tune: false``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, cast

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    create_model,
    model_serializer,
    model_validator,
)

from ...core.settings import FrozenSettings
from ...fitting.settings import GapSettings
from ...fitting.tuning.settings import TuneSettings
from .problems import Key, Problem

if TYPE_CHECKING:
    from .settings import Campaign

TUNE: Final = "tune"
SECTION: Final = "gap"
"""Section of the campaign file that `tune` stands in."""
DESCRIPTION: Final = (
    "Search for better hyperparameters by left-out errors, from the settings beside it on, before the first fits and "
    "whenever the data have grown; true or {}: as by default; false: take the settings as they are"
)

TuneSetting = Annotated[
    Annotated[TuneSettings, Tag("table")] | Annotated[Literal[False], Tag("flag")],
    Discriminator(lambda value: "flag" if value is False else "table"),
    BeforeValidator(lambda value: {} if value is True else value),
]


class Tuned(FrozenSettings):
    """What sections and models have beside their hyperparameters."""

    tune: TuneSetting = Field(False, description=DESCRIPTION, json_schema_extra={"allowed": "true, false or a mapping"})

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return in_long_form(value)

    @model_serializer(mode="wrap")
    def _as_given(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out that nothing is tuned where nobody said so: campaigns of earlier releases stay what they were."""
        left_out = TUNE not in self.model_fields_set
        return {name: value for name, value in serialise(self).items() if name != TUNE or not left_out}


class GapSection(GapSettings, Tuned):
    """Hyperparameters of GAPs in a campaign file: the word ``tune`` alone stands for ``{tune: {}}``."""


def with_tune(settings: type[FrozenSettings], name: str) -> type[FrozenSettings]:
    """Return settings with the key that says whether they are tuned."""
    found: Any = create_model(f"{name}Section", __base__=(settings, Tuned))
    return cast("type[FrozenSettings]", found)


def in_long_form(section: Any) -> Any:
    """Return what a section says as a mapping, where it is the word ``tune`` alone."""
    return {TUNE: {}} if section == TUNE else section


def tuning_of(settings: object) -> TuneSettings | None:
    """Return how the hyperparameters of a section or of a model's entry are searched for, None if they are not."""
    found = getattr(settings, TUNE, False)
    return found if isinstance(found, TuneSettings) else None


def is_tuned(settings: Mapping[str, Any]) -> bool:
    """Return whether a campaign, as a store holds it, tunes any of its models."""
    models = settings.get("models")
    entries = models.values() if isinstance(models, Mapping) else ()
    return any(isinstance(one, Mapping) and one.get(TUNE) for one in (settings.get("gap"), *entries))


def without_tuning(settings: FrozenSettings, kind: type[FrozenSettings], *others: str) -> FrozenSettings:
    """Return the hyperparameters alone of a section or of a model's entry, without ``others`` of its fields."""
    # With what was given only, so that what is written down of it stays as short as it was.
    return kind.model_validate(settings.model_dump(exclude_unset=True, exclude={TUNE, *others}))


def tuning_inconsistencies(campaign: Campaign) -> Iterator[Problem]:
    """Yield what is to be tuned and cannot be."""
    tuned = {name: one for name in campaign.models if (one := campaign.tuning_of(name)) is not None}
    for name in tuned:
        kind = campaign.kind_of(name)
        under = campaign.kind_of_baseline if kind.needs_baseline else None
        reason = kind.why_not_tuned(kind.backend(campaign.fit.backend, under), under)
        if reason:
            related: tuple[Key, ...] = (("fit",), ("baseline",), ("models",))
            yield Problem(_key(campaign, name), f"cannot tune {name}: {reason}", related=related)
            return
    if tuning_of(campaign.gap) is not None and not any(campaign.kind_of(name).section == SECTION for name in tuned):
        message = "tunes nothing: no model of the campaign takes its settings from gap and is to be tuned"
        yield Problem(("gap", TUNE), message, related=(("models",),))


def _key(campaign: Campaign, name: str) -> Key:
    """Return where the file says that a model is tuned."""
    section = campaign.kind_of(name).section
    if isinstance(campaign.models, Mapping) and tuning_of(getattr(campaign, section or "", None)) is None:
        return "models", name, TUNE
    return str(section), TUNE
