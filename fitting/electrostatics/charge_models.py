"""How charges follow from a local quantity of every atom, and what the energy's derivatives by it are.

Each atom has u_i = Σ_s β_s k(x_i, x_s), a sparse kernel model like a GAP's energies. A charge model turns u and
constants c of the species into charges q; the Coulomb energy E = ½ qᵀA q then has for every parameter a column in a
fit's linear system. With w_i = dE/du_i these are rows of the GAP's own kind with a weight for every central atom, plus
what the weights themselves change: dE/dβ_s = Σ_i w_i k_is, and its derivative Σ_i w_i ∂k_is + Σ_i (∂w_i) k_is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ...core.arrays import FloatArray
from .coulomb.matrix import CoulombMatrix


@dataclass(frozen=True, eq=False)
class ChargeState:
    """Charges of one structure, their energy, and its derivatives by positions and strain.

    R stands for 3 n_atoms + 6 coordinates: positions, then strain in the order of `.coulomb.matrix.VOIGT`.

    Attributes
    ----------
    charges
        q (e). Shape [n_atoms].
    energy_eV
        ½ qᵀA q.
    derivative
        Of the energy (eV/Å, eV). Shape [R].
    weights
        w = dE/du (V). Shape [n_atoms].
    weight_derivatives
        dw/dR, None where it is not wanted. Shape [R, n_atoms].
    """

    charges: FloatArray
    energy_eV: float
    derivative: FloatArray
    weights: FloatArray
    weight_derivatives: FloatArray | None


class ChargeModel(Protocol):
    """What turns a local quantity into charges."""

    def charges(self, raw: FloatArray) -> FloatArray:
        """Return charges (e) from c of the species plus u (e), of which they are linear. Shapes [n_atoms, ...]."""

    def weights(self, potentials: FloatArray) -> FloatArray:
        """Return dE/du (V) from the potentials dE/dq (V). Shapes [n_atoms]."""

    def state(
        self, matrix: CoulombMatrix, raw: FloatArray, raw_derivatives: FloatArray, *, with_columns: bool
    ) -> ChargeState:
        """Return charges and energy of a structure.

        Parameters
        ----------
        matrix
            Of the structure.
        raw
            c of the species plus u (e). Shape [n_atoms].
        raw_derivatives
            du/dR (e/Å, e). Shape [n_atoms, R].
        with_columns
            Whether the derivatives of the weights are wanted.
        """


class LocalCharges:
    """q_i = c + u_i less the mean of all, which makes every structure neutral."""

    def charges(self, raw: FloatArray) -> FloatArray:
        """Return the charges (e). Shapes [n_atoms, ...]."""
        return raw - raw.mean(axis=0)

    def weights(self, potentials: FloatArray) -> FloatArray:
        """Return φ_i less its mean (V). Shapes [n_atoms]."""
        return potentials - potentials.mean()

    def state(
        self, matrix: CoulombMatrix, raw: FloatArray, raw_derivatives: FloatArray, *, with_columns: bool
    ) -> ChargeState:
        """Return charges and energy of a structure; arguments as in `ChargeModel.state`."""
        q = self.charges(raw)
        potentials = matrix.potentials(q)
        weights = self.weights(potentials)
        derivative = matrix.energy_derivative(q) + weights @ raw_derivatives
        columns = None
        if with_columns:
            changes = matrix.potential_derivative(q)
            changes += matrix.values @ (raw_derivatives - raw_derivatives.mean(axis=0))
            columns = (changes - changes.mean(axis=0)).T
        return ChargeState(q, 0.5 * float(q @ potentials), derivative, weights, columns)
