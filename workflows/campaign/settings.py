"""The campaign file as typed, frozen models: what a user may set, in which unit, with which default.

`Campaign` holds the file as it was written. ``structure`` stays a built-in name or a path; a relative path is
relative to the folder of the campaign file (`ionloop.workflows.submission.campaign_file.load_structures`), so a
campaign that leaves its folder must take the structure with it. ``Campaign.model_validate(campaign.model_dump(
mode="json"))`` gives the same campaign back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Self

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    field_serializer,
    model_serializer,
    model_validator,
)

from ...core.settings import FrozenSettings
from ...fitting.electrostatics.base import BaselineKind
from ...fitting.electrostatics.registry import BASELINES, DEFAULT_BASELINE, KIND, BaselineSections
from ...fitting.electrostatics.sections import BaselineSection, ChargeCriterion, SectionNotInstalled
from ...fitting.kinds.base import ModelKind
from ...fitting.settings import ElementSymbol, EvaluateBackend, FitBackend
from ...fitting.tuning.settings import TuneSettings
from ...labelling.registry import ENGINES, EngineSettings, default_settings, stored_settings
from ...labelling.versions import NOT_KNOWN
from ...sampling.molecular_dynamics_settings import MolecularDynamicsSettings, steps_for
from ...sampling.samplers.base import CommonSamplerSettings
from ...sampling.seen_contacts import ExploringGuard
from ...sampling.selections.registry import DEFAULT_SELECTION, SELECTIONS, SelectionSettings, stored_selection
from .analyses import AnalysesSection, analyses_not_installed, no_analyses, with_sections
from .initial import Initial, Temperature, Timestep
from .models import (
    DEFAULT_MODELS,
    REFERENCE,
    Models,
    default_driver,
    kind_of,
    model_inconsistencies,
    models_not_installed,
    settings_of,
    tuning_of_model,
    with_kinds_and_sections,
    without_models,
)
from .problems import CampaignInconsistency, Key, Problem, closest
from .properties import Audit, Proposals, ToleranceText, property_inconsistencies, without_properties
from .samplers import (
    MAX_STEPS,
    InitialSetting,
    SamplerList,
    frames_of,
    initial_samplers,
    installed_lists,
    named_driver,
    sampler_inconsistencies,
    samplers_not_installed,
    selected_samplers,
    without_lists,
)
from .systems import StructureSource, Supercell, System, SystemName, section_key
from .tuning import GapSection, tuning_inconsistencies

NO_STRUCTURE = Problem(
    ("structure",),
    "is required, or systems, where there are several",
    allowed="the name of a built-in structure, the path of a file or a mapping with a composition",
)
MAX_SYSTEMS = 50
MIN_INITIAL_CONFIGURATIONS = 2

CodeVersion = Annotated[str, Field(pattern=rf"^([A-Za-z][\w.+-]* \d+\.\d+|{NOT_KNOWN})$")]
CoreHours = Annotated[float, Field(gt=0, le=1e9)]
Budget = Annotated[
    Annotated[CoreHours, Tag("number")] | Annotated[dict[str, CoreHours], Tag("table")],
    Discriminator(lambda value: "table" if isinstance(value, dict) else "number"),
]
Systems = Annotated[dict[SystemName, System], Field(min_length=1, max_length=MAX_SYSTEMS)]


class Fit(FrozenSettings):
    """How models are fitted."""

    backend: FitBackend = Field(
        "native", description="What fits: ionloop's own fitter, or QUIP's gap_fit, the same model (name)"
    )


class Evaluate(FrozenSettings):
    """How models are evaluated."""

    backend: EvaluateBackend = Field(
        "native", description="What evaluates: ionloop's own evaluator, or QUIP, the same numbers (name)"
    )
    cross_check: int = Field(
        10,
        ge=0,
        le=1000,
        description="Configurations on which every model is evaluated by both; the campaign stops if forces differ "
        "by more than 1e-5 eV/Å; 0: none (number)",
    )


class Sampling(FrozenSettings):
    """Molecular dynamics with a fitted model, which finds the configurations of the next generation."""

    driver: str | None = Field(
        None,
        description="Model that drives the dynamics; nothing: the one of the highest rank, es-gap before gap",
        json_schema_extra={"allowed": "a model of the campaign"},
    )
    temperature_K: Temperature = Field(800.0, description="Temperature of the thermostat (K)")
    length_ps: float = Field(5.0, gt=0, le=100_000, description="Length of each trajectory (ps)")
    timestep_fs: Timestep = Field(1.0, description="Time step (fs)")
    replicas: int = Field(2, ge=1, le=1000, description="Independent trajectories per generation (number)")
    write_every: int = Field(10, ge=1, le=1_000_000, description="Steps between two frames on disk (number)")
    friction_per_ps: float = Field(10.0, gt=0, le=1000, description="Friction of the Langevin thermostat (1/ps)")
    guard: ExploringGuard = Field(
        default_factory=ExploringGuard, description="Bounds beyond which a trajectory is stopped"
    )

    @property
    def steps(self) -> int:
        """Steps of one trajectory: its length, rounded up to a whole number of frames."""
        return steps_for(self.length_ps, self.timestep_fs, self.write_every)

    @property
    def dynamics(self) -> MolecularDynamicsSettings:
        """What the integrator needs."""
        return MolecularDynamicsSettings(
            temperature_K=self.temperature_K,
            timestep_fs=self.timestep_fs,
            steps=self.steps,
            write_every=self.write_every,
            friction_per_ps=self.friction_per_ps,
            guard=self.guard.bounded({}),
        )

    @property
    def frames(self) -> int:
        """Frames that one trajectory writes, the starting configuration not counted."""
        return self.steps // self.write_every


class Stop(FrozenSettings):
    """When the loop ends."""

    patience: int = Field(
        1,
        ge=1,
        le=100,
        description="Generations in a row without improvement after which the loop ends (number)",
    )
    energy_tolerance: float = Field(
        0.05, ge=0, lt=1, description="Relative fall of the energy error that counts as improvement (no unit)"
    )
    force_tolerance: float = Field(
        0.05, ge=0, lt=1, description="Relative fall of the force error that counts as improvement (no unit)"
    )
    max_generations: int = Field(
        8,
        ge=1,
        le=1000,
        description="Most generations; each one fits, samples, selects, labels and assesses (number)",
    )
    min_label_fraction: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Part of a generation's labels that must finish for the loop to go on (no unit)",
    )
    max_attempts: int = Field(
        3, ge=1, le=20, description="Times that a job may take its worker down before it is given up (number)"
    )
    properties: dict[str, ToleranceText] = Field(
        default_factory=dict,
        description="Properties that the loop ends with once each is known within a tolerance, statistical and model "
        "error together (95 %): by analyses of the campaign, e.g. {barriers: 0.05 eV, conductivity: 30 %}, which are "
        "then made in every generation with the driver; nothing: errors alone decide",
    )
    audit: Audit | None = Field(
        None,
        description="Configurations on which the models of every generation are measured and none is fitted to: the "
        "stop rule then compares errors on these; nothing: on each generation's new ones",
    )


class Campaign(FrozenSettings):
    """From a crystal structure to converged potentials."""

    # Kinds that have a section are looked up when the first file is read, by when everything is imported.
    model_config = ConfigDict(defer_build=True)

    name: str = Field(
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9_-]{0,62}[A-Za-z0-9])?$",
        description="Name of the campaign in the store",
        json_schema_extra={"allowed": "1 to 64 letters, digits, - and _, with a letter or digit at both ends"},
    )
    structure: StructureSource | None = Field(
        None,
        description="Built-in structure, a file that ASE reads, relative to the campaign file, or a composition, which "
        "is packed at random; where there are several structures, systems holds them",
    )
    supercell: Supercell = Field((1, 1, 1), description="Repetitions of the structure along its three axes (number)")
    systems: Systems | None = Field(
        None,
        description="Several structures in one campaign, by names of yours, instead of structure and supercell, e.g. "
        "{crystal: {structure: li7p3s11}, other: {structure: other.cif, supercell: [1, 2, 2]}}",
    )
    mobile: ElementSymbol = Field(
        "Li",
        description="Chemical symbol of the ion that moves",
        json_schema_extra={"allowed": "a chemical symbol in the structure"},
    )
    seed: int = Field(1, ge=0, le=2**31 - 1, description="Seed of every random number in the campaign (no unit)")
    reference: EngineSettings = Field(
        default_factory=default_settings, description="Reference engine, which computes every label"
    )
    mix_versions: tuple[CodeVersion, ...] = Field(
        (),
        description="Versions of the reference's code whose labels may stand in one data set, where they change its "
        "numbers, e.g. [tblite 0.7, tblite 0.8]; may be changed while the campaign runs (names)",
        json_schema_extra={"allowed": f"a code and its version, or '{NOT_KNOWN}'"},
    )
    initial: InitialSetting = Field(
        Initial(),
        description="Configurations before the first generation: a list of samplers, e.g. [{kind: molecular-dynamics, "
        "count: 20}, {kind: rattled, count: 10}], or this short form",
    )
    baseline: BaselineSections = Field(
        default_factory=lambda: BASELINES.get(DEFAULT_BASELINE).section_type(),
        description="Electrostatic baseline of ES-GAP",
    )
    models: Models = Field(
        DEFAULT_MODELS,
        description="Models that every generation fits, on identical data: kinds, or names with a kind and its "
        "settings, e.g. {gap: {}, small: {kind: gap, soap: {n_max: 6}}}",
    )
    gap: GapSection = Field(
        default_factory=GapSection,
        description="Hyperparameters of both models' GAP part; the word tune alone: begin with the defaults, and "
        "search for better ones",
        json_schema_extra={"allowed": "tune, or a mapping"},
    )
    fit: Fit = Field(Fit(), description="What fits the models")
    evaluate: Evaluate = Field(Evaluate(), description="What evaluates the models")
    sampling: Sampling = Field(
        Sampling(),
        description="Molecular dynamics that explores, once per generation: the short form of explore with one nvt",
    )
    explore: SamplerList | None = Field(
        None,
        description="Samplers that explore, once per generation, instead of sampling, e.g. [{kind: nvt, temperature_K: "
        "[600, 800]}, {kind: npt, candidates: 200}]; entries may be added while the campaign runs",
    )
    selection: SelectionSettings = Field(
        default_factory=lambda: SELECTIONS.get(DEFAULT_SELECTION).settings_type(),
        description="Choice of the sampled frames that are worth a label",
    )
    proposals: Proposals | None = Field(
        None,
        description="Labels of configurations that analyses propose, where stop.properties asks for what they tell; "
        "nothing: all of selection.count are chosen among the frames of the exploration",
    )
    stop: Stop = Field(Stop(), description="When the loop ends")
    max_core_hours: Budget | None = Field(
        None,
        description="Core hours after which the campaign pauses and says so: of all together, or by engine and kind of "
        "work, e.g. {aims: 4000, fit: 200}; nothing: no limit (h)",
    )
    analyses: AnalysesSection = Field(
        default_factory=no_analyses, description="Analyses with the final models; {} makes one with its defaults"
    )

    @property
    def charge_criterion(self) -> ChargeCriterion | None:
        """What the baseline's charges are fitted to, None where no model has one or its charges are given."""
        return self.baseline.charge_criterion if self.models_on_baseline else None

    @property
    def models_on_baseline(self) -> tuple[str, ...]:
        """The models that are fitted on top of the electrostatic baseline."""
        return tuple(name for name in self.models if self.kind_of(name).needs_baseline)

    @property
    def kind_of_baseline(self) -> BaselineKind:
        """The kind of the electrostatic baseline."""
        return BASELINES.get(self.baseline.kind_name)

    @property
    def driver(self) -> str:
        """The model that drives the sampling: the one named for it, or the highest in rank."""
        return self.sampling.driver or named_driver(self) or default_driver(self)

    def kind_of(self, name: str) -> ModelKind:
        """Return the kind of the model of that name."""
        return kind_of(self, name)

    def settings_of(self, name: str) -> FrozenSettings:
        """Return the hyperparameters of the model of that name."""
        return settings_of(self, name)

    def tuning_of(self, name: str) -> TuneSettings | None:
        """Return how the hyperparameters of the model of that name are searched for, None if they are not."""
        return tuning_of_model(self, name)

    # Not as a validator: of JSON its input would be Python's, and lists no tuples where nothing is converted.
    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Return the campaign that plain data describe; models of the long form take what they leave out."""
        return super().model_validate(with_kinds_and_sections(with_sections(obj)), **options)

    @property
    def all_systems(self) -> Mapping[str | None, System]:
        """The systems by name; the one of the short form, which has none, by None."""
        if self.systems is not None:
            return dict(self.systems.items())
        return {None: System(structure=self.structure or "none", supercell=self.supercell, crystalline=True)}

    def initial_of(self, system: str | None) -> Initial | tuple[CommonSamplerSettings, ...]:
        """Return the configurations before the first generation of the system of that name."""
        return self.all_systems[system].initial or self.initial

    def explore_of(self, system: str | None) -> tuple[CommonSamplerSettings, ...] | None:
        """Return the samplers that explore the system of that name, None where the short form says how."""
        return self.all_systems[system].explore or self.explore

    @model_serializer(mode="wrap")
    def _in_one_form(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the form that the campaign does not have: stored campaigns stay what they were."""
        form = {"structure", "supercell"} if self.systems is not None else {"systems"}
        form.add("explore" if self.explore is None else "sampling")
        return {name: value for name, value in serialise(self).items() if name not in form}

    @field_serializer("models", mode="wrap")
    def _models_as_given(self, value: Any, handler: SerializerFunctionWrapHandler) -> Any:
        return list(value) if isinstance(value, tuple) else handler(value)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = list(_inconsistencies(self))
        if problems:
            raise CampaignInconsistency(problems)
        return self


