"""A fit's linear system: which coordinates it has, their covariances, and the rows of one configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from ....core.arrays import FloatArray, IntArray
from ....core.errors import InputError
from ...gap_fit import descriptor_strings
from ...settings import GapSettings, ThreeBodySettings, TwoBodySettings
from ..descriptor_strings import SoapDescriptor, TripletDescriptor, parse_descriptor
from ..environments import ElementPairs, Environments, chunks, environments, find_pairs, power_spectra, sort_by_element
from ..gap_xml import GAP_VERSION, Coordinate, GapModel
from ..glue import GluePotential
from ..neighbours import NeighbourPairs
from ..three_body.triplet_kernel import TripletKernel
from ..three_body.triplet_rows import TripletPoints, add_triplet_rows
from ..three_body.triplets import cutoffs_of_components
from .row_cache import ROWS_VERSION, digest_of
from .rows import (
    ATOMS_PER_CHUNK,
    POINTS_PER_TILE,
    SoapPoints,
    TwoBodyPoints,
    add_soap_rows,
    add_two_body_rows,
    cutoff_function,
    n_rows,
    prepare_points,
)
from .solve import PriorBlock
from .sparse_points import CoordinateKey, SparseLayer, SparsePoints


def coordinate_name(key: CoordinateKey) -> str:
    """Return what messages call a coordinate: "soap Li", "pair Li-S" or "triplet Li-Li-S"."""
    symbols = "-".join(chemical_symbols[number] for number in key)
    return f"{('soap', 'pair', 'triplet')[len(key) - 1]} {symbols}"


@dataclass(frozen=True)
class Descriptors:
    """What a fit's settings and elements say about descriptors.

    ``species``: atomic numbers in the data, ascending.
    """

    species: tuple[int, ...]
    settings: GapSettings

    @classmethod
    def of(cls, elements: Sequence[str], settings: GapSettings) -> Descriptors:
        """Return those of some elements (symbols)."""
        return cls(tuple(sorted(atomic_numbers[element] for element in elements)), settings)

    @property
    def cutoff_A(self) -> float:
        """The longest cutoff (Å)."""
        return self.settings.cutoff_A

    @property
    def soap_shape(self) -> tuple[int, int, int]:
        """Elements, n_max and l_max."""
        return len(self.species), self.settings.soap.n_max, self.settings.soap.l_max

    @cached_property
    def soaps(self) -> Mapping[int, SoapDescriptor]:
        """SOAP by central element (atomic number)."""
        parsed = {number: parse_descriptor(self.text((number,)), GAP_VERSION) for number in self.species}
        return {number: soap for number, soap in parsed.items() if isinstance(soap, SoapDescriptor)}

    def text(self, key: CoordinateKey) -> str:
        """Return the command line of a coordinate's descriptor."""
        symbols = [chemical_symbols[number] for number in self.species]
        groups = [tuple(chemical_symbols[number] for number in key)] if len(key) > 1 else []
        strings = descriptor_strings(symbols, groups, self.settings)
        line = strings[0] if groups else strings[self.species.index(key[0])]
        # Inside gap={...} braces are doubled, on their own they are not.
        return line.replace("{{", "{").replace("}}", "}")

    def triplets(self, key: CoordinateKey) -> TripletDescriptor:
        """Return the descriptor of a triplet's coordinate."""
        descriptor = parse_descriptor(self.text(key), GAP_VERSION)
        assert isinstance(descriptor, TripletDescriptor)
        return descriptor

    def cache_parts(self) -> list[str]:
        """Return what rows depend on besides structure and sparse points."""
        fields = {"sparse_points", "sparse_method"}
        two_body, three_body = self.settings.two_body, self.settings.three_body
        return [
            ROWS_VERSION,
            repr(self.species),
            self.settings.soap.model_dump_json(exclude=fields),
            two_body.model_dump_json(exclude=fields) if two_body else "",
            # Nothing where there are no triplets, as before there were any: rows of then are found.
            *([three_body.model_dump_json(exclude=fields)] if three_body else ()),
        ]


