"""What a campaign will cost before it starts: labels, fits with their memory, molecular dynamics, disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ase import Atoms

from ...fitting.kinds.base import FitEstimate
from ...fitting.preflight import available_memory_bytes
from ..analyses.base import FRAME_BYTES_PER_ATOM, AnalysisCost
from ..analyses.locality.graph import charge_fit_cost
from ..analyses.registry import chosen_analyses
from ..campaign.settings import Campaign

RECORD_BYTES_PER_ATOM = 400
"""A label in the store, estimated: positions, forces and charges with their keys."""


@dataclass(frozen=True)
class CampaignCost:
    """What a campaign asks of the machine, if it runs to its last generation.

    Attributes
    ----------
    atoms, composition
        The simulated cell.
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

    @property
    def fits_in_memory(self) -> bool:
        """Whether this machine's free memory holds the largest fit."""
        return self.last_fit.memory_bytes <= self.available_memory_bytes

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``--json``."""
        return {**asdict(self), "fits_in_memory": self.fits_in_memory}


def campaign_cost(campaign: Campaign, structure: Atoms) -> CampaignCost:
    """Return the cost of a campaign on ``structure`` (not yet repeated)."""
    atoms = structure.repeat(campaign.supercell)
    initial, sampling, stop = campaign.initial, campaign.sampling, campaign.stop
    species = sorted(set(atoms.get_chemical_symbols()))
    first_data = initial.molecular_dynamics.count + initial.lithium_monte_carlo.count
    generations = stop.max_generations
    last_data = first_data + generations * campaign.selection.count
    first, last = (
        _fits(campaign, atoms, count, grown=grown) for count, grown in ((first_data, False), (last_data, True))
    )
    analyses = _analyses(campaign, atoms)
    # One fit per generation, and the final one to all data.
    fits = (generations + 1) * len(campaign.models)
    labels = first_data + len(species) + generations * campaign.selection.count
    frames = generations * sampling.replicas * sampling.frames + initial.molecular_dynamics.count
    disk = len(atoms) * (frames * FRAME_BYTES_PER_ATOM + labels * RECORD_BYTES_PER_ATOM)
    relaxation_steps = initial.lithium_monte_carlo.count * initial.lithium_monte_carlo.relaxation.steps
    return CampaignCost(
        atoms=len(atoms),
        composition=dict(sorted(Counter(atoms.get_chemical_symbols()).items())),
        initial_labels=first_data + len(species),
        labels_per_generation=campaign.selection.count,
        maximum_labels=labels,
        initial_reference_steps=initial.molecular_dynamics.steps + relaxation_steps,
        maximum_fits=fits,
        first_fit=_largest(first, first_data),
        last_fit=_largest(last, last_data),
        unknown_fits=tuple(name for name, estimate in last.items() if estimate is None),
        dynamics_steps_per_generation=sampling.replicas * sampling.steps,
        maximum_dynamics_steps=generations * sampling.replicas * sampling.steps,
        disk_bytes=disk
        + (generations + 1) * sum(one.model_bytes for one in last.values() if one is not None)
        # Models of one kind share what is kept.
        + max((one.cache_bytes for one in last.values() if one is not None), default=0.0)
        + sum(analysis.disk_bytes for analysis in analyses.values()),
        available_memory_bytes=available_memory_bytes(),
        analyses=analyses,
    )


def _fits(campaign: Campaign, atoms: Atoms, configurations: int, *, grown: bool) -> dict[str, FitEstimate | None]:
    """Return what a fit of every model takes; models that only differ in their baseline are looked at once."""
    known: dict[tuple[Any, ...], FitEstimate | None] = {}
    found = {}
    for name in campaign.models:
        kind, settings = campaign.kind_of(name), campaign.settings_of(name)
        backend = kind.backend(campaign.fit.backend)
        key = (type(kind).estimate, settings.model_dump_json(), backend)
        if key not in known:
            known[key] = kind.estimate(atoms, settings, backend, configurations, grown=grown)
        found[name] = known[key]
    return found


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


def _analyses(campaign: Campaign, atoms: Atoms) -> dict[str, AnalysisCost]:
    charges = charge_fit_cost(campaign, atoms)
    found = {} if charges is None else {"charges": charges}
    return found | {analysis.name: analysis.cost(campaign, atoms) for analysis in chosen_analyses(campaign)}
