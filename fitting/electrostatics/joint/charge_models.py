"""How charges follow from a local quantity of every atom, and what the energy's derivatives by it are.

Each atom has u_i = Σ_s β_s k(x_i, x_s), a sparse kernel model like a GAP's energies. A charge model turns u and
constants c of the species into charges q and an energy, which has for every parameter a column in a fit's linear
system. With w_i = dE/du_i these are rows of the GAP's own kind with a weight for every central atom, plus what the
weights themselves change: dE/dβ_s = Σ_i w_i k_is, and its derivative Σ_i w_i ∂k_is + Σ_i (∂w_i) k_is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ....core.arrays import FloatArray, IntArray
from ...pair_lists import Pairs
from ..coulomb.ewald import Contribution
from ..coulomb.matrix import CoulombMatrix
from .bonds import BondMatrix, BondSwitch


@dataclass(frozen=True, eq=False)
class DenseStructure:
    """What a fit knows of a structure: Coulomb matrix, bonds where the model has some, species [n_atoms]."""

    coulomb: CoulombMatrix
    bonds: BondMatrix | None
    kinds: IntArray


@dataclass(frozen=True, eq=False)
class LargeStructure:
    """What an evaluation knows of a structure.

    Attributes
    ----------
    positions
        Å. Shape [n_atoms, 3].
    kinds
        Species of the atoms. Shape [n_atoms].
    pairs
        Returns the pairs of atoms within a distance (Å).
    coulomb
        Evaluates charges (e) [n_atoms].
    matrix
        Returns the Coulomb matrix (eV/e²) [n_atoms, n_atoms]; for small structures.
    potentials
        Returns a function from charges (e) to potentials (V), both [n_atoms], for many sets of charges.
    field_V_per_A
        Uniform electric field (V/Å) [3]; None: none.
    """

    positions: FloatArray
    kinds: IntArray
    pairs: Callable[[float], Pairs]
    coulomb: Callable[[FloatArray], Contribution]
    matrix: Callable[[], FloatArray]
    potentials: Callable[[], Callable[[FloatArray], FloatArray]]
    field_V_per_A: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Equilibrium:
    """An evaluation: charges (e), dE/du [n_atoms], and what else the energy is made of; forces at fixed u.

    In a field energy and forces hold what it does, but for its work on what atoms carry (`..in_field.InField`); the
    strain derivative, which a field at a fixed cell has none of, does not. ``passed``: None without a field.
    """

    charges: FloatArray
    weights: FloatArray
    energy_eV: float
    forces: FloatArray
    strain_derivative: FloatArray
    passed: Passed | None = None


@dataclass(frozen=True, eq=False)
class Passed:
    """What of the charges atoms carry (e) [n_atoms], and the dipole of what has passed over bonds (e Å) [3]."""

    carried_e: FloatArray
    dipole_eA: FloatArray


@dataclass(frozen=True, eq=False)
class ChargeState:
    """Charges of one structure, their energy, and its derivatives by positions and strain.

    R stands for 3 n_atoms + 6 coordinates: positions, then strain in the order of `..coulomb.matrix.VOIGT`.

    Attributes
    ----------
    charges
        q (e). Shape [n_atoms].
    energy_eV
        What depends on the charges, ½ qᵀA q at least.
    derivative
        Of the energy (eV/Å, eV). Shape [R].
    weights
        w = dE/du. Shape [n_atoms].
    weight_derivatives
        dw/dR, None where it is not wanted. Shape [R, n_atoms].
    constant_weights, constant_weight_derivatives
        The same of an atom's constant instead of u.
    """

    charges: FloatArray
    energy_eV: float
    derivative: FloatArray
    weights: FloatArray
    weight_derivatives: FloatArray | None
    constant_weights: FloatArray
    constant_weight_derivatives: FloatArray | None


class ChargeModel(Protocol):
    """What turns a local quantity into charges.

    Attributes
    ----------
    switch
        Of the bonds; None without such.
    constant_step
        Scale of the damping of the constants, in their unit.
    """

    @property
    def switch(self) -> BondSwitch | None: ...  # noqa: D102

    @property
    def constant_step(self) -> float: ...  # noqa: D102

    def charges(self, structure: DenseStructure, constants: FloatArray, local: FloatArray) -> FloatArray:
        """Return the charges (e) [n_atoms]; arguments as `state`."""

    def weights(self, structure: DenseStructure, constants: FloatArray, local: FloatArray) -> FloatArray:
        """Return dE/du. Shape [n_atoms]; arguments as `state`."""

    def state(
        self,
        structure: DenseStructure,
        constants: FloatArray,
        local: FloatArray,
        local_derivatives: FloatArray,
        *,
        with_columns: bool,
    ) -> ChargeState:
        """Return charges and energy of a structure.

        Parameters
        ----------
        structure
            Its matrices.
        constants, local
            c of the species, and u. Shapes [n_atoms].
        local_derivatives
            du/dR. Shape [n_atoms, R].
        with_columns
            Whether the derivatives of the weights are wanted.
        """

    def tangent(self, structure: DenseStructure, constants: FloatArray, local: FloatArray) -> FloatArray:
        """Return the change of the charges (e) with changes of constants and u. Shapes [n_atoms, ...]."""

    def starting_constants(self, charges_e: FloatArray, structures: Iterable[DenseStructure]) -> FloatArray:
        """Return the constants that a fit starts from, and believes in, by the species' charges. Shapes [n_species]."""

    def forget(self) -> None:
        """Forget what evaluations start from: the next result depends on its arguments alone."""

    def evaluate(self, structure: LargeStructure, constants: FloatArray, local: FloatArray) -> Equilibrium:
        """Return charges and energy of a structure of any size; shapes [n_atoms].

        Models without bonds answer no field: whoever sets one asks the kind first.
        """