@dataclass(frozen=True, eq=False)
class PairedAtoms:
    """A configuration's atoms with their pairs."""

    atoms: Atoms
    pairs: NeighbourPairs
    soap_pairs: ElementPairs

    @classmethod
    def of(cls, atoms: Atoms, descriptors: Descriptors) -> PairedAtoms:
        """Return a structure with its pairs found."""
        pairs = find_pairs(atoms, descriptors.cutoff_A)
        soap_pairs = sort_by_element(pairs, atoms.numbers, descriptors.species, descriptors.settings.soap.cutoff_A)
        return cls(atoms, pairs, soap_pairs)

    def two_body_pairs(self, key: CoordinateKey, cutoff_A: float) -> IntArray:
        """Return the indices of ordered pairs of two elements, in either order, within a cutoff."""
        numbers = self.atoms.numbers
        first, second = numbers[self.pairs.first], numbers[self.pairs.second]
        matching = (np.minimum(first, second) == min(key)) & (np.maximum(first, second) == max(key))
        return np.flatnonzero(matching & (self.pairs.distances < cutoff_A))


def soap_descriptors(
    structure: PairedAtoms, descriptors: Descriptors, number: int, wanted: IntArray | None = None
) -> FloatArray:
    """Return the SOAP vectors of the atoms of one element, the appended constant included.

    Parameters
    ----------
    structure
        The atoms.
    descriptors
        Of the fit.
    number
        The element's atomic number.
    wanted
        Indices of some of its atoms; None takes all.

    Returns
    -------
    Shape [n_atoms_of_the_element, n_dimensions].
    """
    descriptor = descriptors.soaps[number]
    element = descriptors.species.index(number)
    parts = [np.zeros((0, descriptor.n_dimensions))]
    for centres in chunks(structure.atoms, number, ATOMS_PER_CHUNK):
        if wanted is not None:
            centres = centres[np.isin(centres, wanted)]
        found = environments(structure.soap_pairs, centres, element, descriptor, with_gradients=False)
        spectra, _ = power_spectra(found.coefficients)
        parts.append(np.column_stack([spectra, np.full(len(spectra), descriptor.covariance_sigma0)]))
    return np.concatenate(parts)


