"""Columns of a fit's linear system for the parameters of charges, structure by structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ....core.arrays import FloatArray, IntArray
from ...data_sets import LabelledConfiguration
from ...native.sparse_fit.design import PairedAtoms, RowBuilder, soap_descriptors
from ...native.sparse_fit.row_store import RowStore
from ...native.sparse_fit.rows import add_atom_derivatives, n_rows
from ..coulomb.clouds import CloudTable
from ..coulomb.matrix import CoulombMatrix, coulomb_matrix, matrix_surroundings
from .atom_row_store import AtomRowStore
from .bonds import BondMatrix
from .charge_models import ChargeModel, ChargeState, DenseStructure

_BLOCKS = 10
"""Matrices of a structure: values, three gradients, six strains."""


@dataclass(frozen=True, eq=False)
class Parameters:
    """Parameters of charges.

    Attributes
    ----------
    constants
        c of each species, in the charge model's unit. Shape [n_species].
    coefficients
        β of the sparse points of all elements, in the order of `ChargeColumns`, in that unit. Shape [n_coefficients].
    """

    constants: FloatArray
    coefficients: FloatArray


@dataclass(frozen=True, eq=False)
class Linearised:
    """One structure at some parameters.

    ``values`` are energy and derivatives (eV, eV/Å, eV) [1 + R]; ``columns`` their derivatives by coefficients and
    constants [1 + R, n_coefficients + n_species], None where they are not wanted.
    """

    state: ChargeState
    values: FloatArray
    columns: FloatArray | None


class ChargeColumns:
    """Evaluates charges and their columns for the configurations of a fit. Thread-safe after `prepare`.

    What depends on the structures alone, Coulomb matrices and covariances, is kept in a store that spills to the disk,
    rows of single atoms as far as there is room.

    Parameters
    ----------
    builder
        Of the GAP's rows, whose sparse points the charges share.
    configurations
        Of the fit.
    model
        What turns the local quantity into charges.
    clouds
        Of the species in the builder's order.
    accuracy
        Of the Coulomb matrices, for unit charges (eV/Å).
    screening_A
        Keeps only the short-ranged part of the interaction (Å); None keeps all.
    store
        For matrices and covariances.
    atom_rows
        Of the same configurations; None keeps none.
    """

    def __init__(
        self,
        builder: RowBuilder,
        configurations: Sequence[LabelledConfiguration],
        model: ChargeModel,
        clouds: CloudTable,
        accuracy: float,
        screening_A: float | None,
        store: RowStore,
        atom_rows: AtomRowStore | None = None,
    ) -> None:
        self.builder = builder
        self.model = model
        self._configurations = configurations
        self._clouds = clouds
        self._accuracy = accuracy
        self._screening_A = screening_A
        self._store = store
        self._atom_rows = AtomRowStore(builder, configurations, 0.0) if atom_rows is None else atom_rows
        self._species = np.array(builder.descriptors.species)

    @cached_property
    def ranges(self) -> dict[int, list[tuple[slice, slice]]]:
        """By element: columns of its sparse points in the builder's rows, and among the coefficients."""
        found: dict[int, list[tuple[slice, slice]]] = {int(number): [] for number in self._species}
        start = 0
        for _, key, columns in self.builder.sparse_points.column_ranges():
            count = columns.stop - columns.start
            if len(key) == 1 and count:
                found[key[0]].append((columns, slice(start, start + count)))
                start += count
        return found

    @cached_property
    def n_coefficients(self) -> int:
        """Number of coefficients."""
        return sum(own.stop - own.start for parts in self.ranges.values() for _, own in parts)

    def coefficients_of(self, number: int) -> IntArray:
        """Return the places of an element's coefficients, in the order of its sparse points."""
        parts = [np.arange(own.start, own.stop) for _, own in self.ranges[number]]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    def kinds(self, index: int) -> IntArray:
        """Return the species of a configuration's atoms, as places in the builder's order. Shape [n_atoms]."""
        return np.searchsorted(self._species, self._configurations[index].atoms.numbers)

    def precompute(self, index: int) -> tuple[FloatArray, FloatArray]:
        """Return what `keep` takes: matrices [10 n, n], with bonds [20 n, n], and covariances [n, most].

        Those of every atom with the sparse points of its element.
        """
        atoms = self._configurations[index].atoms
        n_atoms, around = len(atoms), matrix_surroundings(atoms, self._accuracy)
        found = coulomb_matrix(
            atoms.positions, around, self.kinds(index), self._clouds, self._accuracy, self._screening_A
        )
        parts: list[CoulombMatrix | BondMatrix] = [found]
        if self.model.switch is not None:
            parts.append(self.model.switch.matrix(atoms))
        matrices = np.concatenate(
            [
                each
                for part in parts
                for each in (part.values[None], part.gradients.transpose(2, 0, 1), part.strains.transpose(2, 0, 1))
            ]
        ).reshape(len(parts) * _BLOCKS * n_atoms, n_atoms)
        structure = PairedAtoms.of(atoms, self.builder.descriptors)
        covariances = np.zeros((n_atoms, max(len(self.coefficients_of(int(z))) for z in self._species)))
        for number in self._species.tolist():
            own = np.flatnonzero(atoms.numbers == number)
            points = self.builder.sparse_points.of((number,))
            if len(own) and len(points):
                spectra = soap_descriptors(structure, self.builder.descriptors, number)
                covariances[own, : len(points)] = (spectra @ points.T) ** self.builder.descriptors.settings.soap.zeta
        return matrices, covariances

    def keep(self, index: int, found: tuple[FloatArray, FloatArray]) -> None:
        """Keep what `precompute` returned; for one thread."""
        self._store.keep(2 * index, found[0])
        self._store.keep(2 * index + 1, found[1])

    def structure(self, index: int) -> DenseStructure:
        """Return the matrices of a configuration."""
        n_atoms = self._configurations[index].n_atoms
        blocks = self._store.read(2 * index).reshape(-1, n_atoms, n_atoms)
        bonds = None
        if len(blocks) > _BLOCKS:
            bonds = BondMatrix(*_split(blocks[_BLOCKS:]))
        return DenseStructure(CoulombMatrix(*_split(blocks[:_BLOCKS])), bonds, self.kinds(index))

    def local(self, index: int, parameters: Parameters) -> FloatArray:
        """Return u of a configuration's atoms. Shape [n_atoms]."""
        covariances = self._store.read(2 * index + 1)
        local = np.zeros(len(covariances))
        for number in self._species.tolist():
            own = np.flatnonzero(self._configurations[index].atoms.numbers == number)
            places = self.coefficients_of(number)
            local[own] = covariances[own, : len(places)] @ parameters.coefficients[places]
        return local

    def charges(self, index: int, parameters: Parameters) -> FloatArray:
        """Return the charges of a configuration's atoms (e). Shape [n_atoms]."""
        whole = self.structure(index)
        return self.model.charges(whole, parameters.constants[whole.kinds], self.local(index, parameters))

    def linearise(self, index: int, parameters: Parameters, *, with_columns: bool) -> Linearised:
        """Return energy and derivatives of a configuration and, if wanted, their columns."""
        n_atoms = self._configurations[index].n_atoms
        whole, local = self.structure(index), self.local(index, parameters)
        constants = parameters.constants[whole.kinds]
        derivatives = np.zeros((n_atoms, 3 * n_atoms + 6))
        amplitude = self.builder.descriptors.settings.soap.delta_eV**2
        if with_columns:
            # The rows need the weights, and those no derivatives: one pass over the environments is enough.
            weights = self.model.weights(whole, constants, local) / amplitude
            columns = np.zeros((n_rows(n_atoms), self.n_coefficients + len(self._species)))
        if with_columns or self._atom_rows.keeps(index):
            for first, rows in self._atom_rows.rows(index):
                own = self._places[first]
                rows.add_derivatives(derivatives, parameters.coefficients[own] / amplitude)
                if with_columns:
                    rows.add_weighted(columns[:, own], weights)
        else:
            self._add_derivatives(derivatives, index, parameters)
        state = self.model.state(whole, constants, local, derivatives, with_columns=with_columns)
        values = np.concatenate([[state.energy_eV], state.derivative])
        if not with_columns:
            return Linearised(state, values, None)
        self._add_through_weights(columns, index, state)
        return Linearised(state, values, columns)

    @cached_property
    def _places(self) -> dict[int, slice]:
        """Coefficients of sparse points by the first of their columns in the builder's rows."""
        return {rows.start: own for parts in self.ranges.values() for rows, own in parts}

    def _add_derivatives(self, derivatives: FloatArray, index: int, parameters: Parameters) -> None:
        """Add du/dR, which without rows takes a quarter of their time."""
        structure = PairedAtoms.of(self._configurations[index].atoms, self.builder.descriptors)
        shape = self.builder.descriptors.soap_shape
        for found, parts in self.builder.soap_passes(structure, with_gradients=True):
            for columns, points in parts:
                if len(points.points):
                    own = parameters.coefficients[self._places[columns.start]]
                    add_atom_derivatives(derivatives, found, points, shape, own)

    def _add_through_weights(self, columns: FloatArray, index: int, state: ChargeState) -> None:
        """Add Σ_i (∂w_i) k_is to the coefficients' columns, and fill those of the constants."""
        assert state.weight_derivatives is not None
        assert state.constant_weight_derivatives is not None
        covariances, kinds = self._store.read(2 * index + 1), self.kinds(index)
        for place, number in enumerate(self._species.tolist()):
            own = np.flatnonzero(kinds == place)
            coefficients = self.coefficients_of(number)
            changes = state.weight_derivatives[:, own]
            columns[1:, coefficients] += changes @ covariances[own, : len(coefficients)]
            columns[0, self.n_coefficients + place] = state.constant_weights[own].sum()
            columns[1:, self.n_coefficients + place] = state.constant_weight_derivatives[:, own].sum(axis=1)

    def charge_derivatives(self, index: int) -> FloatArray:
        """Return the derivatives of a configuration's charges, which all models are linear in the parameters of.

        By coefficients and constants. Shape [n_atoms, n_coefficients + n_species].
        """
        whole, covariances = self.structure(index), self._store.read(2 * index + 1)
        local = np.zeros((len(whole.kinds), self.n_coefficients + len(self._species)))
        constants = np.zeros_like(local)
        for place, number in enumerate(self._species.tolist()):
            own = np.flatnonzero(whole.kinds == place)
            coefficients = self.coefficients_of(number)
            local[np.ix_(own, coefficients)] = covariances[own, : len(coefficients)]
            constants[own, self.n_coefficients + place] = 1.0
        return self.model.tangent(whole, constants, local)

    @property
    def nothing(self) -> Parameters:
        """Parameters that are all zero."""
        return Parameters(np.zeros(len(self._species)), np.zeros(self.n_coefficients))

    def together(self) -> list[int]:
        """Return the configurations of several atoms; all where there are none: one alone has no charge."""
        found = [index for index in range(len(self._configurations)) if self._configurations[index].n_atoms > 1]
        return found or list(range(len(self._configurations)))

    def species_means(self, values: Sequence[FloatArray]) -> FloatArray:
        """Return the mean over the atoms of each species, of values of configurations of several atoms. [n_species]."""
        kinds, count = np.concatenate([self.kinds(index) for index in self.together()]), len(self._species)
        means = np.bincount(kinds, np.concatenate(values), count) / np.maximum(np.bincount(kinds, minlength=count), 1)
        return np.asarray(means, dtype=np.float64)

    def mean_charge_columns(self, indices: Sequence[int]) -> FloatArray:
        """Return the derivatives of each species' mean charge by coefficients and constants.

        Over all atoms of some configurations. Shape [n_species, n_coefficients + n_species].
        """
        totals = np.zeros((len(self._species), self.n_coefficients + len(self._species)))
        counts = np.zeros(len(self._species))
        for index in indices:
            kinds = self.kinds(index)
            np.add.at(totals, kinds, self.charge_derivatives(index))
            counts += np.bincount(kinds, minlength=len(counts))
        return totals / np.maximum(counts, 1.0)[:, None]


def _split(blocks: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return values, gradients and strains from how they are kept. Shape [10, n_atoms, n_atoms]."""
    return blocks[0], blocks[1:4].transpose(1, 2, 0), blocks[4:].transpose(1, 2, 0)
