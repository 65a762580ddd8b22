"""One SOAP coordinate of a GAP: energies of atoms and their gradients, by two matrix products per group of atoms."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from ...core.arrays import FloatArray, IntArray
from ...core.errors import IonloopError
from .covariance_sums import Precision, covariance_sum
from .descriptor_strings import WITH_QUIPPY, SoapDescriptor
from .gap_xml import Coordinate
from .neighbours import NeighbourPairs
from .scratch import Scratch
from .soap import Expansion, soap_basis

VARIANCE_REGULARISATION = 1e-3
"""g of the predicted variance, eV, as QUIP's ``gap_variance_regularisation``."""


class SoapTerm:
    """One ``soap`` coordinate with the covariance δ² (p·p_s + σ0²)^ζ, ready for evaluation.

    Parameters
    ----------
    coordinate
        Whose descriptor is a SOAP.
    precision
        Of the matrix products.

    Raises
    ------
    IonloopError
        For a covariance that is not supported.
    """

    def __init__(self, coordinate: Coordinate, precision: Precision = "float64") -> None:
        if not isinstance(coordinate.descriptor, SoapDescriptor):
            raise TypeError(f"a SOAP term needs a soap descriptor, not {coordinate.descriptor.kind}")
        if coordinate.zeta is None:
            raise IonloopError(
                f"the coordinate {coordinate.label!r} combines soap with the covariance {coordinate.covariance}, which "
                f"is not supported (dot_product is): {WITH_QUIPPY}"
            )
        self.coordinate = coordinate
        self.zeta = float(coordinate.zeta)
        self.basis = soap_basis(coordinate.descriptor)
        spectra, appended = self.basis.from_file_order(coordinate.sparse_points)
        self._constants = appended * coordinate.descriptor.covariance_sigma0
        weights = coordinate.alphas * coordinate.sparse_cutoffs * coordinate.delta**2
        self.sum = covariance_sum(spectra, self._constants, weights, self.zeta, precision)

    @property
    def uses_blas(self) -> bool:
        """Whether an evaluation calls BLAS, whose own threads must then rest."""
        return self.sum.uses_blas or self.basis.mixing is not None

    def add(
        self,
        pairs: NeighbourPairs,
        numbers: IntArray,
        atoms: IntArray,
        energies: FloatArray,
        gradients: FloatArray,
        variances: FloatArray | None,
        scratch: Scratch,
    ) -> None:
        """Add energies (eV), gradients on pairs (eV/Å) and variances (eV²) of some atoms."""
        n_atoms = len(atoms)
        expansion = self.basis.forward(pairs, numbers, atoms, scratch)
        own_energies = scratch.array("energies", (n_atoms,))
        products = self._to_be_filled(n_atoms, variances)
        slopes = self.sum.evaluate(expansion.spectrum, own_energies, products, scratch)
        energies[atoms] += own_energies
        if variances is not None and products is not None:
            variances[atoms] += self._variance(products)
        adjoint = self.basis.backward(expansion, slopes, scratch)
        self.basis.add_pair_gradients(pairs, numbers, atoms, adjoint, gradients)

    def begin(
        self,
        pairs: NeighbourPairs,
        numbers: IntArray,
        atoms: IntArray,
        sums: FloatArray,
        second_weights: FloatArray,
        scratch: Scratch,
    ) -> tuple[Expansion, Any]:
        """Fill the atoms' energies (eV) and second sums Σ_s b_s k_s [2, n]; return what `finish` goes on from.

        The second sum has weights b of its own [n_points] on the same covariances, without δ²: two quantities for the
        products of one. What is returned stays valid until the scratch is used again: give each group its own.
        """
        expansion = self.basis.forward(pairs, numbers, atoms, scratch)
        return expansion, self.sum.begin(expansion.spectrum, second_weights, sums, scratch)

    def finish(
        self,
        pairs: NeighbourPairs,
        numbers: IntArray,
        atoms: IntArray,
        begun: tuple[Expansion, Any],
        second_weights: FloatArray,
        factors: FloatArray,
        gradients: FloatArray,
        variances: FloatArray | None,
        scratch: Scratch,
    ) -> None:
        """Add gradients on pairs (eV/Å) of the energy and of ``factors`` [n] (eV) times the second sums."""
        expansion, sums = begun
        products = self._to_be_filled(len(atoms), variances)
        slopes = self.sum.finish(expansion.spectrum, sums, second_weights, factors, products, scratch)
        if variances is not None and products is not None:
            variances[atoms] += self._variance(products)
        adjoint = self.basis.backward(expansion, slopes, scratch)
        self.basis.add_pair_gradients(pairs, numbers, atoms, adjoint, gradients)

    def _to_be_filled(self, n_atoms: int, variances: FloatArray | None) -> FloatArray | None:
        return None if variances is None else np.empty((n_atoms, len(self._constants)))

    def _variance(self, products: FloatArray) -> FloatArray:
        coordinate = self.coordinate
        covariance = coordinate.delta**2 * (products + self._constants) ** self.zeta * coordinate.sparse_cutoffs
        whitened = solve_triangular(self._covariance_factor, covariance.T, lower=True)
        return self._prior - np.einsum("sa,sa->a", whitened, whitened)

    def variance_parts(self) -> tuple[FloatArray, float]:
        """Return L [n_points, n_points] and v (eV²): an atom's variance is v - |L⁻¹ k|² of its covariances k (eV²)."""
        return self._covariance_factor, self._prior

    @property
    def _prior(self) -> float:
        coordinate = self.coordinate
        # The covariance of a normalised descriptor with itself; QUIP leaves σ0 out and predicts negative variances.
        own = coordinate.delta**2 * (1 + self.basis.descriptor.covariance_sigma0**2) ** self.zeta
        return float(own + coordinate.signal_mean**2 + VARIANCE_REGULARISATION**2)

    @cached_property
    def _covariance_factor(self) -> FloatArray:
        """Cholesky factor of the sparse points' own covariance, regularised."""
        coordinate = self.coordinate
        points = coordinate.sparse_points
        own = coordinate.delta**2 * (points @ points.T) ** self.zeta
        own *= np.outer(coordinate.sparse_cutoffs, coordinate.sparse_cutoffs)
        own[np.diag_indices_from(own)] += VARIANCE_REGULARISATION**2
        try:
            return cholesky(own, lower=True)
        except LinAlgError as error:
            raise IonloopError(
                f"the sparse points of {coordinate.label!r} give no predicted variance: {error}"
            ) from error
