"""A campaign with the structures it is about: all that its graphs are described from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from ase import Atoms

from ...core.names import CHARGES
from ...core.settings import FrozenSettings
from ...fitting.electrostatics.base import BaselineKind
from ...fitting.electrostatics.registry import kind_of_baseline
from ...fitting.kinds.registry import MODELS
from ...fitting.settings import CommonBaselineSettings
from ...labelling.common_settings import CommonSettings
from ...labelling.registry import ENGINES, read_settings
from ...sampling.samplers.base import CommonSamplerSettings
from ...sampling.samplers.registry import SAMPLERS
from ...sampling.selections.registry import DEFAULT_SELECTION, SELECTIONS
from ...store.connection import Store
from ...tasks.values.charges import BY_ERROR, FITTED_CHARGES
from ...tasks.values.experts import JointModel
from ...tasks.values.labels import Portion
from ..campaign.analyses import INSTALLED, asked_analyses
from ..campaign.baseline_charges import UnknownChargesError, baseline_settings, formal_charges, slater_exponent
from ..campaign.change_log import change_log
from ..campaign.initial import Initial
from ..campaign.models import asked_models
from ..campaign.samplers import asked_samplers, exploring_samplers, frames_of, initial_samplers
from ..campaign.settings import Campaign, Sampling
from .experts import chosen_experts
from .tunings import Tunings, same_species


@dataclass(frozen=True)
class PlannedSystem:
    """One structure of a campaign and how it is sampled.

    Attributes
    ----------
    name
        Its name in the campaign file; None: the only one, of the short form.
    atoms
        The structure, repeated as the campaign says; not to be changed.
    initial, explore, sampling
        How its configurations are made before the first generation, and in every generation: by ``explore``, or where
        that is None by ``sampling``, its short form.
    is_crystalline
        Whether analyses that name no systems are made of it.
    has_joined
        Whether it came after the campaign was first submitted: its initial configurations are made then.
    """

    name: str | None
    atoms: Atoms
    initial: Initial | tuple[CommonSamplerSettings, ...]
    sampling: Sampling
    explore: tuple[CommonSamplerSettings, ...] | None = None
    is_crystalline: bool = True
    has_joined: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """What seeds and identifiers derive from beside the rest: its name, where it has one."""
        return () if self.name is None else (self.name,)

    @property
    def initial_samplers(self) -> tuple[CommonSamplerSettings, ...]:
        """What makes its configurations before the first generation, in either form."""
        return initial_samplers(self.initial)

    @property
    def exploring_samplers(self) -> tuple[CommonSamplerSettings, ...]:
        """What explores it in every generation, in either form."""
        return exploring_samplers(self.explore, self.sampling)

    @property
    def initial_count(self) -> int:
        """Configurations before the first generation."""
        return frames_of(self.initial_samplers)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Chemical symbols of all atoms."""
        return tuple(self.atoms.get_chemical_symbols())

    @property
    def place(self) -> dict[str, Any]:
        """The system, for the parameters of a task, where it has a name."""
        return {} if self.name is None else {"system": self.name}

    def stage(self, stage: str) -> str:
        """Return what keys of its jobs in a stage of the campaign begin with: "generation-1/NAME"."""
        return "/".join((stage, *self.labels))


def planned_systems(
    campaign: Campaign, structures: Mapping[str | None, Atoms], joined: Collection[str] = ()
) -> tuple[PlannedSystem, ...]:
    """Return the systems of a campaign with their structures (repeated as it says), in the order of its file."""
    return tuple(
        PlannedSystem(
            name=name,
            atoms=structures[name],
            initial=campaign.initial_of(name),
            sampling=campaign.sampling,
            explore=campaign.explore_of(name),
            is_crystalline=system.is_crystalline,
            has_joined=name in joined,
        )
        for name, system in campaign.all_systems.items()
        if name in structures
    )


def species_of(systems: Iterable[PlannedSystem]) -> list[str]:
    """Return the species that occur in any of the systems, sorted."""
    return sorted({symbol for system in systems for symbol in system.symbols})


def measured_system(systems: Sequence[PlannedSystem]) -> PlannedSystem:
    """Return the first of the systems, crystalline ones before others, that holds the most species."""
    return max(systems, key=lambda one: (len(set(one.symbols)), one.is_crystalline))


