"""Which atoms sparse points are, and what they are among more elements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from ase import Atoms

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError
from ..data_sets import DataSet
from ..native.sparse_fit.design import Descriptors, PairedAtoms, soap_descriptors

DESCRIPTOR_TOLERANCE: Final = 1e-7
"""Largest difference of a component of a point and of its atom's vector. Files hold 17 digits; another order of
neighbours changes the fifteenth."""


@dataclass(frozen=True)
class Environment:
    """One atom of a data set.

    Attributes
    ----------
    configuration
        Place among the fitted configurations: isolated atoms come after all others.
    identifier
        The configuration's name.
    atom
        Its index there.
    """

    configuration: int
    identifier: str
    atom: int


def environments_of_points(
    data_set: DataSet, descriptors: Descriptors, number: int, points: FloatArray, name: str
) -> tuple[Environment, ...]:
    """Return the atoms whose SOAP vectors some points are; of equal ones the first.

    Parameters
    ----------
    data_set
        Where the atoms are.
    descriptors
        Of the fit that chose the points.
    number
        The element's atomic number.
    points
        Shape [n_points, n_dimensions].
    name
        Of the model, for messages.

    Raises
    ------
    InputError
        If a point is none of them.
    """
    places: IntArray = np.full((len(points), 2), -1, dtype=np.int64)
    for index, (structure, atoms) in enumerate(_structures(data_set, descriptors, number)):
        missing = np.flatnonzero(places[:, 0] < 0)
        if not len(missing):
            break
        vectors = soap_descriptors(structure, descriptors, number)
        if not len(vectors):
            continue
        # Normalised vectors: the nearest one has the largest product.
        nearest = np.argmax(points[missing] @ vectors.T, axis=1)
        same = np.abs(vectors[nearest] - points[missing]).max(axis=1) < DESCRIPTOR_TOLERANCE
        places[missing[same], 0] = index
        places[missing[same], 1] = atoms[nearest[same]]
    unknown = int(np.sum(places[:, 0] < 0))
    if unknown:
        raise InputError(
            f"{name}: {unknown} of {len(points)} sparse points of element {number} are no atoms of its training set "
            f"(within {DESCRIPTOR_TOLERANCE:g}), so they cannot be described among other elements; fit it anew"
        )
    names = [one.identifier for one in data_set.fitted_configurations]
    return tuple(Environment(index, names[index], atom) for index, atom in places.tolist())


def described(
    data_set: DataSet, descriptors: Descriptors, number: int, environments: Sequence[Environment]
) -> FloatArray:
    """Return the SOAP vectors of some atoms of one element, with the channels of ``descriptors``.

    Returns
    -------
    Shape [n_environments, n_dimensions].
    """
    configurations = data_set.fitted_configurations
    found = np.zeros((len(environments), descriptors.soaps[number].n_dimensions))
    for index in sorted({one.configuration for one in environments}):
        own = [place for place, one in enumerate(environments) if one.configuration == index]
        wanted = np.array(sorted({environments[place].atom for place in own}))
        structure = PairedAtoms.of(configurations[index].atoms, descriptors)
        vectors = soap_descriptors(structure, descriptors, number, wanted)
        for place in own:
            found[place] = vectors[np.searchsorted(wanted, environments[place].atom)]
    return found


def vectors_of(atoms: Atoms, descriptors: Descriptors) -> dict[int, FloatArray]:
    """Return the SOAP vectors of all atoms by atomic number, each [n_atoms_of_the_element, n_dimensions]."""
    structure = PairedAtoms.of(atoms, descriptors)
    return {number: soap_descriptors(structure, descriptors, number) for number in sorted(set(atoms.numbers.tolist()))}


def _structures(data_set: DataSet, descriptors: Descriptors, number: int) -> Iterator[tuple[PairedAtoms, IntArray]]:
    """Yield the fitted configurations with the indices of their atoms of an element, isolated atoms last."""
    for one in data_set.fitted_configurations:
        yield PairedAtoms.of(one.atoms, descriptors), np.flatnonzero(one.atoms.numbers == number)
