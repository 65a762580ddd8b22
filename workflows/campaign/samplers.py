"""The samplers of a campaign: lists of kinds with their settings, or the short forms, which are the same kinds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, TypeAdapter, ValidationError

from ...core.names import REFERENCE
from ...labelling.registry import ENGINES, read_settings
from ...sampling.samplers.base import CommonSamplerSettings
from ...sampling.samplers.constant_temperature import MolecularDynamicsSamplerSettings, NVTSettings
from ...sampling.samplers.mobile_ion import LithiumMonteCarloSettings
from ...sampling.samplers.potentials import DRIVER, AnotherEngine, ModelFolder, PotentialChoice
from ...sampling.samplers.registry import SAMPLERS, SamplerSettings, sampler_of
from .initial import Initial, InitialLithiumMonteCarlo, InitialMolecularDynamics
from .problems import Key, Problem, closest

if TYPE_CHECKING:
    from .settings import Campaign, Sampling

MAX_STEPS = 10_000_000
Role = Literal["initial", "explore"]
MOST_SAMPLERS = 100


def _so_many(value: tuple[CommonSamplerSettings, ...]) -> tuple[CommonSamplerSettings, ...]:
    # Not by pydantic's bounds, which also complain of a list whose entries are wrong.
    if not 1 <= len(value) <= MOST_SAMPLERS:
        raise ValueError(f"must have 1 to {MOST_SAMPLERS} entries, not {len(value)}")
    return value


SamplerList = Annotated[tuple[SamplerSettings, ...], AfterValidator(_so_many)]


def _form(value: Any) -> str:
    return "list" if isinstance(value, list | tuple) else "short"


SamplerListAsInExplore = Annotated[SamplerList, Field(json_schema_extra={"documented_in": "explore"})]
InitialSetting = Annotated[
    Annotated[Initial, Tag("short")] | Annotated[SamplerListAsInExplore, Tag("list")], Discriminator(_form)
]
"""Configurations before the first generation: a list of samplers, or the short form."""


def initial_samplers(initial: Initial | Sequence[CommonSamplerSettings]) -> tuple[CommonSamplerSettings, ...]:
    """Return the samplers of the initial configurations, those of the short form too."""
    if not isinstance(initial, Initial):
        return tuple(initial)
    found: list[CommonSamplerSettings] = []
    if initial.molecular_dynamics.count:
        found.append(_dynamics(initial.molecular_dynamics))
    if initial.lithium_monte_carlo.count:
        found.append(_monte_carlo(initial.lithium_monte_carlo))
    return tuple(found)


def exploring_samplers(
    explore: Sequence[CommonSamplerSettings] | None, sampling: Sampling
) -> tuple[CommonSamplerSettings, ...]:
    """Return the samplers that explore, that of the short form too."""
    if explore is not None:
        return tuple(explore)
    return (
        NVTSettings(
            temperature_K=sampling.temperature_K,
            length_ps=sampling.length_ps,
            timestep_fs=sampling.timestep_fs,
            write_every=sampling.write_every,
            friction_per_ps=sampling.friction_per_ps,
            replicas=sampling.replicas,
            guard=sampling.guard,
        ),
    )


def selected_samplers(
    explore: Sequence[CommonSamplerSettings] | None, sampling: Sampling
) -> tuple[CommonSamplerSettings, ...]:
    """Return the samplers among whose frames a generation selects: what learns chooses for itself."""
    return tuple(one for one in exploring_samplers(explore, sampling) if not sampler_of(one).learns)


def _dynamics(short: InitialMolecularDynamics) -> MolecularDynamicsSamplerSettings:
    return MolecularDynamicsSamplerSettings(
        count=short.count,
        temperature_K=short.temperature_K,
        timestep_fs=short.timestep_fs,
        write_every=short.every,
        friction_per_ps=short.friction_per_ps,
        k_points=short.k_points,
        guard={"seen_fraction": 0.0, **short.guard.model_dump()},
    )


def _monte_carlo(short: InitialLithiumMonteCarlo) -> LithiumMonteCarloSettings:
    return LithiumMonteCarloSettings(**dict(short))


def frames_of(samplers: Iterable[CommonSamplerSettings]) -> int:
    """Return how many frames samplers offer in all."""
    return sum(sampler_of(settings).frames(settings) for settings in samplers)


def potential_choice(settings: CommonSamplerSettings, role: Role) -> PotentialChoice | None:
    """Return the potential of a sampler, None where it needs none: without a choice the driver, or the reference."""
    if not sampler_of(settings).needs_potential(settings):
        return None
    return settings.chosen_potential or (REFERENCE if role == "initial" else DRIVER)


def potential_name(settings: CommonSamplerSettings, role: Role, driver: str) -> str:
    """Return what a person calls the potential of a sampler; empty where it needs none."""
    match potential_choice(settings, role):
        case None:
            return ""
        case AnotherEngine(engine=engine):
            return engine
        case ModelFolder(folder=folder):
            return f"the model in {folder}"
        case choice if choice == REFERENCE:
            return "the reference"
        case choice:
            return driver if choice == DRIVER else str(choice)


def needs_charges(samplers: Iterable[CommonSamplerSettings]) -> bool:
    """Return whether one of the samplers needs the mobile ion and charges."""
    return any(sampler_of(settings).needs_charges for settings in samplers)


def samplers_of(campaign: Campaign, system: str | None) -> tuple[CommonSamplerSettings, ...]:
    """Return all samplers of a system, those of the short forms too."""
    exploring = exploring_samplers(campaign.explore_of(system), campaign.sampling)
    return (*initial_samplers(campaign.initial_of(system)), *exploring)


def all_samplers(campaign: Campaign) -> Iterator[tuple[Role, Key, CommonSamplerSettings]]:
    """Yield every sampler that the file lists, with its role and its key; the short forms list none."""
    sections: list[tuple[Key, Any]] = [((), campaign)]
    sections += [(("systems", name), system) for name, system in (campaign.systems or {}).items()]
    for key, section in sections:
        lists: dict[Role, Any] = {"initial": section.initial, "explore": section.explore}
        for role, entries in lists.items():
            if isinstance(entries, tuple):
                for number, settings in enumerate(entries):
                    yield role, (*key, role, number), settings


def named_driver(campaign: Campaign) -> str | None:
    """Return the first model that an exploring sampler names, None where one leaves it open or the file lists none."""
    named = []
    for role, _, settings in all_samplers(campaign):
        choice = potential_choice(settings, role)
        if role == "explore" and choice == DRIVER:
            return None
        if role == "explore" and isinstance(choice, str) and choice in campaign.models:
            named.append(choice)
    return named[0] if named else None


def equilibrium_temperature_K(campaign: Campaign, system: str | None = None) -> float | None:
    """Return the first temperature (K) at which a system is explored in equilibrium in its cell, None if at none.

    Without a name it is the first of the systems.
    """
    if system is None:
        system = next(iter(campaign.all_systems))
    for settings in exploring_samplers(campaign.explore_of(system), campaign.sampling):
        kind = sampler_of(settings)
        for index in range(kind.runs(settings)):
            temperature_K = kind.temperature_K(settings, index)
            if temperature_K is not None:
                return temperature_K
    return None


# -- what is wrong -----------------------------------------------------------------------------------------------------


def sampler_inconsistencies(campaign: Campaign) -> Iterator[Problem]:
    """Yield what is wrong with the samplers that a campaign lists."""
    if campaign.explore is not None and "sampling" in campaign.model_fields_set:
        message = "is the short form of explore with one nvt, and explore is there too: drop one of them"
        yield Problem(("sampling",), message, related=(("explore",),))
    for role, key, settings in all_samplers(campaign):
        yield from _role_problems(role, key, settings)
        yield from _potential_problems(campaign, role, key, settings)
        if role == "explore" and sampler_of(settings).learns:
            yield from _learning_problems(campaign, key, settings)


def _role_problems(role: Role, key: Key, settings: CommonSamplerSettings) -> Iterator[Problem]:
    kind = sampler_of(settings)
    may, what = (
        (kind.is_initial, "bring the configurations of the first training set")
        if role == "initial"
        else (kind.explores, "explore")
    )
    if not may:
        able = " | ".join(one.name for one in SAMPLERS.kinds if (one.is_initial if role == "initial" else one.explores))
        yield Problem((*key, "kind"), f"cannot {what}", value=kind.name, allowed=able)
    elif role == "initial" and not kind.says_how_many(settings):
        message = f"is needed: every frame would be labelled, {kind.frames(settings):,} of them"
        yield Problem((*key, "candidates"), message, allowed="a whole number, at least 1")
    steps = kind.evaluations(settings) / max(1, kind.runs(settings))
    if steps > MAX_STEPS:
        message = f"makes {steps:,.0f} evaluations per run; at most {MAX_STEPS:,} are allowed"
        yield Problem(key, message)


def _learning_problems(campaign: Campaign, key: Key, settings: CommonSamplerSettings) -> Iterator[Problem]:
    """Yield why the model that drives cannot learn on the way."""
    driver = campaign.driver
    if driver not in campaign.models:
        return
    reason = _why_not_learning(campaign, driver)
    if reason:
        able = [
            name
            for name in campaign.models
            if campaign.kind_of(name).can_drive and not _why_not_learning(campaign, name)
        ]
        message = f"needs a driver that learns in place, and {driver} does not: {reason}"
        allowed = f"models: [{', '.join(able)}]" if able else None
        related: tuple[Key, ...] = (("models",), ("fit",), ("baseline",))
        yield Problem((*key, "kind"), message, value=settings.sampler, allowed=allowed, related=related)


def _why_not_learning(campaign: Campaign, name: str) -> str:
    kind = campaign.kind_of(name)
    under = campaign.kind_of_baseline if kind.needs_baseline else None
    return kind.why_not_learning(kind.backend(campaign.fit.backend, under), under)


def _potential_problems(campaign: Campaign, role: Role, key: Key, settings: CommonSamplerSettings) -> Iterator[Problem]:
    choice, where = settings.chosen_potential, (*key, "potential")
    if isinstance(choice, AnotherEngine):
        yield from _engine_problems(where, choice)
        return
    if choice is None or isinstance(choice, ModelFolder) or choice == REFERENCE:
        return
    able = [name for name in campaign.models if campaign.kind_of(name).can_drive]
    if role == "initial":
        allowed = "reference | {engine: ...} | {folder: ...}"
        yield Problem(where, "is not there yet: the first training set is made before any model", choice, allowed)
    elif choice == DRIVER:
        return
    elif choice not in campaign.models:
        names = (DRIVER, REFERENCE, *able)
        yield Problem(
            where,
            "is not among the models of this campaign",
            value=choice,
            allowed=" | ".join((*names, "{engine: ...}", "{folder: ...}")),
            suggestion=closest(choice, names),
            related=(("models",),),
        )
    elif choice not in able:
        yield Problem(where, "cannot drive molecular dynamics", choice, " | ".join((DRIVER, REFERENCE, *able)))


def engine_document(choice: AnotherEngine) -> dict[str, Any]:
    """Return the settings of the engine that a sampler names, as plain data."""
    return choice.model_dump(mode="json")


def _engine_problems(key: Key, choice: AnotherEngine) -> Iterator[Problem]:
    name = choice.engine
    if name not in ENGINES:
        broken = next((f"cannot be used: {one.reason}" for one in ENGINES.broken if one.name == name), "is no engine")
        allowed, near = " | ".join(ENGINES.names), closest(name, ENGINES.names)
        yield Problem((*key, "engine"), broken, value=name, allowed=allowed, suggestion=near)
        return
    try:
        read_settings(engine_document(choice))
    except ValidationError as error:
        fields = tuple(ENGINES.get(name).settings_type.model_fields)
        for one in error.errors():
            # The first part of a location is the engine's name.
            where = (*key, *one["loc"][1:])
            if one["type"] == "extra_forbidden":
                message, near = f"is no setting of the engine {name}", closest(str(where[-1]), fields)
                yield Problem(where, message, allowed=", ".join(fields), suggestion=near)
            else:
                yield Problem(where, one["msg"].replace("Input should", "must"), value=one["input"])


# -- what a store holds ------------------------------------------------------------------------------------------------


def asked_samplers(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the samplers that a stored campaign lists, installed here or not."""
    sections = [settings, *(settings.get("systems") or {}).values()]
    entries = [
        entry
        for section in sections
        for role in ("initial", "explore")
        if isinstance(section.get(role), Sequence)
        for entry in section[role]
    ]
    return tuple(dict.fromkeys(str(entry["kind"]) for entry in entries))


