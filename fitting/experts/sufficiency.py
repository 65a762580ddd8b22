"""Whether the experts there are know a new material well enough: novelty times a slope that was measured.

The novelty s of an environment (`ionloop.fitting.online.novelty`) orders materials by the error that a model makes on
them, and nearly in proportion: slope c = RMSE / mean s. It is measured where the answer is known: each material in its
turn is predicted by a model of the others. The expected error of a new material is c times its mean novelty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from ...core.errors import InputError
from ..cores import subtract_baseline
from ..data_sets import DataSet, LabelledConfiguration
from ..electrostatics.registry import kind_of_baseline
from ..native.calculator import NativeGapCalculator
from ..native.sparse_fit.design import Descriptors
from ..native.sparse_fit.fit import run_fit
from ..native.sparse_fit.fit_inputs import FitInputs, FitResources
from ..native.sparse_fit.sparse_points import SparsePoints
from ..online.novelty import NoveltyKernel, Remaining, environments_of
from .expert import Expert
from .joining import joined_data
from .points import fused_points

MOST_TESTED: Final = 12
"""Configurations of a material that its error is measured on, evenly spread."""
EXPERT_NOVELTY: Final = 0.4
"""Mean novelty of an element above which labels would make a model of their own: P2S5, of which nothing in a library of
lithium thiophosphates tells, has 0.7, Li2P2S6 0.2 to 0.3 (docs/library.md)."""
FEWEST_CONFIGURATIONS: Final = 4
"""Of a single material, whose model is fitted to one half and measured on the other."""


def all_elements(parts: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the elements of all parts, by atomic number."""
    return tuple(sorted({symbol for part in parts for symbol in part}, key=atomic_numbers.__getitem__))


def kernel_of(experts: Sequence[Expert], elements: Sequence[str]) -> NoveltyKernel:
    """Return the kernel of all points of experts, described among their own elements and some more."""
    among = all_elements([elements, *(expert.elements for expert in experts)])
    settings = experts[0].settings
    return NoveltyKernel(Descriptors.of(among, settings), fused_points(experts, among, settings))


def mean_novelty(kernel: NoveltyKernel, structures: Sequence[Atoms]) -> dict[str, float]:
    """Return the mean novelty of the atoms of each element (no unit), 1 for what no point tells of."""
    found = environments_of(kernel.descriptors, structures)
    return {
        chemical_symbols[number]: float(kernel.novelty_of(kernel.left_eV2(number, kernel.whitened(number, own))).mean())
        for number, own in found.descriptors.items()
    }


@dataclass(frozen=True)
class ElementError:
    """Mean novelty and force error (eV/Å) of an element in a material that was left out."""

    material: str
    element: str
    novelty: float
    rmse_eV_per_A: float


def left_out_errors(experts: Sequence[Expert], resources: FitResources, *, seed: int = 1) -> tuple[ElementError, ...]:
    """Return the error on each material of a fusion of the others, with their novelty.

    A material with an element that no other holds is left out. A single one is halved: one half is fitted.

    Raises
    ------
    InputError
        If there is too little to measure anything.
    """
    if len(experts) == 1:
        return _errors_of_halves(experts[0], resources, seed)
    found: list[ElementError] = []
    for tested in experts:
        others = [expert for expert in experts if expert is not tested]
        known = all_elements([expert.elements for expert in others])
        if set(tested.elements) <= set(known):
            data = joined_data([(one.name, targets_of(one)) for one in others])
            found += _errors_on(tested.name, data, fused_points(others, known, tested.settings), tested, resources)
    return tuple(found)


def targets_of(expert: Expert) -> DataSet:
    """Return an expert's data without its baseline."""
    if expert.baseline is None:
        return expert.data_set
    return subtract_baseline(expert.data_set, kind_of_baseline(expert.baseline).calculator(expert.baseline))


def _errors_of_halves(expert: Expert, resources: FitResources, seed: int) -> tuple[ElementError, ...]:
    configurations = expert.data_set.configurations
    if len(configurations) < FEWEST_CONFIGURATIONS:
        raise InputError(
            f"{expert.name} has {len(configurations)} configurations: too few to measure what its novelty means; a "
            f"library needs a second model, or one of {FEWEST_CONFIGURATIONS} configurations or more"
        )
    data = targets_of(expert)
    half = replace(data, configurations=data.configurations[::2])
    rest = replace(expert, data_set=replace(expert.data_set, configurations=configurations[1::2]))
    if set(rest.elements) - set(half.elements):
        raise InputError(f"{expert.name}: its configurations do not hold the same elements; add a second model")
    points = run_fit(FitInputs(half, expert.settings, seed, leave_out=False), resources).sparse_points
    return tuple(_errors_on(expert.name, half, points, rest, resources))