def _inconsistencies(campaign: Campaign) -> Iterator[Problem]:
    yield from model_inconsistencies(campaign)
    yield from tuning_inconsistencies(campaign)
    yield from _form_inconsistencies(campaign)
    yield from _driver_inconsistencies(campaign)
    yield from sampler_inconsistencies(campaign)
    initial = sum(frames_of(initial_samplers(campaign.initial_of(name))) for name in campaign.all_systems)
    if initial < MIN_INITIAL_CONFIGURATIONS:
        message = f"asks for {initial} configurations in all; a first fit needs {MIN_INITIAL_CONFIGURATIONS} or more"
        yield Problem(("initial",), message)
    yield from _sampling_inconsistencies(campaign)
    yield from _analysis_inconsistencies(campaign)
    yield from property_inconsistencies(campaign)


def _form_inconsistencies(campaign: Campaign) -> Iterator[Problem]:
    """Yield that a campaign has no structure, or one in two forms."""
    if campaign.systems is None:
        if campaign.structure is None:
            yield NO_STRUCTURE
        for analysis in campaign.analyses.chosen:
            if getattr(campaign.analyses, analysis).systems:
                message = "names systems, and the campaign has one structure without a name: remove the line"
                yield Problem(("analyses", analysis, "systems"), message)
        return
    by_key: dict[str, str] = {}
    for name in campaign.systems:
        other = by_key.setdefault(section_key(name), name)
        if other != name:
            message = f"is too like {other}: names that differ in case, - and _ alone are not told apart everywhere"
            yield Problem(("systems", name), message)
    if campaign.selection.count < len(campaign.systems):
        message = f"is less than one for each of the {len(campaign.systems)} systems"
        yield Problem(("selection", "count"), message, value=campaign.selection.count, related=(("systems",),))
    for analysis in campaign.analyses.chosen:
        key = ("analyses", analysis, "systems")
        for name in getattr(campaign.analyses, analysis).systems:
            if name not in campaign.systems:
                near, allowed = closest(name, campaign.systems), " | ".join(campaign.systems)
                yield Problem(
                    key, "is none of the systems", value=name, allowed=allowed, suggestion=near, related=(("systems",),)
                )
    for name in ("structure", "supercell"):
        if name in campaign.model_fields_set:
            message = "stands for the one structure of a campaign without systems: give each of systems its own"
            value = getattr(campaign, name)
            shown = list(value) if isinstance(value, tuple) else value
            yield Problem((name,), message, value=shown, related=(("systems",),))