class RowBuilder:
    """Computes the rows of configurations for given sparse points. Thread-safe: it is not changed by use.

    Raises
    ------
    InputError
        If sparse points do not fit the descriptors.
    """

    def __init__(self, descriptors: Descriptors, sparse_points: SparsePoints) -> None:
        self.descriptors = descriptors
        self.sparse_points = sparse_points
        check_points(descriptors, sparse_points)
        self._layers = tuple(self._prepare(layer) for layer in sparse_points.layers)

    def _prepare(self, layer: SparseLayer) -> dict[CoordinateKey, SoapPoints | TwoBodyPoints | TripletPoints]:
        prepared: dict[CoordinateKey, SoapPoints | TwoBodyPoints | TripletPoints] = {}
        three_body = self.descriptors.settings.three_body
        soap, two_body = self.descriptors.settings.soap, self.descriptors.settings.two_body
        for key, points in layer.points.items():
            if len(key) == 1:
                prepared[key] = prepare_points(points, self.descriptors.soap_shape, soap.delta_eV, soap.zeta)
            elif len(key) == 3 and three_body is not None:
                weights = three_body.delta_eV**2 * sparse_cutoffs(self.descriptors.settings, key, points)
                kernel = triplet_kernel(self.descriptors.settings, key, points)
                prepared[key] = TripletPoints(self.descriptors.triplets(key), kernel, weights)
            elif two_body is not None:
                weights = two_body.delta_eV**2 * sparse_cutoffs(self.descriptors.settings, key, points)
                prepared[key] = TwoBodyPoints(
                    np.ascontiguousarray(points[:, 0]),
                    weights,
                    two_body.length_scale_A,
                    two_body.cutoff_A,
                    two_body.transition_width_A,
                )
        return prepared

    @property
    def n_columns(self) -> int:
        """Number of sparse points."""
        return self.sparse_points.n_points

    @property
    def expanded_numbers(self) -> int:
        """Numbers that the sparse points take as matrices and as vectors, twice."""
        n_elements, n_max, l_max = self.descriptors.soap_shape
        soap_points = sum(len(self.sparse_points.columns(key)) for key in self.sparse_points.keys if len(key) == 1)
        return 2 * soap_points * (l_max + 1) * (n_elements * n_max) ** 2

    @property
    def workspace_numbers(self) -> int:
        """Numbers that one thread holds while it computes rows, about; neighbours are taken to be 100 per atom."""
        n_elements, n_max, l_max = self.descriptors.soap_shape
        n_angular = (l_max + 1) ** 2
        per_atom = n_angular * n_max * (3 * 100 + POINTS_PER_TILE + 3 * n_elements)
        return ATOMS_PER_CHUNK * (per_atom + self.descriptors.soaps[self.descriptors.species[0]].n_dimensions)

    def key(self, atoms: Atoms, layer: int) -> str:
        """Return the digest of everything that a layer's rows of a structure depend on."""
        arrays = (
            atoms.numbers.astype("<i8"),
            atoms.pbc,
            (atoms.cell.array + 0.0).astype("<f8"),
            (atoms.positions + 0.0).astype("<f8"),
        )
        points = self.sparse_points.layers[layer].digest
        return digest_of([*self.descriptors.cache_parts(), points, *(array.tobytes() for array in arrays)])

    def shape(self, atoms: Atoms, layer: int) -> tuple[int, int]:
        """Return the shape of a layer's rows of a structure."""
        return n_rows(len(atoms)), self.sparse_points.layers[layer].n_points

    def rows(self, atoms: Atoms, layers: Sequence[int]) -> list[FloatArray]:
        """Return the rows of a structure, for each of some layers an array [n_rows, n_points]."""
        structure = PairedAtoms.of(atoms, self.descriptors)
        blocks = [np.zeros(self.shape(atoms, layer)) for layer in layers]
        for block, layer in zip(blocks, layers, strict=True):
            self._add_distances(block, layer, structure)
        self._add_soaps(blocks, layers, structure)
        return blocks

    def energy_row(self, atoms: Atoms) -> FloatArray:
        """Return the row of a structure's energy alone, of all layers, without gradients. Shape [n_columns]."""
        structure = PairedAtoms.of(atoms, self.descriptors)
        found = np.zeros(self.n_columns)
        start = 0
        for layer, own in enumerate(self.sparse_points.layers):
            block = np.zeros(self.shape(atoms, layer))
            self._add_distances(block, layer, structure)
            found[start : start + own.n_points] = block[0]
            start += own.n_points
        for number in sorted(set(atoms.numbers.tolist())):
            spectra = soap_descriptors(structure, self.descriptors, number)
            for layer, key, columns in self.sparse_points.column_ranges():
                points = self.sparse_points.layers[layer].points[key]
                if key == (number,) and len(points):
                    found[columns] = covariance(self.descriptors.settings, key, spectra, points).sum(axis=0)
        return found

    def _add_distances(self, block: FloatArray, layer: int, structure: PairedAtoms) -> None:
        """Add the rows of a layer's pairs and triplets."""
        start = 0
        for key, points in self.sparse_points.layers[layer].points.items():
            columns = block[:, start : start + len(points)]
            start += len(points)
            prepared = self._layers[layer].get(key)
            if isinstance(prepared, TwoBodyPoints) and len(points):
                self._add_pairs(columns, structure, key, prepared)
            elif isinstance(prepared, TripletPoints) and len(points):
                part = np.zeros(columns.shape)
                add_triplet_rows(part, structure.pairs, structure.atoms.numbers.astype(np.int64), prepared)
                columns += part

    def _add_pairs(
        self, columns: FloatArray, structure: PairedAtoms, key: CoordinateKey, points: TwoBodyPoints
    ) -> None:
        pairs = structure.pairs
        taken = structure.two_body_pairs(key, points.cutoff_A)
        part = np.zeros(columns.shape)
        add_two_body_rows(part, (pairs.first[taken], pairs.second[taken], pairs.vectors[taken]), points)
        columns += part

    def _add_soaps(self, blocks: Sequence[FloatArray], layers: Sequence[int], structure: PairedAtoms) -> None:
        """Add SOAP rows: coefficients and gradients of a chunk of atoms serve all layers."""
        for element, number in enumerate(self.descriptors.species):
            targets = []
            for block, layer in zip(blocks, layers, strict=True):
                points = self._layers[layer].get((number,))
                if isinstance(points, SoapPoints) and len(points.points):
                    targets.append((block[:, _columns_in_layer(self.sparse_points.layers[layer], (number,))], points))
            if not targets:
                continue
            for centres in chunks(structure.atoms, number, ATOMS_PER_CHUNK):
                found = environments(
                    structure.soap_pairs, centres, element, self.descriptors.soaps[number], with_gradients=True
                )
                for columns, points in targets:
                    add_soap_rows(columns, found, points)

    def soap_passes(
        self, structure: PairedAtoms, *, with_gradients: bool
    ) -> Iterator[tuple[Environments, list[tuple[slice, SoapPoints]]]]:
        """Yield environments of a structure, a chunk at a time, each with the columns and points of its element."""
        for element, number in enumerate(self.descriptors.species):
            own = [
                (columns, points)
                for layer, key, columns in self.sparse_points.column_ranges()
                if key == (number,) and isinstance(points := self._layers[layer].get(key), SoapPoints)
            ]
            soap = self.descriptors.soaps[number]
            for centres in chunks(structure.atoms, number, ATOMS_PER_CHUNK):
                yield environments(structure.soap_pairs, centres, element, soap, with_gradients=with_gradients), own

    def prior_blocks(self) -> list[PriorBlock]:
        """Return the covariances among the sparse points of each coordinate."""
        return [
            PriorBlock(
                coordinate_name(key),
                self.sparse_points.columns(key),
                covariance(self.descriptors.settings, key, points, points),
            )
            for key, points in ((key, self.sparse_points.of(key)) for key in self.sparse_points.keys)
        ]

    def model(self, alphas: FloatArray, isolated_atom_energies: Mapping[str, float]) -> GapModel:
        """Return the potential with some weights, shape [n_columns]."""
        return potential_of(self.descriptors, self.sparse_points, alphas, isolated_atom_energies)