class LocalCharges:
    """q_i = c + u_i less the mean of all, which makes every structure neutral."""

    switch: BondSwitch | None = None
    constant_step = 0.2

    def charges(self, structure: DenseStructure, constants: FloatArray, local: FloatArray) -> FloatArray:
        """Return the charges (e) [n_atoms]."""
        return centred(constants + local)

    tangent = charges

    def weights(self, structure: DenseStructure, constants: FloatArray, local: FloatArray) -> FloatArray:
        """Return φ_i less its mean (V). Shape [n_atoms]."""
        return centred(structure.coulomb.potentials(self.charges(structure, constants, local)))

    def state(
        self,
        structure: DenseStructure,
        constants: FloatArray,
        local: FloatArray,
        local_derivatives: FloatArray,
        *,
        with_columns: bool,
    ) -> ChargeState:
        """Return charges and energy of a structure; arguments as in `ChargeModel.state`."""
        matrix = structure.coulomb
        q = self.charges(structure, constants, local)
        potentials = matrix.potentials(q)
        weights = centred(potentials)
        derivative = matrix.energy_derivative(q) + weights @ local_derivatives
        changes = None
        if with_columns:
            of_potentials = matrix.potential_derivative(q)
            of_potentials += matrix.values @ centred(local_derivatives)
            changes = centred(of_potentials).T
        return ChargeState(q, 0.5 * float(q @ potentials), derivative, weights, changes, weights, changes)

    def starting_constants(self, charges_e: FloatArray, structures: Iterable[DenseStructure]) -> FloatArray:
        """Return the charges."""
        return charges_e

    def forget(self) -> None:
        """Do nothing: nothing is kept."""

    def evaluate(self, structure: LargeStructure, constants: FloatArray, local: FloatArray) -> Equilibrium:
        """Return charges and energy of a structure of any size; shapes [n_atoms]."""
        q = centred(constants + local)
        found = structure.coulomb(q)
        return Equilibrium(q, centred(found.potentials), found.energy, found.forces, found.strain_derivative)