def _driver_inconsistencies(campaign: Campaign) -> Iterator[Problem]:
    driver, models = campaign.sampling.driver, tuple(campaign.models)
    if driver is None:
        return
    problem = Problem(
        ("sampling", "driver"),
        "is not among the models of this campaign",
        value=driver,
        allowed=" | ".join(models),
        suggestion=closest(driver, models),
        related=(("models",),),
    )
    if driver not in models:
        yield problem
    elif not campaign.kind_of(driver).can_drive:
        able = " | ".join(name for name in models if campaign.kind_of(name).can_drive)
        yield replace(problem, message="cannot drive molecular dynamics", allowed=able, suggestion=None)


def _analysis_inconsistencies(campaign: Campaign) -> Iterator[Problem]:
    for name in campaign.analyses.chosen:
        potential = getattr(getattr(campaign.analyses, name), "potential", None)
        if potential is not None and potential not in (REFERENCE, *campaign.models):
            yield Problem(
                ("analyses", name, "potential"),
                "is not among the models of this campaign",
                value=potential,
                allowed=" | ".join((REFERENCE, *campaign.models)),
                suggestion=closest(potential, (REFERENCE, *campaign.models)),
                related=(("models",),),
            )


def _variance_inconsistencies(campaign: Campaign) -> Iterator[Problem]:
    """Yield that a selection by variance has nobody who predicts one."""
    driver = campaign.driver
    if not SELECTIONS.get(campaign.selection.kind).needs_variance or driver not in campaign.models:
        return
    kind = campaign.kind_of(driver)
    if kind.predicts_variance(kind.evaluator(campaign.evaluate.backend)):
        return
    able = [one for one in kind.evaluators if kind.predicts_variance(one)]
    message = f"needs a variance, which the driver {driver} does not predict"
    if able:
        message = f"needs evaluate.backend: {able[0]}, which predicts variances"
    related = (("evaluate",), ("sampling", "driver"))
    yield Problem(("selection", "method"), message, value=campaign.selection.kind, related=related)