@dataclass(frozen=True)
class Plan:
    """A campaign and its systems.

    Attributes
    ----------
    systems
        The campaign's structures with what becomes of each, in the order of its file.
    fitted_charges
        Charges of the baseline (e), where the campaign has them fitted and that has been done.
    earlier_models
        Identifiers of the models, by name, that the next ones grow from.
    tuned
        Hyperparameters of models, by name, that have been searched for.
    to_be_tuned
        Models whose hyperparameters are to be searched for before the next fits.
    first_reference
        The reference as first submitted, where its limits have changed since.
    experts
        What joint models, by name, are made of.
    """

    campaign: Campaign
    systems: tuple[PlannedSystem, ...]
    fitted_charges: Mapping[str, float] | None = None
    earlier_models: Mapping[str, str] = field(default_factory=dict)
    first_reference: CommonSettings | None = None
    tuned: Mapping[str, FrozenSettings] = field(default_factory=dict)
    to_be_tuned: tuple[str, ...] = ()
    experts: Mapping[str, JointModel] = field(default_factory=dict)

    @property
    def reference(self) -> CommonSettings:
        """The reference engine as it stands in the parameters of jobs, from which identifiers derive."""
        return self.first_reference or self.campaign.reference

    @classmethod
    def of_one(cls, campaign: Campaign, atoms: Atoms) -> Self:
        """Return the plan of a campaign with one structure (repeated as the campaign says)."""
        return cls(campaign, planned_systems(campaign, {None: atoms}))

    @property
    def measured(self) -> PlannedSystem:
        """The system whose locality charges are fitted to: the first crystal that holds most species."""
        return measured_system(self.systems)

    @property
    def atoms(self) -> Atoms:
        """The structure of the only system, or of the one that charges are fitted in; not to be changed."""
        return self.measured.atoms

    @property
    def symbols(self) -> tuple[str, ...]:
        """Chemical symbols of all of its atoms."""
        return self.measured.symbols

    @property
    def other_compositions(self) -> list[dict[str, int]]:
        """Atoms by species of the other systems, which charges must leave neutral too."""
        own = self.measured.name
        return [dict(sorted(Counter(one.symbols).items())) for one in self.systems if one.name != own]

    @property
    def species(self) -> list[str]:
        """The species of all systems, sorted."""
        return species_of(self.systems)

    @property
    def cells(self) -> list[tuple[str, ...]]:
        """Chemical symbols of all atoms of every system."""
        return [system.symbols for system in self.systems]

    def selected(self, system: PlannedSystem) -> int:
        """Return how many configurations of a system a generation selects: equal parts, the first get the rest."""
        return self.portion(system).count(0)

    def audited(self, system: PlannedSystem) -> int:
        """Return how many frames of a system the audit set holds: equal parts, the first systems get the rest."""
        audit = self.campaign.stop.audit
        return 0 if audit is None else self._portion(system, audit.count).count(0)

    def portion(self, system: PlannedSystem) -> Portion:
        """Return what is a system's of the labels that a generation's proposals leave."""
        return self._portion(system, self.campaign.selection.count)

    def _portion(self, system: PlannedSystem, total: int) -> Portion:
        return Portion(
            total=total, parts=len(self.systems), place=[one.name for one in self.systems].index(system.name)
        )

    @property
    def baseline(self) -> CommonBaselineSettings:
        """The electrostatic baseline of the models that have one."""
        return baseline_settings(self.campaign.baseline, self.cells, self.fitted_charges)

    @property
    def formal_charges(self) -> dict[str, float] | None:
        """Formal charges of the species (e), None where they cannot be assigned."""
        try:
            return formal_charges(*self.cells)
        except UnknownChargesError:
            return None

    @property
    def exponents(self) -> dict[str, float]:
        """Slater exponents of the species (1/Å)."""
        given = self.campaign.baseline.exponents
        return {symbol: given.get(symbol, slater_exponent(symbol)) for symbol in self.species}

    def site_charges(self, system: PlannedSystem) -> dict[str, float]:
        """Return charges for the lattice gas of a system's mobile ions, screened there: formal where they are known."""
        try:
            return formal_charges(system.symbols)
        except UnknownChargesError:
            charges = self.baseline.charges
            return {symbol: charges[symbol] for symbol in charges if symbol in system.symbols}

    def baseline_of(self, model: str) -> CommonBaselineSettings | None:
        """Return the baseline of the model of that name, None if it has none."""
        return self.baseline if self.campaign.kind_of(model).needs_baseline else None

    def settings_of(self, model: str) -> FrozenSettings:
        """Return the hyperparameters of the model of that name: as searched for last, or as the campaign gives them."""
        return self.tuned.get(model) or self.campaign.settings_of(model)

    def experts_in(self, model: str) -> tuple[str, ...]:
        """Return the identifiers of the models of other campaigns that the model of that name is made of."""
        return self.experts[model].models if model in self.experts else ()

    def backend_of(self, model: str) -> str:
        """Return what fits the model of that name."""
        return self.campaign.kind_of(model).backend(self.campaign.fit.backend, self._kind_under(model))

    def evaluator_of(self, model: str) -> str:
        """Return what evaluates the model of that name."""
        return self.campaign.kind_of(model).evaluator(self.campaign.evaluate.backend, self._kind_under(model))

    def evaluators_of(self, model: str) -> tuple[str, ...]:
        """Return what can evaluate the model of that name; two are compared with each other."""
        return self.campaign.kind_of(model).evaluators_on(self._kind_under(model))

    def _kind_under(self, model: str) -> BaselineKind | None:
        return self.campaign.kind_of_baseline if self.campaign.kind_of(model).needs_baseline else None