def potential_of(
    descriptors: Descriptors,
    sparse_points: SparsePoints,
    alphas: FloatArray,
    isolated_atom_energies: Mapping[str, float],
    core: GluePotential | None = None,
) -> GapModel:
    """Return the potential of sparse points with some weights, shape [n_points] in their order, on top of a core."""
    coordinates = []
    for key in sparse_points.keys:
        points = sparse_points.of(key)
        settings = descriptors.settings
        descriptor = parse_descriptor(descriptors.text(key), GAP_VERSION)
        orders = descriptor.permutations if isinstance(descriptor, TripletDescriptor) else ()
        part = _distance_part(settings, key)
        coordinates.append(
            Coordinate(
                descriptor=descriptor,
                covariance="ard_se" if part else "dot_product",
                delta=part.delta_eV if part else settings.soap.delta_eV,
                sparse_points=points,
                alphas=alphas[sparse_points.columns(key)],
                sparse_cutoffs=sparse_cutoffs(settings, key, points),
                zeta=None if part else float(settings.soap.zeta),
                theta=length_scales(part, key) if part else None,
                label=coordinate_name(key),
                permutations=orders if len(orders) > 1 else (),
            )
        )
    energies = {atomic_numbers[symbol]: energy for symbol, energy in isolated_atom_energies.items()}
    return GapModel(isolated_atom_energies=energies, coordinates=tuple(coordinates), core=core)


def _distance_part(settings: GapSettings, key: CoordinateKey) -> TwoBodySettings | ThreeBodySettings | None:
    """The settings of a pair's or triplet's coordinate; None for SOAP."""
    return (None, settings.two_body, settings.three_body)[len(key) - 1]


def length_scales(part: TwoBodySettings | ThreeBodySettings, key: CoordinateKey) -> FloatArray:
    """Return the length scales θ of the components of a pair's or triplet's coordinate. Shape [1] or [3]."""
    return np.full(2 * len(key) - 3, part.length_scale_A)


def triplet_kernel(settings: GapSettings, key: CoordinateKey, points: FloatArray) -> TripletKernel:
    """Return the kernel of a triplet's coordinate with some points [n_points, 3]."""
    assert settings.three_body is not None
    orders = Descriptors(tuple(sorted(set(key))), settings).triplets(key).permutations
    return TripletKernel(points, length_scales(settings.three_body, key), orders)


