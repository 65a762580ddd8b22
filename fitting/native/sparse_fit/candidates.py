"""Sparse points from a data set: descriptors of its atoms and pairs, and a choice among them."""

from __future__ import annotations

import numpy as np

from ....core.arrays import FloatArray
from ...data_sets import DataSet
from ...settings import GapSettings, SoapSettings, ThreeBodySettings, TwoBodySettings
from ..three_body.triplets import components, find_triplets, triplet_keys
from .design import Descriptors, PairedAtoms, check_points, covariance, soap_descriptors
from .fit_inputs import FitInputs, ParallelMap
from .growth import growth_limit, most_new_points, uncovered_points
from .sparse_points import CoordinateKey, SparseLayer, SparsePoints, rows_not_in, select_points, thin

# SOAP vectors of one element that are compared at once: 240 MB. Not a setting, since the choice depends on it.
_MOST_CANDIDATE_NUMBERS = 30_000_000
_COPIES = 3
_DISTANCE_DECIMALS = 3
# Triplets of one kind that are compared at once; configurations have equal shares.
_MOST_TRIPLETS = 100_000
# Pairs or triplets among which those are drawn that join earlier points.
_MOST_JOINING = 20_000
# Pairs within 6 Å in a dense solid, twice, with vectors, distances and indices.
_BYTES_PER_ATOM = 2 * 48 * 100
_MOST_STRUCTURE_BYTES = 100_000_000


class PairedConfigurations:
    """The configurations of a data set with their pairs, of which the first ones stay in memory. Thread-safe.

    Parameters
    ----------
    data_set
        The configurations.
    descriptors
        Of the fit.
    """

    def __init__(self, data_set: DataSet, descriptors: Descriptors) -> None:
        self.configurations = data_set.configurations
        self.descriptors = descriptors
        self._kept: dict[int, PairedAtoms] = {}
        self._last_kept = structures_in_memory(data_set)

    def __getitem__(self, index: int) -> PairedAtoms:
        structure = self._kept.get(index)
        if structure is None:
            structure = PairedAtoms.of(self.configurations[index].atoms, self.descriptors)
            if index < self._last_kept:
                self._kept[index] = structure
        return structure


def structures_in_memory(data_set: DataSet) -> int:
    """Return how many of the first configurations keep their pairs in memory."""
    sizes = np.cumsum([_BYTES_PER_ATOM * configuration.n_atoms for configuration in data_set])
    return int(np.searchsorted(sizes, _MOST_STRUCTURE_BYTES, side="right"))


def choose_sparse_points(task: FitInputs, descriptors: Descriptors, parallel_map: ParallelMap) -> SparsePoints:
    """Return the sparse points of a fit: the earlier ones if they are kept, and a layer of new ones.

    Of an element with very many atoms (20,000 with 1,500 components of SOAP) a random part stands for all. Isolated
    atoms that are fitted are among the points, whatever the method: nothing else can give their energies back.

    Raises
    ------
    InputError
        If the earlier points do not fit the descriptors.
    """
    earlier = task.earlier or SparsePoints(())
    check_points(descriptors, earlier)
    points: dict[CoordinateKey, FloatArray] = {}
    settings = task.settings
    structures = PairedConfigurations(task.data_set, descriptors)

    def select(
        key: CoordinateKey,
        candidates: FloatArray,
        isolated: FloatArray,
        part: SoapSettings | TwoBodySettings | ThreeBodySettings,
    ) -> None:
        kept = earlier.of(key)
        random = np.random.default_rng([task.seed % 2**32, *key])
        if len(kept):
            points[key] = _joining_points(candidates, kept, isolated, part, settings, (key, random))
        else:
            count = max(part.sparse_points - len(isolated), 1)
            chosen = select_points(rows_not_in(candidates, isolated), count, part.sparse_method, random)
            points[key] = np.concatenate([chosen, isolated])

    if settings.two_body is not None:
        for key, distances in pair_distances(structures, parallel_map).items():
            select(key, distances[:, None], np.zeros((0, 1)), settings.two_body)
    if settings.three_body is not None:
        for key in triplet_keys(descriptors.species, central=settings.three_body.triplet_descriptor == "angle_3b"):
            candidates = triplet_candidates(structures, key, task.seed, parallel_map)
            if len(candidates):
                select(key, candidates, np.zeros((0, 3)), settings.three_body)
    for number in descriptors.species:
        limit = candidate_limit(descriptors, number)
        random = np.random.default_rng([task.seed % 2**32, number, 0])
        candidates = atom_descriptors(structures, number, (limit, random), parallel_map)
        select((number,), candidates, isolated_descriptors(task.data_set, descriptors, number), settings.soap)
    new = {key: found for key, found in points.items() if len(found)}
    return SparsePoints((*earlier.layers, SparseLayer(new)) if new else earlier.layers)


def isolated_descriptors(data_set: DataSet, descriptors: Descriptors, number: int) -> FloatArray:
    """Return the SOAP vector of an element's isolated atom, shape [1, n_dimensions], or [0, n_dimensions] without."""
    found = [np.zeros((0, descriptors.soaps[number].n_dimensions))]
    for one in data_set.isolated_atoms:
        if one.atoms.numbers[0] == number:
            found.append(soap_descriptors(PairedAtoms.of(one.atoms, descriptors), descriptors, number))
    return np.concatenate(found)