class PairCharges:
    """q_i = c + Σ_j f_ij (u_j - u_i) over all neighbours: what one gains its neighbour loses.

    The constants are made neutral by the mean of all, where they are not.

    Parameters
    ----------
    switch
        f of the distance.
    share
        Factor of f: what a bond of full weight passes of the difference.
    """

    constant_step = 0.2

    def __init__(self, switch: BondSwitch, share: float) -> None:
        self.switch: BondSwitch | None = switch
        self._bonds = switch
        self._share = share

    def charges(self, structure: DenseStructure, constants: FloatArray, local: FloatArray) -> FloatArray:
        """Return the charges (e) [n_atoms]."""
        return centred(constants) + self._laplacian(structure) @ local

    tangent = charges

    def _laplacian(self, structure: DenseStructure) -> FloatArray:
        assert structure.bonds is not None
        return self._share * structure.bonds.laplacian()

    def weights(self, structure: DenseStructure, constants: FloatArray, local: FloatArray) -> FloatArray:
        """Return Σ_j f_ij (φ_j - φ_i) (V). Shape [n_atoms]."""
        potentials = structure.coulomb.potentials(self.charges(structure, constants, local))
        return self._laplacian(structure) @ potentials

    def state(
        self,
        structure: DenseStructure,
        constants: FloatArray,
        local: FloatArray,
        local_derivatives: FloatArray,
        *,
        with_columns: bool,
    ) -> ChargeState:
        """Return charges and energy of a structure; arguments as in `ChargeModel.state`."""
        assert structure.bonds is not None
        matrix, laplacian = structure.coulomb, self._laplacian(structure)
        q = self.charges(structure, constants, local)
        potentials = matrix.potentials(q)
        charge_derivatives = self._share * structure.bonds.laplacian_derivative(local) + laplacian @ local_derivatives
        derivative = matrix.energy_derivative(q) + potentials @ charge_derivatives
        changes = constant_changes = None
        if with_columns:
            of_potentials = matrix.potential_derivative(q) + matrix.values @ charge_derivatives
            of_bonds = self._share * structure.bonds.laplacian_derivative(potentials)
            changes = (of_bonds + laplacian @ of_potentials).T
            constant_changes = centred(of_potentials).T
        return ChargeState(
            q,
            0.5 * float(q @ potentials),
            derivative,
            laplacian @ potentials,
            changes,
            centred(potentials),
            constant_changes,
        )

    def starting_constants(self, charges_e: FloatArray, structures: Iterable[DenseStructure]) -> FloatArray:
        """Return the charges."""
        return charges_e

    def forget(self) -> None:
        """Do nothing: nothing is kept."""

    def evaluate(self, structure: LargeStructure, constants: FloatArray, local: FloatArray) -> Equilibrium:
        """Return charges and energy of a structure of any size; shapes [n_atoms]."""
        bonds = self._bonds.bonds(structure.pairs(self._bonds.cutoff_A))
        carried = centred(constants)
        q = carried + self._share * bonds.passed(local)
        found = structure.coulomb(q)
        potentials, pairs = found.potentials, bonds.pairs
        # φᵀ L u = Σ_b f_b (φ_i - φ_j)(u_j - u_i).
        drops = potentials[pairs.first] - potentials[pairs.second]
        gains = local[pairs.second] - local[pairs.first]
        energy, forces, passed = found.energy, found.forces, None
        field = structure.field_V_per_A
        if field is not None:
            # Potentials are those of the charges and -E·r, which only bonds know the differences of.
            drops = drops - bonds.voltages(field)
            passed = Passed(carried, bonds.dipole(self._share * bonds.values * gains))
            energy, forces = energy - float(passed.dipole_eA @ field), forces + np.outer(q, field)
        of_bonds, strain = bonds.forces(self._share * drops * gains, len(q))
        weights = -self._share * bonds.collected(pairs.weights * bonds.values * drops, len(q))
        return Equilibrium(q, weights, energy, forces + of_bonds, found.strain_derivative + strain, passed)


def centred(values: FloatArray) -> FloatArray:
    """Return values less the mean over all atoms. Shapes [n_atoms, ...]."""
    return np.asarray(values - values.mean(axis=0), dtype=np.float64)