def load_plan(store: Store, name: str, data_set: str | None = None) -> Plan:
    """Return the plan of a campaign as it was submitted, for models that are fitted to ``data_set``.

    Raises
    ------
    UnknownKind
        If its reference engine, its baseline, its selection, one of its models, samplers or analyses is not installed
        here.
    """
    record = store.campaigns[name]
    ENGINES.get(str(record.settings["reference"]["engine"]))
    kind_of_baseline(record.settings["baseline"])
    SELECTIONS.get(record.settings.get("selection", {}).get("method", DEFAULT_SELECTION))
    for model in asked_models(record.settings).values():
        MODELS.get(model)
    for sampler in asked_samplers(record.settings):
        SAMPLERS.get(sampler)
    for analysis in asked_analyses(record.settings):
        INSTALLED.get(analysis)
    campaign = Campaign.model_validate(record.settings)
    first = change_log(store, name).reference
    tunings = Tunings.none() if data_set is None else Tunings.of(store, campaign, data_set)
    return Plan(
        campaign,
        planned_systems(
            campaign, {name: one.to_atoms() for name, one in record.structures.items()}, joined=record.joined
        ),
        _fitted_charges(store, campaign, data_set),
        {} if data_set is None else _earlier_models(store, campaign, data_set, tunings.settings),
        None if first is None else read_settings(first),
        tunings.settings,
        tunings.due,
        {} if data_set is None else chosen_experts(store, campaign, data_set),
    )


def _fitted_charges(store: Store, campaign: Campaign, data_set: str | None) -> dict[str, float] | None:
    criterion = campaign.charge_criterion
    if criterion is None:
        return None
    filters: dict[str, Any] = {"campaign": campaign.name, "kind": CHARGES, "values.criterion": criterion}
    if criterion == BY_ERROR:
        filters["inputs"] = data_set
    return next((FITTED_CHARGES.read(record).charges for record in store.results.find(filters)), None)


def _earlier_models(
    store: Store, campaign: Campaign, data_set: str, tuned: Mapping[str, FrozenSettings]
) -> dict[str, str]:
    """Return the last one of each model that grows, of those fitted to an earlier data set of the campaign.

    A model whose hyperparameters have been ``tuned`` since begins anew.
    """
    growing = {
        name
        for name in campaign.models
        if campaign.kind_of(name).grows(campaign.kind_of(name).backend(campaign.fit.backend))
    }
    if not growing:
        return {}
    records = {record.id: record for record in store.data_sets.find({"campaign": campaign.name})}
    age = {name: record.generation for name, record in records.items()}
    last = age.get(data_set, 0)
    # With a species that is new to the campaign, models begin anew.
    other = {name for name, one in records.items() if not same_species(one, records.get(data_set))}
    models = [
        model
        for model in store.models.find({"campaign": campaign.name})
        if age.get(model.data_set, last) < last and model.data_set not in other
    ]
    last_ones = {model.kind: model for model in sorted(models, key=lambda one: age[one.data_set])}
    return {
        name: model.id
        for name, model in last_ones.items()
        if name in growing
        and (name not in tuned or campaign.kind_of(name).settings_in(model.hyperparameters) == tuned[name])
    }
