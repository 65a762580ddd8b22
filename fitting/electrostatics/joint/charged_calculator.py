"""A GAP with charges that depend on the environment, as an ASE calculator: one set of matrix products for both."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.data import atomic_numbers, chemical_symbols
from ase.stress import full_3x3_to_voigt_6_stress

from ....core.arrays import FloatArray, IntArray
from ....core.errors import InputError, IonloopError
from ...native.calculator import Evaluator, SecondSums
from ...native.descriptor_strings import SoapDescriptor
from ...native.gap_xml import GapModel
from ...threads import default_threads
from ..charges_file import ChargesFile
from ..coulomb.clouds import CloudTable
from ..coulomb.slabs import has_stress
from ..in_field import InField, born_charges_of
from .charge_models import ChargeModel, Equilibrium
from .large_structures import LargeStructures

BORN_CHARGES: Final = "born_effective_charges"
"""ASE's name of the property."""
logger = logging.getLogger(__name__)
_FAR_SPREADS = 5.0
"""So many spreads on the training data from its species' mean a charge is told of as extrapolated."""
_LEAST_SPREAD_E = 0.01
_ROOM_FOR_CHARGES = 1.2
_LEAST_MAGNITUDE_E = 0.05


@dataclass(frozen=True, eq=False)
class ChargedGapParts:
    """What a model with fitted charges is made of, for who evaluates it elsewhere.

    Attributes
    ----------
    gap
        The GAP.
    symbols
        The species, sorted.
    constants_e
        What all atoms of a species have. Shape [n_species].
    second_weights
        Coefficients of the sparse points of each SOAP coordinate, in the order of the GAP's.
    model, clouds, accuracy
        As in `ChargedGapCalculator`.
    magnitudes_e
        Sizes of charges that cutoffs are chosen for. Shape [n_species].
    """

    gap: GapModel
    symbols: Sequence[str]
    constants_e: FloatArray
    second_weights: list[FloatArray]
    model: ChargeModel
    clouds: CloudTable
    accuracy: float
    magnitudes_e: FloatArray


