"""Studies of what a potential owes to its data: how many configurations it needs, how good their labels must be.

After Yan, Tang and Zhu, A Perspective on Training Machine Learning Force Fields for Solid-State Electrolyte Materials
(2026): a labelled set is thinned by powers of two with farthest-point sampling, and errors and diffusivity are held
against its size; labels at two settings are compared by their forces and by the transport of the models fitted to
them, because force errors alone do not predict transport.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import Field

from ...core.errors import InputError
from ...core.settings import FrozenModel
from ..conductivity.diffusion import Estimate
from ..errors.model_errors import ErrorStatistics, ModelErrors
from ..errors.statistics import Labelled


class ModelTransport(FrozenModel):
    """Transport of one model at one temperature; without a diffusivity, ``remark`` says why."""

    temperature_K: float = Field(description="Temperature (K)")
    length_ps: float = Field(description="Length of the shortest replica after equilibration (ps)")
    replicas: int = Field(description="Independent trajectories (count)")
    diffusivity_A2_per_ps: Estimate | None = Field(description="Tracer diffusivity of the mobile ions (Å²/ps)")
    reliable: bool = Field(description="Whether the ions moved far enough, and diffusively (yes or no)")
    remark: str = Field("", description="Why there is no diffusivity, or what to know about it (text)")


class SizePoint(FrozenModel):
    """One size of the training set."""

    configurations: int = Field(description="Configurations in the training set (count)")
    environments: dict[str, int] = Field(description="Atoms in the training set by element (count)")
    errors: ModelErrors = Field(description="Errors on the held-out configurations")
    fit_time_s: float = Field(description="Wall time of the fit (s)")
    transport: tuple[ModelTransport, ...] = Field((), description="Transport, one entry per temperature")


class DataSizeStudy(FrozenModel):
    """Errors, and transport where it was asked for, against the size of the training set, largest first."""

    model_kind: str = Field(description="Kind of model (name)")
    held_out: int = Field(description="Configurations that no model was fitted to (count)")
    points: tuple[SizePoint, ...] = Field(description="One per size, the largest first")
    skipped: tuple[str, ...] = Field((), description="Sizes that were left out, and why (text)")


class LabelDifferences(FrozenModel):
    """Second minus first labels of the same configurations."""

    configurations: int = Field(description="Configurations that have both labels (count)")
    force_eV_per_A: ErrorStatistics = Field(description="Differences of the force components (eV/Å)")
    force_by_element_eV_per_A: dict[str, ErrorStatistics] = Field(description="The same by element (eV/Å)")
    energy_eV_per_atom: ErrorStatistics = Field(
        description="Differences of the energy per atom after the mean of each composition was taken off (eV/atom)"
    )
    energy_offset_eV_per_atom: dict[str, float] = Field(
        description="Mean difference of the energy per atom by composition (eV/atom)"
    )


class QualityModel(FrozenModel):
    """A model that was fitted to one of the two sets of labels."""

    fitted_to: str = Field(description="Name of the labels it was fitted to (name)")
    errors: ModelErrors = Field(description="Errors against held-out labels of its own settings")
    force_error_against_other: ErrorStatistics = Field(
        description="Force errors against held-out labels of the other settings (eV/Å)"
    )
    transport: tuple[ModelTransport, ...] = Field((), description="Transport, one entry per temperature")


class ReferenceQualityStudy(FrozenModel):
    """The same configurations at two settings: labels, models and transport."""

    model_kind: str = Field(description="Kind of model (name)")
    held_out: int = Field(description="Configurations that no model was fitted to (count)")
    differences: LabelDifferences = Field(description="Second minus first labels")
    models: tuple[QualityModel, QualityModel] = Field(description="Models of the first and of the second labels")


def halved_sizes(total: int, smallest: int) -> tuple[int, ...]:
    """Return ``total``, its half, its quarter and so on (rounded down), as long as they are not below ``smallest``.

    Raises
    ------
    InputError
        If ``total`` is smaller than ``smallest``, or that is below 1.
    """
    if not 1 <= smallest <= total:
        raise InputError(
            f"the smallest training set must have 1 to {total} configurations (all of them), not {smallest}"
        )
    sizes = [total]
    while sizes[-1] // 2 >= smallest:
        sizes.append(sizes[-1] // 2)
    return tuple(sizes)


def hold_out(compositions: Sequence[str], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Return the indices to train on and those held out: about ``fraction`` of every composition, at least one.

    Compositions with a single configuration are trained on.

    Raises
    ------
    InputError
        If nothing would be left to train on, or nothing held out.
    """
    if not 0.0 < fraction < 1.0:
        raise InputError(f"the fraction to hold out must be between 0 and 1, not {fraction:g}")
    groups: dict[str, list[int]] = defaultdict(list)
    for index, composition in enumerate(compositions):
        groups[composition].append(index)
    random = np.random.default_rng(np.random.SeedSequence(seed))
    held: set[int] = set()
    for composition in sorted(groups):
        members = groups[composition]
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        held.update(int(index) for index in random.permutation(members)[:count])
    trained = [index for index in range(len(compositions)) if index not in held]
    if not held or not trained:
        raise InputError(
            f"{len(compositions)} configurations cannot be divided into those to train on and those held out: at "
            "least one composition needs two"
        )
    return trained, sorted(held)