def _sampling_inconsistencies(campaign: Campaign) -> Iterator[Problem]:
    yield from _variance_inconsistencies(campaign)
    sampling = campaign.sampling
    if sampling.steps > MAX_STEPS:
        message = f"makes {sampling.steps:,} steps per trajectory; at most {MAX_STEPS:,} are allowed"
        yield Problem(("sampling", "length_ps"), message, value=sampling.length_ps)
    offers = {name: selected_samplers(campaign.explore_of(name), campaign.sampling) for name in campaign.all_systems}
    if not any(offers.values()):
        if campaign.stop.audit is not None:
            message = "is taken from frames among which nothing is selected here: what learns measures by audits"
            yield Problem(("stop", "audit"), message, related=(("explore",), ("systems",)))
        return
    candidates = sum(frames_of(samplers) for samplers in offers.values())
    if candidates < campaign.selection.count:
        message = f"is more than the {candidates} frames that a generation samples"
        if campaign.explore is None and campaign.systems is None:
            message += f" ({sampling.replicas} replicas of {sampling.frames})"
        related: tuple[Key, ...] = (("sampling",), ("explore",), ("systems",))
        yield Problem(("selection", "count"), message, value=campaign.selection.count, related=related)
    elif campaign.stop.audit is not None and candidates < campaign.selection.count + campaign.stop.audit.count:
        message = f"and selection.count ask for more than the {candidates} frames that the first generation samples"
        related = (("sampling",), ("explore",), ("systems",), ("selection",))
        yield Problem(("stop", "audit", "count"), message, value=campaign.stop.audit.count, related=related)