class ChargedGapCalculator(Calculator):
    """GAP plus the Coulomb energy of charges that follow from the same covariances.

    Properties: energy, free_energy (eV), forces (eV/Å), charges (e) [n_atoms], stress (eV/Å³) of crystals, and of slabs
    whose cell has a volume, dipole (e Å) in open space, which depends on the origin where the molecule is charged, and
    local_variance (eV²), that of the GAP with the charges as they are. A pure function of the atoms: equal
    positions give equal bits, whatever was evaluated before; but for charges that are equilibrated in large structures
    (`..equilibrated.solver.Solver`), which agree within what their solver leaves until `forget`. May be copied and
    pickled. Where a field can act on the charges also born_effective_charges Z*_iαβ = ∂P_α/∂r_iβ (e) [n_atoms, 3, 3],
    when asked for.

    Parameters
    ----------
    gap
        The GAP that was fitted with the charges.
    charges
        What was fitted of the charges.
    model
        What turns the local quantity into charges.
    clouds
        Of the species, sorted by symbol.
    accuracy
        Truncation error of a force component (eV/Å).
    why_no_field
        Why no field can act on it, going on from "has charges "; nothing where one can.
    threads
        How many threads share the work; None takes OMP_NUM_THREADS, or 1 where it is not set.

    Raises
    ------
    IonloopError
        If GAP and charges do not belong together.
    """

    implemented_properties: ClassVar[list[str]] = [
        "energy",
        "free_energy",
        "forces",
        "stress",
        "charges",
        "dipole",
        "local_variance",
        BORN_CHARGES,
    ]

    def __init__(
        self,
        gap: GapModel,
        charges: ChargesFile,
        model: ChargeModel,
        clouds: CloudTable,
        accuracy: float,
        why_no_field: str = "",
        threads: int | None = None,
    ) -> None:
        super().__init__()
        self._arguments = (gap, charges, model, clouds, accuracy, why_no_field, threads)
        self.why_no_field = why_no_field
        symbols = sorted(charges.species)
        self._species = SpeciesOfAtoms(symbols)
        self._constants = np.array([charges.species[symbol].constant for symbol in symbols])
        self._means_e = np.array([charges.species[symbol].mean_e for symbol in symbols])
        spreads = np.array([charges.species[symbol].std_e for symbol in symbols])
        self._far_e = _FAR_SPREADS * np.maximum(spreads, _LEAST_SPREAD_E)
        self._told: set[int] = set()
        self._symbols = symbols
        self._model = model
        self._second_weights = _second_weights(gap, charges)
        workers = default_threads() if threads is None else threads
        self._evaluator = Evaluator(gap, threads=workers, skin_A=0.5)
        largest = [max(abs(charges.species[s].least_e), abs(charges.species[s].most_e)) for s in symbols]
        magnitudes = np.maximum(_ROOM_FOR_CHARGES * np.array(largest), _LEAST_MAGNITUDE_E)
        self._structures = LargeStructures(clouds, magnitudes, accuracy, workers)
        self.parts = ChargedGapParts(
            gap, symbols, self._constants, self._second_weights, model, clouds, accuracy, magnitudes
        )

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Evaluate everything at once; the variance where it is wanted.

        Raises
        ------
        InputError
            For an element that was not fitted, or a structure that makes no sense.
        """
        super().calculate(atoms, list(properties), list(system_changes))
        whole, variances = self._evaluate(self.atoms, with_variance="local_variance" in properties)
        self._tell_of_far_charges(whole.charges, self._species.kinds(self.atoms, ""))
        self.results = results_of(whole, self.atoms)
        if variances is not None:
            self.results["local_variance"] = variances
        if BORN_CHARGES in properties:
            self.results[BORN_CHARGES] = born_charges_of(self, self.atoms)

    def _tell_of_far_charges(self, charges: FloatArray, kinds: IntArray) -> None:
        """Log, once for each species, charges that are far from all of the training data."""
        away = np.abs(charges - self._means_e[kinds]) - self._far_e[kinds]
        # An atom alone has the total charge, whatever it is of.
        if len(charges) < 2 or away.max() <= 0:
            return
        for kind in set(kinds[away > 0].tolist()) - self._told:
            worst = int(np.argmax(np.where(kinds == kind, away, -np.inf)))
            logger.warning(
                "the charge of atom %d (%s) is %+.2f e, more than %g spreads from the mean of %+.2f e on the training "
                "data: charges are extrapolated; label such structures",
                worst,
                self._symbols[kind],
                charges[worst],
                _FAR_SPREADS,
                self._means_e[kind],
            )
            self._told.add(kind)

    def in_field(self, atoms: Atoms, field_V_per_A: FloatArray) -> InField:
        """Return a structure in a field of shape [3] (V/Å).

        Raises
        ------
        InputError
            If no field can act on the charges, with the reason; else as `calculate`.
        """
        if self.why_no_field:
            raise InputError(f"no field can act on a model that has charges {self.why_no_field}")
        found, _ = self._evaluate(atoms, field_V_per_A=np.asarray(field_V_per_A, dtype=np.float64))
        assert found.passed is not None
        return InField(found.energy_eV, found.forces, found.passed.carried_e, found.passed.dipole_eA)

    def _evaluate(
        self, atoms: Atoms, *, with_variance: bool = False, field_V_per_A: FloatArray | None = None
    ) -> tuple[Equilibrium, FloatArray | None]:
        """Return everything of GAP and charges, and the GAP's variances where they are wanted."""
        kinds = self._species.kinds(atoms, "the charges were fitted without {}; fit a model to data that contain it")
        cell = np.asarray(atoms.cell.array)
        structure = replace(self._structures.of(atoms, kinds), field_V_per_A=field_V_per_A)
        found: list[Equilibrium] = []

        def respond(local: FloatArray) -> FloatArray:
            found.append(self._model.evaluate(structure, self._constants[kinds], local))
            return found[0].weights

        second = SecondSums(self._second_weights, respond)
        short = self._evaluator.evaluate(
            atoms.positions, cell, atoms.pbc, atoms.numbers, variance=with_variance, second=second
        )
        coulomb = found[0]
        whole = replace(
            coulomb,
            energy_eV=float(short.energies.sum()) + coulomb.energy_eV,
            forces=short.forces + coulomb.forces,
            strain_derivative=coulomb.strain_derivative - short.virial,
        )
        return whole, short.variances

    def forget(self) -> None:
        """Forget what earlier structures left: the next results depend on the atoms alone, to the last bit."""
        self._model.forget()

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy by what was asked for: tables and threads are made again."""
        return ChargedGapCalculator, self._arguments


class SpeciesOfAtoms:
    """Finds the species of atoms by their atomic numbers; ``symbols`` are the species, sorted."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self._kind_of = np.full(len(chemical_symbols), -1)
        self._kind_of[[atomic_numbers[symbol] for symbol in symbols]] = np.arange(len(symbols))

    def kinds(self, atoms: Atoms, refusal: str) -> IntArray:
        """Return the place of every atom's species. Shape [n_atoms].

        Raises
        ------
        InputError
            If an atom is of no species: ``refusal``, with the unknown elements in the place of its braces.
        """
        kinds = np.asarray(self._kind_of[atoms.numbers], dtype=np.int64)
        if np.any(kinds < 0):
            unknown = sorted({chemical_symbols[number] for number in atoms.numbers[kinds < 0]})
            raise InputError(refusal.format(", ".join(unknown)))
        return kinds


def results_of(found: Equilibrium, atoms: Atoms) -> dict[str, Any]:
    """Return an evaluation as a calculator's results: stress where there is a volume, the dipole of molecules."""
    results: dict[str, Any] = {
        "energy": found.energy_eV,
        "free_energy": found.energy_eV,
        "forces": found.forces,
        "charges": found.charges,
    }
    if has_stress(atoms):
        results["stress"] = full_3x3_to_voigt_6_stress(found.strain_derivative / atoms.get_volume())
    if not atoms.pbc.any():
        results["dipole"] = found.charges @ atoms.positions
    return results


def _second_weights(gap: GapModel, charges: ChargesFile) -> list[FloatArray]:
    """Return the charges' coefficients in the order of the GAP's SOAP coordinates."""
    found = []
    for coordinate in gap.coordinates:
        if not isinstance(coordinate.descriptor, SoapDescriptor):
            continue
        symbol = chemical_symbols[coordinate.descriptor.central_numbers[0]]
        own = charges.species.get(symbol)
        if own is None or len(own.coefficients) != len(coordinate.alphas):
            raise IonloopError(
                f"charges and potential do not belong together: {len(coordinate.alphas)} sparse points of {symbol} and "
                f"{0 if own is None else len(own.coefficients)} coefficients; fit the model again"
            )
        found.append(np.array(own.coefficients))
    return found
