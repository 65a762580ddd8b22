"""Charges at rest without a model of their surroundings, as an ASE calculator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.data import atomic_numbers, chemical_symbols

from ....core.arrays import FloatArray
from ....core.errors import InputError
from ...threads import default_threads
from ..coulomb.clouds import CloudTable
from ..coulomb.summation import CoulombSum
from ..joint.charge_models import ChargeModel
from ..joint.charged_calculator import large_structure

_MAGNITUDE_E = 1.5
"""Charges that cutoffs are chosen for."""


class ChargesAtRest(Calculator):
    """Energy of charges that follow from constants of the species.

    Properties: energy, free_energy (eV), forces (eV/Å), charges (e) [n_atoms], stress (eV/Å³) where the cell is
    periodic, dipole (e Å) in open space, from the origin where the molecule is charged.

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
        self._symbols = list(symbols)
        self._constants = constants
        self._kind_of = np.full(len(chemical_symbols), -1)
        self._kind_of[[atomic_numbers[symbol] for symbol in symbols]] = np.arange(len(symbols))
        magnitudes = np.full(len(symbols), _MAGNITUDE_E)
        self._sum = CoulombSum(clouds, magnitudes, accuracy, workers=default_threads())

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
        kinds = self._kind_of[atoms.numbers]
        if np.any(kinds < 0):
            unknown = sorted({chemical_symbols[number] for number in atoms.numbers[kinds < 0]})
            raise InputError(f"the charges at rest know {', '.join(self._symbols)}, and not {', '.join(unknown)}")
        structure = large_structure(atoms, kinds, self._sum)
        found = self._model.evaluate(structure, self._constants[kinds], np.zeros(len(atoms)))
        self.results = {
            "energy": found.energy_eV,
            "free_energy": found.energy_eV,
            "forces": found.forces,
            "charges": found.charges,
        }
        if atoms.pbc.all():
            stress = found.strain_derivative / atoms.get_volume()
            self.results["stress"] = (0.5 * (stress + stress.T)).ravel()[[0, 4, 8, 5, 2, 1]]
        else:
            self.results["dipole"] = found.charges @ atoms.positions

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy by what was asked for."""
        return ChargesAtRest, self._arguments