def label_differences(
    first: Sequence[Labelled], second: Sequence[Labelled], compositions: Sequence[str]
) -> LabelDifferences:
    """Return how the second labels of the same structures differ from the first.

    Raises
    ------
    InputError
        If the structures are not the same, one by one, or have no forces.
    """
    if len(first) != len(second) or not first:
        raise InputError(f"labels of {len(first)} and of {len(second)} structures cannot be compared one by one")
    by_element: dict[str, list[np.ndarray]] = defaultdict(list)
    energies: dict[str, list[float]] = defaultdict(list)
    for one, other, composition in zip(first, second, compositions, strict=True):
        if list(one.atoms.numbers) != list(other.atoms.numbers):
            raise InputError("labels of different structures cannot be compared")
        if one.forces is not None and other.forces is not None:
            difference, compared = other.forces - one.forces, one.fitted_forces & other.fitted_forces
            for symbol in one.atoms.symbols.species():
                by_element[symbol].append(difference[compared & (one.atoms.symbols == symbol)])
        energies[composition].append((other.energy - one.energy) / len(one.atoms))
    if not by_element:
        raise InputError("no structure has forces in both sets: the study compares forces")
    offsets = {composition: float(np.mean(values)) for composition, values in sorted(energies.items())}
    scatter = [value - offsets[composition] for composition, values in energies.items() for value in values]
    return LabelDifferences(
        configurations=len(first),
        force_eV_per_A=ErrorStatistics.from_errors(np.concatenate([np.vstack(rows) for rows in by_element.values()])),
        force_by_element_eV_per_A={
            symbol: ErrorStatistics.from_errors(np.vstack(rows)) for symbol, rows in sorted(by_element.items())
        },
        energy_eV_per_atom=ErrorStatistics.from_errors(scatter),
        energy_offset_eV_per_atom=offsets,
    )


def agreement(first: Estimate, second: Estimate) -> str:
    """Say whether two estimates agree within their 95 % intervals."""
    if first.low <= second.high and second.low <= first.high:
        return "agree within their 95 % intervals"
    return "differ beyond their 95 % intervals"


def flat_down_to(points: Sequence[SizePoint], tolerance: float = 0.1) -> int:
    """Return the smallest size whose force error, and that of all larger ones, is within ``tolerance`` of the best.

    ``tolerance`` is relative; points come largest first.
    """
    best = min(point.errors.forces.rmse for point in points)
    flat = points[0].configurations
    for point in points:
        if point.errors.forces.rmse > (1.0 + tolerance) * best:
            break
        flat = point.configurations
    return flat


def environments_of(configurations: Sequence[Labelled]) -> dict[str, int]:
    """Return how many atoms of each element there are."""
    counts: dict[str, int] = defaultdict(int)
    for one in configurations:
        for symbol, count in one.atoms.symbols.formula.count().items():
            counts[symbol] += count
    return dict(sorted(counts.items()))


def force_errors_by_element(errors: ModelErrors) -> Mapping[str, float]:
    """Return root-mean-square force errors by element (eV/Å)."""
    return {element: one.rmse for element, one in errors.force_by_element_eV_per_A.items()}
