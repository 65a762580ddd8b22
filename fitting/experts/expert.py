"""An expert: a fitted GAP with the data that it was fitted to, as its folder holds them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ase.data import atomic_numbers, chemical_symbols

from ...core.arrays import FloatArray
from ...core.errors import InputError
from ..consistency import references_of
from ..data_sets import DataSet, read_extxyz
from ..electrostatics.registry import kind_of_baseline
from ..gap_fit import POTENTIAL_FILE
from ..kinds.registry import MODELS
from ..models import TRAINING_SET_FILE, ModelManifest, read_manifest
from ..native.gap_xml import read_gap_xml
from ..native.sparse_fit.design import Descriptors, sparse_points_of
from ..native.sparse_fit.sparse_points import SparsePoints
from ..settings import CommonBaselineSettings, GapSettings
from .environments import Environment, described, environments_of_points


@dataclass(frozen=True, eq=False)
class Expert:
    """A model that may be combined with others.

    Attributes
    ----------
    name
        What messages call it.
    settings
        Its hyperparameters.
    baseline
        Its electrostatic baseline, None without one.
    data_set
        What it was fitted to.
    points
        Its sparse points; SOAP vectors have the channels of its own elements.
    folder
        Of the model; None for one that is in no folder.
    inputs_hash
        Of all that determines the model (SHA-256).
    """

    name: str
    settings: GapSettings
    baseline: CommonBaselineSettings | None
    data_set: DataSet
    points: SparsePoints
    folder: Path | None = None
    inputs_hash: str = ""

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols, by atomic number."""
        return self.data_set.elements

    @property
    def references(self) -> tuple[str, ...]:
        """Names of what labelled its data, most first."""
        return tuple(references_of(self.data_set))

    @cached_property
    def environments(self) -> dict[str, tuple[Environment, ...]]:
        """The atoms that its SOAP points are, by element.

        Raises
        ------
        InputError
            If the data do not hold the atom of every point.
        """
        descriptors = Descriptors.of(self.elements, self.settings)
        found = {}
        for number in descriptors.species:
            points = self.points.of((number,))
            if len(points):
                symbol = chemical_symbols[number]
                found[symbol] = environments_of_points(self.data_set, descriptors, number, points, self.name)
        return found

    def points_among(self, elements: tuple[str, ...]) -> dict[tuple[int, ...], FloatArray]:
        """Return its sparse points by coordinate, SOAP vectors with the channels of ``elements``.

        More channels than its own make a point another vector: it is described again from the atom that it is.

        Raises
        ------
        InputError
            If it has an element that is not among them, or the atoms of its points cannot be found.
        """
        foreign = sorted(set(self.elements) - set(elements))
        if foreign:
            raise InputError(f"{self.name} holds {', '.join(foreign)}, which the combined model would not")
        points = {key: self.points.of(key) for key in self.points.keys}
        if set(elements) == set(self.elements):
            return points
        descriptors = Descriptors.of(elements, self.settings)
        for symbol, environments in self.environments.items():
            number = atomic_numbers[symbol]
            points[(number,)] = described(self.data_set, descriptors, number, environments)
        return points


def read_expert(folder: Path, name: str = "", *, verify: bool = True) -> Expert:
    """Return the expert in a model's folder.

    Raises
    ------
    InputError
        If there is no model, or none that can be combined: not of sparse points, not by our fitter, or with charges
        that were fitted together with it.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, verify=verify)
    name = name or folder.name
    settings = _settings_of(manifest, name)
    return Expert(
        name=name,
        settings=settings,
        baseline=manifest.baseline,
        data_set=read_extxyz(folder / TRAINING_SET_FILE),
        points=sparse_points_of(read_gap_xml(folder / POTENTIAL_FILE, beside_charges=True)),
        folder=folder,
        inputs_hash=manifest.inputs_hash,
    )


def _settings_of(manifest: ModelManifest, name: str) -> GapSettings:
    kind = MODELS.get(manifest.kind)
    if not isinstance(manifest.settings, GapSettings):
        raise InputError(f"{name} is of the kind {kind.name}, which has no sparse points: only GAPs can be combined")
    if manifest.baseline is not None and kind_of_baseline(manifest.baseline).is_fitted:
        raise InputError(
            f"{name} stands on charges that were fitted together with it, which no other model shares; fit it with "
            "charges that are fixed"
        )
    return manifest.settings
