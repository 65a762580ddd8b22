"""What a campaign will cost before it starts: labels, fits with their memory, molecular dynamics, disk."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms

from ...fitting.data_sets import DataSet, LabelledConfiguration
from ...fitting.native.sparse_fit.fit_inputs import FitResources
from ...fitting.native.sparse_fit.growth import growth_limit
from ...fitting.preflight import (
    SECONDS_PER_COVARIANCE_TERM,
    SECONDS_PER_DESCRIPTOR_DERIVATIVE,
    SECONDS_PER_FACTORISATION_TERM,
    DescriptorCount,
    available_memory_bytes,
    estimate_cost,
)
from ...fitting.settings import GapSettings
from ..analyses.base import FRAME_BYTES_PER_ATOM, AnalysisCost
from ..analyses.locality.graph import charge_fit_cost
from ..analyses.registry import chosen_analyses
from ..campaign.settings import Campaign

BYTES_PER_REAL = 8
RECORD_BYTES_PER_ATOM = 400
"""A label in the store, estimated: positions, forces and charges with their keys."""
TEXT_BYTES_PER_REAL = 25
"""A number in the files of sparse points."""
NATIVE_TIMES_FASTER = 40
"""The native fitter against gap_fit: 47 to 59 times was measured (benchmarks/native_fit.py)."""
LARGEST_GROWTH = growth_limit(100) / 100
"""Sparse points of a campaign's last fit, as a multiple of its first one's."""
NATIVE_BASE_S = 3.0
NATIVE_BASE_BYTES = 350e6
NATIVE_TRIANGLES = 4
NATIVE_BLOCK_ROWS = 4096
"""Memory of the native fitter: some triangles of the linear system's width and a block of rows."""


@dataclass(frozen=True)
class FitEstimate:
    """One fit: memory (bytes), time on one core (s, rough), configurations in its data set, columns of its system."""

    configurations: int
    memory_bytes: float
    time_s: float
    model_bytes: float
    columns: int


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
        Fits of all models, and what the smallest and the largest of them take.
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
    first_fit, last_fit = (fit_estimate(atoms, campaign.gap, count) for count in (first_data, last_data))
    cache_bytes = 0.0
    if campaign.fit.backend == "native":
        first_fit, last_fit = native_estimate(first_fit), native_estimate(last_fit, growth=LARGEST_GROWTH)
        rows = last_data * (3 * len(atoms) + 7)
        cache_bytes = min(float(BYTES_PER_REAL * rows * last_fit.columns), 1e6 * FitResources().cache_limit_MB)
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
        first_fit=first_fit,
        last_fit=last_fit,
        dynamics_steps_per_generation=sampling.replicas * sampling.steps,
        maximum_dynamics_steps=generations * sampling.replicas * sampling.steps,
        disk_bytes=disk
        + fits * last_fit.model_bytes
        + cache_bytes
        + sum(analysis.disk_bytes for analysis in analyses.values()),
        available_memory_bytes=available_memory_bytes(),
        analyses=analyses,
    )


def _analyses(campaign: Campaign, atoms: Atoms) -> dict[str, AnalysisCost]:
    charges = charge_fit_cost(campaign, atoms)
    found = {} if charges is None else {"charges": charges}
    return found | {analysis.name: analysis.cost(campaign, atoms) for analysis in chosen_analyses(campaign)}


def fit_estimate(atoms: Atoms, settings: GapSettings, configurations: int) -> FitEstimate:
    """Return what a fit to ``configurations`` cells like ``atoms`` takes.

    One cell's neighbours are counted and multiplied, which is what makes this quick; memory and time follow from
    the counts as in `ionloop.fitting.preflight.estimate_cost`.
    """
    cell = LabelledConfiguration(
        atoms=atoms, energy=0.0, forces=np.zeros((len(atoms), 3)), stress=np.zeros(6), identifier="cell"
    )
    energies = dict.fromkeys(sorted(set(atoms.get_chemical_symbols())), 0.0)
    one = estimate_cost(DataSet((cell,), energies), settings)
    descriptors = [_scaled(item, configurations, settings) for item in one.descriptors]
    columns = sum(item.sparse_points for item in descriptors)
    rows = configurations * one.targets.total
    held = sum(item.components * (item.instances + item.derivatives) for item in descriptors)
    building = held + columns * rows
    solving = 2 * columns * rows + columns**2 + 2 * columns * (rows + columns)
    derivatives = sum(item.components * item.derivatives for item in descriptors)
    covariances = sum(item.components * item.derivatives * item.sparse_points for item in descriptors)
    return FitEstimate(
        configurations=configurations,
        memory_bytes=float(BYTES_PER_REAL * max(building, solving)),
        time_s=derivatives * SECONDS_PER_DESCRIPTOR_DERIVATIVE
        + covariances * SECONDS_PER_COVARIANCE_TERM
        + (rows + columns) * columns**2 * SECONDS_PER_FACTORISATION_TERM,
        model_bytes=float(TEXT_BYTES_PER_REAL * sum(item.components * item.sparse_points for item in descriptors)),
        columns=columns,
    )


def native_estimate(by_gap_fit: FitEstimate, *, growth: float = 1.0) -> FitEstimate:
    """Return what the native fitter takes for what gap_fit would take so much: rows stream, the triangle stays.

    ``growth``: sparse points of the fit as a multiple of the setting, which is that of a campaign's first fit.
    """
    columns = math.ceil(growth * by_gap_fit.columns)
    reals = NATIVE_TRIANGLES * columns**2 + NATIVE_BLOCK_ROWS * columns
    return replace(
        by_gap_fit,
        columns=columns,
        model_bytes=growth * by_gap_fit.model_bytes,
        memory_bytes=NATIVE_BASE_BYTES + float(BYTES_PER_REAL * reals),
        time_s=NATIVE_BASE_S + by_gap_fit.time_s / NATIVE_TIMES_FASTER,
    )


def _scaled(item: DescriptorCount, factor: int, settings: GapSettings) -> DescriptorCount:
    instances = factor * item.instances
    parts = {"pair": settings.two_body, "triplet": settings.three_body}
    wanted = (parts.get(item.name.partition(" ")[0]) or settings.soap).sparse_points
    derivatives = factor * item.derivatives
    return replace(item, instances=instances, derivatives=derivatives, sparse_points=min(wanted, instances))
