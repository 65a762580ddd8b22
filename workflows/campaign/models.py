"""The models of a campaign: kinds by name, or names of its own, each with a kind and that kind's settings.

``models: [gap, es-gap]`` is the short form: kinds, each with the settings of its section (``gap``) or its defaults.
In the long form, ``models: {gap: {}, small: {kind: gap, soap: {n_max: 6}}}``, every model has a name and settings;
those of its kind's section hold where it gives none, and a name that is a kind's means that kind.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, Discriminator, Field, Tag, ValidationError, create_model

from ...core.errors import InputError
from ...core.kinds import NameOf, SettingsOf
from ...core.names import REFERENCE
from ...core.settings import FrozenSettings
from ...fitting.kinds.base import ModelKind
from ...fitting.kinds.registry import MODELS
from ...fitting.tuning.settings import TuneSettings
from .problems import ABSENT, Problem
from .tuning import TUNE, in_long_form, tuning_of, with_tune, without_tuning

if TYPE_CHECKING:
    from .settings import Campaign

KIND = "kind"
DEFAULT_MODELS = ("gap", "es-gap")
_LONGEST_NAME = 40
_WHOLE = frozenset({"core"})
"""Sections that a model gives as a whole: two halves of two cores are none."""

_NAME = re.compile(rf"[A-Za-z0-9]([A-Za-z0-9-]{{0,{_LONGEST_NAME - 2}}}[A-Za-z0-9])?")


def _usable_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"is no name for a model: 1 to {_LONGEST_NAME} letters, digits and -, not - at an end")
    return name


ModelName = Annotated[str, AfterValidator(_usable_name)]


@functools.cache
def entry_type(kind: ModelKind) -> type[BaseModel]:
    """Return the settings of a kind with a field that names it, as they stand in the long form."""
    described = f"Kind of model; the model's name if that is one (name){_as_in_section(kind)}"
    fields: dict[str, Any] = {KIND: (Literal[kind.name], Field(kind.name, description=described))}
    base: type[BaseModel] = section_type(kind)
    extra: Any = {} if kind.section is None else {"documented_in": kind.section}
    found: type[BaseModel] = create_model(f"{type(kind).__name__}Entry", __base__=base, **fields)
    found.model_config = {**found.model_config, "json_schema_extra": extra}
    found.model_rebuild(force=True)
    return found


@functools.cache
def section_type(kind: ModelKind) -> type[FrozenSettings]:
    """Return the settings of a kind as a campaign file has them: those of its fits, and whether they are tuned."""
    return with_tune(kind.settings_type, type(kind).__name__) if kind.tunes else kind.settings_type


def _as_in_section(kind: ModelKind) -> str:
    return "" if kind.section is None else f"; its settings are those of {kind.section}, which hold where it gives none"


def _form(value: Any) -> str:
    return "table" if isinstance(value, Mapping) else "list"


ModelsSetting: TypeAlias = (
    Annotated[tuple[Annotated[str, NameOf(lambda: MODELS)], ...], Field(min_length=1), Tag("list")]
    | Annotated[
        dict[ModelName, Annotated[FrozenSettings, SettingsOf(lambda: MODELS, KIND, settings_type=entry_type)]],
        Field(min_length=1),
        Tag("table"),
    ]
)
Models = Annotated[ModelsSetting, Discriminator(_form)]


def with_kinds_and_sections(data: Any) -> Any:
    """Return a campaign's plain data with every model's kind, and the values of its section that it leaves alone."""
    models = data.get("models") if isinstance(data, Mapping) else None
    if not isinstance(models, Mapping):
        return data
    return {**data, "models": {name: _whole_entry(name, entry, data) for name, entry in models.items()}}


def _whole_entry(name: Any, entry: Any, data: Mapping[str, Any]) -> Any:
    if isinstance(entry, BaseModel) or not isinstance(entry, Mapping | None):
        return entry
    given = dict(entry or {})
    if KIND not in given and name in MODELS:
        given[KIND] = name
    kind = given.get(KIND)
    if not isinstance(kind, str) or kind not in MODELS:
        return given
    section = _section(MODELS.get(kind), data)
    return _merged(section, given)


def _section(kind: ModelKind, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the campaign gives in a kind's section; nothing where that is wrong, which is told there."""
    given = None if kind.section is None else in_long_form(data.get(kind.section))
    if isinstance(given, BaseModel):
        return _of_the_kind(kind, given.model_dump(mode="json", exclude_unset=True))
    given = _of_the_kind(kind, given) if isinstance(given, Mapping) else given
    try:
        section_type(kind).model_validate_json(json.dumps(given or {}), strict=True)
    except (ValidationError, TypeError, ValueError):
        return {}
    return given or {}


