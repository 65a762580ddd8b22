"""Charges at rest without a model of their surroundings, as an ASE calculator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from ....core.arrays import FloatArray
from ...threads import default_threads
from ..coulomb.clouds import CloudTable
from ..joint.charge_models import ChargeModel
from ..joint.charged_calculator import SpeciesOfAtoms, results_of
from ..joint.large_structures import LargeStructures

_MAGNITUDE_E = 1.5
"""Charges that cutoffs are chosen for."""


class ChargesAtRest(Calculator):
    """Energy of charges that follow from constants of the species.

    Properties: energy, free_energy (eV), forces (eV/Å), charges (e) [n_atoms], stress (eV/Å³) of crystals,
    and of slabs whose cell has a volume, dipole (e Å) in open space, from the origin where the molecule is charged.

    Parameters
    ----------
    model
        What turns constants into charges.
    symbols
        Species, sorted.
    constants
        Of the species, in the model's unit. Shape [n_species].
    clouds
        Of the species in this order.
    accuracy
        Truncation error of a force component (eV/Å).
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress", "charges", "dipole"]

    def __init__(
        self, model: ChargeModel, symbols: Sequence[str], constants: FloatArray, clouds: CloudTable, accuracy: float
    ) -> None:
        super().__init__()
        self._arguments = (model, symbols, constants, clouds, accuracy)
        self._model = model
        self._constants = constants
        self._refusal = f"the charges at rest know {', '.join(symbols)}, and not {{}}"
        self._species = SpeciesOfAtoms(symbols)
        magnitudes = np.full(len(symbols), _MAGNITUDE_E)
        self._structures = LargeStructures(clouds, magnitudes, accuracy, default_threads())

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Evaluate everything at once.

        Raises
        ------
        InputError
            For an element without constants, or a structure that makes no sense.
        """
        super().calculate(atoms, list(properties), list(system_changes))
        atoms = self.atoms
        kinds = self._species.kinds(atoms, self._refusal)
        structure = self._structures.of(atoms, kinds)
        found = self._model.evaluate(structure, self._constants[kinds], np.zeros(len(atoms)))
        self.results = results_of(found, atoms)

    def forget(self) -> None:
        """Forget what earlier structures left: the next results depend on the atoms alone, to the last bit."""
        self._model.forget()

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy by what was asked for."""
        return ChargesAtRest, self._arguments