def _errors_on(
    name: str, data: DataSet, points: SparsePoints, tested: Expert, resources: FitResources
) -> list[ElementError]:
    settings = tested.settings
    fit = run_fit(FitInputs(data, settings, 1, sparse_points=points, leave_out=False), resources)
    calculator = NativeGapCalculator(fit.model)
    targets = [one for one in targets_of(tested) if one.forces is not None]
    if not targets:
        raise InputError(f"{name} has no forces that errors could be measured on")
    chosen = [targets[place] for place in np.unique(np.linspace(0, len(targets) - 1, MOST_TESTED).round().astype(int))]
    kernel = NoveltyKernel(Descriptors.of(data.elements, settings), points)
    novelty = mean_novelty(kernel, [one.atoms for one in chosen])
    squares = _squares_by_element(calculator, chosen)
    return [ElementError(name, symbol, novelty[symbol], math.sqrt(squares[symbol])) for symbol in sorted(novelty)]


def _squares_by_element(
    calculator: NativeGapCalculator, configurations: Sequence[LabelledConfiguration]
) -> dict[str, float]:
    """Return mean squares of the error of force components by element (eV²/Å²)."""
    found: dict[str, list[np.ndarray]] = {}
    for one in configurations:
        errors = calculator.get_property("forces", one.atoms) - one.forces
        symbols = np.array(one.atoms.get_chemical_symbols())
        for symbol in np.unique(symbols).tolist():
            found.setdefault(symbol, []).append(errors[symbols == symbol])
    return {symbol: float(np.mean(np.square(np.concatenate(parts)))) for symbol, parts in found.items()}


@dataclass(frozen=True)
class Slopes:
    """Force error over mean novelty, by element (eV/Å).

    Attributes
    ----------
    by_element
        Least squares through zero, of all materials that hold the element.
    lowest, highest
        Of single materials.
    """

    by_element: Mapping[str, float]
    lowest: Mapping[str, float]
    highest: Mapping[str, float]

    def of(self, symbol: str) -> float:
        """Return the slope of an element, the highest one of all where it was not measured (eV/Å)."""
        return self.by_element.get(symbol, max(self.by_element.values()))


def slopes_of(errors: Sequence[ElementError]) -> Slopes:
    """Return c = RMSE / mean s of what was left out.

    Raises
    ------
    InputError
        If nothing was.
    """
    if not errors:
        raise InputError(
            "no material of the library can be predicted by the others: each has an element that is in no other, so "
            "what novelty means cannot be measured; add models that share elements"
        )
    elements = sorted({one.element for one in errors})
    by_element, lowest, highest = {}, {}, {}
    for symbol in elements:
        novelty, rmse = np.array([(one.novelty, one.rmse_eV_per_A) for one in errors if one.element == symbol]).T
        novelty = np.maximum(novelty, np.finfo(float).eps)
        by_element[symbol] = float((novelty @ rmse) / (novelty @ novelty))
        lowest[symbol], highest[symbol] = float((rmse / novelty).min()), float((rmse / novelty).max())
    return Slopes(by_element, lowest, highest)


class Outcome(StrEnum):
    """What is to be done about a material."""

    USE = "use"
    ADD_LABELS = "add labels"
    START_EXPERT = "start an expert"


@dataclass(frozen=True)
class ElementVerdict:
    """One element in one stage: mean novelty, slope (eV/Å) and expected error (eV/Å)."""

    stage: str
    element: str
    novelty: float
    slope_eV_per_A: float

    @property
    def expected_eV_per_A(self) -> float:
        """Force error that is to be expected."""
        return self.novelty * self.slope_eV_per_A


@dataclass(frozen=True)
class Verdict:
    """What the experts know of a material.

    Attributes
    ----------
    outcome
        What is to be done.
    elements
        Every element in every stage.
    unknown
        Elements that no expert holds.
    tolerance_eV_per_A
        What was asked for.
    """

    outcome: Outcome
    elements: tuple[ElementVerdict, ...]
    unknown: tuple[str, ...]
    tolerance_eV_per_A: float