def sparse_cutoffs(settings: GapSettings, key: CoordinateKey, points: FloatArray) -> FloatArray:
    """Return the cutoff function at descriptors of a coordinate: 1 for SOAP. Shape [n_points]."""
    part = _distance_part(settings, key)
    if part is None:
        return np.ones(len(points))
    if len(key) == 3:
        return cutoffs_of_components(Descriptors(tuple(sorted(set(key))), settings).triplets(key), points)
    return cutoff_function(points[:, 0], part.cutoff_A, part.transition_width_A)


def covariance(settings: GapSettings, key: CoordinateKey, first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the covariances of the energies of descriptors with those of others of the same coordinate.

    Parameters
    ----------
    settings
        Hyperparameters.
    key
        The coordinate.
    first
        Shape [n_first, n_dimensions].
    second
        Shape [n_second, n_dimensions].

    Returns
    -------
    δ² (x·x')^ζ, or δ² f f' k with the cutoff functions f: k = exp(-(r - r')²/2θ²) for pairs, that of
    `triplet_kernel` for triplets; eV², [n_first, n_second].
    """
    part = _distance_part(settings, key)
    if part is None:
        return settings.soap.delta_eV**2 * (first @ second.T) ** settings.soap.zeta
    cutoffs = np.outer(sparse_cutoffs(settings, key, first), sparse_cutoffs(settings, key, second))
    if len(key) == 3:
        return part.delta_eV**2 * triplet_kernel(settings, key, second).matrix(first) * cutoffs
    shifts = (first - second.T) / part.length_scale_A
    return part.delta_eV**2 * np.exp(-0.5 * shifts**2) * cutoffs


def _columns_in_layer(layer: SparseLayer, key: CoordinateKey) -> slice:
    start = 0
    for other, points in layer.points.items():
        if other == key:
            return slice(start, start + len(points))
        start += len(points)
    return slice(0, 0)


def check_points(descriptors: Descriptors, sparse_points: SparsePoints) -> None:
    """Check that sparse points belong to the descriptors.

    Raises
    ------
    InputError
        Naming the coordinate, if they do not.
    """
    for layer in sparse_points.layers:
        for key, points in layer.points.items():
            if len(key) > 1:
                fits = _distance_part(descriptors.settings, key) is not None and points.shape[1] == (1, 3)[len(key) - 2]
            else:
                fits = key[0] in descriptors.soaps and points.shape[1] == descriptors.soaps[key[0]].n_dimensions
            if not fits or not set(key) <= set(descriptors.species):
                raise InputError(
                    f"sparse points of {coordinate_name(key)} with {points.shape[1]} components do not fit these "
                    "settings and data: use those of a fit with the same elements, n_max and l_max, or select new ones"
                )


def sparse_points_of(model: GapModel) -> SparsePoints:
    """Return the sparse points of a potential as one layer, for a fit that uses the same.

    Raises
    ------
    InputError
        If a coordinate is not one of a single central element, a pair or a triplet, as fits have it.
    """
    points: dict[CoordinateKey, FloatArray] = {}
    for coordinate in model.coordinates:
        descriptor = coordinate.descriptor
        if isinstance(descriptor, SoapDescriptor):
            key: CoordinateKey = descriptor.central_numbers
        elif isinstance(descriptor, TripletDescriptor):
            key = descriptor.numbers[:1] if descriptor.form == "angle" else ()
            key = (*key, *sorted(descriptor.numbers[len(key) :]))
        else:
            key = (min(descriptor.numbers), max(descriptor.numbers))
        other_form = getattr(descriptor, "form", "") == "clusters" or getattr(descriptor, "instances_per_pair", 2) != 2
        several = isinstance(descriptor, SoapDescriptor) and len(key) != 1
        if 0 in key or key in points or several or other_form:
            raise InputError(
                f"the coordinate {descriptor.text!r} is not the only one of its element or pair of elements: its "
                "sparse points cannot be used for a fit"
            )
        points[key] = coordinate.sparse_points
    ordered = sorted(points.items(), key=lambda item: (-len(item[0]), item[0]))
    return SparsePoints((SparseLayer(dict(ordered)),))
