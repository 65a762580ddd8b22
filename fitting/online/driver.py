"""What drives a walker while a model learns: energies, forces, stress and novelty, from a small folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.data import chemical_symbols

from ...core.arrays import FloatArray
from ...core.errors import InputError
from ...core.files import replacement, write_whole
from ..cores import core_of, isolated_energies_above
from ..electrostatics.coulomb.slabs import has_stress
from ..electrostatics.registry import kind_of_baseline
from ..native.calculator import Evaluator
from ..native.gap_xml import GapModel
from ..native.sparse_fit.design import Descriptors, potential_of
from ..native.sparse_fit.sparse_points import CoordinateKey, SparseLayer, SparsePoints
from ..settings import CommonBaselineSettings, GapSettings
from ..threads import default_threads
from .novelty import NoveltyKernel, highest_ratio

NOVELTY: Final = "novelty"
"""Name under which a calculator gives s of each atom, from 0 to 1."""
DRIVER_FILE: Final = "driver.json"
_ARRAYS_FILE: Final = "driver.npz"


@dataclass(frozen=True, eq=False)
class Learner:
    """What a model that learns is, without what it has learnt.

    Attributes
    ----------
    settings
        Hyperparameters.
    isolated_eV
        Energies of the isolated atoms by element (eV), as the reference gave them.
    baseline
        What it stands on and was fitted without; None where there is none.
    thresholds
        Novelty at which an alarm sounds, by element.
    """

    settings: GapSettings
    isolated_eV: Mapping[str, float]
    baseline: CommonBaselineSettings | None
    thresholds: Mapping[str, float]

    @cached_property
    def descriptors(self) -> Descriptors:
        """Of the fit."""
        return Descriptors.of(tuple(self.isolated_eV), self.settings)

    def baseline_calculator(self) -> Calculator | None:
        """Return the baseline's calculator, None without one."""
        return None if self.baseline is None else kind_of_baseline(self.baseline).calculator(self.baseline)

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        # What says the kind of a baseline is excluded from its own document where it is the default.
        baseline = None if self.baseline is None else self.baseline.model_dump(mode="json")
        return {
            "settings": self.settings.model_dump(mode="json"),
            "isolated_eV": dict(self.isolated_eV),
            "baseline": baseline,
            "thresholds": dict(self.thresholds),
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Learner:
        """Return what `document` described."""
        baseline = document["baseline"]
        settings = None
        if baseline is not None:
            settings = kind_of_baseline(baseline).settings_type.model_validate_json(json.dumps(baseline))
        return cls(
            GapSettings.model_validate_json(json.dumps(document["settings"])),
            document["isolated_eV"],
            settings,
            document["thresholds"],
        )


class LearningCalculator(Calculator):
    """A model that learns, as it is now: energy (eV), forces (eV/Å), stress (eV/Å³) and ``novelty`` [n_atoms].

    A pure function of the atoms: equal atoms give equal bits. Novelty costs a third of an evaluation, and only where
    it is asked for.

    Parameters
    ----------
    learner
        What it is.
    points
        Sparse points.
    gap
        The potential of the labels so far, without the baseline.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress", NOVELTY]

    def __init__(self, learner: Learner, points: SparsePoints, gap: GapModel) -> None:
        super().__init__()
        self.learner = learner
        self.sparse_points = points
        self.gap = gap
        self._baseline = learner.baseline_calculator()
        self._evaluator = Evaluator(gap, threads=default_threads(), skin_A=0.5)

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Novelty at which an alarm sounds, by element."""
        return self.learner.thresholds

    @cached_property
    def kernel(self) -> NoveltyKernel:
        """What the sparse points leave of the prior, for those who choose among frames."""
        return NoveltyKernel(self.learner.descriptors, self.sparse_points)

    def highest_ratio(self, novelty: FloatArray, symbols: Sequence[str]) -> float:
        """Return the largest novelty of an atom over its element's threshold."""
        return highest_ratio(novelty, symbols, self.thresholds)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Evaluate everything at once; the novelty where it is asked for."""
        super().calculate(atoms, list(properties), list(system_changes))
        atoms = self.atoms
        has_volume = has_stress(atoms)
        if "stress" in properties and not has_volume:
            raise InputError("the stress needs a cell with three lattice vectors; set atoms.cell")
        found = self._evaluator.evaluate(
            atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers, soap_variance=NOVELTY in properties
        )
        self.results = {"energy": float(found.energies.sum()), "forces": found.forces}
        if has_volume:
            stress = -found.virial / atoms.get_volume()
            self.results["stress"] = (0.5 * (stress + stress.T)).ravel()[[0, 4, 8, 5, 2, 1]]
        if self._baseline is not None:
            names = [name for name in ("energy", "forces", "stress") if name in self.results]
            self._baseline.calculate(atoms, names, list(all_changes))
            given = self._baseline.results
            # A baseline of others may have no stress of a slab.
            self.results = {name: self.results[name] + given[name] for name in names if name in given}
        self.results["free_energy"] = self.results["energy"]
        if found.variances is not None:
            self.results[NOVELTY] = self._novelty(found.variances, atoms)

    def _novelty(self, variances: FloatArray, atoms: Atoms) -> FloatArray:
        soap, descriptors = self.learner.settings.soap, self.learner.descriptors
        constants = {number: one.covariance_sigma0 for number, one in descriptors.soaps.items()}
        priors = np.array([soap.delta_eV**2 * (1 + constants[n] ** 2) ** soap.zeta for n in atoms.numbers.tolist()])
        return np.sqrt(np.clip(variances / priors, 0.0, 1.0))


def write_driver(folder: Path, learner: Learner, points: SparsePoints, weights: FloatArray) -> None:
    """Write what `load_driver` reads into a folder that is there."""
    with replacement(folder / _ARRAYS_FILE) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, weights=weights, **points_arrays(points))
    document = {**learner.document(), "layers": layers_of(points)}
    write_whole(folder / DRIVER_FILE, json.dumps(document, indent=1) + "\n")


def load_driver(folder: Path) -> LearningCalculator:
    """Return what drives a walker, from the folder that `InPlaceModel.save` wrote.

    Raises
    ------
    InputError
        If there is none, or it is damaged.
    """
    learner, points, weights = read_driver(folder)
    gap = potential_of(learner.descriptors, points, weights, gap_isolated_eV(learner), core=core_of(learner.settings))
    return LearningCalculator(learner, points, gap)


def gap_isolated_eV(learner: Learner) -> dict[str, float]:
    """Return the energies of isolated atoms that the potential holds."""
    return isolated_energies_above(core_of(learner.settings), learner.isolated_eV)


def read_driver(folder: Path) -> tuple[Learner, SparsePoints, FloatArray]:
    """Return what `write_driver` wrote; raises as `load_driver`."""
    path = Path(folder) / DRIVER_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        with np.load(Path(folder) / _ARRAYS_FILE, allow_pickle=False) as arrays:
            points = points_from(document["layers"], arrays)
            return Learner.of(document), points, arrays["weights"]
    except FileNotFoundError as error:
        raise InputError(f"{folder} holds no model that learns: {Path(str(error.filename)).name} is missing") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged: {error}; make it again from the model's folder") from error


def layers_of(points: SparsePoints) -> list[list[list[int]]]:
    """Return the coordinates of each layer."""
    return [[list(key) for key in layer.points] for layer in points.layers]


def points_arrays(points: SparsePoints) -> dict[str, FloatArray]:
    """Return the arrays of sparse points by name."""
    return {
        _name(number, key): np.ascontiguousarray(values)
        for number, layer in enumerate(points.layers)
        for key, values in layer.points.items()
    }


def points_from(layers: Sequence[Sequence[Sequence[int]]], arrays: Mapping[str, FloatArray]) -> SparsePoints:
    """Return sparse points from their coordinates and arrays."""
    found = []
    for number, keys in enumerate(layers):
        ordered: list[CoordinateKey] = [tuple(int(one) for one in key) for key in keys]
        found.append(SparseLayer({key: arrays[_name(number, key)] for key in ordered}))
    return SparsePoints(tuple(found))


def _name(layer: int, key: CoordinateKey) -> str:
    return f"{layer}-" + "-".join(chemical_symbols[number] for number in key)