def judge(
    stages: Mapping[str, Mapping[str, float]], slopes: Slopes, tolerance_eV_per_A: float, known: Sequence[str]
) -> Verdict:
    """Return what mean novelties by element, in stages, make of a tolerance.

    Parameters
    ----------
    stages
        Mean novelty by element, for each of "relaxed cell", "dynamics" ...
    slopes
        Errors over novelty.
    tolerance_eV_per_A
        Force error that is good enough.
    known
        Elements of the experts.
    """
    elements = tuple(
        ElementVerdict(stage, symbol, novelty, slopes.of(symbol))
        for stage, by_element in stages.items()
        for symbol, novelty in by_element.items()
    )
    unknown = tuple(sorted({one.element for one in elements} - set(known)))
    if unknown or any(one.novelty > EXPERT_NOVELTY for one in elements):
        outcome = Outcome.START_EXPERT
    elif all(one.expected_eV_per_A < tolerance_eV_per_A for one in elements):
        outcome = Outcome.USE
    else:
        outcome = Outcome.ADD_LABELS
    return Verdict(outcome, elements, unknown, tolerance_eV_per_A)


def choose_experts(
    experts: Sequence[Expert],
    structures: Sequence[Atoms],
    slopes: Slopes,
    tolerance_eV_per_A: float,
    *,
    most_points: int | None = None,
) -> tuple[Expert, ...]:
    """Return the experts that a material needs: greedily, the one first that lowers the expected error most.

    Parameters
    ----------
    experts
        All.
    structures
        Of the material.
    slopes
        Errors over novelty.
    tolerance_eV_per_A
        Expected error below which no other is taken.
    most_points
        Sparse points beyond which none is taken; None: as many as it needs.
    """
    elements = all_elements([atoms.get_chemical_symbols() for atoms in structures])
    chosen: list[Expert] = []
    remaining = list(experts)
    best = math.inf
    while remaining:
        trials = []
        for place, expert in enumerate(remaining):
            kernel = kernel_of([*chosen, expert], elements)
            n_points = sum(kernel.n_points(number) for number in kernel.descriptors.species)
            if most_points is None or not chosen or n_points <= most_points:
                novelty = mean_novelty(kernel, structures)
                # The elements of the worst decide, the mean of all where that is the same.
                expected = [slopes.of(symbol) * value for symbol, value in novelty.items()]
                trials.append((sum(expected), max(expected), place))
        if not trials:
            break
        total, worst, place = min(trials)
        if total >= best:
            break
        chosen.append(remaining.pop(place))
        best = total
        if worst < tolerance_eV_per_A:
            break
    return tuple(chosen)


def nearest_materials(experts: Sequence[Expert], structure: Atoms) -> list[tuple[str, dict[str, float]]]:
    """Return experts with the structure's mean novelty to each by element, the nearest first."""
    symbols = structure.get_chemical_symbols()
    found = []
    for expert in experts:
        novelty = mean_novelty(kernel_of([expert], symbols), [structure])
        mean = sum(novelty[symbol] for symbol in symbols) / len(symbols)
        found.append((mean, expert.name, novelty))
    return [(name, novelty) for _, name, novelty in sorted(found, key=lambda one: one[:2])]


def frames_to_label(
    kernel: NoveltyKernel, frames: Sequence[Atoms], slopes: Slopes, tolerance_eV_per_A: float
) -> tuple[int, ...]:
    """Return the frames whose labels would make all of them known, in the order in which they should be labelled.

    The frame with the highest expected error is taken as known, what the others are expected to err is looked at
    again, and so on, until the mean of every element is below the tolerance. Novelty falls with points, errors with
    labels: the number is the least that can be enough.
    """
    found = environments_of(kernel.descriptors, frames)
    limits = {number: tolerance_eV_per_A / slopes.of(chemical_symbols[number]) for number in found.descriptors}
    remaining = {number: Remaining(kernel, number, own) for number, own in found.descriptors.items()}
    chosen: list[int] = []
    while len(chosen) < len(frames):
        over = {number: one.novelty / limits[number] for number, one in remaining.items()}
        if all(ratio.mean() < 1.0 for ratio in over.values()):
            break
        worst = [-1.0 if index in chosen else _worst(found.structures, over, index) for index in range(len(frames))]
        index = int(np.argmax(worst))
        chosen.append(index)
        for number, one in remaining.items():
            own = np.flatnonzero(found.structures[number] == index).tolist()
            # Each atom once: what is known keeps a remainder that no limit may wait for.
            while own and one.novelty[own].max() > limits[number] / 2:
                one.take(own.pop(int(np.argmax(one.novelty[own]))))
    return tuple(chosen)


def _worst(structures: Mapping[int, np.ndarray], over: Mapping[int, np.ndarray], index: int) -> float:
    """Return the highest ratio of a frame's mean novelty to the limit, of all elements that it holds."""
    own = [ratio[structures[number] == index] for number, ratio in over.items()]
    return max(float(one.mean()) for one in own if len(one))
