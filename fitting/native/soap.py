"""SOAP descriptors: expansion, power spectrum, and gradients through both by the adjoint method.

All variants are one scheme: channels c are mixed by matrices to Y1 = c W1 and Y2 = c W2 (not at all for the plain
power spectrum), products Y1[A] Y2[B] are summed over m, weighted, and normalised. (Bartók, Kondor, Csányi, Phys.
Rev. B 2013, 87, 184115, 10.1103/PhysRevB.87.184115, equations 31 and 36.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ...core.arrays import FloatArray, IntArray
from .compression import Products, channel_products, mixing_matrices
from .descriptor_strings import SoapDescriptor
from .neighbours import NeighbourPairs
from .radial_bases import RadialTable, radial_table
from .scratch import Scratch
from .soap_kernels import (
    expand,
    harmonic_prefactors,
    pair_gradients,
    power_spectrum,
    power_spectrum_adjoint,
    symmetric_power_spectrum,
    symmetric_spectrum_adjoint,
)

_ALL_NUMBERS = 120


@dataclass(frozen=True)
class Expansion:
    """What the forward pass over some atoms leaves for the way back.

    Attributes
    ----------
    channels
        c. Shape [n, (l_max + 1)², n_channels].
    left, right
        Y1 and Y2 (both c itself in the plain spectrum). Shape [n, (l_max + 1)², K1 or K2].
    spectrum
        Normalised power spectrum, l outermost. Shape [n, (l_max + 1) n_products].
    norms
        By which it was divided. Shape [n].
    """

    channels: FloatArray
    left: FloatArray
    right: FloatArray
    spectrum: FloatArray
    norms: FloatArray


class SoapBasis:
    """Everything about a SOAP descriptor that does not depend on the atoms.

    Parameters
    ----------
    descriptor
        Which SOAP.
    """

    def __init__(self, descriptor: SoapDescriptor) -> None:
        self.descriptor = descriptor
        self.table: RadialTable = radial_table(descriptor)
        self.prefactors = harmonic_prefactors(descriptor.l_max)
        self.products: Products = channel_products(descriptor)
        self.mixing = mixing_matrices(descriptor)
        degrees = np.arange(descriptor.l_max + 1)
        per_degree = 1 / np.sqrt(2 * degrees + 1) if descriptor.power_normalised else np.ones(len(degrees))
        self.factors = np.outer(per_degree, self.products.weights).ravel()
        self.cutoffs = (descriptor.cutoff_A, descriptor.transition_width_A)
        self.central_parts = self._central_parts()
        self._channel_of_number = np.full(_ALL_NUMBERS, 0 if descriptor.species == (0,) else -1, dtype=np.int64)
        if descriptor.species != (0,):
            self._channel_of_number[list(descriptor.species)] = np.arange(descriptor.n_species)

    @property
    def n_lm(self) -> int:
        """Number of spherical harmonics."""
        return (self.descriptor.l_max + 1) ** 2

    @property
    def is_plain(self) -> bool:
        """Whether the spectrum is the full one, of unmixed channels."""
        return self.descriptor.compression.is_plain

    def central_atoms(self, numbers: IntArray) -> IntArray:
        """Indices of the atoms that have this descriptor."""
        if self.descriptor.central_numbers == (0,):
            return np.arange(len(numbers), dtype=np.int64)
        return np.flatnonzero(np.isin(numbers, self.descriptor.central_numbers)).astype(np.int64)

    def channels_of(self, numbers: IntArray) -> IntArray:
        """Species channel of each atom, -1 where it belongs to none."""
        return self._channel_of_number[numbers]

    def forward(
        self, pairs: NeighbourPairs, numbers: IntArray, atoms: IntArray, scratch: Scratch | None = None
    ) -> Expansion:
        """Expansion and normalised power spectrum of some atoms.

        Parameters
        ----------
        pairs
            Within at least the descriptor's cutoff.
        numbers
            Atomic numbers. Shape [n_atoms].
        atoms
            Which atoms. Shape [n].
        scratch
            Buffers to use again; what is returned is then valid until its next use.
        """
        scratch = scratch or Scratch()
        n, descriptor = len(atoms), self.descriptor
        channels = scratch.array("channels", (n, self.n_lm, descriptor.n_channels))
        expand(
            atoms, pairs.starts, pairs.second, pairs.vectors, pairs.distances, self.channels_of(numbers),
            self.cutoffs, self.table.pieces_per_A, self.table.coefficients, self.prefactors,
            self.central_parts[numbers[atoms]], channels,
        )  # fmt: skip
        left = right = channels
        if self.mixing is not None:
            left, right = channels @ self.mixing[0], channels @ self.mixing[1]
        spectrum = scratch.array("spectrum", (n, len(self.factors)))
        norms = scratch.array("norms", (n,))
        if self.is_plain:
            symmetric_power_spectrum(channels, self.factors, descriptor.normalise, spectrum, norms)
            return Expansion(channels, left, right, spectrum, norms)
        runs = self.products
        power_spectrum(
            left, right, runs.left, runs.right, runs.lengths, self.factors, descriptor.normalise, spectrum, norms
        )
        return Expansion(channels, left, right, spectrum, norms)

    def backward(self, expansion: Expansion, slopes: FloatArray, scratch: Scratch | None = None) -> FloatArray:
        """dE/dc from the derivative of each atom's energy with respect to its normalised power spectrum.

        Parameters
        ----------
        expansion
            Of the same atoms, from `forward`.
        slopes
            dE_i/dp, eV. Shape [n, (l_max + 1) n_products], or larger: the rest is ignored.

        Returns
        -------
        Shape [n, (l_max + 1)², n_channels], eV.
        """
        scratch = scratch or Scratch()
        normalise = self.descriptor.normalise
        adjoint = scratch.array("adjoint", expansion.channels.shape)
        if self.is_plain:
            symmetric_spectrum_adjoint(
                expansion.spectrum, expansion.norms, slopes, normalise, expansion.channels, self.factors, adjoint
            )
            return adjoint
        left = np.empty_like(expansion.left)
        right = np.empty_like(expansion.right)
        runs = self.products
        power_spectrum_adjoint(
            expansion.spectrum, expansion.norms, slopes, normalise, expansion.left, expansion.right, runs.left,
            runs.right, runs.lengths, self.factors, left, right,
        )  # fmt: skip
        if self.mixing is None:
            return np.add(left, right, out=adjoint)
        adjoint[:] = left @ self.mixing[0].T
        adjoint += right @ self.mixing[1].T
        return adjoint

    def add_pair_gradients(
        self,
        pairs: NeighbourPairs,
        numbers: IntArray,
        atoms: IntArray,
        adjoint: FloatArray,
        gradients: FloatArray,
    ) -> None:
        """Add dE_i/dr_ij (eV/Å) of some atoms i to ``gradients`` [n_pairs, 3], from dE_i/dc."""
        pair_gradients(
            atoms, pairs.starts, pairs.second, pairs.vectors, pairs.distances, self.channels_of(numbers),
            self.cutoffs, self.table.pieces_per_A, self.table.coefficients, self.prefactors, adjoint, gradients,
        )  # fmt: skip

    def to_file_order(self, spectrum: FloatArray) -> FloatArray:
        """Descriptors as files hold them, the angular momentum fastest and the constant appended."""
        n, n_degrees = len(spectrum), self.descriptor.l_max + 1
        ordered = spectrum.reshape(n, n_degrees, -1).transpose(0, 2, 1).reshape(n, -1)
        return np.concatenate([ordered, np.full((n, 1), self.descriptor.covariance_sigma0)], axis=1)

    def from_file_order(self, descriptors: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Spectra with the angular momentum outermost, and the appended constants."""
        n, n_degrees = len(descriptors), self.descriptor.l_max + 1
        ordered = descriptors[:, :-1].reshape(n, -1, n_degrees).transpose(0, 2, 1).reshape(n, -1)
        return np.ascontiguousarray(ordered), np.ascontiguousarray(descriptors[:, -1])

    def _central_parts(self) -> FloatArray:
        """What an atom of each element adds to its own coefficients with l = 0. Shape [_ALL_NUMBERS, n_channels]."""
        species = np.array(self.descriptor.species)
        own = np.arange(_ALL_NUMBERS)[:, None] == species
        centred = own | self.descriptor.central_in_all_species | (species == 0)
        weight = self.descriptor.central_weight / math.sqrt(4 * math.pi)
        return np.asarray(np.kron(centred.astype(np.float64), weight * self.table.central[None]), dtype=np.float64)


@lru_cache(maxsize=64)
def soap_basis(descriptor: SoapDescriptor) -> SoapBasis:
    """The basis of a descriptor, made once."""
    return SoapBasis(descriptor)
