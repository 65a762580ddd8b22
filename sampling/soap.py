"""SOAP vectors of atoms and fingerprints of structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from ..core.errors import InputError
from ..fitting.settings import GapSettings, SoapSettings
from .descriptor_settings import DescriptorSettings

__all__ = ["SoapDescriptor", "fingerprint_of", "kernel", "species_of"]


def species_of(structures: Sequence[Atoms]) -> tuple[str, ...]:
    """Return the chemical symbols that occur in ``structures``, by atomic number."""
    symbols = {symbol for atoms in structures for symbol in atoms.symbols}
    return tuple(sorted(symbols, key=atomic_numbers.__getitem__))


def kernel(first: np.ndarray, second: np.ndarray, zeta: int) -> np.ndarray:
    """Return the SOAP kernel (p·p')^ζ of two sets of vectors, [n, d] and [m, d], as [n, m].

    Bartók, Kondor, Csányi, Phys. Rev. B 2013, 87, 184115 (10.1103/PhysRevB.87.184115).
    """
    return (first @ second.T) ** zeta


class SoapDescriptor:
    """SOAP power spectra for a fixed list of species.

    Parameters
    ----------
    species
        Chemical symbols; every structure may hold these and no others. Their number sets the length of the
        vectors, so structures are comparable only through one descriptor.
    settings
        Basis and cutoff.
    """

    def __init__(self, species: Sequence[str], settings: DescriptorSettings | None = None) -> None:
        self.species = tuple(species)
        self.settings = settings or DescriptorSettings()
        soap = SoapSettings(
            n_max=self.settings.n_max,
            l_max=self.settings.l_max,
            cutoff_A=self.settings.cutoff_A,
            transition_width_A=self.settings.transition_width_A,
            atom_sigma_A=self.settings.atom_sigma_A,
        )
        # The campaign file names selections: who only reads it waits for none of what they compute with.
        from ..fitting.native.sparse_fit.design import Descriptors

        self._descriptors = Descriptors.of(self.species, GapSettings(two_body=None, soap=soap))
        self.length: int = next(iter(self._descriptors.soaps.values())).n_dimensions

    def vectors(self, atoms: Atoms) -> dict[str, np.ndarray]:
        """Return the SOAP vectors of each species, [n_atoms_of_species, length], of Euclidean norm one.

        Rows follow the order of the atoms. A species that does not occur has an array of no rows.

        Raises
        ------
        InputError
            If ``atoms`` holds a species that the descriptor does not know.
        """
        foreign = set(atoms.symbols) - set(self.species)
        if foreign:
            raise InputError(f"the descriptor knows {', '.join(self.species)} and not {', '.join(sorted(foreign))}")
        from ..fitting.native.sparse_fit.design import PairedAtoms, soap_descriptors

        structure = PairedAtoms.of(atoms, self._descriptors)
        return {
            symbol: soap_descriptors(structure, self._descriptors, atomic_numbers[symbol]) for symbol in self.species
        }

    def fingerprint(self, atoms: Atoms) -> np.ndarray:
        """Return one vector for the structure, [n_species * length]; see `fingerprint_of`."""
        return fingerprint_of(self.vectors(atoms))


def fingerprint_of(vectors: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the fingerprint of a structure from the vectors of its atoms.

    For each species the mean vector, normalised, divided by the root of the number of species; concatenated.
    The scalar product of two fingerprints, one at most, is then the average structural kernel of De, Bartók,
    Csányi and Ceriotti (Phys. Chem. Chem. Phys. 2016, 18, 13754, 10.1039/C6CP00415F) with a linear local
    kernel, normalised and taken species by species: a few P or Zr count as much as many Li. It does not
    change under translation, rotation, permutation of atoms or repetition of the cell.
    """
    blocks = [block.mean(axis=0) if len(block) else np.zeros(block.shape[1]) for block in vectors.values()]
    norms = [np.linalg.norm(block) or 1.0 for block in blocks]
    scaled = [block / norm for block, norm in zip(blocks, norms, strict=True)]
    return np.concatenate(scaled) / np.sqrt(len(blocks))