def stored_samplers(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the installed samplers that a stored campaign uses, those of the short forms too."""
    names = list(asked_samplers(settings))
    sections = [settings, *(settings.get("systems") or {}).values()]
    for initial in (section.get("initial") for section in sections):
        if isinstance(initial, Mapping):
            names += [one.sampler for one in initial_samplers(Initial.model_validate(initial))]
    if "sampling" in settings:
        names.append(str(NVTSettings.model_fields["kind"].default))
    return tuple(dict.fromkeys(name for name in names if name in SAMPLERS))


def samplers_not_installed(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the samplers that a stored campaign lists and that are not installed here."""
    return tuple(name for name in asked_samplers(settings) if name not in SAMPLERS)


def only_learns(settings: Mapping[str, Any]) -> bool:
    """Return whether everything that explores in a stored campaign learns on the way."""
    sections = (settings.get("systems") or {"": {}}).values()
    lists = [section.get("explore") or settings.get("explore") for section in sections]
    return all(
        isinstance(entries, Sequence)
        and all(entry["kind"] in SAMPLERS and SAMPLERS.get(entry["kind"]).learns for entry in entries)
        for entries in lists
    )


def without_lists(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain data of a campaign without its lists of samplers."""
    kept = {
        name: value
        for name, value in settings.items()
        if name not in ("initial", "explore") or not isinstance(value, Sequence)
    }
    if settings.get("systems"):
        kept["systems"] = {name: without_lists(system) for name, system in settings["systems"].items()}
    return kept


def installed_lists(section: Mapping[str, Any]) -> dict[str, tuple[CommonSamplerSettings, ...]]:
    """Return the lists of samplers of a campaign, or of a system, that a store holds: of those that are installed."""
    adapter: TypeAdapter[CommonSamplerSettings] = TypeAdapter(SamplerSettings)
    return {
        role: tuple(adapter.validate_python(entry) for entry in section[role] if entry["kind"] in SAMPLERS)
        for role in ("initial", "explore")
        if isinstance(section.get(role), Sequence)
    }
