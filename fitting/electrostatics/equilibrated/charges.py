"""Equilibrated charges as a charge model: the local quantity is an electronegativity, χ_i = c + u_i."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ....core.arrays import FloatArray, IntArray
from ..joint.bonds import BondSwitch
from ..joint.charge_models import ChargeState, DenseStructure, Equilibrium, LargeStructure, Passed, centred
from .response import Response, response
from .solver import BondPassage, FreePassage, Passage, Solver


class EquilibratedCharges:
    """Charges at rest; the derivative of their energy by an electronegativity is the charge.

    Parameters
    ----------
    reference_e
        Charges of the species, from which charge passes; made to add up to the total by their mean. Shape [n_species].
    hardness_eV
        Of the species. Shape [n_species].
    switch, bond_hardness_eV
        Bonds that pass charge, and what a bond of full weight costs; None where charge passes freely.
    total_charge_e
        Of every structure of more than one atom.
    solver
        For evaluations; None takes one of its own.
    """

    constant_step = 1.0

    def __init__(
        self,
        reference_e: FloatArray,
        hardness_eV: FloatArray,
        switch: BondSwitch | None,
        bond_hardness_eV: float,
        total_charge_e: float,
        solver: Solver | None = None,
    ) -> None:
        self.switch = switch
        self._reference_e = reference_e
        self._hardness_eV = hardness_eV
        self._bond_hardness_eV = bond_hardness_eV
        self._total_charge_e = total_charge_e
        self._solver = Solver() if solver is None else solver

    def _reference(self, kinds: IntArray) -> FloatArray:
        total = self._total_charge_e if len(kinds) > 1 else 0.0
        return centred(self._reference_e[kinds]) + total / len(kinds)

    def _conductances(self, structure: DenseStructure) -> FloatArray | None:
        if structure.bonds is None:
            return None
        return -structure.bonds.laplacian() / self._bond_hardness_eV

    def response(self, structure: DenseStructure, chi: FloatArray) -> Response:
        """Return the charges at rest for electronegativities (V) [n_atoms]."""
        hardness = structure.coulomb.values + np.diag(self._hardness_eV[structure.kinds])
        return response(chi, hardness, self._reference(structure.kinds), self._conductances(structure))

    def charges(self, structure: DenseStructure, constants: FloatArray, local: FloatArray) -> FloatArray:
        """Return the charges (e) [n_atoms]."""
        return self.response(structure, constants + local).charges

    def weights(self, structure: DenseStructure, constants: FloatArray, local: FloatArray) -> FloatArray:
        """Return dE/du, the charges. Shape [n_atoms]."""
        return self.charges(structure, constants, local)

    def tangent(self, structure: DenseStructure, constants: FloatArray, local: FloatArray) -> FloatArray:
        """Return the change of the charges (e) with changes of electronegativities. Shapes [n_atoms, ...]."""
        zero = np.zeros(len(structure.kinds))
        return -self.response(structure, zero).matrix @ (constants + local)

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
        found = self.response(structure, constants + local)
        q, g, bonds = found.charges, found.slopes, structure.bonds
        derivative = structure.coulomb.energy_derivative(q) + q @ local_derivatives
        of_bonds = None
        if bonds is not None:
            # dS g, S being the negative of the bonds' matrix over κ.
            of_bonds = -bonds.laplacian_derivative(g) / self._bond_hardness_eV
            derivative = derivative - 0.5 * (g @ of_bonds)
        changes = None
        if with_columns:
            of_slopes = structure.coulomb.potential_derivative(q) + local_derivatives
            of_charges = -found.matrix @ of_slopes
            if of_bonds is not None:
                hardness = structure.coulomb.values + np.diag(self._hardness_eV[structure.kinds])
                of_charges -= of_bonds - found.matrix @ (hardness @ of_bonds)
            changes = of_charges.T
        return ChargeState(q, found.energy_eV, derivative, q, changes, q, changes)

    def starting_constants(self, charges_e: FloatArray, structures: Iterable[DenseStructure]) -> FloatArray:
        """Return electronegativities (V) at which the charges of the species are at rest on the mean of all atoms."""
        sums, counts = np.zeros(len(charges_e)), np.zeros(len(charges_e))
        for structure in structures:
            kinds = structure.kinds
            if len(kinds) > 1:
                reference = self._reference(kinds)
                slopes = structure.coulomb.potentials(reference) + self._hardness_eV[kinds] * reference
                np.add.at(sums, kinds, -centred(slopes))
                counts += np.bincount(kinds, minlength=len(counts))
        return np.asarray(sums / np.maximum(counts, 1.0), dtype=np.float64)

    def forget(self) -> None:
        """Forget the last steps, which charges of large structures start from."""
        self._solver.forget()

    def evaluate(self, structure: LargeStructure, constants: FloatArray, local: FloatArray) -> Equilibrium:
        """Return charges and energy of a structure of any size; shapes [n_atoms]."""
        kinds = structure.kinds
        chi, hardness, reference = constants + local, self._hardness_eV[kinds], self._reference(kinds)
        bonds = None if self.switch is None else self.switch.bonds(structure.pairs(self.switch.cutoff_A))
        passage: Passage = FreePassage()
        carried, voltages, field = reference, None, structure.field_V_per_A
        if bonds is not None:
            passage = BondPassage(bonds, len(kinds), self._bond_hardness_eV)
            if field is not None:
                # What the field alone drives over bonds; from there charges pass as without it.
                voltages = bonds.voltages(field)
                driven = bonds.pairs.weights * bonds.values * voltages / self._bond_hardness_eV
                reference = reference + bonds.collected(driven, len(kinds))
        settled = self._solver.settle(structure, chi, hardness, reference, passage)
        q = settled.charges
        found = structure.coulomb(q)
        energy = found.energy + float(chi @ q + 0.5 * q @ (hardness * q))
        forces, strain, passed = found.forces, found.strain_derivative, None
        if bonds is not None:
            assert settled.drops is not None
            # What the bonds cost; its derivative at given charges that pass has the other sign.
            squares = 0.5 * settled.drops**2 / self._bond_hardness_eV
            energy += float((bonds.pairs.weights * bonds.values * squares).sum())
            if voltages is not None and field is not None:
                # κp/f. Its work in the field is taken off: ½ κp²/f - p V = ½ f (drop² - V²)/κ.
                driving = voltages - settled.drops
                energy -= 0.5 * float((bonds.pairs.weights * bonds.values * voltages**2).sum()) / self._bond_hardness_eV
                squares = 0.5 * driving**2 / self._bond_hardness_eV
                passed = Passed(carried, bonds.dipole(bonds.values * driving / self._bond_hardness_eV))
                forces = forces + np.outer(q, field)
            of_bonds, strain_of_bonds = bonds.forces(-squares, len(q))
            forces, strain = forces + of_bonds, strain + strain_of_bonds
        return Equilibrium(q, q, energy, forces, strain, passed)
