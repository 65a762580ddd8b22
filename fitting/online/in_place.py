"""A native model that labels and sparse points join in place, between two full fits.

It begins with a model's sparse points and training set, so that its first potential is that of the full fit, and goes
on by the whitened updates of `whitened_fit`. Everything is determined by what was added in which order.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from ...core.errors import InputError
from ...core.files import flush, flush_folder, write_whole
from ..cores import subtract_baseline
from ..data_sets import DataSet, LabelledConfiguration, read_extxyz, write_extxyz
from ..native.sparse_fit.row_cache import RowCache
from ..native.sparse_fit.solve import SingularFitError
from ..native.sparse_fit.sparse_points import SparseLayer, SparsePoints
from ..settings import CommonBaselineSettings, GapSettings
from .driver import Learner, LearningCalculator, read_driver, write_driver
from .novelty import NoveltyKernel, environments_of, novel_points, thresholds_of
from .whitened_fit import FitState, WhitenedFit

COVERED: Final = 1.25
"""Points join until the novelty of all atoms of joined frames is below the threshold over this."""
MOST_POINTS_FACTOR: Final = 2
"""Most sparse points of an element where nothing says how many: so many times those of the start."""
STATE_FILE: Final = "state.json"
_MATRICES_FILE: Final = "state.npz"
_WHITENED_FILE: Final = "whitened.npy"
_LABELS_FILE: Final = "labels.xyz"


@dataclass(frozen=True)
class Joined:
    """What an addition did.

    Attributes
    ----------
    labels
        Configurations that joined.
    points
        Sparse points that joined, by element.
    novelty_before, novelty_after
        Highest novelty of their atoms, by element.
    at_cap
        Elements that needed more points than they may have: their alarms go on until the next full fit.
    """

    labels: int
    points: Mapping[str, int] = field(default_factory=dict)
    novelty_before: Mapping[str, float] = field(default_factory=dict)
    novelty_after: Mapping[str, float] = field(default_factory=dict)
    at_cap: tuple[str, ...] = ()


class InPlaceModel:
    """A model and what it takes to add to it.

    `start`, `load` and `add` are what makes one; the constructor takes their results.
    """

    def __init__(self, learner: Learner, fit: WhitenedFit, most_points: Mapping[str, int]) -> None:
        self._learner = learner
        self._fit = fit
        self._most_points = dict(most_points)

    @classmethod
    def start(
        cls,
        data_set: DataSet,
        settings: GapSettings,
        points: SparsePoints,
        baseline: CommonBaselineSettings | None = None,
        *,
        most_points: int | None = None,
        cache_folder: Path | None = None,
    ) -> InPlaceModel:
        """Return the model of a full fit, ready to be added to.

        Parameters
        ----------
        data_set
            What the fit was made to: labels of the reference.
        settings
            Hyperparameters.
        points
            Its sparse points.
        baseline
            What it stands on; not one that is fitted with it.
        most_points
            Most sparse points of an element; None: `MOST_POINTS_FACTOR` times those there are.
        cache_folder
            Where rows of fits are kept.

        Raises
        ------
        InputError
            If the sparse points do not fit the data.
        """
        isolated = {symbol: data_set.isolated_atom_energies[symbol] for symbol in data_set.elements}
        bare = Learner(settings, isolated, baseline, {})
        kernel = NoveltyKernel(bare.descriptors, points)
        thresholds = thresholds_of(kernel, [one.atoms for one in data_set])
        learner = Learner(settings, isolated, baseline, thresholds)
        under = learner.baseline_calculator()
        rest = data_set if under is None else subtract_baseline(data_set, under)
        fit = WhitenedFit(settings, isolated)
        for layer in points.layers:
            fit.add_points(layer)
        cache = None if cache_folder is None else RowCache(cache_folder)
        fit.add_labels((*rest.fitted_isolated_atoms, *rest.configurations), cache)
        counts = {symbol: kernel.n_points(atomic_numbers[symbol]) for symbol in isolated}
        most = {symbol: most_points or MOST_POINTS_FACTOR * count for symbol, count in counts.items()}
        return cls(learner, fit, most)

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Novelty above which an alarm sounds, by element."""
        return self._learner.thresholds

    @property
    def n_labels(self) -> int:
        """Configurations that it was fitted to, isolated atoms not counted."""
        return sum(one.n_atoms > 1 for one in self._fit.configurations)

    @property
    def identifiers(self) -> frozenset[str]:
        """Names of the configurations that it was fitted to."""
        return frozenset(one.identifier for one in self._fit.configurations)

    @property
    def n_points(self) -> dict[str, int]:
        """Sparse points by element."""
        kernel = NoveltyKernel(self._learner.descriptors, self._fit.sparse_points)
        return {symbol: kernel.n_points(atomic_numbers[symbol]) for symbol in self._learner.isolated_eV}

    def calculator(self) -> LearningCalculator:
        """Return the potential of the labels and points so far, with its novelty."""
        return LearningCalculator(self._learner, self._fit.sparse_points, self._fit.model())

    def add(self, configurations: Sequence[LabelledConfiguration]) -> Joined:
        """Let labels of the reference join, with the sparse points that their environments need.

        Raises
        ------
        InputError
            If one holds an element that the model does not know, or a name that is there already.
        """
        if not configurations:
            return Joined(0)
        known = set(self.identifiers)
        for one in configurations:
            if one.identifier in known:
                raise InputError(f"the label {one.identifier} has joined the model already")
            known.add(one.identifier)
        self._check_elements(configurations)
        under = self._learner.baseline_calculator()
        data = DataSet(tuple(configurations), self._learner.isolated_eV)
        rest = data if under is None else subtract_baseline(data, under)
        joined = self._add_points(configurations)
        self._fit.add_labels(rest.configurations)
        return joined

    def _check_elements(self, configurations: Sequence[LabelledConfiguration]) -> None:
        for one in configurations:
            unknown = sorted(set(one.atoms.get_chemical_symbols()) - set(self._learner.isolated_eV))
            if unknown:
                raise InputError(f"{one.identifier}: the model knows nothing of {', '.join(unknown)}")

    def _add_points(self, configurations: Sequence[LabelledConfiguration]) -> Joined:
        kernel = NoveltyKernel(self._learner.descriptors, self._fit.sparse_points)
        environments = environments_of(self._learner.descriptors, [one.atoms for one in configurations])
        limits = {symbol: value / COVERED for symbol, value in self.thresholds.items()}
        left = {
            number: max(self._most_points[chemical_symbols[number]] - kernel.n_points(number), 0)
            for number in environments.descriptors
        }
        chosen, before, after = novel_points(kernel, environments, limits, left)
        if chosen:
            try:
                self._fit.add_points(SparseLayer(chosen))
            except SingularFitError:
                # Points that the kernel's jitter cannot tell apart say nothing new.
                chosen, after = {}, before
        points = {chemical_symbols[key[0]]: len(values) for key, values in chosen.items()}
        at_cap = tuple(
            symbol
            for symbol, novelty in after.items()
            if novelty > limits[symbol] and left[atomic_numbers[symbol]] == points.get(symbol, 0)
        )
        return Joined(len(configurations), points, before, after, at_cap)

    def save(self, folder: Path) -> None:
        """Write the whole state: the folder is there whole or not at all.

        Raises
        ------
        InputError
            If the folder is there and holds something else.
        """
        folder = Path(folder)
        if folder.exists() and any(folder.iterdir()):
            if (folder / STATE_FILE).exists():
                return
            raise InputError(f"{folder} exists and holds no state of a model that learns; choose another name")
        temporary = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        self.write(temporary)
        flush_folder(temporary)
        if folder.exists():
            folder.rmdir()
        temporary.rename(folder)
        flush(folder.parent)

    def write(self, folder: Path) -> None:
        """Write all files into a folder that is there; `save` makes it whole."""
        state = self._fit.state()
        write_driver(folder, self._learner, state.sparse_points, self._fit.weights())
        with (folder / _MATRICES_FILE).open("wb") as file:
            np.savez(file, factor=state.factor, precision=state.precision, right=state.right)
        rows = [len(one) for one in state.whitened]
        shape = (sum(rows), len(state.right))
        whitened = np.lib.format.open_memmap(folder / _WHITENED_FILE, mode="w+", dtype=np.float64, shape=shape)
        start = 0
        for one in state.whitened:
            whitened[start : start + len(one)] = one
            start += len(one)
        whitened.flush()
        isolated = tuple(one for one in state.configurations if one.n_atoms == 1 and one.forces is None)
        others = tuple(one for one in state.configurations if one not in isolated)
        write_extxyz(folder / _LABELS_FILE, DataSet(others, self._learner.isolated_eV, isolated))
        document = {"rows": rows, "most_points": self._most_points}
        write_whole(folder / STATE_FILE, json.dumps(document) + "\n")

    @classmethod
    def load(cls, folder: Path) -> InPlaceModel:
        """Return a model as it was saved, bit for bit.

        Raises
        ------
        InputError
            If the folder holds none, or a damaged one.
        """
        folder = Path(folder)
        learner, points, _ = read_driver(folder)
        try:
            document = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
            rows = document["rows"]
            with np.load(folder / _MATRICES_FILE, allow_pickle=False) as arrays:
                factor, precision, right = (arrays[name] for name in ("factor", "precision", "right"))
            whitened = np.load(folder / _WHITENED_FILE, allow_pickle=False, mmap_mode="r")
            labels = read_extxyz(folder / _LABELS_FILE)
            ends = np.cumsum(rows)
            # Arrays of their own: a view of a larger one may be multiplied in another order.
            blocks = tuple(np.array(whitened[end - n : end]) for n, end in zip(rows, ends.tolist(), strict=True))
            configurations = (*labels.fitted_isolated_atoms, *labels.configurations)
            state = FitState(points, configurations, np.asfortranarray(factor), precision, right, blocks)
            fit = WhitenedFit.restored(learner.settings, learner.isolated_eV, state)
        except FileNotFoundError as error:
            raise InputError(f"{folder} holds no state: {error.filename} is missing") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"the state in {folder} is damaged: {error}; make it again") from error
        return cls(learner, fit, document["most_points"])