def _joining_points(
    candidates: FloatArray,
    kept: FloatArray,
    isolated: FloatArray,
    part: SoapSettings | TwoBodySettings | ThreeBodySettings,
    settings: GapSettings,
    draw: tuple[CoordinateKey, np.random.Generator],
) -> FloatArray:
    """Return the points that join the kept ones of a coordinate, whose key and random numbers ``draw`` has."""
    key, random = draw
    isolated = rows_not_in(isolated, kept)
    kept = np.concatenate([kept, isolated])
    # Pairs are so many that equal distances crowd out the others; they are thinned to what can be told apart.
    if len(key) > 1:
        candidates = np.unique(np.round(candidates, _DISTANCE_DECIMALS), axis=0)
        candidates = candidates[thin(np.arange(len(candidates)), _MOST_JOINING, random)]
    chosen = uncovered_points(
        candidates,
        kept,
        most_new_points(len(kept), part.sparse_points),
        lambda first, second: covariance(settings, key, first, second),
        (settings.sparse_jitter, settings.regularisation.energy_eV_per_atom**2),
        random,
    )
    return np.concatenate([candidates[chosen], isolated])


def candidate_limit(descriptors: Descriptors, number: int) -> int:
    """Return among how many atoms of an element sparse points are chosen at most."""
    at_once = _MOST_CANDIDATE_NUMBERS // descriptors.soaps[number].n_dimensions
    return max(at_once, 2 * descriptors.settings.soap.sparse_points)


def selection_bytes(data_set: DataSet, descriptors: Descriptors) -> int:
    """Return the memory of the choice among the atoms of the most frequent element (bytes)."""
    needed = [0]
    for number in descriptors.species:
        n_atoms = sum(int(np.sum(configuration.atoms.numbers == number)) for configuration in data_set)
        n_candidates = min(n_atoms, candidate_limit(descriptors, number))
        n_dimensions = descriptors.soaps[number].n_dimensions
        n_kept = growth_limit(descriptors.settings.soap.sparse_points)
        needed.append(8 * _COPIES * (n_candidates * n_dimensions + min(n_candidates, n_dimensions) ** 2))
        needed.append(8 * n_candidates * (n_dimensions + n_kept))
    if descriptors.settings.three_body is not None:
        needed.append(8 * _MOST_JOINING * 2 * growth_limit(descriptors.settings.three_body.sparse_points))
    kept = data_set.configurations[: structures_in_memory(data_set)]
    return max(needed) + sum(_BYTES_PER_ATOM * configuration.n_atoms for configuration in kept)


def pair_distances(structures: PairedConfigurations, parallel_map: ParallelMap) -> dict[CoordinateKey, FloatArray]:
    """Return the distances (Å) of every pair of elements that occurs within the pair cutoff, in the data's order."""
    two_body = structures.descriptors.settings.two_body
    if two_body is None:
        return {}
    cutoff_A, species = two_body.cutoff_A, structures.descriptors.species
    keys = [(first, second) for index, first in enumerate(species) for second in species[index:]]

    def distances(index: int) -> list[FloatArray]:
        structure = structures[index]
        return [structure.pairs.distances[structure.two_body_pairs(key, cutoff_A)] for key in keys]

    parts = list(parallel_map(distances, range(len(structures.configurations))))
    found = {key: np.concatenate([part[index] for part in parts]) for index, key in enumerate(keys)}
    return {key: values for key, values in found.items() if len(values)}


def triplet_candidates(
    structures: PairedConfigurations, key: CoordinateKey, seed: int, parallel_map: ParallelMap
) -> FloatArray:
    """Return the descriptors [n, 3] of a triplet of elements in the data's order; of very many a random part."""
    descriptor = structures.descriptors.triplets(key)
    share = max(1, _MOST_TRIPLETS // max(1, len(structures.configurations)))

    def descriptors(index: int) -> FloatArray:
        structure = structures[index]
        numbers = structure.atoms.numbers.astype(np.int64)
        found = components(find_triplets(descriptor, structure.pairs, numbers, np.arange(len(numbers))))
        random = np.random.default_rng([seed % 2**32, *key, index])
        return found[thin(np.arange(len(found)), share, random)]

    return np.concatenate(list(parallel_map(descriptors, range(len(structures.configurations)))))


def atom_descriptors(
    structures: PairedConfigurations, number: int, limit: tuple[int, np.random.Generator], parallel_map: ParallelMap
) -> FloatArray:
    """Return the SOAP vectors of the atoms of one element, of ``limit`` random ones if there are more."""
    owners = [np.flatnonzero(configuration.atoms.numbers == number) for configuration in structures.configurations]
    configuration_of = np.repeat(np.arange(len(owners)), [len(indices) for indices in owners])
    atom_of = np.concatenate(owners)
    taken = thin(np.arange(len(atom_of)), *limit)

    def vectors(index: int) -> FloatArray:
        wanted = atom_of[taken[configuration_of[taken] == index]]
        return soap_descriptors(structures[index], structures.descriptors, number, wanted)

    return np.concatenate(list(parallel_map(vectors, range(len(owners)))))
