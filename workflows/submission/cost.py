"""What a campaign will cost before it starts: labels, fits with their memory, molecular dynamics, disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ase import Atoms

from ...fitting.kinds.base import NATIVE, FitEstimate
from ...fitting.preflight import available_memory_bytes
from ...sampling.samplers.registry import sampler_of
from ..analyses.base import FRAME_BYTES_PER_ATOM, AnalysisCost
from ..analyses.locality.graph import charge_fit_cost
from ..analyses.registry import chosen_analyses
from ..campaign.samplers import frames_of
from ..campaign.settings import Campaign
from ..graph.plan import Plan, PlannedSystem, measured_system, planned_systems, species_of
from .sampler_cost import SamplerCost, evaluations, sampler_costs

RECORD_BYTES_PER_ATOM = 400
"""A label in the store, estimated: positions, forces and charges with their keys."""


@dataclass(frozen=True)
class SystemCost:
    """What one of several systems asks for: its cell, and numbers as in `CampaignCost`."""

    atoms: int
    composition: dict[str, int]
    initial_labels: int
    initial_reference_steps: int
    dynamics_steps_per_generation: int


@dataclass(frozen=True)
class TuningCost:
    """Searches for the hyperparameters of one model.

    Attributes
    ----------
    searches
        How many, if the campaign runs to its last generation.
    budget_fits
        What each may cost, in fits with the settings that it begins with.
    first_s, all_s
        Time of the first one and of all on one core (s, rough), without later settings' being more expensive.
    memory_bytes
        Of a fit with the most sparse points that may be chosen, to the last data that a search is made on.
    """

    searches: int
    budget_fits: float
    first_s: float
    all_s: float
    memory_bytes: float


@dataclass(frozen=True)
class CampaignCost:
    """What a campaign asks of the machine, if it runs to its last generation.

    Attributes
    ----------
    atoms, composition
        The simulated cell, of several the largest.
    initial_labels, labels_per_generation, maximum_labels
        Reference calculations that become data; the first includes the isolated atoms.
    initial_reference_steps
        Reference calculations of the initial molecular dynamics and relaxations, at most; they are no data.
    maximum_fits, first_fit, last_fit
        Fits of all models, and what the most expensive of the first and of the last ones takes.
    unknown_fits
        Models of which nobody knows what a fit takes; they are not in the numbers.
    dynamics_steps_per_generation, maximum_dynamics_steps
        Steps of molecular dynamics with a fitted model, all replicas.
    disk_bytes
        Trajectories, models and labels.
    available_memory_bytes
        What this machine has now.
    analyses
        Evaluations of the fit of the charges and of the analyses, by name.
    systems
        What is of one system alone, by its name.
    exploring_reference_steps_per_generation
        Reference calculations of samplers that explore with the reference; they are no data.
    samplers
        What every sampler takes.
    tunings
        What the searches for hyperparameters take, by model.
    audit_labels
        Labels of the audit set, in the first generation; no model is fitted to them.
    property_analyses
        Analyses that are made after every generation, too, with the driver alone and without the reference.
    """

    atoms: int
    composition: dict[str, int]
    initial_labels: int
    labels_per_generation: int
    maximum_labels: int
    initial_reference_steps: int
    maximum_fits: int
    first_fit: FitEstimate
    last_fit: FitEstimate
    unknown_fits: tuple[str, ...]
    dynamics_steps_per_generation: int
    maximum_dynamics_steps: int
    disk_bytes: float
    available_memory_bytes: int
    analyses: dict[str, AnalysisCost]
    systems: dict[str, SystemCost] = field(default_factory=dict)
    exploring_reference_steps_per_generation: int = 0
    samplers: tuple[SamplerCost, ...] = ()
    tunings: dict[str, TuningCost] = field(default_factory=dict)
    audit_labels: int = 0
    property_analyses: tuple[str, ...] = ()

    @property
    def largest_fit_bytes(self) -> float:
        """Memory of the largest fit, those of searches for hyperparameters among them."""
        return max([self.last_fit.memory_bytes, *(one.memory_bytes for one in self.tunings.values())])

    @property
    def fits_in_memory(self) -> bool:
        """Whether this machine's free memory holds the largest fit."""
        return self.largest_fit_bytes <= self.available_memory_bytes

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``--json``."""
        return {**asdict(self), "fits_in_memory": self.fits_in_memory}


def campaign_cost(campaign: Campaign, structures: Mapping[str | None, Atoms]) -> CampaignCost:
    """Return the cost of a campaign on its structures (repeated as it says)."""
    systems = planned_systems(campaign, structures)
    stop, selected = campaign.stop, _selected(campaign, systems)
    species = species_of(systems)
    first_data = sum(system.initial_count for system in systems)
    generations = stop.max_generations
    samplers = sampler_costs(campaign, systems)
    per_generation = sum(one.labels for one in samplers)
    learnt = min(generations * per_generation, sum(one.most_labels for one in samplers))
    last_data = first_data + generations * selected + learnt
    first, last = (
        _fits(campaign, systems, count, grown=grown) for count, grown in ((first_data, False), (last_data, True))
    )
    analyses = _analyses(campaign, systems)
    sizes = [first_data + number * selected + min(number * per_generation, learnt) for number in range(generations + 1)]
    tunings = _tunings(campaign, systems, sizes)
    # One fit per generation, and the final one to all data.
    fits = (generations + 1) * len(campaign.models)
    audit = 0 if stop.audit is None else stop.audit.count
    labels = last_data + len(species) + audit
    steps = evaluations(samplers, "explore", "model")
    largest = max(systems, key=lambda system: len(system.atoms))
    return CampaignCost(
        atoms=len(largest.atoms),
        composition=_composition(largest.atoms),
        initial_labels=first_data + len(species),
        labels_per_generation=selected + per_generation,
        maximum_labels=labels,
        initial_reference_steps=evaluations(samplers, "initial", "reference"),
        maximum_fits=fits,
        first_fit=_largest(first, first_data),
        last_fit=_largest(last, last_data),
        unknown_fits=tuple(name for name, estimate in last.items() if estimate is None),
        dynamics_steps_per_generation=steps,
        maximum_dynamics_steps=generations * steps,
        disk_bytes=_frames_and_labels_bytes(systems, generations, labels)
        + (generations + 1) * sum(one.model_bytes for one in last.values() if one is not None)
        # Models of one kind share what is kept.
        + max((one.cache_bytes for one in last.values() if one is not None), default=0.0)
        + sum(analysis.disk_bytes for analysis in analyses.values()),
        available_memory_bytes=available_memory_bytes(),
        analyses=analyses,
        systems={
            system.name: _system_cost(system, [one for one in samplers if one.system == system.name])
            for system in systems
            if system.name is not None
        },
        exploring_reference_steps_per_generation=evaluations(samplers, "explore", "reference"),
        samplers=samplers,
        tunings=tunings,
        audit_labels=audit,
        property_analyses=tuple(stop.properties),
    )


def _system_cost(system: PlannedSystem, samplers: Sequence[SamplerCost]) -> SystemCost:
    return SystemCost(
        atoms=len(system.atoms),
        composition=_composition(system.atoms),
        initial_labels=system.initial_count,
        initial_reference_steps=evaluations(samplers, "initial", "reference"),
        dynamics_steps_per_generation=evaluations(samplers, "explore", "model"),
    )


def _composition(atoms: Atoms) -> dict[str, int]:
    return dict(sorted(Counter(atoms.get_chemical_symbols()).items()))


def _selected(campaign: Campaign, systems: Sequence[PlannedSystem]) -> int:
    """Return how many frames a generation selects: in systems where something explores that does not learn."""
    plan = Plan(campaign, tuple(systems))
    return sum(
        plan.selected(system)
        for system in systems
        if any(not sampler_of(one).learns for one in system.exploring_samplers)
    )


def _frames_and_labels_bytes(systems: Sequence[PlannedSystem], generations: int, labels: int) -> float:
    """Return what trajectories and labels take; a selected one and an isolated atom count as the mean cell."""
    bytes_of_frames = sum(
        len(system.atoms) * (generations * frames_of(system.exploring_samplers) + system.initial_count)
        for system in systems
    )
    first = sum(system.initial_count for system in systems)
    mean_atoms = sum(len(system.atoms) for system in systems) / len(systems)
    atoms_of_labels = sum(len(system.atoms) * system.initial_count for system in systems) + mean_atoms * (
        labels - first
    )
    return float(bytes_of_frames * FRAME_BYTES_PER_ATOM + atoms_of_labels * RECORD_BYTES_PER_ATOM)


def _fits(
    campaign: Campaign, systems: Sequence[PlannedSystem], configurations: int, *, grown: bool
) -> dict[str, FitEstimate | None]:
    """Return what a fit of every model takes; models that only differ in their baseline are looked at once."""
    known: dict[tuple[Any, ...], FitEstimate | None] = {}
    found = {}
    for name in campaign.models:
        kind, settings = campaign.kind_of(name), campaign.settings_of(name)
        under = campaign.kind_of_baseline if kind.needs_baseline else None
        backend = kind.backend(campaign.fit.backend, under)
        key = (type(kind).estimate, settings.model_dump_json(), backend)
        if key not in known:
            known[key] = _mean(
                [kind.estimate(one.atoms, settings, backend, configurations, grown=grown) for one in systems]
            )
        estimate = known[key]
        fitted = estimate is not None and under is not None and under.is_fitted
        found[name] = under.with_fit(estimate) if fitted and under and estimate else estimate
    return found


def _tunings(campaign: Campaign, systems: Sequence[PlannedSystem], data: Sequence[int]) -> dict[str, TuningCost]:
    """Return what the searches take; ``data``: configurations before each round of fits."""
    found = {}
    for name in campaign.models:
        tune, kind, settings = campaign.tuning_of(name), campaign.kind_of(name), campaign.settings_of(name)
        if tune is None:
            continue
        sizes: list[int] = []
        for count in data:
            if not sizes or count >= tune.again_at_growth * sizes[-1]:
                sizes.append(count)
        fits = [_mean([kind.estimate(one.atoms, settings, NATIVE, count) for one in systems]) for count in sizes]
        largest = kind.with_most_points(settings, tune.most_sparse_points)
        widest = _mean([kind.estimate(one.atoms, largest, NATIVE, sizes[-1]) for one in systems])
        minutes = float("inf") if tune.budget_core_minutes is None else tune.budget_core_minutes
        times = [min(tune.budget_fits * one.time_s, max(60 * minutes, one.time_s)) for one in fits if one is not None]
        memory = 0.0 if widest is None else widest.memory_bytes
        found[name] = TuningCost(len(sizes), tune.budget_fits, times[0] if times else 0.0, sum(times), memory)
    return found


def _mean(estimates: Sequence[FitEstimate | None]) -> FitEstimate | None:
    """Return what a fit takes whose configurations are of every system in equal parts: its rows add up."""
    known = [one for one in estimates if one is not None]
    if len(known) < len(estimates):
        return None
    if len(known) == 1:
        return known[0]

    def mean(values: Iterable[float]) -> float:
        return sum(values) / len(known)

    return FitEstimate(
        known[0].configurations,
        memory_bytes=mean(one.memory_bytes for one in known),
        time_s=mean(one.time_s for one in known),
        model_bytes=max(one.model_bytes for one in known),
        columns=max(one.columns for one in known),
        cache_bytes=mean(one.cache_bytes for one in known),
    )


def _largest(estimates: Mapping[str, FitEstimate | None], configurations: int) -> FitEstimate:
    known = [one for one in estimates.values() if one is not None] or [FitEstimate(configurations, 0.0, 0.0, 0.0)]
    return FitEstimate(
        configurations,
        memory_bytes=max(one.memory_bytes for one in known),
        time_s=max(one.time_s for one in known),
        model_bytes=max(one.model_bytes for one in known),
        columns=max(one.columns for one in known),
        cache_bytes=max(one.cache_bytes for one in known),
    )


def _analyses(campaign: Campaign, systems: Sequence[PlannedSystem]) -> dict[str, AnalysisCost]:
    """Return what the fit of the charges and the analyses cost, of every system: "locality of beta"."""
    charges = charge_fit_cost(campaign, measured_system(systems).atoms)
    found = {} if charges is None else {"charges": charges}
    plan = Plan(campaign, tuple(systems))
    for analysis in chosen_analyses(campaign):
        for system in analysis.systems(plan):
            name = analysis.name if system.name is None else f"{analysis.name} of {system.name}"
            found[name] = analysis.cost(campaign, system.atoms)
    return found