def _of_the_kind(kind: ModelKind, section: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section without how its models are tuned, which is nothing to a kind that is not."""
    return {name: value for name, value in section.items() if kind.tunes or name != TUNE}


def _merged(section: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        name: _merged(section[name], value)
        for name, value in given.items()
        if name not in _WHOLE and isinstance(value, Mapping) and isinstance(section.get(name), Mapping)
    }
    return {**section, **given, **both}


def kind_of(campaign: Campaign, name: str) -> ModelKind:
    """Return the kind of the campaign's model of that name."""
    if isinstance(campaign.models, Mapping):
        return MODELS.get(getattr(campaign.models[name], KIND))
    return MODELS.get(name)


def settings_of(campaign: Campaign, name: str) -> FrozenSettings:
    """Return the settings of the campaign's model of that name.

    Raises
    ------
    pydantic.ValidationError
        If its kind has settings without a default, and the campaign gives none.
    """
    kind = kind_of(campaign, name)
    if isinstance(campaign.models, Mapping):
        return without_tuning(campaign.models[name], kind.settings_type, KIND)
    return settings_in_section(campaign, kind)


def settings_in_section(campaign: Campaign, kind: ModelKind) -> FrozenSettings:
    """Return the settings of a kind's section, its defaults where it has none."""
    if kind.section is None:
        return kind.settings_type()
    return without_tuning(getattr(campaign, kind.section), kind.settings_type)


def tuning_of_model(campaign: Campaign, name: str) -> TuneSettings | None:
    """Return how the hyperparameters of the campaign's model of that name are searched for, None if they are not."""
    kind = kind_of(campaign, name)
    if isinstance(campaign.models, Mapping):
        return tuning_of(campaign.models[name])
    return tuning_of(getattr(campaign, kind.section)) if kind.section is not None and kind.tunes else None


def asked_models(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the models of a campaign, as a store holds it, with their kinds, installed here or not."""
    models = settings["models"]
    return {name: models[name][KIND] if isinstance(models, Mapping) else name for name in models}


def models_not_installed(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the models of a campaign, as a store holds it, that are of kinds which are not installed here."""
    return tuple(name for name, kind in asked_models(settings).items() if kind not in MODELS)


def without_models(settings: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return plain data of a campaign without some of its models, and without what names them; for those who show it.

    Where none is left those of the default stand in, for whoever checks it.
    """
    if not names:
        return dict(settings)
    models = settings["models"]
    left = [name for name in models if name not in names]
    kept = {name: models[name] for name in left} if isinstance(models, Mapping) and left else left or DEFAULT_MODELS
    analyses, without = dict(settings["analyses"]), {**settings, "models": kept}
    if "sampling" in settings and settings["sampling"]["driver"] not in left:
        without["sampling"] = {**settings["sampling"], "driver": None}
    for name, given in analyses.items():
        if isinstance(given, Mapping) and given.get("potential") in names:
            analyses[name] = {**given, "potential": REFERENCE}
    return {**without, "analyses": analyses}


def model_called(campaign: Campaign, name: str) -> tuple[ModelKind, FrozenSettings]:
    """Return kind and settings of the model that somebody calls so: a model of the campaign, or a kind.

    A kind has the settings of the campaign's only model of it, else those of its section, else its defaults.

    Raises
    ------
    InputError
        If there is no such model and no such kind, if several models of the campaign are of it, or if it has settings
        without a default.
    """
    if isinstance(campaign.models, Mapping):
        if name in campaign.models:
            return kind_of(campaign, name), settings_of(campaign, name)
        of_kind = [one for one in campaign.models if kind_of(campaign, one).name == name]
        if len(of_kind) > 1:
            raise InputError(f"several models are of the kind {name}: say which one, {' or '.join(of_kind)}")
        if of_kind:
            return kind_of(campaign, of_kind[0]), settings_of(campaign, of_kind[0])
    kind = MODELS.get(name)
    try:
        return kind, settings_in_section(campaign, kind)
    except ValidationError as error:
        raise InputError(f"{name} {_needs(kind, error)}") from None


def tuning_called(campaign: Campaign, name: str) -> TuneSettings | None:
    """Return how the hyperparameters of the model that somebody calls so (`model_called`) are searched for."""
    models = campaign.models if isinstance(campaign.models, Mapping) else {}
    for one, entry in models.items():
        if one == name or (name not in models and kind_of(campaign, one).name == name):
            return tuning_of(entry)
    kind = MODELS.get(name)
    return tuning_of(getattr(campaign, kind.section)) if kind.section is not None and kind.tunes else None


def _needs(kind: ModelKind, error: ValidationError) -> str:
    missing = ", ".join(f"{'.'.join(map(str, one['loc']))}: ..." for one in error.errors())
    return f"has settings without a default: give models: {{{kind.name}: {{{missing}}}}}"


def model_of_charges(campaign: Campaign) -> str | None:
    """Return the first model on a baseline that charges can be fitted to by its leave-out error, None if none can."""
    able = (name for name in campaign.models_on_baseline if has_leave_out_errors(kind_of(campaign, name)))
    return next(able, None)


def has_leave_out_errors(kind: ModelKind) -> bool:
    """Return whether any fitter of a kind gives leave-out errors."""
    return any(kind.gives_leave_out_errors(backend) for backend in kind.fit_backends)


def default_driver(campaign: Campaign) -> str:
    """Return the model of the highest rank that can drive dynamics, the first of equals."""
    names = tuple(campaign.models)
    if not names:
        return ""
    able = [name for name in names if kind_of(campaign, name).can_drive] or names
    return max(able, key=lambda name: kind_of(campaign, name).rank)


def model_inconsistencies(campaign: Campaign) -> Iterator[Problem]:
    """Yield what is wrong with the models together, and with those that the sampling names."""
    if isinstance(campaign.models, Mapping):
        yield from _naming_problems(campaign, campaign.models)
    elif len(set(campaign.models)) < len(campaign.models):
        allowed = " | ".join(MODELS.names)
        yield Problem(("models",), "names a model twice", value=list(campaign.models), allowed=allowed)
    else:
        for name in campaign.models:
            try:
                settings_of(campaign, name)
            except ValidationError as error:
                yield Problem(("models",), _needs(kind_of(campaign, name), error), value=name)
                return
    if campaign.charge_criterion == "error" and model_of_charges(campaign) is None:
        names = ", ".join(campaign.models_on_baseline)
        message = f"cannot be fitted to leave-out errors, which {names} does not give; take locality, or numbers"
        yield Problem(("baseline", "charges"), message, related=(("models",),))
    under = campaign.kind_of_baseline
    unable = [name for name in campaign.models_on_baseline if not kind_of(campaign, name).fits_baselines]
    if under.is_fitted and unable:
        message = f"has charges that are fitted together with the models on them, which {', '.join(unable)} cannot"
        yield Problem(("baseline", "kind"), message, value=under.name, related=(("models",),))
    if not any(kind_of(campaign, name).can_drive for name in campaign.models):
        yield Problem(("models",), "has none that can drive the molecular dynamics", value=list(campaign.models))


def _naming_problems(campaign: Campaign, models: Mapping[str, FrozenSettings]) -> Iterator[Problem]:
    known: dict[str, str] = {}
    folded: dict[str, str] = {}
    for name in models:
        kind = kind_of(campaign, name)
        key = ("models", name)
        own = [one for one in kind.models_in(settings_of(campaign, name)) if one.partition("/")[0] == campaign.name]
        if own:
            message = "is this campaign, whose labels are in all of its models: name others"
            yield Problem((*key, "of"), message, value=own[0])
        if name.lower() == REFERENCE:
            yield Problem(key, "is the name of the reference engine; give the model another one")
        if name in MODELS and name != kind.name:
            yield Problem((*key, KIND), f"must be {name}, or the model have another name", value=kind.name)
        first = folded.setdefault(name.lower(), name)
        if first != name:
            yield Problem(key, f"differs from {first} in capitals only; give the model another name")
        whole = f"{kind.name} {settings_of(campaign, name).model_dump_json()} {tuning_of(models[name])!r}"
        same = known.setdefault(whole, name)
        if same != name:
            yield Problem(key, f"is the same model as {same}: kind and settings are equal", value=ABSENT)