def stored_campaign(settings: Mapping[str, Any]) -> Campaign:
    """Return the campaign that a store holds, to be shown: its kinds need not be installed here.

    Raises
    ------
    ValidationError
        If the settings are none of this version's.
    """
    reference = stored_settings(settings["reference"])
    unknown = analyses_not_installed(settings)
    # Whether the driver knows its errors was seen when the campaign was submitted.
    settings = without_properties(settings, None if models_not_installed(settings) else unknown)
    if unknown:
        analyses = {name: given for name, given in settings["analyses"].items() if name not in unknown}
        settings = {**settings, "analyses": analyses}
    if reference.engine not in ENGINES:
        settings = {key: value for key, value in settings.items() if key != "reference"}
    given, under = settings["baseline"], settings["baseline"].get(KIND, DEFAULT_BASELINE)
    if under not in BASELINES:
        settings = {**settings, "baseline": {name: given[name] for name in BaselineSection.model_fields}}
    selection = stored_selection(settings.get("selection", {}))
    # Whether so many can be chosen was seen when the campaign was submitted.
    # As small as can be: sampling, exchanged for a default too, must offer as many frames.
    least = max(1, len(settings.get("systems") or ()))
    settings = {**settings, "selection": {"method": DEFAULT_SELECTION, "count": least}}
    unknown_models = models_not_installed(settings)
    given = settings
    if unknown_models or samplers_not_installed(settings):
        # Their entries may name models that are gone, and what is left of them need not make a campaign.
        settings = without_lists(settings)
    campaign = Campaign.model_validate(without_models(settings, unknown_models))
    campaign = campaign.model_copy(update={"selection": selection})
    if settings is not given:
        campaign = campaign.model_copy(update=_with_installed_lists(campaign, given))
    if unknown_models:
        driver = given.get("sampling", {}).get("driver")
        sampling = campaign.sampling.model_copy(update={"driver": driver})
        left = () if len(unknown_models) == len(settings["models"]) else campaign.models
        campaign = campaign.model_copy(update={"models": left, "sampling": sampling})
    if under not in BASELINES:
        values = {name: getattr(campaign.baseline, name) for name in BaselineSection.model_fields}
        campaign = campaign.model_copy(update={"baseline": SectionNotInstalled(kind=under, **values)})
    return campaign if reference.engine in ENGINES else campaign.model_copy(update={"reference": reference})


def _with_installed_lists(campaign: Campaign, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a stored campaign lists of installed samplers, as an update of the campaign without lists."""
    update: dict[str, Any] = dict(installed_lists(settings))
    if campaign.systems is not None:
        update["systems"] = {
            name: system.model_copy(update=dict(installed_lists(settings["systems"][name])))
            for name, system in campaign.systems.items()
        }
    return update
